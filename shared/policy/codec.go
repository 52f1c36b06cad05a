package policy

import (
	"encoding"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// version is that of the documents that this package reads and writes.
const version = 1

// field is a field of a struct by its tag.
type field struct {
	reflect.Value
	steps []string // its place in the document
	all   bool     // the text all stands for the empty list
}

// fields lists what a struct takes from a document.
func fields(structure reflect.Value) []field {
	var list []field
	for i := range structure.NumField() {
		tag, ok := structure.Type().Field(i).Tag.Lookup("policy")
		if !ok {
			continue
		}
		name, option, _ := strings.Cut(tag, ",")
		list = append(list, field{structure.Field(i), strings.Split(name, "."), option == "all"})
	}
	return list
}

// decoder fills a policy from a tree. What is broken it leaves alone.
type decoder struct {
	broken func(path string) bool
	fault  func(path, format string, args ...any)
}

func (d decoder) structure(from map[string]any, path string, into reflect.Value) {
	for _, f := range fields(into) {
		value, there := any(from), true
		path := path
		for _, step := range f.steps {
			inner, _ := value.(map[string]any)
			value, there = inner[step]
			path = under(path, step)
		}
		switch {
		case !there || d.broken(path):
		case f.all && value == "all":
			f.SetZero()
		default:
			d.value(value, path, f.Value)
		}
	}
}

func (d decoder) value(from any, path string, into reflect.Value) {
	if d.broken(path) {
		return
	}
	switch v := from.(type) {
	case map[string]any:
		d.mapping(v, path, into)
	case []any:
		list := reflect.MakeSlice(into.Type(), len(v), len(v))
		for i, item := range v {
			d.value(item, at(path, i), list.Index(i))
		}
		into.Set(list)
	case string:
		if err := setText(v, into); err != nil {
			d.fault(path, "%s", err)
		}
	case bool:
		into.SetBool(v)
	case int64:
		into.SetInt(v)
	case float64: // 5.0 is an integer to JSON Schema
		into.SetInt(int64(v))
	}
}

func (d decoder) mapping(from map[string]any, path string, into reflect.Value) {
	if into.Kind() == reflect.Struct {
		d.structure(from, path, into)
		return
	}
	into.Set(reflect.MakeMapWithSize(into.Type(), len(from)))
	for key, item := range from {
		if path := under(path, key); !d.broken(path) {
			value := reflect.New(into.Type().Elem()).Elem()
			d.value(item, path, value)
			into.SetMapIndex(reflect.ValueOf(key), value)
		}
	}
}

// setText sets what a document writes as a text.
func setText(text string, into reflect.Value) (err error) {
	switch v := into.Addr().Interface().(type) {
	case *time.Duration:
		*v, err = ParseDuration(text)
	case *float64:
		*v, err = parseShare(text)
	case *netip.Prefix:
		*v, err = parsePrefix(text)
	case encoding.TextUnmarshaler:
		err = v.UnmarshalText([]byte(text))
	default:
		into.SetString(text)
	}
	return err
}

// Encode is the policy as a document. What is zero is left out, so it gets its
// default when it is read.
func (p Policy) Encode() ([]byte, error) {
	root := &yaml.Node{Kind: yaml.MappingNode}
	place(root, []string{"version"}, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(version)})
	encodeStructure(reflect.ValueOf(p), root)
	document, err := yaml.Dump(root)
	if err != nil {
		return nil, fmt.Errorf("encoding the policy: %w", err)
	}
	return document, nil
}

func encodeStructure(from reflect.Value, into *yaml.Node) {
	for _, f := range fields(from) {
		if f.IsZero() || (f.Kind() == reflect.Slice || f.Kind() == reflect.Map) && f.Len() == 0 {
			continue
		}
		if node := encodeValue(f.Value); node.Kind == yaml.ScalarNode || len(node.Content) > 0 {
			place(into, f.steps, node)
		}
	}
}

// place puts a value at its place, and makes the mappings that it is in.
func place(into *yaml.Node, steps []string, value *yaml.Node) {
	for len(steps) > 1 {
		var inner *yaml.Node
		for i := 0; i+1 < len(into.Content); i += 2 {
			if into.Content[i].Value == steps[0] {
				inner = into.Content[i+1]
			}
		}
		if inner == nil {
			inner = &yaml.Node{Kind: yaml.MappingNode}
			into.Content = append(into.Content, textNode(steps[0]), inner)
		}
		into, steps = inner, steps[1:]
	}
	into.Content = append(into.Content, textNode(steps[0]), value)
}

func textNode(text string) *yaml.Node {
	var n yaml.Node
	n.SetString(text)
	return &n
}

func encodeValue(from reflect.Value) *yaml.Node {
	switch v := from.Interface().(type) {
	case time.Duration:
		return textNode(FormatDuration(v))
	case float64:
		return textNode(formatShare(v))
	case encoding.TextMarshaler:
		text, _ := v.MarshalText() // none of ours, nor a network, fails
		return textNode(string(text))
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v)}
	case int:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(v)}
	}
	switch from.Kind() {
	case reflect.Struct:
		node := &yaml.Node{Kind: yaml.MappingNode}
		encodeStructure(from, node)
		return node
	case reflect.Slice:
		node := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range from.Len() {
			node.Content = append(node.Content, encodeValue(from.Index(i)))
		}
		return node
	case reflect.Map:
		node := &yaml.Node{Kind: yaml.MappingNode}
		byName := map[string]reflect.Value{}
		for _, key := range from.MapKeys() {
			byName[key.String()] = from.MapIndex(key)
		}
		for _, name := range slices.Sorted(maps.Keys(byName)) {
			node.Content = append(node.Content, textNode(name), encodeValue(byName[name]))
		}
		return node
	default:
		return textNode(from.String())
	}
}

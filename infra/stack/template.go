// Package stack reads CloudFormation templates, for the tests that hold them
// against the code.
package stack

import (
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Template is a template as CloudFormation sees it: the short forms of its
// functions are written out, so that !Ref X is {"Ref": "X"} and !GetAtt A.B is
// {"Fn::GetAtt": ["A", "B"]}.
type Template map[string]any

// Open reads a template.
func Open(path string) (Template, error) {
	document, err := os.ReadFile(path) //nolint:gosec // a template of this repository
	if err != nil {
		return nil, fmt.Errorf("read a template: %w", err)
	}
	var root yaml.Node
	if err := yaml.Load(document, &root); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	value, err := plain(&root)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	t, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s: it is no mapping", path)
	}
	return t, nil
}

// plain is a node as maps, lists and scalars.
func plain(n *yaml.Node) (any, error) {
	tag := n.Tag
	if isFunction(tag) {
		n.Tag = ""
		value, err := bare(n)
		if err != nil {
			return nil, err
		}
		return longForm(strings.TrimPrefix(tag, "!"), value), nil
	}
	return bare(n)
}

func isFunction(tag string) bool {
	return strings.HasPrefix(tag, "!") && !strings.HasPrefix(tag, "!!")
}

func longForm(name string, value any) any {
	switch name {
	case "Ref", "Condition":
		return map[string]any{name: value}
	case "GetAtt":
		if path, ok := value.(string); ok {
			resource, attribute, _ := strings.Cut(path, ".")
			value = []any{resource, attribute}
		}
	}
	return map[string]any{"Fn::" + name: value}
}

func bare(n *yaml.Node) (any, error) {
	switch n.Kind {
	case yaml.DocumentNode:
		return plain(n.Content[0])
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			key := n.Content[i].Value
			if _, twice := m[key]; twice {
				return nil, fmt.Errorf("line %d: %s is there twice", n.Content[i].Line, key)
			}
			value, err := plain(n.Content[i+1])
			if err != nil {
				return nil, err
			}
			m[key] = value
		}
		return m, nil
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			value, err := plain(item)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		return list, nil
	case yaml.ScalarNode:
		var value any
		if n.Tag == "" {
			return n.Value, nil // what a function is given is text
		}
		if err := n.Load(&value); err != nil {
			return nil, fmt.Errorf("line %d: %w", n.Line, err)
		}
		return value, nil
	default:
		return nil, fmt.Errorf("line %d: aliases are not read", n.Line)
	}
}

// Resource is one resource of a template.
type Resource struct {
	Type       string
	Properties map[string]any
}

// Resource returns a resource by its logical id; its type is empty if there is
// none.
func (t Template) Resource(id string) Resource { return t.Resources()[id] }

// Resources are all resources by their logical ids.
func (t Template) Resources() map[string]Resource {
	all := map[string]Resource{}
	for id, body := range t.Section("Resources") {
		fields, _ := body.(map[string]any)
		r := Resource{Type: text(fields["Type"])}
		r.Properties, _ = fields["Properties"].(map[string]any)
		all[id] = r
	}
	return all
}

// Section is a part of the template, such as Parameters, by its names.
func (t Template) Section(name string) map[string]any {
	section, _ := t[name].(map[string]any)
	return section
}

// At follows a path into properties; it is nil where there is nothing.
func (r Resource) At(path ...string) any {
	var at any = r.Properties
	for _, step := range path {
		fields, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = fields[step]
	}
	return at
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

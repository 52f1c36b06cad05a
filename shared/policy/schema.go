package policy

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// Schema is the JSON Schema of a document.
//
//go:embed policy.schema.json
var Schema []byte

// schema is the compiled [Schema], and its text for messages.
type schema struct {
	compiled *jsonschema.Schema
	text     any
}

var loadSchema = sync.OnceValues(func() (schema, error) {
	text, err := jsonschema.UnmarshalJSON(strings.NewReader(string(Schema)))
	if err != nil {
		return schema{}, fmt.Errorf("the policy's schema: %w", err)
	}
	const url = "urn:databricks-credential-rotation:policy:1"
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(url, text); err != nil {
		return schema{}, fmt.Errorf("the policy's schema: %w", err)
	}
	compiled, err := compiler.Compile(url)
	if err != nil {
		return schema{}, fmt.Errorf("the policy's schema: %w", err)
	}
	return schema{compiled, text}, nil
})

// validate holds a document against the schema. It returns every fault.
func (s schema) validate(t tree) ([]Fault, error) {
	var invalid *jsonschema.ValidationError
	switch err := s.compiled.Validate(t.root); {
	case err == nil:
		return nil, nil
	case !errors.As(err, &invalid):
		return nil, fmt.Errorf("validating the policy: %w", err)
	}
	var faults []Fault
	s.collect(t, invalid, &faults)
	return faults, nil
}

// collect turns the leaves of the validator's tree of errors into faults.
func (s schema) collect(t tree, e *jsonschema.ValidationError, faults *[]Fault) {
	path, value := t.locate(e.InstanceLocation)
	fault := func(path, format string, args ...any) {
		*faults = append(*faults, Fault{Line: t.line(path), Path: path, Message: fmt.Sprintf(format, args...)})
	}
	switch k := e.ErrorKind.(type) {
	case *kind.OneOf:
		fault(path, "must name %s", s.description(e.SchemaURL))
	case *kind.AdditionalProperties:
		known := slices.Sorted(maps.Keys(s.properties(e.SchemaURL)))
		for _, name := range k.Properties {
			if len(known) == 0 { // the owner chooses the names
				fault(under(path, name), "its name must be %s", s.description("#/$defs/name"))
				continue
			}
			fault(under(path, name), "unknown field; there are %s", strings.Join(known, ", "))
		}
	case *kind.Required:
		for _, name := range k.Missing {
			fault(under(path, name), "is missing")
		}
	case *kind.Type:
		fault(path, "%s", wrongType(k, value, s.description(e.SchemaURL)))
	case *kind.Const:
		fault(path, "must be %v%s", k.Want, not(value))
	case *kind.Enum:
		var want []string
		for _, w := range k.Want {
			want = append(want, fmt.Sprint(w))
		}
		fault(path, "must be one of %s%s", strings.Join(want, ", "), not(value))
	case *kind.UniqueItems:
		// The validator names one pair; all lists that it looks at are of texts.
		list, _ := value.([]any)
		for i, item := range list {
			if slices.ContainsFunc(list[:i], func(before any) bool { return reflect.DeepEqual(before, item) }) {
				fault(at(path, i), "%s is here twice", show(item))
			}
		}
	case *kind.MinItems:
		fault(path, "must not be empty")
	case *kind.Pattern, *kind.Minimum, *kind.Maximum, *kind.MaxLength:
		fault(path, "must be %s%s", s.description(e.SchemaURL), not(value))
	default:
		if len(e.Causes) == 0 {
			fault(path, "does not fit the schema at %v", e.ErrorKind.KeywordPath())
		}
		for _, cause := range e.Causes {
			s.collect(t, cause, faults)
		}
	}
}

// locate finds the path and the value at an instance location.
func (t tree) locate(location []string) (path string, value any) {
	value = t.root
	for _, step := range location {
		switch v := value.(type) {
		case map[string]any:
			path, value = under(path, step), v[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(v) {
				return path, value
			}
			path, value = at(path, i), v[i]
		}
	}
	return path, value
}

// node is the part of the schema that a location names.
func (s schema) node(url string) map[string]any {
	_, pointer, _ := strings.Cut(url, "#")
	node := s.text
	for step := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if step == "" {
			continue
		}
		object, _ := node.(map[string]any)
		node = object[step]
	}
	object, _ := node.(map[string]any)
	return object
}

func (s schema) description(url string) string {
	text, _ := s.node(url)["description"].(string)
	return text
}

func (s schema) properties(url string) map[string]any {
	properties, _ := s.node(url)["properties"].(map[string]any)
	return properties
}

var typeNames = map[string]string{
	"object": "a mapping", "array": "a list", "string": "a text", "boolean": "true or false",
	"integer": "a whole number", "number": "a number", "null": "nothing",
}

// wrongType says what is wanted in place of a value of the wrong type. A number
// in place of a text is called one: YAML takes an unquoted id such as 12e4 for
// a number.
func wrongType(k *kind.Type, value any, description string) string {
	var want []string
	for _, w := range k.Want {
		want = append(want, typeNames[w])
	}
	wanted := strings.Join(want, " or ")
	if description != "" && slices.Equal(k.Want, []string{"string"}) {
		wanted = description
	}
	if k.Want[0] == "string" && (k.Got == "number" || k.Got == "boolean") {
		return fmt.Sprintf("must be %s, not the %s %s", wanted, k.Got, show(value))
	}
	return "must be " + wanted + not(value)
}

// not ends a message by what is there instead.
func not(value any) string {
	if value == nil {
		return ", and has no value"
	}
	return ", not " + show(value)
}

// show is a value as the document has it, about.
func show(value any) string {
	switch v := value.(type) {
	case string:
		return quote(v)
	case map[string]any:
		return "a mapping"
	case []any:
		return "a list"
	}
	text, err := json.Marshal(value)
	if err != nil {
		return "a value of another kind"
	}
	return string(text)
}

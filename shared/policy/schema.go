package policy

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"databricks-credential-rotation/shared/jsonschema"
)

// Schema is the JSON Schema of a document.
//
//go:embed policy.schema.json
var Schema []byte

var loadSchema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	schema, err := jsonschema.Parse(Schema)
	if err != nil {
		return nil, fmt.Errorf("the policy's schema: %w", err)
	}
	return schema, nil
})

// misfits holds a document against the schema. It returns every fault.
func (t tree) misfits(schema *jsonschema.Schema) []Fault {
	var faults []Fault
	for _, f := range schema.Validate(t.root) {
		path, value := t.locate(f.Location)
		for _, m := range messages(schema, f, path, value) {
			faults = append(faults, Fault{Line: t.line(m.path), Path: m.path, Message: m.text})
		}
	}
	return faults
}

// message is what is said about a path.
type message struct{ path, text string }

// messages says what would be right in the place of a value at a path.
func messages(schema *jsonschema.Schema, f jsonschema.Fault, path string, value any) []message {
	one := func(format string, args ...any) []message { return []message{{path, fmt.Sprintf(format, args...)}} }
	var all []message
	switch f.Keyword {
	case "oneOf":
		return one("must name %s", description(f.Schema))
	case "additionalProperties":
		properties, _ := f.Schema["properties"].(map[string]any)
		known := slices.Sorted(maps.Keys(properties))
		for _, name := range f.Names {
			text := "unknown field; there are " + strings.Join(known, ", ")
			if len(known) == 0 { // the owner chooses the names
				text = "its name must be " + description(schema.Definition("name"))
			}
			all = append(all, message{under(path, name), text})
		}
	case "required":
		for _, name := range f.Names {
			all = append(all, message{under(path, name), "is missing"})
		}
	case "type":
		return one("%s", wrongType(jsonschema.Types(f.Schema), value, description(f.Schema)))
	case "const":
		return one("must be %v%s", f.Schema["const"], not(value))
	case "enum":
		var want []string
		options, _ := f.Schema["enum"].([]any)
		for _, w := range options {
			want = append(want, fmt.Sprint(w))
		}
		return one("must be one of %s%s", strings.Join(want, ", "), not(value))
	case "uniqueItems":
		// All lists that it looks at are of texts.
		list, _ := value.([]any)
		for i, item := range list {
			if slices.ContainsFunc(list[:i], func(before any) bool { return reflect.DeepEqual(before, item) }) {
				all = append(all, message{at(path, i), show(item) + " is here twice"})
			}
		}
	case "minItems":
		return one("must not be empty")
	default: // pattern, minimum, maximum, maxLength
		return one("must be %s%s", description(f.Schema), not(value))
	}
	return all
}

// description says of a part of the schema what fits it.
func description(part map[string]any) string {
	text, _ := part["description"].(string)
	return text
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

var typeNames = map[string]string{
	"object": "a mapping", "array": "a list", "string": "a text", "boolean": "true or false",
	"integer": "a whole number", "number": "a number", "null": "nothing",
}

// wrongType says what is wanted in place of a value of the wrong type. A number
// in place of a text is called one: YAML takes an unquoted id such as 12e4 for
// a number.
func wrongType(want []string, value any, description string) string {
	var names []string
	for _, w := range want {
		names = append(names, typeNames[w])
	}
	wanted := strings.Join(names, " or ")
	if description != "" && slices.Equal(want, []string{"string"}) {
		wanted = description
	}
	if got := jsonschema.TypeOf(value); want[0] == "string" && (got == "number" || got == "boolean") {
		return fmt.Sprintf("must be %s, not the %s %s", wanted, got, show(value))
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

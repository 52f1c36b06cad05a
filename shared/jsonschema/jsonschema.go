// Package jsonschema holds values against a JSON Schema, as far as the policy's
// schema needs it, and reports every fault.
//
// It knows the keywords of draft 2020-12 that [Parse] does not refuse, and its
// tests hold it against a whole implementation. That one compiles the schemas
// of all drafts when a process starts, which took longer than everything else
// that the functions do before their first event.
package jsonschema

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"databricks-credential-rotation/shared/pattern"
)

// Schema is a parsed schema.
type Schema struct {
	root     map[string]any
	patterns map[string]*pattern.Pattern
}

// Fault is a value that does not fit a keyword.
type Fault struct {
	// Location is where the value is: keys and indices from the root on.
	Location []string
	// Keyword is the keyword that it does not fit, and Schema the part of the
	// schema that has it.
	Keyword string
	Schema  map[string]any
	// Names are the keys that additionalProperties does not allow, or that
	// required misses, in order.
	Names []string
}

// annotations say nothing about values.
var annotations = []string{"$schema", "$id", "$defs", "title", "description"}

// keywords are all that are checked.
var keywords = []string{
	"$ref", "additionalProperties", "const", "else", "enum", "if", "items", "maxLength", "maximum", "minItems", "minimum",
	"oneOf", "pattern", "patternProperties", "properties", "required", "then", "type", "uniqueItems",
}

// Parse reads a schema. It refuses a keyword that the package does not know,
// and a reference that leads nowhere: neither could be checked.
func Parse(document []byte) (*Schema, error) {
	s := &Schema{patterns: map[string]*pattern.Pattern{}}
	if err := json.Unmarshal(document, &s.root); err != nil {
		return nil, fmt.Errorf("a JSON Schema: %w", err)
	}
	if err := s.parse(s.root); err != nil {
		return nil, fmt.Errorf("a JSON Schema: %w", err)
	}
	return s, nil
}

func (s *Schema) parse(node map[string]any) error {
	for _, keyword := range slices.Sorted(maps.Keys(node)) {
		var parts []any
		value := node[keyword]
		switch keyword {
		case "$ref":
			if s.target(node) == nil {
				return fmt.Errorf("there is no %v", value)
			}
		case "pattern":
			expression, _ := value.(string)
			s.patterns[expression] = pattern.New(expression)
		case "patternProperties":
			named, _ := value.(map[string]any)
			for expression, part := range named {
				s.patterns[expression] = pattern.New(expression)
				parts = append(parts, part)
			}
		case "properties", "$defs":
			named, _ := value.(map[string]any)
			parts = slices.Collect(maps.Values(named))
		case "items", "if", "then", "else":
			parts = []any{value}
		case "oneOf":
			parts, _ = value.([]any)
		case "additionalProperties":
			if value != false {
				return fmt.Errorf("additionalProperties is %v, and only false is known", value)
			}
		default:
			if !slices.Contains(keywords, keyword) && !slices.Contains(annotations, keyword) {
				return fmt.Errorf("the keyword %q is not known", keyword)
			}
		}
		for _, part := range parts {
			schema, ok := part.(map[string]any)
			if !ok {
				return fmt.Errorf("%s: %v is no schema", keyword, part)
			}
			if err := s.parse(schema); err != nil {
				return err
			}
		}
	}
	return nil
}

// Definition is the part of the schema under $defs of that name, nil if there is
// none.
func (s *Schema) Definition(name string) map[string]any {
	return s.target(map[string]any{"$ref": "#/$defs/" + name})
}

// target is what a node's $ref leads to, nil for nothing.
func (s *Schema) target(node map[string]any) map[string]any {
	ref, _ := node["$ref"].(string)
	pointer, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return nil
	}
	found := s.root
	for step := range strings.SplitSeq(pointer, "/") {
		found, _ = found[step].(map[string]any)
	}
	return found
}

// Validate returns every fault of a value that is made of map[string]any,
// []any, string, bool, int64, float64 and nil.
func (s *Schema) Validate(value any) []Fault {
	v := validator{schema: s}
	v.validate(s.root, value, nil)
	return v.faults
}

type validator struct {
	schema *Schema
	faults []Fault
}

func (v *validator) fault(location []string, node map[string]any, keyword string, names ...string) {
	v.faults = append(v.faults, Fault{slices.Clone(location), keyword, node, names})
}

// fits tells whether a value has no fault.
func (v *validator) fits(node any, value any) bool {
	trial := validator{schema: v.schema}
	trial.apply(node, value, nil)
	return len(trial.faults) == 0
}

// apply validates against a part of the schema, if it is there.
func (v *validator) apply(part, value any, location []string) {
	if node, ok := part.(map[string]any); ok {
		v.validate(node, value, location)
	}
}

func (v *validator) validate(node map[string]any, value any, location []string) {
	if want := Types(node); len(want) > 0 && !slices.ContainsFunc(want, func(name string) bool { return is(value, name) }) {
		v.fault(location, node, "type")
		return
	}
	if want, ok := node["const"]; ok && !equal(value, want) {
		v.fault(location, node, "const")
		return
	}
	if want, ok := node["enum"].([]any); ok && !slices.ContainsFunc(want, func(one any) bool { return equal(value, one) }) {
		v.fault(location, node, "enum")
		return
	}
	if target := v.schema.target(node); target != nil {
		v.validate(target, value, location)
	}
	switch value := value.(type) {
	case map[string]any:
		v.object(node, value, location)
	case []any:
		v.array(node, value, location)
	case string:
		v.text(node, value, location)
	case int64:
		v.number(node, float64(value), location)
	case float64:
		v.number(node, value, location)
	}
	if choices, ok := node["oneOf"].([]any); ok {
		fitting := 0
		for _, choice := range choices {
			if v.fits(choice, value) {
				fitting++
			}
		}
		if fitting != 1 {
			v.fault(location, node, "oneOf")
		}
	}
	if condition, ok := node["if"]; ok {
		if v.fits(condition, value) {
			v.apply(node["then"], value, location)
		} else {
			v.apply(node["else"], value, location)
		}
	}
}

func (v *validator) object(node, object map[string]any, location []string) {
	var missing, unknown []string
	required, _ := node["required"].([]any)
	for _, name := range required {
		if text, ok := name.(string); ok {
			if _, there := object[text]; !there {
				missing = append(missing, text)
			}
		}
	}
	if len(missing) > 0 {
		v.fault(location, node, "required", missing...)
	}
	properties, _ := node["properties"].(map[string]any)
	byPattern, _ := node["patternProperties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(object)) {
		at := append(slices.Clone(location), name)
		part, known := properties[name]
		if known {
			v.apply(part, object[name], at)
		}
		for expression, part := range byPattern {
			if v.schema.patterns[expression].MatchString(name) {
				known = true
				v.apply(part, object[name], at)
			}
		}
		if !known && node["additionalProperties"] == false {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		v.fault(location, node, "additionalProperties", unknown...)
	}
}

func (v *validator) array(node map[string]any, list []any, location []string) {
	if least, ok := node["minItems"].(float64); ok && float64(len(list)) < least {
		v.fault(location, node, "minItems")
	}
	if node["uniqueItems"] == true {
		for i, item := range list {
			if slices.ContainsFunc(list[:i], func(before any) bool { return equal(item, before) }) {
				v.fault(location, node, "uniqueItems")
				break
			}
		}
	}
	for i, item := range list {
		v.apply(node["items"], item, append(slices.Clone(location), strconv.Itoa(i)))
	}
}

func (v *validator) text(node map[string]any, text string, location []string) {
	if most, ok := node["maxLength"].(float64); ok && float64(utf8.RuneCountInString(text)) > most {
		v.fault(location, node, "maxLength")
	}
	if expression, ok := node["pattern"].(string); ok && !v.schema.patterns[expression].MatchString(text) {
		v.fault(location, node, "pattern")
	}
}

func (v *validator) number(node map[string]any, n float64, location []string) {
	if least, ok := node["minimum"].(float64); ok && n < least {
		v.fault(location, node, "minimum")
	}
	if most, ok := node["maximum"].(float64); ok && n > most {
		v.fault(location, node, "maximum")
	}
}

// Types are the types that a part of a schema allows, none for all.
func Types(node map[string]any) []string {
	switch want := node["type"].(type) {
	case string:
		return []string{want}
	case []any:
		names := make([]string, 0, len(want))
		for _, name := range want {
			if text, ok := name.(string); ok {
				names = append(names, text)
			}
		}
		return names
	default:
		return nil
	}
}

// TypeOf is the type of a value; of every number it is "number".
func TypeOf(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case int64, float64:
		return "number"
	case []any:
		return "array"
	default:
		return "object"
	}
}

func is(value any, name string) bool {
	if name != "integer" {
		return TypeOf(value) == name
	}
	switch n := value.(type) {
	case int64:
		return true
	case float64:
		return n == float64(int64(n))
	default:
		return false
	}
}

// equal compares values as JSON does: a number is equal to another whatever
// their Go types.
func equal(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, equal)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equal)
	case int64:
		if b, ok := b.(float64); ok {
			return float64(a) == b
		}
	case float64:
		if b, ok := b.(int64); ok {
			return a == float64(b)
		}
	}
	return a == b
}

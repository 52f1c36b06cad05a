package policy_test

import (
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/policy"
)

// Schema and structs have the same fields: neither can have one that the other
// lacks.
func TestSchemaAndStructsAgree(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal(policy.Schema, &schema); err != nil {
		t.Fatal(err)
	}
	bySchema := map[string]bool{}
	schemaPaths(schema, schema, "", bySchema)
	byStruct := map[string]bool{"version": true}
	structPaths(reflect.TypeFor[policy.Policy](), "", byStruct)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(byStruct)), slices.Sorted(maps.Keys(bySchema))); diff != "" {
		t.Errorf("fields (-structs +schema):\n%s", diff)
	}
	if len(byStruct) < 50 {
		t.Errorf("%d fields were compared", len(byStruct))
	}
}

// The manual explains every field.
func TestManualHasEveryField(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "policy.md"))
	if err != nil {
		t.Fatal(err)
	}
	manual, _, _ := strings.Cut(string(page), "## A full example")
	byStruct := map[string]bool{}
	structPaths(reflect.TypeFor[policy.Policy](), "", byStruct)
	for path := range byStruct {
		section, name := path, strings.TrimSuffix(path, "[]")
		section, _, _ = strings.Cut(strings.NewReplacer("[]", "", ".*", "").Replace(section), ".")
		name = name[strings.LastIndex(name, ".")+1:]
		_, after, found := strings.Cut(manual, "\n### "+section+"\n")
		after, _, _ = strings.Cut(after, "\n### ")
		if !found || !regexp.MustCompile("`[^`\n]*\\b"+name+"\\b[^`\n]*`").MatchString(after) {
			t.Errorf("the manual's section %s does not explain %s (%s)", section, name, path)
		}
	}
}

// schemaPaths lists the leaves of a schema.
func schemaPaths(root, schema map[string]any, path string, into map[string]bool) {
	if ref, ok := schema["$ref"].(string); ok {
		for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			if part == "$defs" {
				schema = root
			}
			schema, _ = schema[part].(map[string]any)
		}
	}
	leaf := true
	for name, property := range object(schema["properties"]) {
		leaf = false
		schemaPaths(root, object(property), strings.TrimPrefix(path+"."+name, "."), into)
	}
	for _, entry := range object(schema["patternProperties"]) {
		leaf = false
		schemaPaths(root, object(entry), path+".*", into)
	}
	if items := object(schema["items"]); items != nil {
		leaf = false
		schemaPaths(root, items, path+"[]", into)
	} else if items := object(object(schema["else"])["items"]); items != nil {
		leaf = false
		schemaPaths(root, items, path+"[]", into)
	}
	if leaf {
		into[path] = true
	}
}

func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// structPaths lists the leaves of a struct by its tags.
func structPaths(t reflect.Type, path string, into map[string]bool) {
	switch {
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		into[path] = true
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("policy"), ",")
			if name == "" {
				panic(fmt.Sprintf("%v.%s has no place in a document", t, t.Field(i).Name))
			}
			structPaths(t.Field(i).Type, strings.TrimPrefix(path+"."+name, "."), into)
		}
	case t.Kind() == reflect.Slice:
		structPaths(t.Elem(), path+"[]", into)
	case t.Kind() == reflect.Map:
		structPaths(t.Elem(), path+".*", into)
	default:
		into[path] = true
	}
}

// No part of the schema lets an unknown field or a value of any kind pass.
func TestSchemaIsClosed(t *testing.T) {
	var schema any
	if err := json.Unmarshal(policy.Schema, &schema); err != nil {
		t.Fatal(err)
	}
	objects := 0
	var walk func(node any)
	walk = func(node any) {
		switch v := node.(type) {
		case map[string]any:
			if v["type"] == "object" {
				objects++
				if v["additionalProperties"] != false {
					t.Errorf("this part takes any field: %v", v)
				}
			}
			for _, inner := range v {
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	walk(schema)
	if objects < 12 {
		t.Errorf("%d objects were looked at", objects)
	}
}

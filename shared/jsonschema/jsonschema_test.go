package jsonschema_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	whole "github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"databricks-credential-rotation/shared/jsonschema"
	"databricks-credential-rotation/shared/policy"
)

// decode reads JSON into what Validate takes.
func decode(t *testing.T, document string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(document))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		t.Fatal(err)
	}
	var plain func(any) any
	plain = func(value any) any {
		switch v := value.(type) {
		case json.Number:
			if n, err := v.Int64(); err == nil {
				return n
			}
			f, err := v.Float64()
			if err != nil {
				t.Skip("no number of ours")
			}
			return f
		case []any:
			for i := range v {
				v[i] = plain(v[i])
			}
		case map[string]any:
			for key := range v {
				v[key] = plain(v[key])
			}
		}
		return value
	}
	return plain(value)
}

// ours are the faults that this package finds, theirs those of a whole
// implementation: places and keywords.
func ours(t *testing.T, schema string, value any) []string {
	t.Helper()
	s, err := jsonschema.Parse([]byte(schema))
	if err != nil {
		t.Fatal(err)
	}
	var faults []string
	for _, f := range s.Validate(value) {
		faults = append(faults, "/"+strings.Join(f.Location, "/")+" "+f.Keyword+" "+strings.Join(f.Names, ","))
	}
	slices.Sort(faults)
	return faults
}

func theirs(t *testing.T, schema string, value any) []string {
	t.Helper()
	document, err := whole.UnmarshalJSON(strings.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	c := whole.NewCompiler()
	if err := c.AddResource("urn:test", document); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("urn:test")
	if err != nil {
		t.Fatal(err)
	}
	var invalid *whole.ValidationError
	if !errors.As(compiled.Validate(value), &invalid) {
		return nil
	}
	var faults []string
	var walk func(e *whole.ValidationError)
	walk = func(e *whole.ValidationError) {
		var names []string
		switch k := e.ErrorKind.(type) {
		case *kind.AdditionalProperties:
			names = slices.Sorted(slices.Values(k.Properties))
		case *kind.Required:
			names = k.Missing
		case *kind.OneOf:
			e.Causes = nil
		}
		if len(e.Causes) == 0 {
			path := e.ErrorKind.KeywordPath()
			faults = append(faults, "/"+strings.Join(e.InstanceLocation, "/")+" "+path[len(path)-1]+" "+strings.Join(names, ","))
		}
		for _, cause := range e.Causes {
			walk(cause)
		}
	}
	walk(invalid)
	slices.Sort(faults)
	return faults
}

func TestAgainstTheWhole(t *testing.T) {
	values := []string{
		`null`, `true`, `false`, `0`, `1`, `1.0`, `1.5`, `-3`, `7`, `100`, `"a"`, `"1"`, `"abc"`, `"äöü"`, `""`, `[]`, `["a"]`, `["a","a"]`, `["a","b"]`,
		`[1,1.0]`, `[1,true]`, `[null,null]`, `[{"x":1},{"x":1.0}]`, `{}`, `{"a":1}`, `{"a":"x"}`, `{"a":"x","b":2}`, `{"b":[1,"x"]}`, `{"x-1":1,"c":{}}`,
		`{"a":{"a":{"a":3}}}`, `{"a":{"a":{"b":3}}}`, `{"kind":"n","v":1}`, `{"kind":"n","v":"x"}`, `{"kind":"t","v":"x"}`, `{"kind":"t","v":1}`,
	}
	for _, schema := range []string{
		`{}`,
		`{"type":"object"}`, `{"type":"array"}`, `{"type":"string"}`, `{"type":"boolean"}`, `{"type":"integer"}`, `{"type":"number"}`, `{"type":"null"}`,
		`{"type":["string","integer"]}`,
		`{"const":1}`, `{"const":"a"}`, `{"const":["a","b"]}`,
		`{"enum":["a",1,null]}`,
		`{"minimum":0,"maximum":7}`,
		`{"maxLength":3,"pattern":"^[a-zäöü]*$"}`,
		`{"minItems":1,"uniqueItems":true,"items":{"type":"string","pattern":"^a"}}`,
		`{"required":["a","b"],"properties":{"a":{"type":"string"}},"additionalProperties":false}`,
		`{"patternProperties":{"^x-":{"type":"string"},"^[a-c]$":{"minimum":2}},"additionalProperties":false}`,
		`{"$ref":"#/$defs/tree","$defs":{"tree":{"properties":{"a":{"$ref":"#/$defs/tree"}},"additionalProperties":false}}}`,
		`{"$ref":"#/$defs/short","minItems":1,"$defs":{"short":{"maxLength":1,"uniqueItems":true}}}`,
		`{"if":{"properties":{"kind":{"const":"n"}}},"then":{"properties":{"v":{"type":"integer"}}},"else":{"properties":{"v":{"type":"string"}}}}`,
		`{"if":{"type":"string"},"then":{"const":"a"},"else":{"type":"array","minItems":1}}`,
		`{"oneOf":[{"type":"string"},{"type":"integer"},{"const":1}]}`,
		`{"oneOf":[{"required":["a"]},{"required":["b"]}]}`,
	} {
		for _, value := range values {
			v := decode(t, value)
			if diff := cmp.Diff(theirs(t, schema, v), ours(t, schema, v)); diff != "" {
				t.Errorf("%s against %s (-whole +ours):\n%s", value, schema, diff)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for schema, want := range map[string]string{
		`[]`:                               "a JSON Schema",
		`{"format":"date"}`:                `"format" is not known`,
		`{"items":{"anyOf":[]}}`:           `"anyOf" is not known`,
		`{"$ref":"#/$defs/none"}`:          "there is no #/$defs/none",
		`{"$ref":"other.json"}`:            "there is no other.json",
		`{"properties":{"a":true}}`:        "is no schema",
		`{"additionalProperties":{}}`:      "only false is known",
		`{"$defs":{"a":{"not":{}}}}`:       `"not" is not known`,
		`{"oneOf":[{"contains":{}}]}`:      `"contains" is not known`,
		`{"then":{"dependentRequired":1}}`: `"dependentRequired" is not known`,
	} {
		if _, err := jsonschema.Parse([]byte(schema)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", schema, err, want)
		}
	}
}

// Whatever a policy holds, both find the same faults in the same places.
func FuzzAgainstTheWhole(f *testing.F) {
	for _, seed := range []string{
		`{"version":1}`, `{"version":2,"x":1}`, `{"version":1,"rotation":{"interval":"30d","grace":7}}`,
		`{"version":1,"roles":{"Etl":{"scopes":[]},"etl":{"scopes":["sql","sql"],"admin":"all"}}}`,
		`{"version":1,"principals":[{"client_id":"x","roles":["etl"]},{}]}`, `{"version":1,"audit":{"workspaces":"all","objects":["/a","/a"]}}`,
		`{"version":1,"prune":{"mode":"enforce","exempt":[{"token":"a","principal":"b"},{}]},"budgets":{"rotate":{"count":-1,"share":"200%"}}}`,
		`[]`, `null`, `"a"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		if !json.Valid(document) {
			t.Skip()
		}
		v := decode(t, string(document))
		if diff := cmp.Diff(theirs(t, string(policy.Schema), v), ours(t, string(policy.Schema), v)); diff != "" {
			t.Errorf("(-whole +ours):\n%s", diff)
		}
	})
}

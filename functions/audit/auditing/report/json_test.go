package report_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"databricks-credential-rotation/functions/audit/auditing/report"
	"databricks-credential-rotation/functions/audit/auditing/reporttest"
)

func encode(t *testing.T, r *report.Report) []byte {
	t.Helper()
	document, err := report.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func TestGolden(t *testing.T) {
	reporttest.Golden(t, "report.json", encode(t, reporttest.Sample()))
}

func TestDecodeReadsWhatEncodeWrote(t *testing.T) {
	for name, r := range map[string]*report.Report{"sample": reporttest.Sample(), "hostile": reporttest.Hostile()} {
		t.Run(name, func(t *testing.T) {
			document := encode(t, r)
			got, err := report.Decode(document)
			if err != nil {
				t.Fatal(err)
			}
			// Compared as values: bytes that are no UTF-8 are written in two ways.
			if diff := cmp.Diff(value(t, document), value(t, encode(t, got))); diff != "" {
				t.Errorf("it changed on the way:\n%s", diff)
			}
		})
	}
}

func value(t *testing.T, document []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(document, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// The writer names the fields one by one; none may be forgotten.
func TestEncodeWritesEveryField(t *testing.T) {
	full := reporttest.Sample()
	full.DryRun = true
	for i := range reflect.TypeFor[report.Report]().NumField() {
		if reflect.ValueOf(*full).Field(i).IsZero() {
			t.Errorf("the sample lacks %s", reflect.TypeFor[report.Report]().Field(i).Name)
		}
	}
	plain, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	got := value(t, encode(t, full))
	for name, want := range value(t, plain).(map[string]any) {
		if _, ok := got.(map[string]any)[name]; !ok {
			t.Errorf("%s is missing, which is %v", name, want)
		}
	}
}

// An element is a line, so that a report is read with grep, too.
func TestAFindingIsALine(t *testing.T) {
	r := reporttest.Large(1000)
	if n := bytes.Count(encode(t, r), []byte("\n{\"id\":\"pat-unused-")); n != len(r.Findings)+1 { // and one that is resolved
		t.Errorf("%d lines, want %d", n, len(r.Findings)+1)
	}
}

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(report.Schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("report", document); err != nil {
		t.Fatal(err)
	}
	return c.MustCompile("report")
}

func TestSchemaDescribesEveryReport(t *testing.T) {
	s := schema(t)
	for name, r := range map[string]*report.Report{
		"sample": reporttest.Sample(), "hostile": reporttest.Hostile(),
		"empty": {ID: "x", TakenAt: reporttest.TakenAt},
	} {
		instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(encode(t, r)))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(instance); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, document := range map[string]string{
		"another field":  strings.Replace(string(encode(t, reporttest.Sample())), `"version"`, `"verdict": 1, "version"`, 1),
		"severity":       strings.Replace(string(encode(t, reporttest.Sample())), `"critical",`, `"grave",`, 1),
		"missing status": strings.Replace(string(encode(t, reporttest.Sample())), `"status":"new"`, `"hidden_by":[]`, 1),
	} {
		instance, err := jsonschema.UnmarshalJSON(strings.NewReader(document))
		if err != nil {
			t.Fatal(err)
		}
		if s.Validate(instance) == nil {
			t.Errorf("%s: the schema does not mind", name)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := string(encode(t, reporttest.Sample()))
	for name, test := range map[string]struct{ document, want string }{
		"nothing":         {"", "must be a JSON object"},
		"a list":          {"[]", "must be a JSON object"},
		"cut short":       {good[:strings.Index(good, `"resolved":`)-50], "report: findings: unexpected EOF"},
		"cut at the end":  {strings.TrimRight(good, "}\n"), "EOF"},
		"HTML":            {"<html>", "must be a JSON object"},
		"no version":      {"{}", "version is missing"},
		"findings object": {`{"version":"` + report.Version + `","findings":{}}`, "findings: it must be a list"},
		"a field twice":   {`{"version":"` + report.Version + `","id":"a","id":"b"}`, "id is there twice"},
		"next version":    {strings.Replace(good, "audit/1", "audit/2", 1), "audit/2"},
		"unknown field":   {strings.Replace(good, `"trend"`, `"trends"`, 1), `unknown field "trends"`},
		"something after": {good + "{}", "something after its end"},
		"unknown inside":  {strings.Replace(good, `"owner"`, `"owners"`, 1), `unknown field "owners"`},
		"bad severity":    {strings.Replace(good, `"critical",`, `"grave",`, 1), "grave"},
		"no id":           {`{"version":"` + report.Version + `"}`, "id is missing"},
		"no time":         {`{"version":"` + report.Version + `"}`, "taken_at is missing"},
		"bare finding":    {`{"version":"` + report.Version + `","id":"x","taken_at":"2026-11-24T06:00:00Z","findings":[{}]}`, "findings[0]: id or rule is missing"},
		"escape sequence": {"{\"version\":\"\\u001b[2J\"}", `\u001b`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := report.Decode([]byte(test.document))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q in it", err, test.want)
			}
			if err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return r != '\n' && unicode.IsControl(r) }) {
				t.Errorf("a control character is in %q", err)
			}
		})
	}
	twice := reporttest.Sample()
	twice.Findings[1].ID = twice.Findings[0].ID
	if _, err := report.Decode(encode(t, twice)); err == nil || !strings.Contains(err.Error(), "is there twice") {
		t.Errorf("error %v, want one of an id that is there twice", err)
	}
}

// A report is read with cat, less and jq too.
func TestJSONDoesNotActOnATerminal(t *testing.T) {
	document := encode(t, reporttest.Hostile())
	for i, r := range string(document) {
		if r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf) {
			t.Fatalf("%U stands in %q", r, document[max(0, i-20):i+20])
		}
	}
	if bytes.ContainsAny(document, "<>") {
		t.Error("an angle bracket stands in the JSON")
	}
	var back struct {
		Findings []struct{ Owner string }
	}
	if err := json.Unmarshal(document, &back); err != nil {
		t.Fatal(err)
	}
	owners := map[string]bool{}
	for _, f := range back.Findings {
		owners[f.Owner] = true
	}
	for _, attack := range reporttest.Attacks() {
		if !owners[strings.ToValidUTF8(attack, "\ufffd")] && !strings.Contains(attack, "\xff") {
			t.Errorf("evidence must keep names as they are; %q is missing", attack)
		}
	}
}

func FuzzDecode(f *testing.F) {
	document, err := report.Encode(reporttest.Sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(document)
	f.Add([]byte(`{"version":"` + report.Version + `","id":"x","taken_at":"2026-11-24T06:00:00Z"}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		r, err := report.Decode(document)
		if err != nil {
			return
		}
		again, err := report.Encode(r)
		if err != nil {
			t.Skip() // a year that RFC 3339 has not
		}
		if _, err := report.Decode(again); err != nil {
			t.Errorf("what was read cannot be read again: %v\n%s", err, again)
		}
	})
}

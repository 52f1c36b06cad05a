package auditing_test

import (
	"strings"
	"testing"

	"databricks-credential-rotation/functions/audit/auditing"
)

func TestParseRequest(t *testing.T) {
	for name, c := range map[string]struct {
		event string
		want  auditing.Request
		err   string
	}{
		"schedule":           {`{"action":"audit","asked_by":"schedule"}`, auditing.Request{AskedBy: "schedule"}, ""},
		"plain":              {`{"action":"audit"}`, auditing.Request{}, ""},
		"dry run":            {`{"action":"audit","dry_run":true}`, auditing.Request{DryRun: true}, ""},
		"empty":              {``, auditing.Request{}, "event: it must be a JSON object; nothing was changed"},
		"null":               {`null`, auditing.Request{}, "event: it must be a JSON object; nothing was changed"},
		"list":               {`[]`, auditing.Request{}, "event: it must be a JSON object; nothing was changed"},
		"trailing":           {`{"action":"audit"} {}`, auditing.Request{}, "event: there is more behind the JSON object; nothing was changed"},
		"no action":          {`{}`, auditing.Request{}, "event: action must be audit"},
		"another action":     {`{"action":"sweep"}`, auditing.Request{}, "event: action must be audit"},
		"action of a number": {`{"action":7}`, auditing.Request{}, "event: action must be a string; nothing was changed"},
		"misspelt":           {`{"action":"audit","dryrun":true}`, auditing.Request{}, "event: dryrun is not a known field; nothing was changed"},
		"another case":       {`{"action":"audit","Dry_Run":true}`, auditing.Request{}, "event: Dry_Run is not a known field; nothing was changed"},
		"dry run of text":    {`{"action":"audit","dry_run":"true"}`, auditing.Request{}, "event: dry_run must be true or false; nothing was changed"},
		"dry run of null":    {`{"action":"audit","dry_run":null}`, auditing.Request{}, "event: dry_run must be true or false; nothing was changed"},
		"dry run twice":      {`{"action":"audit","dry_run":true,"dry_run":false}`, auditing.Request{}, "event: dry_run is given twice; nothing was changed"},
		"two unknown":        {`{"action":"audit","b":1,"a":2}`, auditing.Request{}, "event: 2 mistakes, nothing was changed:\n- b is not a known field\n- a is not a known field"},
		"long asked_by":      {`{"action":"audit","asked_by":"` + strings.Repeat("x", 201) + `"}`, auditing.Request{}, "event: asked_by must be a name of at most 200 printable characters"},
		"escapes":            {`{"action":"audit","asked_by":"a\u001b[2J"}`, auditing.Request{}, "event: asked_by must be a name of at most 200 printable characters"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := auditing.ParseRequest([]byte(c.event))
			text := ""
			if err != nil {
				text = err.Error()
			}
			if got != c.want || text != c.err {
				t.Errorf("got %+v, %q; want %+v, %q", got, text, c.want, c.err)
			}
		})
	}
}

// Whatever is not a dry run for certain is refused or was asked for.
func FuzzParseRequest(f *testing.F) {
	for _, s := range []string{`{"action":"audit","dry_run":true}`, `{"action":"audit"}`, `{"action":"audit","dry_run":true,"dry_run":false}`, `{"a":`, `{"action":"audit","asked_by":"\ud800"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, event []byte) {
		r, err := auditing.ParseRequest(event)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "event: ") {
				t.Errorf("error %q does not say what it is about", err)
			}
			return
		}
		if !r.DryRun && strings.Contains(string(event), `"dry_run":true`) && !strings.Contains(string(event), `\`) && strings.Count(string(event), "dry_run") == 1 && !strings.Contains(string(event), "asked_by") {
			t.Errorf("%s is no dry run", event)
		}
	})
}

package event_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/event"
)

type mode string

type request struct {
	Mode   mode
	Name   string
	Names  []string
	DryRun bool
}

func (r *request) fields() event.Fields {
	return event.Fields{"mode": &r.Mode, "name": &r.Name, "names": &r.Names, "dry_run": &r.DryRun}
}

func TestRead(t *testing.T) {
	var got request
	if err := event.Read([]byte(` {"mode":"m","name":"","names":["a","b"],"dry_run":true} `), got.fields()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(request{"m", "", []string{"a", "b"}, true}, got); diff != "" {
		t.Error(diff)
	}
}

// Every mistake is named by its field, all at once, and no value is repeated.
func TestReadRefuses(t *testing.T) {
	const tail = "; nothing was changed"
	for payload, want := range map[string]string{
		``:                                "event: it must be a JSON object" + tail,
		`null`:                            "event: it must be a JSON object" + tail,
		`["mode"]`:                        "event: it must be a JSON object" + tail,
		`{"mode":"m"`:                     "event: it is not valid JSON" + tail,
		`{"mode":}`:                       "event: it is not valid JSON" + tail,
		`{"mode" "m"}`:                    "event: it is not valid JSON" + tail,
		`{"mode":"m"} {}`:                 "event: there is more behind the JSON object" + tail,
		`{"dryrun":true}`:                 "event: dryrun is not a known field" + tail,
		`{"Dry_Run":true}`:                "event: Dry_Run is not a known field" + tail,
		`{"dry_run":true,"dry_run":true}`: "event: dry_run is given twice" + tail,
		`{"dry_run":null}`:                "event: dry_run must be true or false" + tail,
		`{"dry_run":"true"}`:              "event: dry_run must be true or false" + tail,
		`{"mode":7}`:                      "event: mode must be a string" + tail,
		`{"names":"a"}`:                   "event: names must be a list of strings" + tail,
		`{"names":["a",1]}`:               "event: names must be a list of strings" + tail,
		`{"a b":1}`:                       "event: a field is not known, and its name is not shown" + tail,
		`{"dose0123456789abcdef01":1}`:    "event: a field is not known, and its name is not shown" + tail,
		`{"name":1,"x":1,"x":2}`:          "event: 2 mistakes, nothing was changed:\n- name must be a string\n- x is not a known field",
	} {
		var r request
		err := event.Read([]byte(payload), r.fields())
		if err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %s", payload, err, want)
		}
	}
}

// What is read without a fault is in the document by its exact names, once, and
// what is at fault is never shown.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"mode":"m","names":["a"],"dry_run":true}`, `{"dry_run":true,"dry_run":false}`, `{"Dry_Run":true}`, `{"name":null}`, `{} {}`, `{"\u006eame":"n"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		var r request
		faults, err := event.Decode(payload, r.fields())
		if err != nil {
			if faults != nil {
				t.Errorf("%q: faults %v and the error %v", payload, faults, err)
			}
			return
		}
		for _, fault := range faults {
			if len(fault.String()) > 130 || strings.ContainsAny(fault.String(), "\n\r\x1b") {
				t.Errorf("%q: the fault %q", payload, fault)
			}
		}
		if len(faults) == 0 && r.DryRun && !strings.Contains(string(payload), "true") {
			t.Errorf("%q is a dry run", payload)
		}
	})
}

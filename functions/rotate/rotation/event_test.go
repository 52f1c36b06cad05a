package rotation_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/secret"
)

const (
	stepToken     = "0b1c2d3e-0000-4000-8000-000000000001"
	rotationToken = "rt-very-secret"
)

func TestParseEvent(t *testing.T) {
	for payload, want := range map[string]rotation.Event{
		`{"action":"sweep"}`:                                              {Sweep: &rotation.SweepRequest{}},
		`{"action":"sweep","dry_run":true}`:                               {Sweep: &rotation.SweepRequest{DryRun: true}},
		`{"action":"reconcile"}`:                                          {Sweep: &rotation.SweepRequest{Reconcile: true}},
		`{"action":"reconcile","secrets":["a"],"dry_run":true}`:           {Rotate: &rotation.RotateRequest{Secrets: []string{"a"}, Reconcile: true, DryRun: true}},
		`{"action":"rotate","secrets":["a"],"withhold":true}`:             {Rotate: &rotation.RotateRequest{Secrets: []string{"a"}, Withhold: true}},
		`{"action":"rotate","secrets":["a","b"]}`:                         {Rotate: &rotation.RotateRequest{Secrets: []string{"a", "b"}}},
		`{"action":"rotate","secrets":["a"],"force":true,"dry_run":true}`: {Rotate: &rotation.RotateRequest{Secrets: []string{"a"}, Force: true, DryRun: true}},
		`{"Step":"createSecret","SecretId":"arn:x","ClientRequestToken":"` + stepToken + `","RotationToken":"` + rotationToken + `"}`: {
			Step: &rotation.StepRequest{Step: rotation.CreateSecret, SecretID: "arn:x", Token: stepToken, RotationToken: secret.New(rotationToken)},
		},
		`{"Step":"testSecret","SecretId":"arn:x","ClientRequestToken":"` + strings.Repeat("a", 32) + `"}`: {
			Step: &rotation.StepRequest{Step: rotation.TestSecret, SecretID: "arn:x", Token: strings.Repeat("a", 32)},
		},
		`{"Step":"testSecret","SecretId":"arn:x","ClientRequestToken":"` + strings.Repeat("a", 64) + `"}`: {
			Step: &rotation.StepRequest{Step: rotation.TestSecret, SecretID: "arn:x", Token: strings.Repeat("a", 64)},
		},
		`{"Step":"finishSecret","SecretId":"arn:x","ClientRequestToken":"` + stepToken + `"}`: {
			Step: &rotation.StepRequest{Step: rotation.FinishSecret, SecretID: "arn:x", Token: stepToken},
		},
		`{"Records":[{"messageId":"m1","eventSource":"aws:sqs","attributes":{"ApproximateReceiveCount":"2"},"body":"{\"action\":\"rotate\",\"secrets\":[\"a\"]}"}]}`: {
			Queue: []rotation.Message{{ID: "m1", Receives: 2, Body: `{"action":"rotate","secrets":["a"]}`, Request: rotation.RotateRequest{Secrets: []string{"a"}}}},
		},
	} {
		got, err := rotation.ParseEvent([]byte(payload))
		if err != nil {
			t.Errorf("%s: %v", payload, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", payload, diff)
		}
	}
}

// An event that is not quite right gets one clear error that names the field.
func TestParseEventRefuses(t *testing.T) {
	step := func(change string) string {
		s := `{"Step":"createSecret","SecretId":"arn:x","ClientRequestToken":"` + stepToken + `","RotationToken":"` + rotationToken + `"}`
		from, to, _ := strings.Cut(change, "=>")
		return strings.Replace(s, from, to, 1)
	}
	for payload, want := range map[string]string{
		``:                                               "must be a JSON object",
		`null`:                                           "must be a JSON object",
		`[]`:                                             "must be a JSON object",
		`"sweep"`:                                        "must be a JSON object",
		`{}`:                                             "of no known kind",
		`{"detail-type":"Scheduled Event"}`:              `["detail-type"] are of no known kind`,
		`{"action":"sweep","Step":"x"}`:                  `["Step" "action"] belong to different kinds`,
		`{"action":"sweep","Records":[]}`:                "belong to different kinds",
		`{"action":"sweep","dryrun":true}`:               "dryrun is not a known field",
		`{"action":"sweep","dry_run":"yes"}`:             "dry_run must be true or false",
		`{"action":"sweep","DRY_RUN":true}`:              "DRY_RUN is not a known field",
		`{"action":"sweep","dry_run":null}`:              "dry_run must be true or false",
		`{"action":"sweep"}{}`:                           "must be a JSON object",
		`{"action":"sweep","a":1,"b":2}`:                 "2 mistakes, nothing was changed:\n- a is not a known field\n- b is not a known field",
		`{"action":"sweep","secrets":["a"]}`:             "secrets belong to the actions rotate and reconcile, not to sweep",
		`{"action":"reconcile","secrets":[]}`:            "secrets must name at least one",
		`{"action":"sweep","secrets":[]}`:                "not to sweep",
		`{"action":"reconcile","force":true}`:            "not to reconcile",
		`{"action":"reconcile","withhold":true}`:         "withhold belongs to the secrets that a sweep has left",
		`{"action":"Sweep"}`:                             "action must be sweep, reconcile or rotate",
		`{"action":1}`:                                   "action must be a string",
		`{"action":"rotate"}`:                            "secrets must name at least one",
		`{"action":"rotate","secrets":[""]}`:             "none by an empty name",
		step(`createSecret=>destroySecret`):              "Step must be createSecret",
		step(`arn:x=>`):                                  "SecretId is missing",
		step(stepToken + `=>short`):                      "ClientRequestToken must be 32 to 64",
		step(stepToken + `=>` + strings.Repeat("a", 31)): "ClientRequestToken must be 32 to 64",
		step(stepToken + `=>` + strings.Repeat("a", 65)): "ClientRequestToken must be 32 to 64",
		step(`"Step"=>"Extra":1,"Step"`):                 "Extra is not a known field",

		`{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1}`:       `["a" "b" "c" "d" "e" "f" "g" "h"] are of no known kind`,
		`{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1}`: `"h" …] are of no known kind`,

		`{"Records":{}}`: "Records is not a queue batch",
		`{"Records":[]}`: "Records is empty",

		`{"action":"sweep","dry_run":true,"dry_run":false}`:                 "dry_run is given twice",
		`{"Records":[{"messageId":"m","eventSource":"aws:sns","body":""}]}`: "eventSource aws:sqs",
		`{"Records":[{"eventSource":"aws:sqs","body":""}]}`:                 "a messageId each",
	} {
		_, err := rotation.ParseEvent([]byte(payload))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v does not say %q", payload, err, want)
		}
		if err != nil && strings.Contains(err.Error(), rotationToken) {
			t.Errorf("%s: the error shows the rotation token", payload)
		}
	}
}

// A bad message fails alone.
func TestParseEventBadMessage(t *testing.T) {
	event, err := rotation.ParseEvent([]byte(`{"Records":[
		{"messageId":"good","eventSource":"aws:sqs","body":"{\"action\":\"rotate\",\"secrets\":[\"a\"]}"},
		{"messageId":"sweep","eventSource":"aws:sqs","body":"{\"action\":\"sweep\"}"},
		{"messageId":"garbage","eventSource":"aws:sqs","body":"garbage"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", "action must be rotate", "must be a JSON object"} {
		got := event.Queue[i].Err
		if (want == "") != (got == nil) || got != nil && !strings.Contains(got.Error(), want) {
			t.Errorf("message %s: error %v, want %q", event.Queue[i].ID, got, want)
		}
	}
}

func FuzzParseEvent(f *testing.F) {
	for _, seed := range []string{
		`{"action":"sweep"}`, `{"action":"rotate","secrets":["a"]}`,
		`{"Step":"testSecret","SecretId":"a","ClientRequestToken":"` + stepToken + `"}`,
		`{"Records":[{"messageId":"m","eventSource":"aws:sqs","body":"{}"}]}`,
		`{"action":"sweep"}{`, `{"Step":null}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		e, err := rotation.ParseEvent(payload)
		set := 0
		for _, is := range []bool{e.Sweep != nil, e.Rotate != nil, e.Step != nil, e.Queue != nil} {
			if is {
				set++
			}
		}
		if err == nil && set != 1 || err != nil && set != 0 {
			t.Errorf("%q: %d kinds, error %v", payload, set, err)
		}
	})
}

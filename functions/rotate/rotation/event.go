package rotation

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"databricks-credential-rotation/shared/event"
	"databricks-credential-rotation/shared/secret"
)

// Event is what the function was invoked with: exactly one of its fields is
// set.
type Event struct {
	Sweep  *SweepRequest
	Rotate *RotateRequest
	Step   *StepRequest
	Queue  []Message
}

// SweepRequest asks for all managed secrets.
type SweepRequest struct {
	// Reconcile also tries every current credential.
	Reconcile bool
	DryRun    bool
}

// RotateRequest asks for some secrets by name or ARN.
type RotateRequest struct {
	Secrets []string
	// Force rotates them whatever their age.
	Force bool
	// Reconcile also tries their current credentials.
	Reconcile bool
	DryRun    bool
	// Withhold forbids the removals that need the budget: the sweep that has left
	// these secrets was over it.
	Withhold bool
	// AskedAt is when the request was made, zero for now. A forced rotation
	// replaces what is older: a queue delivers more than once, and always if
	// one secret of a message failed.
	AskedAt time.Time
}

// Message is one message of a queue batch.
type Message struct {
	ID, Body string
	Request  RotateRequest
	// Receives counts how often it was received, this time included.
	Receives int
	// Err tells why the body is no request.
	Err error
}

// ParseEvent tells the doors apart by the fields of the event, and refuses
// fields that no door knows: a misspelt option must not be a silent default.
//
//	{"action": "sweep", "dry_run": false}
//	{"action": "reconcile", "dry_run": false}
//	{"action": "reconcile", "secrets": ["name or ARN"], "dry_run": false}
//	{"action": "rotate", "secrets": ["name or ARN"], "force": false, "dry_run": false}
//	{"action": …, "secrets": …, "withhold": true}: a sweep's decision for what it leaves to others
//	{"Step": …, "SecretId": …, "ClientRequestToken": …, "RotationToken": …}
//	{"Records": [{"messageId": …, "eventSource": "aws:sqs", "body": "{\"action\": \"rotate\", …}"}]}
func ParseEvent(payload []byte) (Event, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(payload, &fields); err != nil || fields == nil {
		return Event{}, errors.New("event: it must be a JSON object")
	}
	_, isAction := fields["action"]
	_, isStep := fields["Step"]
	_, isQueue := fields["Records"]
	switch n := count(isAction, isStep, isQueue); {
	case n == 0:
		return Event{}, fmt.Errorf("event: its fields %s are of no known kind: set action to sweep, reconcile or rotate", names(fields))
	case n > 1:
		return Event{}, fmt.Errorf("event: its fields %s belong to different kinds: send one", names(fields))
	case isStep:
		return parseStep(payload)
	case isQueue:
		return parseQueue(payload)
	default:
		return parseAction(payload)
	}
}

func parseAction(payload []byte) (Event, error) {
	var e struct {
		Action                  string
		Secrets                 []string
		Force, DryRun, Withhold bool
	}
	err := event.Read(payload, event.Fields{
		"action": &e.Action, "secrets": &e.Secrets, "force": &e.Force, "dry_run": &e.DryRun, "withhold": &e.Withhold,
	})
	if err != nil {
		return Event{}, err
	}
	reconcile := e.Action == "reconcile"
	switch {
	case e.Action == "sweep" && e.Secrets != nil:
		return Event{}, errors.New("event: secrets belong to the actions rotate and reconcile, not to sweep")
	case e.Withhold && e.Secrets == nil:
		return Event{}, errors.New("event: withhold belongs to the secrets that a sweep has left, not to a sweep")
	case e.Force && e.Action != "rotate":
		return Event{}, fmt.Errorf("event: force belongs to the action rotate, not to %s", e.Action)
	case e.Action == "sweep" || reconcile && e.Secrets == nil:
		return Event{Sweep: &SweepRequest{Reconcile: reconcile, DryRun: e.DryRun}}, nil
	case e.Action == "rotate" || reconcile:
		if len(e.Secrets) == 0 || slices.Contains(e.Secrets, "") {
			return Event{}, errors.New("event: secrets must name at least one secret, and none by an empty name")
		}
		return Event{Rotate: &RotateRequest{Secrets: e.Secrets, Force: e.Force, Reconcile: reconcile, DryRun: e.DryRun, Withhold: e.Withhold}}, nil
	default:
		return Event{}, errors.New("event: action must be sweep, reconcile or rotate")
	}
}

func parseStep(payload []byte) (Event, error) {
	var e struct {
		Step                                        Step
		SecretID, ClientRequestToken, RotationToken string
	}
	err := event.Read(payload, event.Fields{
		"Step": &e.Step, "SecretId": &e.SecretID, "ClientRequestToken": &e.ClientRequestToken, "RotationToken": &e.RotationToken,
	})
	if err != nil {
		return Event{}, err
	}
	switch {
	case !slices.Contains([]Step{CreateSecret, SetSecret, TestSecret, FinishSecret}, e.Step):
		return Event{}, errors.New("event: Step must be createSecret, setSecret, testSecret or finishSecret")
	case e.SecretID == "":
		return Event{}, errors.New("event: SecretId is missing")
	case len(e.ClientRequestToken) < 32 || len(e.ClientRequestToken) > 64:
		return Event{}, errors.New("event: ClientRequestToken must be 32 to 64 characters long")
	}
	return Event{Step: &StepRequest{
		Step: e.Step, SecretID: e.SecretID, Token: e.ClientRequestToken, RotationToken: secret.New(e.RotationToken),
	}}, nil
}

// parseQueue reads a batch. The envelope is the service's and may grow; the
// bodies are ours, and a bad one fails alone.
func parseQueue(payload []byte) (Event, error) {
	var batch struct {
		Records []struct {
			MessageID   string `json:"messageId"`
			EventSource string `json:"eventSource"`
			Body        string `json:"body"`
			Attributes  struct {
				ApproximateReceiveCount string
				// SentTimestamp is in milliseconds since 1970.
				SentTimestamp string
			} `json:"attributes"`
		}
	}
	if err := json.Unmarshal(payload, &batch); err != nil {
		return Event{}, errors.New("event: Records is not a queue batch")
	}
	if len(batch.Records) == 0 {
		return Event{}, errors.New("event: Records is empty")
	}
	var messages []Message
	for _, r := range batch.Records {
		if r.EventSource != "aws:sqs" || r.MessageID == "" {
			return Event{}, errors.New("event: Records must come from SQS: eventSource aws:sqs and a messageId each")
		}
		m := Message{ID: r.MessageID, Body: r.Body}
		m.Receives, _ = strconv.Atoi(r.Attributes.ApproximateReceiveCount)
		body, err := parseAction([]byte(r.Body))
		switch {
		case err != nil:
			m.Err = err
		case body.Rotate == nil:
			m.Err = errors.New("event: a message's action must be rotate or reconcile, with secrets")
		default:
			m.Request = *body.Rotate
			if sent, err := strconv.ParseInt(r.Attributes.SentTimestamp, 10, 64); err == nil {
				m.Request.AskedAt = time.UnixMilli(sent)
			}
		}
		messages = append(messages, m)
	}
	return Event{Queue: messages}, nil
}

func count(flags ...bool) (n int) {
	for _, f := range flags {
		if f {
			n++
		}
	}
	return n
}

// names lists an event's fields for an error, without their values.
func names(fields map[string]json.RawMessage) string {
	list := make([]string, 0, len(fields))
	for name := range fields {
		list = append(list, fmt.Sprintf("%.60q", name))
	}
	slices.Sort(list)
	if len(list) > 8 {
		list = append(list[:8], "…")
	}
	return "[" + strings.Join(list, " ") + "]"
}

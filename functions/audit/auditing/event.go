package auditing

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Request asks for an audit.
type Request struct {
	// DryRun changes nothing, whatever the policy says, and publishes nothing.
	DryRun bool
	// AskedBy is who asked, for the report and the trail: "schedule" for the
	// stack's own.
	AskedBy string
}

// maxAskedBy bounds a name that ends up in reports.
const maxAskedBy = 200

// ParseRequest reads an event, and refuses fields that it does not know: a
// misspelt dry_run must not be an audit that removes something.
//
//	{"action": "audit", "dry_run": false, "asked_by": "ann@example.com"}
func ParseRequest(payload []byte) (Request, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(payload, &fields); err != nil || fields == nil {
		return Request{}, errors.New("event: it must be a JSON object")
	}
	var e struct {
		Action  string `json:"action"`
		DryRun  bool   `json:"dry_run"`
		AskedBy string `json:"asked_by"`
	}
	// encoding/json takes names in any case, and the last of two.
	var unknown []string
	for name := range fields {
		if !slices.Contains([]string{"action", "dry_run", "asked_by"}, name) {
			unknown = append(unknown, fmt.Sprintf("%.60q", name))
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return Request{}, fmt.Errorf("event: unknown field %s: an audit takes action, dry_run and asked_by", strings.Join(unknown[:min(8, len(unknown))], ", "))
	}
	if name := repeated(payload); name != "" {
		return Request{}, fmt.Errorf("event: the field %s is there twice", name)
	}
	if err := json.Unmarshal(payload, &e); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return Request{}, fmt.Errorf("event: %s must be a %s", wrong.Field, wrong.Type)
		}
		return Request{}, errors.New("event: it is not valid JSON")
	}
	if e.Action != "audit" {
		return Request{}, errors.New("event: action must be audit")
	}
	if len(e.AskedBy) > maxAskedBy || !utf8.ValidString(e.AskedBy) || strings.ContainsFunc(e.AskedBy, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return Request{}, fmt.Errorf("event: asked_by must be a name of at most %d printable characters", maxAskedBy)
	}
	return Request{DryRun: e.DryRun, AskedBy: e.AskedBy}, nil
}

// repeated returns a field of the object that is there more than once.
func repeated(payload []byte) string {
	dec := json.NewDecoder(bytes.NewReader(payload))
	if _, err := dec.Token(); err != nil {
		return ""
	}
	seen := map[string]bool{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return ""
		}
		text, ok := name.(string)
		if !ok || seen[text] {
			return text
		}
		seen[text] = true
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil && !errors.Is(err, io.EOF) {
			return ""
		}
	}
	return ""
}

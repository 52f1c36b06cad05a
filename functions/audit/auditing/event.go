package auditing

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"databricks-credential-rotation/shared/event"
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
	var e struct {
		Action, AskedBy string
		DryRun          bool
	}
	if err := event.Read(payload, event.Fields{"action": &e.Action, "dry_run": &e.DryRun, "asked_by": &e.AskedBy}); err != nil {
		return Request{}, err
	}
	if e.Action != "audit" {
		return Request{}, errors.New("event: action must be audit")
	}
	if len(e.AskedBy) > maxAskedBy || !utf8.ValidString(e.AskedBy) || strings.ContainsFunc(e.AskedBy, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return Request{}, fmt.Errorf("event: asked_by must be a name of at most %d printable characters", maxAskedBy)
	}
	return Request{DryRun: e.DryRun, AskedBy: e.AskedBy}, nil
}

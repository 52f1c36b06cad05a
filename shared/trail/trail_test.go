package trail_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/trail"
)

func TestLog(t *testing.T) {
	entry := trail.Entry{
		Action: "issue", Why: "due", Door: "sweep", Secret: "prod/etl", ClientID: "0c5e3a1f-7d24-4c8e-9b6a-1f2e3d4c5b6a",
	}
	change := func(edit func(*trail.Entry)) trail.Entry {
		e := entry
		edit(&e)
		return e
	}
	base := map[string]any{
		"msg": "trail", "action": "issue", "why": "due", "door": "sweep", "secret": "prod/etl", "client_id": entry.ClientID,
	}
	want := func(level, phase string, more map[string]any) map[string]any {
		m := map[string]any{"level": level, "phase": phase}
		for _, from := range []map[string]any{base, more} {
			for k, v := range from {
				m[k] = v
			}
		}
		return m
	}
	tests := map[string]struct {
		entry trail.Entry
		want  map[string]any
	}{
		"before": {change(func(e *trail.Entry) { e.Phase = trail.Before }), want("INFO", "before", nil)},
		"done": {
			change(func(e *trail.Entry) { e.Phase, e.OAuthSecretID, e.VersionID = trail.After, "9f00", "v2" }),
			want("INFO", "after", map[string]any{"outcome": "done", "oauth_secret_id": "9f00", "version_id": "v2"}),
		},
		"failed": {
			change(func(e *trail.Entry) { e.Phase, e.Err = trail.After, errors.New("no reply") }),
			want("ERROR", "after", map[string]any{"outcome": "failed", "error": "no reply"}),
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var buf bytes.Buffer
			if err := (trail.Log{Logger: slog.New(slog.NewJSONHandler(&buf, nil))}).Record(t.Context(), test.entry); err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if err := json.Unmarshal(buf.Bytes(), &got); err != nil {
				t.Fatalf("not one line of JSON: %v", err)
			}
			delete(got, "time")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Invariant 7: a log level does not take entries out of the trail.
func TestLogWritesAtAnyLevel(t *testing.T) {
	var buf bytes.Buffer
	log := slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelError + 1}))
	if err := (trail.Log{Logger: log}).Record(t.Context(), trail.Entry{Phase: trail.Before, Action: "retire"}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(buf.Bytes(), []byte("action=retire")) {
		t.Errorf("the log holds %q", buf.String())
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errBroken }

var errBroken = errors.New("broken pipe")

// Invariant 7: if the trail cannot be written, whoever makes the change hears
// of it.
func TestLogThatCannotWrite(t *testing.T) {
	log := slog.New(slog.NewJSONHandler(brokenPipe{}, nil))
	if err := (trail.Log{Logger: log}).Record(t.Context(), trail.Entry{Phase: trail.Before}); !errors.Is(err, errBroken) {
		t.Errorf("%v, want the writer's error", err)
	}
}

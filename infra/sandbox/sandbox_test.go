package main_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"databricks-credential-rotation/infra/sandbox/fleet"
	"databricks-credential-rotation/infra/sandbox/show"
	"databricks-credential-rotation/infra/sandbox/terminal"
)

// expectations is how many expectations the whole show has: one that is no longer
// checked must not pass unnoticed.
const expectations = 32

func TestShow(t *testing.T) {
	if testing.Short() {
		t.Skip("plays for half a minute, and compiles the functions before")
	}
	var out strings.Builder
	screen := terminal.New(&out, terminal.Abilities{})
	s, err := show.Open(t.Context(), show.Config{Grace: 4 * time.Second, Pause: 5 * time.Millisecond, Latency: 100 * time.Millisecond}, screen)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	result, err := s.Play(t.Context())
	if err != nil {
		t.Fatalf("%v\n%s", err, screen.Transcript())
	}

	for _, failed := range result.Failed() {
		t.Errorf("%s: %v", failed.What, failed.Err)
	}
	if n := len(result.Expectations); n != expectations {
		t.Errorf("%d expectations, want %d", n, expectations)
	}
	if result.Readers.Failures != 0 || result.Readers.Reads < 1000 || result.Readers.Secrets != 14 {
		t.Errorf("readers %+v, want no failures in 1000 reads of 14 secrets", result.Readers)
	}
	fates := map[fleet.Fate]int{}
	for _, r := range result.Rotations {
		fates[r.Fate]++
		limit := 3
		if r.Scoped {
			limit++
		}
		// An orphan is looked at once more before it goes.
		if r.Calls.Deletes > 0 {
			limit++
		}
		if r.Calls.Writes != 1 || r.Fate == fleet.Rotated && r.Calls.BeforeRetirement() > limit {
			t.Errorf("%s took %d writes and %d calls to Databricks", r.Secret, r.Calls.Writes, r.Calls.BeforeRetirement())
		}
	}
	if fates[fleet.Rotated] != 7 || fates[fleet.Adopted] != 1 || fates[fleet.Issued] != 1 {
		t.Errorf("rotations by fate: %v, want 7 rotated, 1 adopted, 1 issued", fates)
	}
	if result.Leak.Values < 1000 || result.Leak.Bytes < 10_000 || len(result.Leak.Found) != 0 {
		t.Errorf("search for leaks: %d values in %d bytes, found in %v", result.Leak.Values, result.Leak.Bytes, result.Leak.Found)
	}
	if result.Elapsed > 90*time.Second {
		t.Errorf("it took %v", result.Elapsed)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("a pipe got escape sequences")
	}
	t.Run("serve", func(t *testing.T) { serve(t, s, screen) })
	if t.Failed() {
		t.Log(screen.Transcript())
	}
}

// serve lets the system run with short intervals for a while.
func serve(t *testing.T, s *show.Show, screen *terminal.Screen) {
	before := len(screen.Transcript())
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	err := s.Serve(ctx, show.Service{Interval: 2 * time.Second, Grace: time.Second})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("serving ended by itself: %v", err)
	}
	text := screen.Transcript()[before:]
	for _, want := range []string{"export AWS_ENDPOINT_URL=http://127.0.0.1:", "aws lambda invoke", "  rotated ", "retired ", " 0 failures"} {
		if !strings.Contains(text, want) {
			t.Errorf("while serving nothing says %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "failed") || strings.Contains(text, "FAILURE") {
		t.Errorf("something failed while serving:\n%s", text)
	}
}

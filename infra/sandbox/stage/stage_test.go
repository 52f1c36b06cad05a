package stage_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/infra/sandbox/lambdahost"
	"databricks-credential-rotation/infra/sandbox/stage"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/trail"
)

var binaries string

// TestMain builds the functions once.
func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if testing.Short() {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "stage")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := stage.Build(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	binaries = dir
	return m.Run()
}

func open(t *testing.T) *stage.Stage {
	t.Helper()
	if testing.Short() {
		t.Skip("compiles and runs the functions")
	}
	p := policy.Default()
	s, err := stage.Open(t.Context(), stage.Config{Binaries: binaries, Policy: p})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestClock(t *testing.T) {
	var c stage.Clock
	if d := time.Since(c.Now()); d > time.Minute {
		t.Errorf("a new clock is %v behind", d)
	}
	c.SetBack(40 * 24 * time.Hour)
	before := c.Now()
	if d := time.Since(before) - 40*24*time.Hour; d < 0 || d > time.Minute {
		t.Errorf("set back 40 days the clock is off by %v", d)
	}
	time.Sleep(time.Millisecond)
	if !c.Now().After(before) {
		t.Error("a clock that was set back stands still")
	}
}

// The function is deployed with the variables of the template, no more and no
// fewer, beside region, credentials and endpoint.
func TestEnvironmentIsTheTemplates(t *testing.T) {
	clouds, err := stage.OpenClouds(0)
	if err != nil {
		t.Fatal(err)
	}
	defer clouds.Close()
	var got []string
	for _, entry := range stage.Environment(clouds, policy.Default()) {
		if key, _, _ := strings.Cut(entry, "="); !strings.HasPrefix(key, "AWS_") {
			got = append(got, key)
		}
	}
	template, err := os.ReadFile(filepath.Join("..", "..", "..", "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile(`(?m)^  RotateFunction:\n(?s:.*?)^        Variables:\n((?:          .*\n)+)`).FindSubmatch(template)
	if block == nil {
		t.Fatal("the template gives RotateFunction no variables")
	}
	var want []string
	for line := range bytes.Lines(block[1]) {
		key, _, _ := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		want = append(want, string(key))
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("variables (-template +sandbox):\n%s", diff)
	}
}

// Invariant 7: Lambda drops JSON log lines below the level that the template
// sets, whatever the function writes. No choice of it may drop the trail.
func TestNoLogLevelDropsTheTrail(t *testing.T) {
	template, err := os.ReadFile(filepath.Join("..", "..", "..", "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	levels := regexp.MustCompile(`(?m)^  LogLevel:\n(?:    .*\n)*?    AllowedValues: \[(.*)\]`).FindSubmatch(template)
	if levels == nil {
		t.Fatal("the template does not say which log levels it takes")
	}
	for _, name := range strings.Split(string(levels[1]), ", ") {
		var level slog.Level
		if err := level.UnmarshalText([]byte(name)); err != nil || level > trail.Level {
			t.Errorf("log level %s drops the trail, which is at %v", name, trail.Level)
		}
	}
}

// invoke calls Lambda's Invoke by its wire protocol.
func invoke(t *testing.T, s *stage.Stage, function, kind, event string) (*http.Response, string) {
	t.Helper()
	in, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		s.Endpoint()+"/2015-03-31/functions/"+url.PathEscape(function)+"/invocations", strings.NewReader(event))
	if err != nil {
		t.Fatal(err)
	}
	in.Header.Set("X-Amz-Invocation-Type", kind)
	out, err := http.DefaultClient.Do(in)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	return out, string(body)
}

func TestInvokeEndpoint(t *testing.T) {
	s := open(t)
	const sweep = `{"action":"sweep"}`
	tests := map[string]struct {
		function, kind, event string
		status                int
		failed                bool
		body                  string
	}{
		"success":            {"rotate", "RequestResponse", sweep, http.StatusOK, false, `"secrets":0`},
		"no kind":            {"rotate", "", sweep, http.StatusOK, false, `"secrets":0`},
		"ARN with qualifier": {s.FunctionARN("rotate") + ":$LATEST", "", sweep, http.StatusOK, false, `"secrets":0`},
		"refused event":      {"rotate", "", `{"action":"sweeep"}`, http.StatusOK, true, "action must be sweep"},
		"function not built": {"audit", "", "", http.StatusOK, true, "not built yet"},
		"dry run":            {"rotate", "DryRun", sweep, http.StatusNoContent, false, ""},
		"no such function":   {"rotat", "", sweep, http.StatusNotFound, false, "Function not found: rotat"},
		"not JSON":           {"rotate", "", "sweep", http.StatusBadRequest, false, "Could not parse"},
		"no such kind":       {"rotate", "Later", sweep, http.StatusBadRequest, false, "InvocationType"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			out, body := invoke(t, s, test.function, test.kind, test.event)
			if out.StatusCode != test.status || !strings.Contains(body, test.body) {
				t.Errorf("status %d: %s, want %d: …%s…", out.StatusCode, body, test.status, test.body)
			}
			if failed := out.Header.Get("X-Amz-Function-Error") != ""; failed != test.failed {
				t.Errorf("function error: %t, want %t", failed, test.failed)
			}
		})
	}
}

func TestInvokeLater(t *testing.T) {
	s := open(t)
	if out, body := invoke(t, s, "revoke", "Event", "{}"); out.StatusCode != http.StatusAccepted || body != "" {
		t.Fatalf("status %d: %s, want 202 and nothing", out.StatusCode, body)
	}
	for end := time.Now().Add(10 * time.Second); len(s.Failures()) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the function was never invoked")
		}
	}
	if got := s.Failures()[0]; !strings.Contains(got, "not built yet") {
		t.Errorf("failure %q, want the function's own", got)
	}
}

func TestOtherLambdaOperationsAreRefused(t *testing.T) {
	s := open(t)
	in, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Endpoint()+"/2015-03-31/functions", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	out, err := http.DefaultClient.Do(in)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	if out.StatusCode != http.StatusNotImplemented || len(s.Unknown()) != 0 {
		t.Errorf("status %d, unknown to the emulator: %v", out.StatusCode, s.Unknown())
	}
}

func TestDeployReplacesTheFunction(t *testing.T) {
	s := open(t)
	sweep := []byte(`{"action":"sweep"}`)
	if _, err := s.Invoke(t.Context(), "rotate", sweep); err != nil {
		t.Fatal(err)
	}
	p := policy.Default()
	p.Grace = -time.Second
	if err := s.Deploy(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	// The function refuses to start under such a policy: it is the new one.
	_, err := s.Invoke(t.Context(), "rotate", sweep)
	var failure *lambdahost.FunctionError
	if !errors.As(err, &failure) || failure.Type != lambdahost.ExitError || !strings.Contains(s.Logs.Texts()["rotate"], "grace period") {
		t.Errorf("error %v, log:\n%s", err, s.Logs.Texts()["rotate"])
	}
}

func TestOutcomesAreReadFromAPlaceOn(t *testing.T) {
	s := open(t)
	if _, err := s.Invoke(t.Context(), "rotate", []byte(`{"action":"rotate","secrets":["first"]}`)); err == nil {
		t.Fatal("rotating what does not exist succeeded")
	}
	const last = `"message":"run finished`
	if !s.Logs.Await("rotate", 0, last, 10*time.Second) {
		t.Fatalf("the first run does not say that it is over:\n%s", s.Logs.Texts()["rotate"])
	}
	from := s.Logs.Size("rotate")
	if _, err := s.Invoke(t.Context(), "rotate", []byte(`{"action":"rotate","secrets":["second"]}`)); err == nil {
		t.Fatal("rotating what does not exist succeeded")
	}
	if !s.Logs.Await("rotate", from, last, 10*time.Second) || s.Logs.Await("rotate", s.Logs.Size("rotate"), last, 0) {
		t.Error("the end of the second run was not awaited behind the first")
	}
	got := s.Logs.Outcomes("rotate", from)
	if len(got) != 1 || got["second"].Status != "failed" || !strings.Contains(got["second"].Error, "not found") && !strings.Contains(got["second"].Error, "find") {
		raw, _ := json.Marshal(got)
		t.Errorf("outcomes %s, want that second failed", raw)
	}
	if all := s.Logs.Outcomes("rotate", 0); len(all) != 2 {
		t.Errorf("%d outcomes from the start, want 2", len(all))
	}
}

func TestAwaitGivesUp(t *testing.T) {
	var l stage.Logs
	if l.Await("rotate", 0, "anything", 20*time.Millisecond) {
		t.Error("an empty log holds anything")
	}
}

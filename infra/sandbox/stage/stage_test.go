package stage_test

import (
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

	"databricks-credential-rotation/infra/sandbox/stage"
	"databricks-credential-rotation/shared/awstest"
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
	return openWith(t, stage.Config{})
}

func openWith(t *testing.T, config stage.Config) *stage.Stage {
	t.Helper()
	if testing.Short() {
		t.Skip("compiles and runs the functions")
	}
	config.Binaries, config.Policy = binaries, policy.Default()
	s, err := stage.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.Databricks.StatementPolls(0) // a statement on the usage log is done at once
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
	return invokeAs(t, s, "operator", function, kind, event)
}

func invokeAs(t *testing.T, s *stage.Stage, role, function, kind, event string) (*http.Response, string) {
	t.Helper()
	in, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		s.Endpoint()+"/2015-03-31/functions/"+url.PathEscape(function)+"/invocations", strings.NewReader(event))
	if err != nil {
		t.Fatal(err)
	}
	in.Header.Set("X-Amz-Invocation-Type", kind)
	signAs(in, s.Env(role))
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

// signAs signs a request as far as the emulator reads a signature: by the access
// key in an environment.
func signAs(r *http.Request, env []string) {
	for _, entry := range env {
		if key, ok := strings.CutPrefix(entry, "AWS_ACCESS_KEY_ID="); ok {
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+key+"/20260101/eu-west-1/lambda/aws4_request, SignedHeaders=host, Signature=0")
		}
	}
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
		"audit":              {"audit", "", `{"action":"audit","dry_run":true}`, http.StatusOK, false, `"dry_run":true`},
		"refused audit":      {"audit", "", `{"action":"audit","dryrun":true}`, http.StatusOK, true, "not a known field"},
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
	if out, body := invoke(t, s, "rotate", "Event", "{}"); out.StatusCode != http.StatusAccepted || body != "" {
		t.Fatalf("status %d: %s, want 202 and nothing", out.StatusCode, body)
	}
	for end := time.Now().Add(10 * time.Second); len(s.Failures()) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the function was never invoked")
		}
	}
	if got := s.Failures()[0]; !strings.Contains(got, "of no known kind") {
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

// The policy is read at every invocation: a process that has served one under
// the old policy goes by the new one.
func TestPolicyIsReadAtEachInvocation(t *testing.T) {
	s := open(t)
	sweep := []byte(`{"action":"sweep"}`)
	if _, err := s.Invoke(t.Context(), "rotate", sweep); err != nil {
		t.Fatal(err)
	}
	if err := s.PutPolicy(t.Context(), []byte("version: 1\nrotation: {grace: never}\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Invoke(t.Context(), "rotate", sweep); err == nil || !strings.Contains(err.Error(), "line 2: rotation.grace") {
		t.Fatalf("under a broken policy: %v", err)
	}
	if err := s.SetPolicy(t.Context(), policy.Default()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Invoke(t.Context(), "rotate", sweep); err != nil {
		t.Errorf("under the mended policy: %v", err)
	}
	if log := s.Logs.Texts()["rotate"]; strings.Count(log, `"policy":"s3://`+stage.DataBucket+`/policy.yaml","policy_version":"`) != 2 {
		t.Errorf("the log does not name the policy of each run:\n%s", log)
	}
}

// A broken policy stops the run with every fault, at every door, and nothing is
// changed in either cloud.
func TestBrokenPolicyChangesNothing(t *testing.T) {
	w := newSecret(t)
	s := w.stage
	broken, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "policy", "testdata", "broken", "33-everything.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	message, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "policy", "testdata", "broken", "33-everything.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutPolicy(t.Context(), broken); err != nil {
		t.Fatal(err)
	}
	before, live := w.current(), w.live()
	s.Forget()
	for door, event := range map[string]string{
		"sweep":     `{"action":"sweep"}`,
		"reconcile": `{"action":"reconcile"}`,
		"direct":    `{"action":"rotate","secrets":["` + w.name + `"],"force":true}`,
		"protocol":  `{"Step":"createSecret","SecretId":"` + w.name + `","ClientRequestToken":"0b1c2d3e-0000-4000-8000-000000000009"}`,
	} {
		_, err := s.Invoke(t.Context(), "rotate", []byte(event))
		if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(string(message))) || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("%s: error\n%v\nwant\n%s", door, err, message)
		}
	}
	for _, call := range slices.Concat(s.AWS.Faults().Calls(), s.Databricks.Faults().Calls()) {
		if !call.Read {
			t.Errorf("it called %s %s", call.Op, call.Target)
		}
	}
	if w.current().ID != before.ID || w.live() != live {
		t.Error("something was changed")
	}
	if trail, err := s.Trail(); err != nil || len(trail) != 0 {
		t.Errorf("the trail tells of %d changes, %v", len(trail), err)
	}
}

// Invariant 7: without the trail's bucket nothing is changed, and the run says
// so.
func TestNoTrailNoChange(t *testing.T) {
	w := newSecret(t)
	s := w.stage
	before, live := w.current(), w.live()
	s.AWS.SetAuthorizer(func(ctx context.Context, a awstest.Access) error {
		if a.Action == "s3:PutObject" {
			return errors.New("because no identity-based policy allows it")
		}
		return s.IAM.Authorize(ctx, a)
	})
	force := []byte(`{"action":"rotate","secrets":["` + w.name + `"],"force":true}`)
	if _, err := s.Invoke(t.Context(), "rotate", force); err == nil || !strings.Contains(err.Error(), "trail") {
		t.Errorf("error %v, want that the trail cannot be written", err)
	}
	if w.current().ID != before.ID || w.live() != live {
		t.Error("something was changed")
	}
	s.AWS.SetAuthorizer(s.IAM.Authorize)
	if _, err := s.Invoke(t.Context(), "rotate", force); err != nil {
		t.Fatal(err)
	}
	entries, err := s.Trail()
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]int{}
	for _, entry := range entries {
		var fields map[string]any
		if err := json.Unmarshal([]byte(entry), &fields); err != nil {
			t.Fatal(err)
		}
		told[fmt.Sprint(fields["phase"], " ", fields["action"])]++
		if fields["function"] != "rotate" || fields["rotator"] != s.Rotator.ApplicationID || fields["secret"] != w.name || len(fmt.Sprint(fields["request_id"])) < 8 {
			t.Errorf("entry %s", entry)
		}
	}
	if diff := cmp.Diff(map[string]int{"before issue": 1, "after issue": 1, "before store": 1, "after store": 1}, told); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
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
	if len(got) != 1 || got["second"].Status != "failed" || !strings.Contains(got["second"].Error, "does the secret exist, with the tag") {
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

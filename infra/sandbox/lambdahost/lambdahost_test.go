package lambdahost_test

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/infra/sandbox/lambdahost"
)

var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run compiles the function once for all tests.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "lambdahost")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "bootstrap")
	if err := lambdahost.Build(context.Background(), ".", "./testdata/echo", binary); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

type event struct {
	Do    string        `json:"do"`
	Text  string        `json:"text"`
	Sleep time.Duration `json:"sleep"`
}

type reply struct {
	Text      string        `json:"text"`
	PID       int           `json:"pid"`
	Count     int           `json:"count"`
	Env       []string      `json:"env"`
	RequestID string        `json:"requestId"`
	ARN       string        `json:"arn"`
	TraceID   string        `json:"traceId"`
	Left      time.Duration `json:"left"`
}

func start(t *testing.T, f lambdahost.Function) *lambdahost.Host {
	t.Helper()
	if f.Name == "" {
		f.Name = "echo"
	}
	if f.Path == "" {
		f.Path = binary
	}
	if f.Timeout == 0 {
		f.Timeout = 20 * time.Second
	}
	host, err := lambdahost.Start(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := host.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return host
}

func invoke(ctx context.Context, host *lambdahost.Host, e event) (reply, error) {
	payload, err := json.Marshal(e)
	if err != nil {
		return reply{}, err
	}
	body, err := host.Invoke(ctx, payload)
	if err != nil {
		return reply{}, err
	}
	var out reply
	return out, json.Unmarshal(body, &out)
}

func mustInvoke(t *testing.T, host *lambdahost.Host, e event) reply {
	t.Helper()
	out, err := invoke(t.Context(), host, e)
	if err != nil {
		t.Fatalf("%+v: %v", e, err)
	}
	return out
}

func TestProcessStaysWarm(t *testing.T) {
	host := start(t, lambdahost.Function{})
	first := mustInvoke(t, host, event{Do: "echo", Text: "a"})
	second := mustInvoke(t, host, event{Do: "echo", Text: "b"})
	if first.Text != "a" || second.Text != "b" {
		t.Errorf("replies %q, %q, want the events' text", first.Text, second.Text)
	}
	if second.PID != first.PID || second.Count != 2 {
		t.Errorf("second event ran in process %d as number %d, want process %d as number 2", second.PID, second.Count, first.PID)
	}
	if first.RequestID == second.RequestID {
		t.Errorf("request id %q was given twice", first.RequestID)
	}
}

func TestInvocationHeaders(t *testing.T) {
	host := start(t, lambdahost.Function{
		ARN:     "arn:aws:lambda:eu-west-1:111122223333:function:echo",
		Timeout: 15 * time.Second,
		Random:  bytes.NewReader(bytes.Repeat([]byte{0xab}, 16)),
	})
	got := mustInvoke(t, host, event{Do: "echo"})
	if got.Left <= 5*time.Second || got.Left > 15*time.Second {
		t.Errorf("function saw %s until its deadline, want at most 15s and most of it", got.Left)
	}
	got.PID, got.Count, got.Left = 0, 0, 0
	want := reply{
		RequestID: "abababab-abab-4bab-abab-abababababab",
		ARN:       "arn:aws:lambda:eu-west-1:111122223333:function:echo",
		TraceID:   "Root=1-abababab-abab4bababababababababab;Parent=abababababab4bab;Sampled=0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

func TestEnvironmentIsOnlyWhatIsGiven(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "of the machine")
	t.Setenv("HTTPS_PROXY", "http://proxy.invalid")
	host := start(t, lambdahost.Function{Env: []string{"ROTATION_INTERVAL=720h", "AWS_REGION=eu-west-1"}, MemoryMB: 256})
	got := mustInvoke(t, host, event{Do: "env"}).Env
	got = slices.DeleteFunc(got, func(entry string) bool {
		key, _, _ := strings.Cut(entry, "=")
		return slices.Contains([]string{"PATH", "HOME", "TMPDIR", "PWD", "_X_AMZN_TRACE_ID", "AWS_LAMBDA_RUNTIME_API"}, key)
	})
	slices.Sort(got)
	want := []string{
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256",
		"AWS_LAMBDA_FUNCTION_NAME=echo",
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_LAMBDA_LOG_FORMAT=JSON",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/echo",
		"AWS_LAMBDA_LOG_LEVEL=INFO",
		"AWS_LAMBDA_LOG_STREAM_NAME=local",
		"AWS_REGION=eu-west-1",
		"LAMBDA_TASK_ROOT=" + filepath.Dir(binary),
		"ROTATION_INTERVAL=720h",
		"_HANDLER=bootstrap",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

func TestFunctionErrors(t *testing.T) {
	tests := []struct {
		name     string
		event    event
		errType  string
		message  string
		stack    bool
		survives bool
	}{
		{name: "returned error", event: event{Do: "error", Text: "no such secret"}, errType: "refusedError", message: "no such secret", survives: true},
		{name: "panic", event: event{Do: "panic", Text: "nil map"}, errType: "string", message: "nil map", stack: true},
		{name: "exit", event: event{Do: "exit"}, errType: lambdahost.ExitError, message: "exit status 3"},
		{name: "reply over 6 MB", event: event{Do: "large"}, errType: lambdahost.ResponseTooLarge, message: "maximum allowed payload size"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			host := start(t, lambdahost.Function{})
			before := mustInvoke(t, host, event{Do: "echo"})

			_, err := invoke(t.Context(), host, tt.event)
			var failure *lambdahost.FunctionError
			if !errors.As(err, &failure) {
				t.Fatalf("error %v, want a *FunctionError", err)
			}
			if failure.Type != tt.errType || !strings.Contains(failure.Message, tt.message) {
				t.Errorf("failure %s: %q, want %s: …%s…", failure.Type, failure.Message, tt.errType, tt.message)
			}
			if got := len(failure.Stack) > 0; got != tt.stack {
				t.Errorf("stack present: %t, want %t", got, tt.stack)
			}

			after := mustInvoke(t, host, event{Do: "echo"})
			if got := after.PID == before.PID; got != tt.survives {
				t.Errorf("process survived: %t, want %t", got, tt.survives)
			}
		})
	}
}

func TestDeadlineKillsTheProcess(t *testing.T) {
	host := start(t, lambdahost.Function{Timeout: 2 * time.Second})
	before := mustInvoke(t, host, event{Do: "echo"})
	begin := time.Now()
	_, err := invoke(t.Context(), host, event{Do: "sleep", Sleep: time.Minute})
	if !errors.Is(err, lambdahost.ErrTimeout) {
		t.Fatalf("error %v, want ErrTimeout", err)
	}
	if took := time.Since(begin); took < 2*time.Second || took > 30*time.Second {
		t.Errorf("gave up after %s, want just over 2s", took)
	}
	after := mustInvoke(t, host, event{Do: "echo"})
	if after.PID == before.PID || after.Count != 1 {
		t.Errorf("event number %d of process %d, want a fresh process", after.Count, after.PID)
	}
}

func TestKillInMidFlight(t *testing.T) {
	log := &watcher{line: "working", seen: make(chan struct{})}
	host := start(t, lambdahost.Function{Log: log})
	host.Kill() // No process yet: nothing happens.
	mustInvoke(t, host, event{Do: "log", Text: "working"})
	<-log.seen

	failed := make(chan error, 1)
	go func() {
		_, err := invoke(t.Context(), host, event{Do: "sleep", Sleep: time.Minute})
		failed <- err
	}()
	// The kill may come before the sleeper took its event, which then goes to
	// a fresh process: kill until it has died with the event in hand.
	for {
		host.Kill()
		select {
		case err := <-failed:
			var failure *lambdahost.FunctionError
			if !errors.As(err, &failure) || failure.Type != lambdahost.ExitError {
				t.Fatalf("error %v, want %s", err, lambdahost.ExitError)
			}
			if got := mustInvoke(t, host, event{Do: "echo"}); got.Count != 1 {
				t.Errorf("event number %d of the process, want a fresh process", got.Count)
			}
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func TestWarmProcessThatDiedIsReplaced(t *testing.T) {
	host := start(t, lambdahost.Function{})
	before := mustInvoke(t, host, event{Do: "echo"})
	host.Kill()
	after := mustInvoke(t, host, event{Do: "echo"})
	if after.PID == before.PID {
		t.Errorf("process %d served after it was killed", after.PID)
	}
}

func TestDeathAfterTheReplyKeepsTheReply(t *testing.T) {
	host := start(t, lambdahost.Function{})
	first := mustInvoke(t, host, event{Do: "late", Text: "kept", Sleep: 500 * time.Millisecond})
	if first.Text != "kept" {
		t.Errorf("reply %q, want kept", first.Text)
	}
	_, err := invoke(t.Context(), host, event{Do: "sleep", Sleep: time.Minute})
	var failure *lambdahost.FunctionError
	if !errors.As(err, &failure) || !strings.Contains(failure.Message, "exit status 4") {
		t.Errorf("error %v, want the exit of the process with the event in hand", err)
	}
}

func TestAskingForTheNextEventIsNoReply(t *testing.T) {
	host := start(t, lambdahost.Function{})
	got := mustInvoke(t, host, event{Do: "ask again", Text: "answered", Sleep: 300 * time.Millisecond})
	if got.Text != "answered" {
		t.Errorf("reply %q, want answered", got.Text)
	}
}

func TestCallerGivesUp(t *testing.T) {
	host := start(t, lambdahost.Function{})
	before := mustInvoke(t, host, event{Do: "echo"})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := invoke(ctx, host, event{Do: "sleep", Sleep: time.Minute}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v, want the caller's deadline", err)
	}
	if after := mustInvoke(t, host, event{Do: "echo"}); after.PID == before.PID {
		t.Error("the abandoned process serves on")
	}
}

func TestInvocationsAreSerialised(t *testing.T) {
	host := start(t, lambdahost.Function{})
	const callers = 8
	counts := make([]int, callers)
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() {
			out, err := invoke(t.Context(), host, event{Do: "sleep", Sleep: 5 * time.Millisecond})
			if err != nil {
				t.Error(err)
			}
			counts[i] = out.Count
		})
	}
	group.Wait()
	slices.Sort(counts)
	if diff := cmp.Diff([]int{1, 2, 3, 4, 5, 6, 7, 8}, counts); diff != "" {
		t.Errorf("numbers within one process (-want +got):\n%s", diff)
	}
}

func TestInitialisationFailures(t *testing.T) {
	tests := []struct {
		mode    string
		errType string
		message string
	}{
		{mode: "exit", errType: lambdahost.ExitError, message: "exit status 5"},
		{mode: "error", errType: "Config", message: "no host"},
	}
	for _, tt := range tests {
		t.Run(tt.mode, func(t *testing.T) {
			host := start(t, lambdahost.Function{Env: []string{"INIT=" + tt.mode}})
			_, err := invoke(t.Context(), host, event{Do: "echo"})
			var failure *lambdahost.FunctionError
			if !errors.As(err, &failure) {
				t.Fatalf("error %v, want a *FunctionError", err)
			}
			if failure.Type != tt.errType || !strings.Contains(failure.Message, tt.message) {
				t.Errorf("failure %v, want %s: …%s…", failure, tt.errType, tt.message)
			}
		})
	}
}

func TestReplyToAnotherRequestIsRefused(t *testing.T) {
	log := &watcher{line: "status 400", seen: make(chan struct{})}
	host := start(t, lambdahost.Function{Env: []string{"INIT=wrong id"}, Log: log})
	if got := mustInvoke(t, host, event{Do: "echo", Text: "own"}); got.Text != "own" {
		t.Errorf("reply %q, want own", got.Text)
	}
	select {
	case <-log.seen:
	case <-time.After(10 * time.Second):
		t.Errorf("the forged reply was not refused; log:\n%s", log)
	}
}

func TestClose(t *testing.T) {
	host := start(t, lambdahost.Function{})
	mustInvoke(t, host, event{Do: "echo"})
	failed := make(chan error, 1)
	go func() {
		_, err := invoke(t.Context(), host, event{Do: "sleep", Sleep: time.Minute})
		failed <- err
	}()
	time.Sleep(50 * time.Millisecond)
	for range 2 {
		if err := host.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-failed; !errors.Is(err, lambdahost.ErrClosed) {
		t.Errorf("invocation in flight: %v, want ErrClosed", err)
	}
	if _, err := invoke(t.Context(), host, event{Do: "echo"}); !errors.Is(err, lambdahost.ErrClosed) {
		t.Errorf("invocation after close: %v, want ErrClosed", err)
	}
}

func TestStartNamesEveryFault(t *testing.T) {
	_, err := lambdahost.Start(t.Context(), lambdahost.Function{
		Path:    filepath.Join(t.TempDir(), "absent"),
		Timeout: -time.Second,
		Env:     []string{"hunter2", "AWS_LAMBDA_RUNTIME_API=127.0.0.1:1"},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"no name", "negative", "absent", "not KEY=value", "AWS_LAMBDA_RUNTIME_API is set by Lambda"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error quotes a value:\n%v", err)
	}
}

func TestEventOverTheLimitIsRefused(t *testing.T) {
	host := start(t, lambdahost.Function{})
	_, err := host.Invoke(t.Context(), make([]byte, 6<<20+1))
	if err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("error %v, want a refusal", err)
	}
}

func TestBuildMakesTheDeployedBinary(t *testing.T) {
	t.Setenv("CGO_ENABLED", "1")
	t.Setenv("GOOS", "plan9")
	out := filepath.Join(t.TempDir(), "bootstrap")
	if err := lambdahost.Build(t.Context(), ".", "./testdata/echo", out); err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, setting := range info.Settings {
		got[setting.Key] = setting.Value
	}
	for key, want := range map[string]string{
		"CGO_ENABLED": "0", "GOOS": runtime.GOOS, "-tags": "lambda.norpc", "-trimpath": "true",
	} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
}

func TestBuildReportsTheCompiler(t *testing.T) {
	err := lambdahost.Build(t.Context(), ".", "./testdata/absent", filepath.Join(t.TempDir(), "bootstrap"))
	if err == nil || !strings.Contains(err.Error(), "testdata/absent") {
		t.Errorf("error %v, want the compiler's words", err)
	}
}

// watcher is a log that says when a line was written.
type watcher struct {
	line string
	seen chan struct{}

	mu   sync.Mutex
	text bytes.Buffer
	told bool
}

func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if !w.told && strings.Contains(w.text.String(), w.line) {
		w.told = true
		close(w.seen)
	}
	return len(p), nil
}

func (w *watcher) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

func TestProcess(t *testing.T) {
	host := start(t, lambdahost.Function{})
	if p, ok := host.Process(); ok {
		t.Errorf("before the first event there is the process %+v", p)
	}
	first, err := invoke(t.Context(), host, event{Do: "echo"})
	if err != nil {
		t.Fatal(err)
	}
	p, ok := host.Process()
	if !ok || p.ID != first.PID || p.Started.IsZero() || !p.Polled.After(p.Started) || !p.Replied.After(p.Polled) {
		t.Errorf("the process is %+v, want %d with its times in order", p, first.PID)
	}
	if _, err := invoke(t.Context(), host, event{Do: "echo"}); err != nil {
		t.Fatal(err)
	}
	if again, _ := host.Process(); again != p {
		t.Errorf("a second event has made %+v of %+v", again, p)
	}
	host.Kill()
	if p, ok := host.Process(); ok {
		t.Errorf("after its end there is the process %+v", p)
	}
}

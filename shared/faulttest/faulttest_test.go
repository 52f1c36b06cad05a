package faulttest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/faulttest"
)

// counter is a simulator of one number: POST adds one, GET reads it, and a
// stale GET reads the number before.
type counter struct {
	faulttest.Injector
	mu    sync.Mutex
	value int
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := faulttest.Call{Service: "counter", Op: r.Method, Target: r.URL.Query().Get("target"), Read: r.Method == http.MethodGet}
	throttle := func(w http.ResponseWriter, retryAfter time.Duration) {
		if retryAfter > 0 {
			w.Header().Set("Retry-After", fmt.Sprint(int(retryAfter.Seconds())))
		}
		http.Error(w, "slow down", http.StatusTooManyRequests)
	}
	c.Serve(w, r, call, throttle, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		shown := c.value
		if r.Method == http.MethodPost {
			body, _ := io.ReadAll(r.Body)
			if string(body) != "add one" {
				http.Error(w, "no body", http.StatusBadRequest)
				return
			}
			c.value++
			shown = c.value
		} else if faulttest.IsStale(r.Context()) {
			shown--
		}
		fmt.Fprint(w, shown)
	}))
}

func (c *counter) now() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.value
}

// wires are the two ways to a simulator. Both must fail in the same way.
var wires = map[string]func(t *testing.T, run func(t *testing.T, c *counter, client *http.Client, url string)){
	"in memory": func(t *testing.T, run func(*testing.T, *counter, *http.Client, string)) {
		synctest.Test(t, func(t *testing.T) {
			c := new(counter)
			run(t, c, &http.Client{Transport: faulttest.Transport{Route: func(host string) http.Handler {
				if host == "counter.example" {
					return c
				}
				return nil
			}}}, "https://counter.example")
		})
	},
	"over sockets": func(t *testing.T, run func(*testing.T, *counter, *http.Client, string)) {
		c := new(counter)
		server := httptest.NewServer(c)
		defer server.Close()
		// A connection of its own for each call: Go's transport repeats a GET
		// by itself on one that it reuses.
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		run(t, c, client, server.URL)
	},
}

// outcome is what a caller sees of a call.
type outcome struct {
	Status     int // zero is no reply
	Body       string
	RetryAfter string
	Deadline   bool
}

func do(ctx context.Context, t *testing.T, client *http.Client, method, url string) outcome {
	t.Helper()
	body := io.Reader(nil)
	if method == http.MethodPost {
		body = strings.NewReader("add one")
	}
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(r)
	if err != nil {
		return outcome{Deadline: errors.Is(err, context.DeadlineExceeded)}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return outcome{}
	}
	if resp.Request == nil || resp.Request.Method != method {
		t.Error("the reply does not name its request")
	}
	return outcome{Status: resp.StatusCode, Body: strings.TrimSpace(string(text)), RetryAfter: resp.Header.Get("Retry-After")}
}

func TestKinds(t *testing.T) {
	lost := outcome{}
	const internal = `{"message":"internal error","error_code":"INTERNAL_ERROR"}`
	tests := []struct {
		fault  faulttest.Fault
		post   outcome // of the first POST, the faulty one
		made   int     // what it left
		get    outcome // of a GET with the fault, on a counter at 1
		killed int64
	}{
		{fault: faulttest.Fault{}, post: outcome{Status: 200, Body: "1"}, made: 1, get: outcome{Status: 200, Body: "1"}},
		{fault: faulttest.Fault{Kind: faulttest.RequestLost}, post: lost, get: lost},
		{fault: faulttest.Fault{Kind: faulttest.ReplyLost}, post: lost, made: 1, get: lost},
		{fault: faulttest.Fault{Kind: faulttest.Throttled}, post: outcome{Status: 429, Body: "slow down"}, get: outcome{Status: 429, Body: "slow down"}},
		{
			fault: faulttest.Fault{Kind: faulttest.Throttled, RetryAfter: 7 * time.Second},
			post:  outcome{Status: 429, Body: "slow down", RetryAfter: "7"}, get: outcome{Status: 429, Body: "slow down", RetryAfter: "7"},
		},
		{fault: faulttest.Fault{Kind: faulttest.ServerError}, post: outcome{Status: 500, Body: internal}, get: outcome{Status: 500, Body: internal}},
		{fault: faulttest.Fault{Kind: faulttest.Timeout}, post: outcome{Deadline: true}, get: outcome{Deadline: true}},
		{fault: faulttest.Fault{Kind: faulttest.Slow, Delay: time.Millisecond}, post: outcome{Status: 200, Body: "1"}, made: 1, get: outcome{Status: 200, Body: "1"}},
		{fault: faulttest.Fault{Kind: faulttest.Slow, Delay: time.Hour}, post: outcome{Deadline: true}, get: outcome{Deadline: true}},
		{fault: faulttest.Fault{Kind: faulttest.StaleRead}, post: outcome{Status: 200, Body: "1"}, made: 1, get: outcome{Status: 200, Body: "0"}},
		{fault: faulttest.Fault{Kind: faulttest.Kill}, post: lost, get: lost, killed: 2},
		{fault: faulttest.Fault{Kind: faulttest.KillAfter}, post: lost, made: 1, get: lost, killed: 2},
	}
	for wire, open := range wires {
		for _, test := range tests {
			t.Run(fmt.Sprintf("%s, %v %v", wire, test.fault.Kind, test.fault.Delay), func(t *testing.T) {
				open(t, func(t *testing.T, c *counter, client *http.Client, url string) {
					plant := func() {
						if test.fault.Kind != 0 {
							c.Add(test.fault)
						}
					}
					ctx := func() context.Context {
						ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
						t.Cleanup(cancel)
						return ctx
					}
					var killed, atKill atomic.Int64
					c.OnKill(func(context.Context, faulttest.Call) { killed.Add(1); atKill.Store(int64(c.now())) })

					plant()
					got := do(ctx(), t, client, http.MethodPost, url)
					if diff := cmp.Diff(test.post, got); diff != "" || c.now() != test.made {
						t.Errorf("POST left %d, want %d (-want +got):\n%s", c.now(), test.made, diff)
					}
					if killed.Load() > 0 && atKill.Load() != int64(test.made) {
						t.Errorf("the caller died at %d, want %d", atKill.Load(), test.made)
					}
					if test.made == 0 {
						do(t.Context(), t, client, http.MethodPost, url)
					}
					plant()
					got = do(ctx(), t, client, http.MethodGet, url)
					if diff := cmp.Diff(test.get, got); diff != "" || c.now() != 1 {
						t.Errorf("GET left %d, want 1 (-want +got):\n%s", c.now(), diff)
					}
					if killed.Load() != test.killed {
						t.Errorf("killed %d times, want %d", killed.Load(), test.killed)
					}
					// The fault is used up.
					if got := do(t.Context(), t, client, http.MethodGet, url); got.Body != "1" {
						t.Errorf("after the fault: %+v", got)
					}
				})
			})
		}
	}
}

// inMemory is a counter and a function that calls it and reports the fault.
func inMemory(t *testing.T) (*counter, func(method, target string) faulttest.Kind) {
	c := new(counter)
	client := &http.Client{Transport: faulttest.Transport{Route: func(string) http.Handler { return c }}}
	return c, func(method, target string) faulttest.Kind {
		do(t.Context(), t, client, method, "https://counter.example?target="+target)
		calls := c.Calls()
		return calls[len(calls)-1].Fault
	}
}

func TestFaultsMatch(t *testing.T) {
	c, call := inMemory(t)
	c.Add(faulttest.Fault{Op: "POST", Target: "a", Skip: 2, Times: 2, Kind: faulttest.RequestLost})
	c.Add(faulttest.Fault{Op: "GET", Kind: faulttest.ServerError, Times: faulttest.Forever})
	c.Add(faulttest.Fault{Target: "a", Kind: faulttest.Throttled})
	steps := []struct {
		method, target string
		want           faulttest.Kind
	}{
		{"POST", "b", 0},
		{"POST", "a", faulttest.Throttled}, // the first planted skips it, the third takes it
		{"POST", "a", 0},                   // skipped once more
		{"POST", "a", faulttest.RequestLost},
		{"GET", "a", faulttest.ServerError},
		{"POST", "a", faulttest.RequestLost},
		{"POST", "a", 0},
		{"GET", "b", faulttest.ServerError},
		{"GET", "b", faulttest.ServerError},
	}
	for i, step := range steps {
		if got := call(step.method, step.target); got != step.want {
			t.Errorf("step %d, %s %s: %v, want %v", i, step.method, step.target, got, step.want)
		}
	}
	c.Clear()
	if got := call("GET", "b"); got != 0 {
		t.Errorf("after Clear: %v", got)
	}
	if n := len(c.Calls()); n != len(steps)+1 {
		t.Errorf("Clear forgot calls: %d are left", n)
	}
	c.Add(faulttest.Fault{Kind: faulttest.RequestLost})
	c.Reset()
	if got := call("POST", "x"); got != faulttest.RequestLost {
		t.Errorf("Reset forgot faults: %v", got)
	}
}

func TestCallsAreRecorded(t *testing.T) {
	c, call := inMemory(t)
	c.Add(faulttest.Fault{Op: "GET", Kind: faulttest.ReplyLost})
	call("POST", "a")
	call("GET", "b")
	want := []faulttest.Call{
		{Seq: 1, Service: "counter", Op: "POST", Target: "a"},
		{Seq: 2, Service: "counter", Op: "GET", Target: "b", Read: true, Fault: faulttest.ReplyLost},
	}
	if diff := cmp.Diff(want, c.Calls()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	c.Calls()[0].Op = "changed"
	if c.Calls()[0].Op != "POST" {
		t.Error("a caller can change the record")
	}
}

// A test looks in between any two calls, also when a call fails, and may use
// the injector while it does.
func TestOnCall(t *testing.T) {
	c, call := inMemory(t)
	var seen []string
	look := func(when string) func(faulttest.Call) {
		return func(call faulttest.Call) {
			seen = append(seen, fmt.Sprintf("%s %d: %d of %d", when, call.Seq, c.now(), len(c.Calls())))
		}
	}
	c.OnCall(look("before"), look("after"))
	c.Add(faulttest.Fault{Kind: faulttest.ReplyLost, Skip: 1})
	call("POST", "")
	call("POST", "")
	c.OnCall(nil, look("only after"))
	call("POST", "")
	want := []string{"before 1: 0 of 1", "after 1: 1 of 1", "before 2: 1 of 2", "after 2: 2 of 2", "only after 3: 3 of 3"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestConcurrentUse(t *testing.T) {
	c, call := inMemory(t)
	c.Add(faulttest.Fault{Kind: faulttest.RequestLost, Times: 10})
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() { call("POST", "") })
	}
	wg.Wait()
	lost := 0
	for i, call := range c.Calls() {
		if call.Seq != i+1 {
			t.Errorf("call %d has the number %d", i, call.Seq)
		}
		if call.Fault != 0 {
			lost++
		}
	}
	if lost != 10 || c.now() != 30 {
		t.Errorf("%d calls lost, %d served, want 10 and 30", lost, c.now())
	}
}

func TestKindString(t *testing.T) {
	for kind := faulttest.RequestLost; kind <= faulttest.KillAfter; kind++ {
		if name := kind.String(); strings.HasPrefix(name, "Kind(") {
			t.Errorf("%d has no name", int(kind))
		}
	}
	if got := faulttest.Kind(0).String(); got != "Kind(0)" {
		t.Errorf("no fault is called %q", got)
	}
}

// Package faulttest makes the simulators in this repository fail on demand.
//
// Both clouds are simulated over HTTP. An [Injector] sits in front of a
// simulator's handler, records every call, and applies the faults that a test
// planted: a request that never arrives, a change whose reply is lost, a
// throttle, a server error, silence, a stale read, a caller that dies. The one
// that matters most is [ReplyLost]: the state has changed and the caller does
// not know.
package faulttest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// Kind says how a call fails.
type Kind int

const (
	// RequestLost closes the connection before the handler runs: nothing changed.
	RequestLost Kind = iota + 1
	// ReplyLost lets the handler run and then closes the connection: the
	// change happened, the caller cannot know.
	ReplyLost
	// Throttled answers as the service does when it is asked too often,
	// before the handler runs, with Retry-After when the fault carries one.
	Throttled
	// ServerError answers 500, before the handler runs.
	ServerError
	// Timeout never answers; the call ends when the caller gives up.
	Timeout
	// Slow delays the call by [Fault.Delay] and then serves it.
	Slow
	// StaleRead serves a read from the state before the last write.
	StaleRead
	// Kill runs the injector's kill function before the handler: the caller
	// died with the request unsent.
	Kill
	// KillAfter runs the handler and then the kill function: the caller died
	// with the change made.
	KillAfter
)

var kindNames = map[Kind]string{
	RequestLost: "request lost",
	ReplyLost:   "reply lost",
	Throttled:   "throttled",
	ServerError: "server error",
	Timeout:     "timeout",
	Slow:        "slow",
	StaleRead:   "stale read",
	Kill:        "killed before",
	KillAfter:   "killed after",
}

func (k Kind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return fmt.Sprintf("Kind(%d)", int(k))
}

// Forever as [Fault.Times] keeps a fault in place until [Injector.Clear].
const Forever = -1

// Fault is one planted failure.
type Fault struct {
	// Op names the operation that fails, as the simulator names it in
	// [Call.Op]. Empty matches every operation.
	Op string
	// Target narrows the fault to calls on one resource. Empty matches all.
	Target string
	// Skip lets that many matching calls pass first.
	Skip int
	// Times is how many matching calls fail: zero means one, [Forever] all.
	Times int
	Kind  Kind
	// Delay is how long a [Slow] call waits.
	Delay time.Duration
	// RetryAfter is announced by a [Throttled] reply, in whole seconds.
	RetryAfter time.Duration
}

// Call is one request as a simulator understood it.
type Call struct {
	// Seq counts the calls of one injector from 1.
	Seq int
	// Service is "databricks", "secretsmanager", "sts" and so on.
	Service string
	// Op is the operation: the API's name for it on AWS ("PutSecretValue"),
	// method and route on Databricks ("POST /api/2.0/…/credentials/secrets").
	Op string
	// Target is the resource that the call is about, when there is one: a
	// secret's name, a service principal's id.
	Target string
	// Caller is who calls, as far as the simulator knows.
	Caller string
	// Read is true for calls that change nothing.
	Read bool
	// Fault is what was done to the call, zero if it was served.
	Fault Kind
}

// Injector records calls and applies faults. The zero value is ready; it is
// safe for concurrent use.
type Injector struct {
	mu     sync.Mutex
	calls  []Call
	faults []*Fault
	before func(Call)
	after  func(Call)
	kill   func(context.Context, Call)
}

// Add plants a fault. Of several that match a call, the first planted wins.
func (i *Injector) Add(f Fault) {
	if f.Times == 0 {
		f.Times = 1
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.faults = append(i.faults, &f)
}

// Clear removes all faults and keeps the record of calls.
func (i *Injector) Clear() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.faults = nil
}

// Calls returns the calls so far, in order of arrival.
func (i *Injector) Calls() []Call {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]Call(nil), i.calls...)
}

// Reset forgets the calls so far and keeps the faults.
func (i *Injector) Reset() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.calls = nil
}

// OnCall has f run before each call is served, and g after it, outside the
// simulator's locks: a consumer that looks in between any two calls. Either
// may be nil.
func (i *Injector) OnCall(f, g func(Call)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.before, i.after = f, g
}

// OnKill has f run for [Kill] and [KillAfter]; it stands for the death of the
// calling process, which the simulator cannot bring about by itself. The
// context is the request's, by which a caller in memory can tell who it was.
func (i *Injector) OnKill(f func(context.Context, Call)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.kill = f
}

// Throttle writes a service's own reply to a caller that asks too often.
type Throttle func(w http.ResponseWriter, retryAfter time.Duration)

// Serve passes one call through the injector: it is recorded, and then served
// by next or made to fail.
func (i *Injector) Serve(w http.ResponseWriter, r *http.Request, call Call, throttle Throttle, next http.Handler) {
	call, fault, before, after, kill := i.record(call)
	if before != nil {
		before(call)
	}
	if after != nil {
		defer after(call)
	}
	switch call.Fault {
	case RequestLost:
		panic(http.ErrAbortHandler)
	case ReplyLost:
		next.ServeHTTP(discard{http.Header{}}, r)
		panic(http.ErrAbortHandler)
	case Throttled:
		throttle(w, fault.RetryAfter)
	case ServerError:
		http.Error(w, `{"message":"internal error","error_code":"INTERNAL_ERROR"}`, http.StatusInternalServerError)
	case Timeout:
		_, _ = receive(r)
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case Slow:
		body, err := receive(r)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = body
		select {
		case <-time.After(fault.Delay):
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(w, r)
	case StaleRead:
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), staleKey{}, true)))
	case Kill:
		if kill != nil {
			kill(r.Context(), call)
		}
		panic(http.ErrAbortHandler)
	case KillAfter:
		next.ServeHTTP(discard{http.Header{}}, r)
		if kill != nil {
			kill(r.Context(), call)
		}
		panic(http.ErrAbortHandler)
	default:
		next.ServeHTTP(w, r)
	}
}

// receive reads a request to its end. Before that, net/http does not notice
// that the caller has gone.
func receive(r *http.Request) (io.ReadCloser, error) {
	body, err := io.ReadAll(r.Body)
	return io.NopCloser(bytes.NewReader(body)), err
}

func (i *Injector) record(call Call) (_ Call, _ Fault, before, after func(Call), kill func(context.Context, Call)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	call.Seq = len(i.calls) + 1
	var fault Fault
	for _, f := range i.faults {
		if f.Times == 0 || f.Op != "" && f.Op != call.Op || f.Target != "" && f.Target != call.Target {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Times > 0 {
			f.Times--
		}
		fault = *f
		break
	}
	call.Fault = fault.Kind
	i.calls = append(i.calls, call)
	return call, fault, i.before, i.after, i.kill
}

type staleKey struct{}

// IsStale tells a simulator's handler to answer from the state before the
// last write.
func IsStale(ctx context.Context) bool {
	stale, _ := ctx.Value(staleKey{}).(bool)
	return stale
}

// discard swallows a reply that nobody will read.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

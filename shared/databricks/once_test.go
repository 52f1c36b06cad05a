package databricks_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/faulttest"
)

// failure is a way in which a create can fail, and what is left of it.
type failure struct {
	name string
	// fault is what the simulator does, answer what a stand-in for it does.
	fault  faulttest.Fault
	answer func(*http.Request) (*http.Response, error)
	want   error
	made   int
}

func failures() []failure {
	status := func(code int) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: code, Request: r, Header: http.Header{"Content-Type": {"application/json"}, "Retry-After": {"1"}},
				Body: io.NopCloser(strings.NewReader(`{"error_code":"TEMPORARILY_UNAVAILABLE","message":"try again"}`)),
			}, nil
		}
	}
	return []failure{
		{name: "request lost", fault: faulttest.Fault{Kind: faulttest.RequestLost}, want: databricks.ErrUncertain},
		{name: "reply lost", fault: faulttest.Fault{Kind: faulttest.ReplyLost}, want: databricks.ErrUncertain, made: 1},
		{name: "429", fault: faulttest.Fault{Kind: faulttest.Throttled, RetryAfter: time.Second}, want: databricks.ErrBusy},
		{name: "500", fault: faulttest.Fault{Kind: faulttest.ServerError}, want: databricks.ErrUncertain},
		{name: "503", answer: status(http.StatusServiceUnavailable), want: databricks.ErrUncertain},
		{name: "504", answer: status(http.StatusGatewayTimeout), want: databricks.ErrUncertain},
		{name: "timeout", fault: faulttest.Fault{Kind: faulttest.Timeout}, want: databricks.ErrUncertain},
		{name: "connection refused", answer: func(*http.Request) (*http.Response, error) {
			return nil, errors.New("dial tcp 127.0.0.1:1: connect: connection refused")
		}, want: databricks.ErrUncertain},
		{name: "connection reset", answer: func(*http.Request) (*http.Response, error) {
			return nil, errors.New("read tcp 127.0.0.1:1: read: connection reset by peer")
		}, want: databricks.ErrUncertain},
		{name: "redirect", answer: func(r *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: http.StatusTemporaryRedirect, Request: r, Body: http.NoBody, Header: http.Header{"Location": {r.URL.String()}},
			}, nil
		}, want: databricks.ErrRejected},
	}
}

func isSecrets(path string) bool { return strings.HasSuffix(path, "/credentials/secrets") }

// Invariant 3: a create is one request, whatever becomes of it. The SDK by
// itself repeats it, and each repetition is an OAuth secret that nobody knows.
func TestCreateIsOneRequest(t *testing.T) {
	for _, failure := range failures() {
		t.Run(failure.name+" in memory", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				testCreateOnce(t, f, f.Transport(), failure)
			})
		})
		t.Run(failure.name+" over sockets", func(t *testing.T) {
			f := newFleet(t)
			if err := f.Listen(); err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			testCreateOnce(t, f, transport, failure)
		})
	}
}

func testCreateOnce(t *testing.T, f *fleet, transport http.RoundTripper, failure failure) {
	wire := &tap{next: transport}
	for _, l := range f.levels(wire) {
		// The token is at hand, and a connection is open.
		if _, err := l.client.ListSecrets(t.Context(), l.host, f.sp()); err != nil {
			t.Fatal(err)
		}
		made := len(f.Secrets(f.app.ID))
		sent := wire.count("POST", isSecrets)
		reached := f.count(l.create)
		if failure.fault.Kind != 0 {
			fault := failure.fault
			fault.Op, fault.Times = l.create, faulttest.Forever
			f.Faults().Add(fault)
		}
		wire.answer = func(r *http.Request) (*http.Response, error) {
			if failure.answer != nil && r.Method == http.MethodPost && isSecrets(r.URL.Path) {
				return failure.answer(r)
			}
			return nil, nil
		}
		// Time enough for the SDK to try again, where it would.
		timeout := time.Hour
		if failure.fault.Kind == faulttest.Timeout {
			timeout = 200 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		_, err := l.client.CreateSecret(ctx, l.host, f.sp(), lifetime, nil)
		cancel()
		f.Faults().Clear()
		wire.answer = nil

		if !errors.Is(err, failure.want) {
			t.Errorf("%s: %v, want %v", l.name, err, failure.want)
		}
		if databricks.Unsent(err) {
			t.Errorf("%s: a request that was sent is taken for unsent: %v", l.name, err)
		}
		if failure.fault.Kind == faulttest.Timeout && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v does not say that time ran out", l.name, err)
		}
		if n := wire.count("POST", isSecrets) - sent; n != 1 {
			t.Errorf("%s: %d requests sent, want 1", l.name, n)
		}
		if n := f.count(l.create) - reached; failure.answer == nil && n != 1 {
			t.Errorf("%s: %d requests arrived, want 1", l.name, n)
		}
		if n := len(f.Secrets(f.app.ID)) - made; n != failure.made {
			t.Errorf("%s: %d secrets made, want %d", l.name, n, failure.made)
		}
	}
}

// A host that is gone: the idle connection is closed and the port refuses.
func TestCreateOnClosedHost(t *testing.T) {
	f := newFleet(t)
	if err := f.Listen(); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	wire := &tap{next: transport}
	l := f.levels(wire)[0]
	if _, err := l.client.ListSecrets(t.Context(), l.host, f.sp()); err != nil {
		t.Fatal(err)
	}
	f.Close()
	start := time.Now()
	_, err := l.client.CreateSecret(t.Context(), l.host, f.sp(), lifetime, nil)
	if !errors.Is(err, databricks.ErrUncertain) {
		t.Errorf("%v, want ErrUncertain", err)
	}
	if n := wire.count("POST", isSecrets); n != 1 || time.Since(start) > 2*time.Second {
		t.Errorf("%d requests in %v, want 1 at once", n, time.Since(start))
	}
}

// Without a token of its own the rotator sends nothing, and says that.
func TestCreateUnsent(t *testing.T) {
	eachLevel(t, func(t *testing.T, f *fleet, l level) {
		f.Faults().Add(faulttest.Fault{Op: l.token, Kind: faulttest.ServerError})
		_, err := l.client.CreateSecret(t.Context(), l.host, f.sp(), lifetime, nil)
		if !errors.Is(err, databricks.ErrUncertain) || !databricks.Unsent(err) {
			t.Errorf("%v, want ErrUncertain, unsent", err)
		}
		if n := f.count(l.create) + len(f.Secrets(f.app.ID)); n != 0 {
			t.Errorf("%d requests or secrets, want none", n)
		}
		if databricks.Unsent(nil) || databricks.Unsent(errors.New("x")) {
			t.Error("Unsent of an error that is not ours")
		}
	})
}

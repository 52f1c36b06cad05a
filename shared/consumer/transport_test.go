package consumer_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"databricks-credential-rotation/shared/consumer"
)

// answers is a Databricks that refuses tokens as it is told.
type answers struct {
	below  http.RoundTripper
	refuse func(r *http.Request) (status int, body string)
	bodies []string
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasPrefix(r.URL.Path, "/api/") {
		return a.below.RoundTrip(r)
	}
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	a.bodies = append(a.bodies, string(body))
	status, text := a.refuse(r)
	if status == 0 {
		status, text = http.StatusOK, "{}"
	}
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
		Body: io.NopCloser(strings.NewReader(text)),
	}, nil
}

func TestTransport(t *testing.T) {
	const ended = `{"error_code":"403","message":"Invalid access token."}`
	tests := map[string]struct {
		refuse func(r *http.Request, first string) (int, string)
		// want is how many times the call is sent, and whether it succeeds.
		want int
		ok   bool
	}{
		"all is well": {func(*http.Request, string) (int, string) { return 0, "" }, 1, true},
		"401 of the first token": {func(r *http.Request, first string) (int, string) {
			if r.Header.Get("Authorization") == first {
				return 401, `{"error_code":"UNAUTHENTICATED","message":"no"}`
			}
			return 0, ""
		}, 2, true},
		"403 of a token that ended": {func(r *http.Request, first string) (int, string) {
			if r.Header.Get("Authorization") == first {
				return 403, ended
			}
			return 0, ""
		}, 2, true},
		"403 for want of a right": {func(*http.Request, string) (int, string) {
			return 403, `{"error_code":"PERMISSION_DENIED","message":"you may not"}`
		}, 1, false},
		"401 of every token": {func(*http.Request, string) (int, string) {
			return 401, `{"error_code":"UNAUTHENTICATED","message":"no"}`
		}, 2, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				a := &answers{below: w.dbx.Transport()}
				var first string
				a.refuse = func(r *http.Request) (int, string) {
					if first == "" {
						first = r.Header.Get("Authorization")
					}
					return test.refuse(r, first)
				}
				cfg := w.config(w.secret(consumer.Options{}))
				cfg.HTTPTransport = consumer.Transport(a)
				c := w.client(cfg)
				// The token is to be old enough not to be taken for a hopeless one.
				if _, err := cfg.GetTokenSource().Token(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				err := c.Do(t.Context(), http.MethodPost, "/api/2.0/jobs/create", nil, nil, map[string]string{"name": "nightly"}, nil)
				if (err == nil) != test.ok || len(a.bodies) != test.want {
					t.Errorf("sent %d times, %v; want %d, success %t", len(a.bodies), err, test.want, test.ok)
				}
				for _, body := range a.bodies {
					if body != `{"name":"nightly"}` {
						t.Errorf("a body was %q", body)
					}
				}
			})
		})
	}
}

// A hopeless token costs no more than a token request each two seconds.
func TestHopelessToken(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := &answers{below: w.dbx.Transport(), refuse: func(*http.Request) (int, string) { return 401, "{}" }}
		cfg := w.config(w.secret(consumer.Options{}))
		cfg.HTTPTransport = consumer.Transport(a)
		c := w.client(cfg)
		reads, tokens := w.since(func() {
			for range 600 {
				if err := call(t.Context(), c); err == nil {
					t.Fatal("a call succeeded")
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
		if reads > 35 || tokens > 35 {
			t.Errorf("a minute of 401 costs %d reads and %d token requests", reads, tokens)
		}
	})
}

// What is not the SDK's, and what cannot be sent again, passes through.
func TestTransportPassesOn(t *testing.T) {
	sent := 0
	rt := consumer.Transport(roundTripper(func(r *http.Request) (*http.Response, error) {
		sent++
		return &http.Response{StatusCode: 401, Body: io.NopCloser(bytes.NewReader([]byte("no"))), Request: r}, nil
	}))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer somebody's")
	resp, err := rt.RoundTrip(r)
	if err != nil || sent != 1 {
		t.Fatalf("sent %d times, %v", sent, err)
	}
	if body, _ := io.ReadAll(resp.Body); string(body) != "no" {
		t.Errorf("the body became %q", body)
	}
}

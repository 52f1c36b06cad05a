package faulttest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"databricks-credential-rotation/shared/faulttest"
)

func TestTransportSeesTheRequest(t *testing.T) {
	var got *http.Request
	var body string
	transport := faulttest.Transport{Route: func(string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			got, body = r, string(text)
			w.Header().Set("X-Reply", "yes")
			w.WriteHeader(http.StatusTeapot)
		})
	}}
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, "https://one.example:8443/a%2Fb?c=d", strings.NewReader("text"))
	r.Header.Set("X-Request", "yes")
	resp, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusTeapot || resp.Header.Get("X-Reply") != "yes" || resp.Request != r {
		t.Errorf("reply %+v", resp)
	}
	if got.Method != http.MethodPut || got.Host != "one.example:8443" || got.RequestURI != "/a%2Fb?c=d" || got.Header.Get("X-Request") != "yes" || body != "text" {
		t.Errorf("the handler saw %s %s%s, body %q", got.Method, got.Host, got.RequestURI, body)
	}
}

func TestTransportFails(t *testing.T) {
	aborts := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	served := 0
	transport := faulttest.Transport{Route: func(host string) http.Handler {
		if host == "gone.example" {
			return nil
		}
		served++
		return aborts
	}}
	request := func(ctx context.Context, url string, body io.Reader) error {
		r, _ := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
		resp, err := transport.RoundTrip(r)
		if resp != nil {
			t.Error("a reply came with the error")
		}
		return err
	}
	if err := request(t.Context(), "https://gone.example", nil); err == nil || !strings.Contains(err.Error(), "no such host: gone.example") {
		t.Errorf("unknown host: %v", err)
	}
	if err := request(t.Context(), "https://one.example", nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("closed connection: %v", err)
	}
	before := served
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := request(ctx, "https://one.example", nil); !errors.Is(err, context.Canceled) || served != before {
		t.Errorf("a dead context: %v, served %v", err, served != before)
	}
	broken := errors.New("broken body")
	if err := request(t.Context(), "https://one.example", io.MultiReader(strings.NewReader("x"), failing{broken})); !errors.Is(err, broken) || served != before+1 {
		t.Errorf("a body that cannot be read: %v", err)
	}
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

// A bug in a handler is the test's to hear of, not the caller's.
func TestTransportPassesPanicsOn(t *testing.T) {
	transport := faulttest.Transport{Route: func(string) http.Handler {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("bug") })
	}}
	defer func() {
		if got := recover(); got != "bug" {
			t.Errorf("recovered %v", got)
		}
	}()
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://one.example", nil)
	_, _ = transport.RoundTrip(r)
	t.Error("the panic was swallowed")
}

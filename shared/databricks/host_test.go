package databricks_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/secret"
)

func TestParseAllowedHosts(t *testing.T) {
	good := []string{
		"https://*.cloud.databricks.com",
		"https://dbc-1a2b.cloud.databricks.com, https://accounts.cloud.databricks.com",
		"https://example.com:8443,",
		"https://example.com:*",
		"http://127.0.0.1:*",
		"http://127.0.0.1:8080",
		"http://localhost",
	}
	for _, patterns := range good {
		if _, err := databricks.ParseAllowedHosts(patterns); err != nil {
			t.Errorf("%q: %v", patterns, err)
		}
	}
	bad := map[string]string{
		"":                                     "no host is allowed",
		" , ":                                  "no host is allowed",
		"*.cloud.databricks.com":               "must be a URL",
		"https://example.com/":                 "must be a URL",
		"https://example.com?x":                "must be a URL",
		"https://user@example.com":             "must be a URL",
		"https://*":                            "one *",
		"https://*.com":                        "too wide",
		"https://*.*.com":                      "one *",
		"https://a.*.com":                      "one *",
		"https://a*.example.com":               "one *",
		"https://":                             "must name a host",
		"https://*.":                           "must name a host",
		"https://exa mple.com":                 "must name a host",
		"https://example.com:https":            "must end in a port",
		"https://[::1]:80":                     "must end in a port",
		"http://example.com":                   "loopback",
		"http://*.example.com":                 "loopback",
		"http://127.0.0.1.example.com":         "loopback",
		"http://127.example.com":               "loopback",
		"ftp://example.com":                    "must begin with https://",
		"https://fine.example.com, nonsense!!": "must be a URL",
	}
	for patterns, want := range bad {
		if hosts, err := databricks.ParseAllowedHosts(patterns); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q = %v, %v, want an error with %q", patterns, hosts, err, want)
		}
	}
}

func TestAllowedHosts(t *testing.T) {
	hosts := allow(t, "https://*.cloud.databricks.com, https://example.com:8443, http://127.0.0.1:*")
	good := []string{
		"https://dbc-1a2b.cloud.databricks.com",
		"https://DBC-1A2B.Cloud.Databricks.com",
		"https://deep.below.cloud.databricks.com",
		"https://example.com:8443",
		"http://127.0.0.1:1",
		"http://127.0.0.1",
	}
	for _, host := range good {
		if err := hosts.Check(host); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, host := range badHosts {
		if err := hosts.Check(host); !errors.Is(err, databricks.ErrHost) {
			t.Errorf("%s: %v, want ErrHost", host, err)
		}
	}
	if err := databricks.AllowedHosts(nil).Check(good[0]); !errors.Is(err, databricks.ErrHost) {
		t.Errorf("no pattern allows %s: %v", good[0], err)
	}
	// Invariant 6: whoever puts a secret where the host belongs does not find
	// it in the log.
	if err := hosts.Check("https://dose0123456789abcdef"); err == nil || strings.Contains(err.Error(), "0123456789abcdef") {
		t.Errorf("the error shows the host: %v", err)
	}
}

var badHosts = []string{
	"https://cloud.databricks.com",
	"https://evilcloud.databricks.com",
	"https://cloud.databricks.com.evil.example",
	"https://dbc-1a2b.cloud.databricks.com.",
	"https://dbc-1a2b.cloud.databricks.com@evil.example",
	"https://user:password@dbc-1a2b.cloud.databricks.com",
	"https://dbc-1a2b.cloud.databricks.com:8443",
	"https://dbc-1a2b.cloud.databricks.com/path",
	"https://dbc-1a2b.cloud.databricks.com?query",
	"https://dbc-1a2b.cloud.databricks.com?",
	"https://dbc-1a2b.cloud.databricks.com#fragment",
	"http://dbc-1a2b.cloud.databricks.com",
	"https://example.com",
	"https://127.0.0.1:1",
	"http://127.0.0.2:1",
	"ftp://127.0.0.1:1",
	"dbc-1a2b.cloud.databricks.com",
	"https://",
	"",
	"://",
}

// Invariant 6: a host that is not allowed gets no request at all, and the
// rotator does not even ask for its own identity.
func TestNothingIsSentToOtherHosts(t *testing.T) {
	wire := &tap{next: faulttest.Transport{Route: func(string) http.Handler { return http.NotFoundHandler() }}}
	asked := 0
	c := &databricks.Client{
		Allowed: allow(t, "https://*.cloud.databricks.com, https://example.com:8443, http://127.0.0.1:*"),
		Identity: databricks.Stored{Read: func(context.Context) (string, secret.Text, error) {
			asked++
			return "id", secret.New("dose-rotator"), nil
		}},
		Transport: wire,
	}
	ctx := t.Context()
	for _, url := range badHosts {
		host := databricks.Host{URL: url, AccountID: "a"}
		calls := map[string]func() error{
			"ListSecrets":  func() error { _, err := c.ListSecrets(ctx, host, "1"); return err },
			"CreateSecret": func() error { _, err := c.CreateSecret(ctx, host, "1", lifetime, nil); return err },
			"DeleteSecret": func() error { return c.DeleteSecret(ctx, host, "1", "2") },
			"Principal":    func() error { _, err := c.Principal(ctx, host, "1"); return err },
			"Find":         func() error { _, err := c.FindPrincipal(ctx, host, "1"); return err },
			"Inactive":     func() error { _, err := c.InactivePrincipals(ctx, host); return err },
			"Verify":       func() error { return c.Verify(ctx, host, "id", secret.New("dose-app"), nil) },
		}
		for name, call := range calls {
			if err := call(); !errors.Is(err, databricks.ErrHost) || !databricks.Unsent(err) {
				t.Errorf("%s at %q: %v, want ErrHost, unsent", name, url, err)
			}
		}
	}
	if len(wire.calls) > 0 || asked > 0 {
		t.Errorf("%d requests, %d readings of the rotator's credential, want none", len(wire.calls), asked)
	}
}

// Nor does a redirect lead there: not an API call, nor the token endpoint,
// whose form carries the web identity token.
func TestRedirectsAreNotFollowed(t *testing.T) {
	strangers := 0
	stranger := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strangers++ }))
	defer stranger.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		requests := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests++
			if strings.Contains(r.URL.Path, "/oidc/") && r.Header.Get("X-Test") == "" && requests == 1 {
				writeJSON(w, http.StatusOK, `{"access_token":"token","token_type":"Bearer","expires_in":3600}`)
				return
			}
			http.Redirect(w, r, stranger.URL+r.URL.Path, status)
		}))
		host := databricks.Host{URL: server.URL, AccountID: "a"}
		c := &databricks.Client{
			Allowed: allow(t, server.URL), Transport: &http.Transport{},
			Identity: databricks.Federation{ClientID: "id", WebIdentity: func(context.Context, string) (secret.Text, error) {
				return secret.New("web-identity"), nil
			}},
		}
		_, listErr := c.ListSecrets(t.Context(), host, "1")
		_, createErr := c.CreateSecret(t.Context(), host, "1", lifetime, nil)
		deleteErr := c.DeleteSecret(t.Context(), host, "1", "2")
		verifyErr := c.Verify(t.Context(), host, "id", secret.New("dose-app"), nil)
		for i, err := range []error{listErr, createErr, deleteErr, verifyErr} {
			if !errors.Is(err, databricks.ErrRejected) {
				t.Errorf("%d, call %d: %v, want ErrRejected", status, i, err)
			}
		}
		if requests != 5 { // the token, and one of each call
			t.Errorf("%d: %d requests, want 5", status, requests)
		}
		server.Close()
	}
	if strangers > 0 {
		t.Errorf("%d requests went to another host", strangers)
	}
}

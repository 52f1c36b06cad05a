package databrickstest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/databricks/databricks-sdk-go/client"
	"github.com/databricks/databricks-sdk-go/config"

	"databricks-credential-rotation/shared/databrickstest"
)

// clock is a time that tests move.
type clock struct{ now time.Time }

func newClock() *clock {
	return &clock{time.Date(2027, 3, 1, 9, 0, 0, 0, time.UTC)}
}

func (c *clock) Now() time.Time          { return c.now }
func (c *clock) advance(d time.Duration) { c.now = c.now.Add(d) }

// world is an account with a workspace, an account admin, a workspace admin
// who manages the app, and the app itself, a plain member of the workspace.
type world struct {
	*databrickstest.Server
	t                      *testing.T
	clock                  *clock
	workspace              *databrickstest.Workspace
	admin, manager, app    databrickstest.Principal
	adminSecret, mgrSecret databrickstest.OAuthSecret
	adminBearer, mgrBearer string // made on first use
}

func newWorld(t *testing.T, cfg databrickstest.Config) *world {
	t.Helper()
	w := &world{t: t, clock: newClock()}
	cfg.Now = w.clock.Now
	w.Server = databrickstest.New(cfg)
	w.workspace = w.AddWorkspace("analytics")
	w.admin = w.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "rotator", AccountAdmin: true})
	w.manager = w.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "workspace rotator"})
	w.app = w.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "nightly job"})
	w.Assign(w.manager.ID, w.workspace, true)
	w.Assign(w.app.ID, w.workspace, false)
	w.GrantManager(w.manager.ID, w.app.ID)
	w.adminSecret = w.secret(w.admin, databrickstest.SecretSpec{})
	w.mgrSecret = w.secret(w.manager, databrickstest.SecretSpec{})
	return w
}

func (w *world) secret(p databrickstest.Principal, spec databrickstest.SecretSpec) databrickstest.OAuthSecret {
	w.t.Helper()
	o, err := w.AddSecret(p.ID, spec)
	if err != nil {
		w.t.Fatalf("add secret: %v", err)
	}
	return o
}

// answer is a reply as a bare HTTP client sees it.
type answer struct {
	status int
	header http.Header
	body   map[string]any
	err    error // the connection's, not the API's
}

// code is the error's code in any of the three dialects.
func (a answer) code() string {
	for _, field := range []string{"error_code", "error", "scimType"} {
		if code, ok := a.body[field].(string); ok {
			return code
		}
	}
	return ""
}

func (a answer) message() string {
	for _, field := range []string{"message", "error_description", "detail"} {
		if text, ok := a.body[field].(string); ok {
			return text
		}
	}
	return ""
}

// send makes one request in memory, once, and reads the reply.
func (w *world) send(ctx context.Context, method, target, auth, media, body string) answer {
	w.t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if auth != "" {
		r.Header.Set("Authorization", auth)
	}
	if media != "" {
		r.Header.Set("Content-Type", media)
	}
	reply, err := w.Transport().RoundTrip(r)
	if err != nil {
		return answer{err: err}
	}
	defer reply.Body.Close()
	raw, err := io.ReadAll(reply.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	a := answer{status: reply.StatusCode, header: reply.Header}
	if len(bytes.TrimSpace(raw)) > 0 && raw[0] == '{' {
		if err := json.Unmarshal(raw, &a.body); err != nil {
			w.t.Fatalf("%s %s: %v in reply %q", method, target, err, raw)
		}
	}
	return a
}

// api makes one API request with a bearer token.
func (w *world) api(method, target, bearer, body string) answer {
	w.t.Helper()
	return w.send(w.t.Context(), method, target, "Bearer "+bearer, "application/json", body)
}

// form makes one token request.
func (w *world) form(endpoint string, fields url.Values) answer {
	w.t.Helper()
	return w.send(w.t.Context(), http.MethodPost, endpoint, "", "application/x-www-form-urlencoded", fields.Encode())
}

func (w *world) accountTokenURL() string {
	return w.AccountHost() + "/oidc/accounts/" + w.AccountID() + "/v1/token"
}

func (w *world) workspaceTokenURL() string { return w.workspace.Host() + "/oidc/v1/token" }

// token asks for an access token with a secret.
func (w *world) token(endpoint string, p databrickstest.Principal, secret, scope string) answer {
	w.t.Helper()
	fields := url.Values{
		"grant_type":    {"client_credentials"},
		"client_id":     {p.ApplicationID},
		"client_secret": {secret},
	}
	if scope != "" {
		fields.Set("scope", scope)
	}
	return w.form(endpoint, fields)
}

func (w *world) mustToken(endpoint string, p databrickstest.Principal, secret, scope string) string {
	w.t.Helper()
	a := w.token(endpoint, p, secret, scope)
	value, _ := a.body["access_token"].(string)
	if a.status != http.StatusOK || value == "" {
		w.t.Fatalf("token for %s: %+v", p.DisplayName, a)
	}
	return value
}

func (w *world) asAdmin() string {
	w.t.Helper()
	if w.adminBearer == "" {
		w.adminBearer = w.mustToken(w.accountTokenURL(), w.admin, w.adminSecret.Value, "")
	}
	return w.adminBearer
}

func (w *world) asManager() string {
	w.t.Helper()
	if w.mgrBearer == "" {
		w.mgrBearer = w.mustToken(w.workspaceTokenURL(), w.manager, w.mgrSecret.Value, "")
	}
	return w.mgrBearer
}

// bareLoader keeps the environment of the machine out of the SDK's config.
type bareLoader struct{}

func (bareLoader) Name() string                   { return "bare" }
func (bareLoader) Configure(*config.Config) error { return nil }

// sdk returns the real SDK's client. A nil transport is the SDK's own, for a
// server that listens.
func sdk(t *testing.T, host, accountID, clientID, secret string, transport http.RoundTripper) *client.DatabricksClient {
	t.Helper()
	c, err := client.New(&config.Config{
		Host:                host,
		AccountID:           accountID,
		ClientID:            clientID,
		ClientSecret:        secret,
		AuthType:            "oauth-m2m",
		Credentials:         config.M2mCredentials{},
		Loaders:             []config.Loader{bareLoader{}},
		HTTPTransport:       transport,
		RetryTimeoutSeconds: 1,
		HTTPTimeoutSeconds:  5,
		RateLimitPerSecond:  1000,
	})
	if err != nil {
		t.Fatalf("SDK client for %s: %v", host, err)
	}
	return c
}

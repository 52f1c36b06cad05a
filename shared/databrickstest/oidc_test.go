package databrickstest_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/databrickstest"
)

func TestClientCredentials(t *testing.T) {
	tests := []struct {
		name   string
		scopes []string // of the secret
		ask    string
		status int
		code   string
		grant  string
	}{
		{name: "unrestricted, nothing asked", status: 200, grant: "all-apis"},
		{name: "unrestricted, all asked", ask: "all-apis", status: 200, grant: "all-apis"},
		{name: "unrestricted, narrowed", ask: "sql files", status: 200, grant: "sql files"},
		{name: "scoped, nothing asked", scopes: []string{"sql", "files"}, status: 200, grant: "sql files"},
		{name: "scoped, all asked", scopes: []string{"sql", "files"}, ask: "all-apis", status: 200, grant: "sql files"},
		{name: "scoped, narrowed", scopes: []string{"sql", "files"}, ask: "files", status: 200, grant: "files"},
		{name: "scoped, widened", scopes: []string{"sql"}, ask: "sql jobs", status: 400, code: "invalid_scope"},
		{name: "scoped to all", scopes: []string{"all-apis"}, ask: "jobs", status: 200, grant: "jobs"},
		{name: "not a scope", ask: "SQL!", status: 400, code: "invalid_scope"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, databrickstest.Config{})
			o := w.secret(w.app, databrickstest.SecretSpec{Scopes: test.scopes})
			for _, endpoint := range []string{w.accountTokenURL(), w.workspaceTokenURL()} {
				got := w.token(endpoint, w.app, o.Value, test.ask)
				if got.status != test.status || got.code() != test.code {
					t.Fatalf("answered %+v, want %d %s", got, test.status, test.code)
				}
				if test.status != http.StatusOK {
					continue
				}
				want := map[string]any{
					"access_token": got.body["access_token"], "token_type": "Bearer",
					"expires_in": 3600.0, "scope": test.grant,
				}
				if diff := cmp.Diff(want, got.body); diff != "" {
					t.Errorf("reply (-want +got):\n%s", diff)
				}
				if value, _ := got.body["access_token"].(string); !slices.Contains(w.Issued(), value) {
					t.Error("the access token is not among the issued values")
				}
			}
		})
	}
}

func TestTokenEndpointRefuses(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	good := w.secret(w.app, databrickstest.SecretSpec{})
	expired := w.secret(w.app, databrickstest.SecretSpec{Lifetime: time.Hour, CreateTime: w.clock.now.Add(-time.Hour)})
	deleted := w.secret(w.app, databrickstest.SecretSpec{})
	w.DeleteSecret(w.app.ID, deleted.ID)
	idle := w.AddPrincipal(databrickstest.PrincipalSpec{Inactive: true})
	idleSecret := w.secret(idle, databrickstest.SecretSpec{})
	gone := w.AddPrincipal(databrickstest.PrincipalSpec{})
	goneSecret := w.secret(gone, databrickstest.SecretSpec{})
	w.DeletePrincipal(gone.ID)

	form := func(changes ...string) url.Values {
		f := url.Values{
			"grant_type": {"client_credentials"}, "client_id": {w.app.ApplicationID}, "client_secret": {good.Value},
		}
		for i := 0; i < len(changes); i += 2 {
			if changes[i+1] == "" {
				f.Del(changes[i])
			} else {
				f.Add(changes[i], changes[i+1])
			}
		}
		return f
	}
	of := func(p databrickstest.Principal, secret string) url.Values {
		return url.Values{"grant_type": {"client_credentials"}, "client_id": {p.ApplicationID}, "client_secret": {secret}}
	}
	tests := []struct {
		name     string
		endpoint string
		form     url.Values
		status   int
		code     string
	}{
		{"wrong secret", w.accountTokenURL(), of(w.app, "dosewrong"), 401, "invalid_client"},
		{"another's secret", w.accountTokenURL(), of(w.app, w.adminSecret.Value), 401, "invalid_client"},
		{"expired secret", w.accountTokenURL(), of(w.app, expired.Value), 401, "invalid_client"},
		{"deleted secret", w.accountTokenURL(), of(w.app, deleted.Value), 401, "invalid_client"},
		{"inactive", w.accountTokenURL(), of(idle, idleSecret.Value), 401, "invalid_client"},
		{"deleted principal", w.accountTokenURL(), of(gone, goneSecret.Value), 401, "invalid_client"},
		{"unknown client", w.accountTokenURL(), url.Values{"grant_type": {"client_credentials"}, "client_id": {"x"}, "client_secret": {"y"}}, 401, "invalid_client"},
		{"no client", w.accountTokenURL(), url.Values{"grant_type": {"client_credentials"}}, 401, "invalid_client"},
		{"not a member of the workspace", w.workspaceTokenURL(), of(w.admin, w.adminSecret.Value), 401, "invalid_client"},
		{"no grant type", w.accountTokenURL(), form("grant_type", ""), 400, "invalid_request"},
		{"other grant type", w.accountTokenURL(), url.Values{"grant_type": {"password"}}, 400, "unsupported_grant_type"},
		{"unknown field", w.accountTokenURL(), form("assume_group", "7"), 400, "invalid_request"},
		{"field twice", w.accountTokenURL(), form("client_id", "7"), 400, "invalid_request"},
		{"subject token with a secret", w.accountTokenURL(), form("subject_token", "x"), 400, "invalid_request"},
		{"another account", strings.Replace(w.accountTokenURL(), w.AccountID(), "nobody", 1), form(), 404, "RESOURCE_DOES_NOT_EXIST"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := w.form(test.endpoint, test.form)
			if got.status != test.status || got.code() != test.code {
				t.Errorf("answered %+v, want %d %s", got, test.status, test.code)
			}
		})
	}
	if got := w.form(w.accountTokenURL(), of(w.app, "dosewrong")); got.message() != "Client authentication failed" {
		t.Errorf("a wrong secret is answered %q", got.message())
	}
	if got := w.send(t.Context(), http.MethodPost, w.accountTokenURL(), "", "application/json", `{}`); got.status != 400 {
		t.Errorf("JSON on the token endpoint: %+v", got)
	}
	if got := w.form(w.accountTokenURL(), form()); got.status != 200 {
		t.Errorf("the good request itself: %+v", got)
	}
}

func TestBasicAuth(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	basic := func(id, secret, form string) answer {
		r, _ := http.NewRequest(http.MethodPost, "/", nil)
		r.SetBasicAuth(id, secret)
		return w.send(t.Context(), http.MethodPost, w.accountTokenURL(), r.Header.Get("Authorization"),
			"application/x-www-form-urlencoded; charset=utf-8", form)
	}
	const grant = "grant_type=client_credentials"
	if got := basic(w.admin.ApplicationID, w.adminSecret.Value, grant); got.status != 200 {
		t.Errorf("basic: %+v", got)
	}
	if got := basic(w.admin.ApplicationID, "no", grant); got.status != 401 || got.header.Get("WWW-Authenticate") == "" {
		t.Errorf("wrong secret: %+v", got)
	}
	if got := basic(w.admin.ApplicationID, "%zz", grant); got.status != 401 {
		t.Errorf("secret that is not form-encoded: %+v", got)
	}
	if got := basic(w.admin.ApplicationID, w.adminSecret.Value, grant+"&client_id="+w.admin.ApplicationID); got.status != 400 {
		t.Errorf("credentials twice: %+v", got)
	}
}

func TestDiscovery(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	get := func(target string) map[string]any {
		t.Helper()
		got := w.send(t.Context(), http.MethodGet, target, "", "", "")
		if got.status != http.StatusOK {
			t.Fatalf("GET %s: %+v", target, got)
		}
		return got.body
	}
	account := get(w.AccountHost() + "/.well-known/databricks-config")
	if account["host_type"] != "account" || account["oidc_endpoint"] != w.AccountHost()+"/oidc/accounts/{account_id}" {
		t.Errorf("account: %v", account)
	}
	workspace := get(w.workspace.Host() + "/.well-known/databricks-config")
	if workspace["host_type"] != "workspace" || workspace["account_id"] != w.AccountID() {
		t.Errorf("workspace: %v", workspace)
	}
	for endpoint, metadata := range map[string]string{
		w.accountTokenURL():   w.AccountHost() + "/oidc/accounts/" + w.AccountID() + "/.well-known/oauth-authorization-server",
		w.workspaceTokenURL(): w.workspace.Host() + "/oidc/.well-known/oauth-authorization-server",
	} {
		if got := get(metadata)["token_endpoint"]; got != endpoint {
			t.Errorf("%s names %v, want %s", metadata, got, endpoint)
		}
	}
}

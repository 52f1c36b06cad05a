package databrickstest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"databricks-credential-rotation/shared/databrickstest"
)

func TestRoles(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	other := w.AddWorkspace("finance")
	outsider := w.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "elsewhere"})
	w.Assign(outsider.ID, other, false)
	w.GrantManager(w.manager.ID, outsider.ID)
	unmanaged := w.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "nobody's"})
	w.Assign(unmanaged.ID, w.workspace, false)
	foreigner := w.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "foreign admin"})
	w.Assign(foreigner.ID, other, true)
	gone := w.AddPrincipal(databrickstest.PrincipalSpec{})
	w.DeletePrincipal(gone.ID)

	appSecret := w.secret(w.app, databrickstest.SecretSpec{})
	foreignSecret := w.secret(foreigner, databrickstest.SecretSpec{})
	account, workspace := w.accountTokenURL(), w.workspaceTokenURL()
	admin, manager := w.asAdmin(), w.asManager()
	appAtAccount := w.mustToken(account, w.app, appSecret.Value, "")
	appAtWorkspace := w.mustToken(workspace, w.app, appSecret.Value, "")
	foreign := w.mustToken(account, foreigner, foreignSecret.Value, "")
	foreignAtOther := w.mustToken(other.Host()+"/oidc/v1/token", foreigner, foreignSecret.Value, "")
	scimOnly := w.mustToken(account, w.admin, w.adminSecret.Value, "scim")
	secretsOnly := w.mustToken(account, w.admin, w.adminSecret.Value, "authentication")
	managerAtAccount := w.mustToken(account, w.manager, w.mgrSecret.Value, "")

	scim := w.AccountHost() + "/api/2.0/accounts/" + w.AccountID() + "/scim/v2/ServicePrincipals"
	wsScim := w.workspace.Host() + "/api/2.0/preview/scim/v2/ServicePrincipals"
	me := w.workspace.Host() + "/api/2.0/preview/scim/v2/Me"
	tests := []struct {
		name, target, bearer string
		status               int
		says                 string
	}{
		{"account admin", w.accountSecretsURL(w.app.ID), admin, 200, ""},
		{"not account admin", w.accountSecretsURL(w.app.ID), appAtAccount, 403, "account_admin"},
		{"workspace manager on the account", w.accountSecretsURL(w.app.ID), managerAtAccount, 403, "account_admin"},
		{"workspace admin and manager", w.workspaceSecretsURL(w.app.ID), manager, 200, ""},
		{"the same with an account token", w.workspaceSecretsURL(w.app.ID), managerAtAccount, 200, ""},
		{"plain member", w.workspaceSecretsURL(w.app.ID), appAtWorkspace, 403, "ADMIN of workspace"},
		{"admin who does not manage", w.workspaceSecretsURL(unmanaged.ID), manager, 403, "servicePrincipal.manager"},
		{"target elsewhere", w.workspaceSecretsURL(outsider.ID), manager, 403, "not assigned"},
		{"caller elsewhere", w.workspaceSecretsURL(w.app.ID), foreign, 403, "not assigned"},
		{"account admin who is no member", w.workspaceSecretsURL(w.app.ID), admin, 403, "not assigned"},
		{"token of another workspace", w.workspaceSecretsURL(w.app.ID), foreignAtOther, 401, "good for workspace"},
		{"workspace token on the account", w.accountSecretsURL(w.app.ID), manager, 401, "good for workspace"},
		{"unknown principal", w.accountSecretsURL(4711), admin, 404, "4711"},
		{"deleted principal", w.accountSecretsURL(gone.ID), admin, 404, "does not exist"},
		{"application id in place of the id", strings.Replace(w.accountSecretsURL(7), "/7/", "/"+w.app.ApplicationID+"/", 1), admin, 400, "not a number"},
		{"another account", strings.Replace(w.accountSecretsURL(w.app.ID), w.AccountID(), "00000000-0000-4000-8000-000000000000", 1), admin, 404, "account"},
		{"no token", w.accountSecretsURL(w.app.ID), "", 401, "bearer"},
		{"made-up token", w.accountSecretsURL(w.app.ID), "abc", 401, "not known"},
		{"secrets with scope scim", w.accountSecretsURL(w.app.ID), scimOnly, 403, "Provided OAuth token does not have required scopes: authentication"},
		{"secrets with scope authentication", w.accountSecretsURL(w.app.ID), secretsOnly, 200, ""},
		{"SCIM with scope authentication", scim, secretsOnly, 403, "Provided OAuth token does not have required scopes: scim"},
		{"SCIM with scope scim", scim, scimOnly, 200, ""},
		{"SCIM without account_admin", scim, appAtAccount, 403, "account_admin"},
		{"workspace SCIM as a member", wsScim, appAtWorkspace, 403, "ADMIN"},
		{"workspace SCIM as its admin", wsScim, manager, 200, ""},
		{"Me as a member", me, appAtWorkspace, 200, ""},
		{"Me elsewhere", me, foreign, 403, "not assigned"},
	}
	// This is how the SDK, and with it the Terraform provider, learns which
	// workspace it is in.
	got := w.api(http.MethodGet, me+"?excludedAttributes=entitlements", appAtWorkspace, "")
	if id := got.header.Get("X-Databricks-Org-Id"); got.status != 200 || id != fmt.Sprint(w.workspace.ID) || got.body["entitlements"] != nil {
		t.Errorf("%+v, workspace %q", got, id)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := w.api(http.MethodGet, test.target, test.bearer, "")
			if got.status != test.status || !strings.Contains(got.message(), test.says) {
				t.Errorf("answered %+v, want %d saying %q", got, test.status, test.says)
			}
		})
	}
}

func TestAccessTokenEnds(t *testing.T) {
	tests := []struct {
		name  string
		end   func(w *world)
		wants int
	}{
		{"never", func(*world) {}, 200},
		{"a moment before its hour", func(w *world) { w.clock.advance(time.Hour - 1) }, 200},
		{"after its hour", func(w *world) { w.clock.advance(time.Hour) }, 401},
		{"when its owner is inactive", func(w *world) { w.SetActive(w.admin.ID, false) }, 401},
		{"when its owner is deleted", func(w *world) { w.DeletePrincipal(w.admin.ID) }, 401},
		{"not with its secret", func(w *world) { w.DeleteSecret(w.admin.ID, w.adminSecret.ID) }, 200},
		{"with its secret, on demand", func(w *world) {
			w.RevokeTokensOnDelete(true)
			w.DeleteSecret(w.admin.ID, w.adminSecret.ID)
		}, 401},
		{"not with another secret", func(w *world) {
			w.RevokeTokensOnDelete(true)
			w.DeleteSecret(w.admin.ID, w.secret(w.admin, databrickstest.SecretSpec{}).ID)
		}, 200},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, databrickstest.Config{})
			bearer := w.asAdmin()
			test.end(w)
			if got := w.api(http.MethodGet, w.accountSecretsURL(w.app.ID), bearer, ""); got.status != test.wants {
				t.Errorf("answered %+v, want %d", got, test.wants)
			}
		})
	}
}

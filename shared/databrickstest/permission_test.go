package databrickstest_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/databricks/databricks-sdk-go/apierr"
	"github.com/databricks/databricks-sdk-go/service/catalog"
	"github.com/databricks/databricks-sdk-go/service/iam"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/databrickstest"
)

func TestSDKReadsPermissions(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, transport http.RoundTripper) {
		ann := w.someone("ann@example.com")
		gone := w.someone("gone@example.com")
		g := w.AddGroup(databrickstest.GroupSpec{Name: "etl"})
		w.workspace.SetAccess("jobs/42",
			databrickstest.Access{Who: ann.ID, Level: "IS_OWNER"},
			databrickstest.Access{Who: w.app.ID, Level: "CAN_MANAGE_RUN"},
			databrickstest.Access{Who: gone.ID, Level: "CAN_VIEW"},
			databrickstest.Access{Who: g.ID, Level: "CAN_VIEW"},
			databrickstest.Access{Who: databrickstest.Users, Level: "CAN_VIEW"},
			databrickstest.Access{Who: databrickstest.Admins, Level: "CAN_MANAGE", Inherited: []string{"/jobs/"}},
			databrickstest.Access{Who: w.app.ID, Level: "CAN_VIEW", Inherited: []string{"/jobs/"}},
		)
		w.DeletePerson(gone.ID)
		own := func(level iam.PermissionLevel) iam.Permission { return iam.Permission{PermissionLevel: level} }
		inherited := func(level iam.PermissionLevel) iam.Permission {
			return iam.Permission{PermissionLevel: level, Inherited: true, InheritedFromObject: []string{"/jobs/"}}
		}
		want := &iam.ObjectPermissions{
			ObjectId: "/jobs/42", ObjectType: "job",
			AccessControlList: []iam.AccessControlResponse{
				{UserName: "ann@example.com", DisplayName: "Some One", AllPermissions: []iam.Permission{own("IS_OWNER")}},
				{ServicePrincipalName: w.app.ApplicationID, DisplayName: "nightly job", AllPermissions: []iam.Permission{own("CAN_MANAGE_RUN"), inherited("CAN_VIEW")}},
				{GroupName: "etl", AllPermissions: []iam.Permission{own("CAN_VIEW")}},
				{GroupName: "users", AllPermissions: []iam.Permission{own("CAN_VIEW")}},
				{GroupName: "admins", AllPermissions: []iam.Permission{inherited("CAN_MANAGE")}},
			},
		}
		admin := iam.NewPermissions(w.workspaceSDK(t, transport))
		request := iam.GetPermissionRequest{RequestObjectType: "jobs", RequestObjectId: "42"}
		got, err := admin.Get(t.Context(), request)
		if diff := cmp.Diff(want, got, ignoreForced); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		owner := w.personalToken(ann.ID, databrickstest.TokenSpec{})
		if _, err := iam.NewPermissions(patSDK(t, w, owner.Value, transport)).Get(t.Context(), request); err != nil {
			t.Errorf("as the owner: %v", err)
		}
		runner := w.personalToken(w.app.ID, databrickstest.TokenSpec{})
		if _, err := iam.NewPermissions(patSDK(t, w, runner.Value, transport)).Get(t.Context(), request); !errors.Is(err, apierr.ErrPermissionDenied) {
			t.Errorf("as one who may run it: %v", err)
		}
		if _, err := admin.Get(t.Context(), iam.GetPermissionRequest{RequestObjectType: "jobs", RequestObjectId: "43"}); !errors.Is(err, apierr.ErrNotFound) {
			t.Errorf("a job that does not exist: %v", err)
		}
		if _, err := admin.Get(t.Context(), iam.GetPermissionRequest{RequestObjectType: "job", RequestObjectId: "42"}); !errors.Is(err, apierr.ErrInvalidParameterValue) {
			t.Errorf("a type that does not exist: %v", err)
		}
		w.workspace.SetAccess("jobs/42")
		if got, err := admin.Get(t.Context(), request); err != nil || len(got.AccessControlList) != 0 {
			t.Errorf("with nobody: %+v, %v", got, err)
		}
	})
}

func TestSDKReadsGrants(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, transport http.RoundTripper) {
		ann := w.someone("ann@example.com")
		g := w.AddGroup(databrickstest.GroupSpec{Name: "etl"})
		w.SetGrants("schema main.raw",
			databrickstest.Grant{Who: w.app.ID, Privileges: []string{"USE_SCHEMA", "SELECT"}},
			databrickstest.Grant{Who: g.ID, Privileges: []string{"ALL_PRIVILEGES"}},
			databrickstest.Grant{Who: ann.ID, Privileges: []string{"SELECT"}},
		)
		api := catalog.NewGrants(w.workspaceSDK(t, transport))
		get := func(request catalog.GetGrantRequest) (all []string, pages int) {
			t.Helper()
			request.SecurableType, request.FullName = "SCHEMA", "main.raw"
			for {
				got, err := api.Get(t.Context(), request)
				if err != nil {
					t.Fatal(err)
				}
				for _, a := range got.PrivilegeAssignments {
					all = append(all, fmt.Sprint(a.Principal, a.Privileges))
				}
				pages++
				if request.PageToken = got.NextPageToken; request.PageToken == "" {
					return all, pages
				}
			}
		}
		want := []string{w.app.ApplicationID + "[USE_SCHEMA SELECT]", "etl[ALL_PRIVILEGES]", "ann@example.com[SELECT]"}
		for most, wantPages := range map[int]int{0: 1, 150: 3} {
			got, pages := get(catalog.GetGrantRequest{MaxResults: most})
			if diff := cmp.Diff(want, got); diff != "" || pages != wantPages {
				t.Errorf("max_results %d: %d pages (-want +got):\n%s", most, pages, diff)
			}
		}
		for _, request := range []catalog.GetGrantRequest{{MaxResults: 149}, {MaxResults: -1}} {
			request.SecurableType, request.FullName = "schema", "main.raw"
			if got, err := api.Get(t.Context(), request); !errors.Is(err, apierr.ErrInvalidParameterValue) {
				t.Errorf("max_results %d: %+v, %v", request.MaxResults, got, err)
			}
		}
		if got, err := api.Get(t.Context(), catalog.GetGrantRequest{SecurableType: "schema", FullName: "main"}); !errors.Is(err, apierr.ErrNotFound) {
			t.Errorf("no such schema: %+v, %v", got, err)
		}
		if got, _ := get(catalog.GetGrantRequest{Principal: "etl"}); len(got) != 1 || got[0] != want[1] {
			t.Errorf("of one: %v", got)
		}
		w.DeletePerson(ann.ID)
		if got, _ := get(catalog.GetGrantRequest{}); got[2] != "[SELECT]" {
			t.Errorf("of one who is gone: %v", got)
		}
	})
}

// Who may read what: every route of the audit, as an admin of its level, as
// somebody who is none, and with a token of another scope.
func TestAuditRoles(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	ann := w.someone("ann@example.com")
	member := w.personalToken(ann.ID, databrickstest.TokenSpec{}).Value
	admin := w.AddPerson(databrickstest.PersonSpec{UserName: "boss@example.com"})
	w.Assign(admin.ID, w.workspace, true)
	g := w.AddGroup(databrickstest.GroupSpec{Name: "g"})
	w.Assign(g.ID, w.workspace, false)
	w.workspace.SetAccess("jobs/1")
	w.SetGrants("catalog main")
	app := w.AddCustomApp(databrickstest.CustomApp{})
	appSecret := w.secret(w.app, databrickstest.SecretSpec{})
	accountMember := w.mustToken(w.accountTokenURL(), w.app, appSecret.Value, "")
	rules := "/access-control/rule-sets?etag=&name=accounts/" + w.AccountID() + "/ruleSets/default"
	account := w.AccountHost() + "/api/2.0/accounts/" + w.AccountID()

	type route struct{ path, scope string }
	onAccount := []route{
		{"/scim/v2/Users", "scim"},
		{fmt.Sprintf("/scim/v2/Users/%d", ann.ID), "scim"},
		{"/scim/v2/Groups", "scim"},
		{fmt.Sprintf("/scim/v2/Groups/%d", g.ID), "scim"},
		{"/workspaces", "provisioning"},
		{fmt.Sprintf("/workspaces/%d", w.workspace.ID), "provisioning"},
		{fmt.Sprintf("/workspaces/%d/permissionassignments", w.workspace.ID), "access-management"},
		{"/oauth2/custom-app-integrations", "authentication"},
		{"/oauth2/custom-app-integrations/" + app.ID, "authentication"},
		{"/oauth2/published-app-integrations", "authentication"},
		{"/federationPolicies", "authentication"},
		{fmt.Sprintf("/servicePrincipals/%d/federationPolicies", w.app.ID), "authentication"},
		{"PREVIEW" + rules, "access-management"},
	}
	inWorkspace := []route{
		{"/api/2.0/preview/scim/v2/Users", "scim"},
		{fmt.Sprintf("/api/2.0/preview/scim/v2/Users/%d", ann.ID), "scim"},
		{"/api/2.0/preview/scim/v2/Groups", "scim"},
		{fmt.Sprintf("/api/2.0/preview/scim/v2/Groups/%d", g.ID), "scim"},
		{"/api/2.0/preview/accounts" + rules, "access-management"},
		{"/api/2.0/token-management/tokens", "authentication"},
		{"/api/2.0/workspace-conf?keys=maxTokenLifetimeDays", "settings"},
		{"/api/2.0/permissions/jobs/1", "access-management"},
		{"/api/2.1/unity-catalog/permissions/catalog/main", "unity-catalog"},
	}
	check := func(target, bearer string, status int, says string) {
		t.Helper()
		got := w.api(http.MethodGet, target, bearer, "")
		if got.status != status || !strings.Contains(got.message(), says) {
			t.Errorf("%s: %d %s, want %d saying %q", target, got.status, got.message(), status, says)
		}
	}
	const missing = "required scopes: "
	for _, r := range onAccount {
		target := account + r.path
		if path, ok := strings.CutPrefix(r.path, "PREVIEW"); ok {
			target = strings.Replace(account, "/2.0/", "/2.0/preview/", 1) + path
		}
		check(target, w.asAdmin(), 200, "")
		check(target, accountMember, 403, "account_admin")
		check(target, w.mustToken(w.accountTokenURL(), w.admin, w.adminSecret.Value, r.scope), 200, "")
		check(target, w.mustToken(w.accountTokenURL(), w.admin, w.adminSecret.Value, "sql"), 403, missing+r.scope)
		check(target, w.asManager(), 401, "good for workspace")
	}
	for _, r := range inWorkspace {
		target := w.workspace.Host() + r.path
		check(target, w.asManager(), 200, "")
		check(target, member, 403, "ann@example.com")
		check(target, w.asAdmin(), 403, "not assigned")
		scoped, other := r.scope, "jobs"
		check(target, w.personalToken(admin.ID, databrickstest.TokenSpec{Scopes: []string{scoped}}).Value, 200, "")
		check(target, w.personalToken(admin.ID, databrickstest.TokenSpec{Scopes: []string{other}}).Value, 403, missing+r.scope)
	}
}

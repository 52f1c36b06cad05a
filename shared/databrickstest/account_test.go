package databrickstest_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/databricks/databricks-sdk-go/service/iam"
	"github.com/databricks/databricks-sdk-go/service/oauth2"
	"github.com/databricks/databricks-sdk-go/service/provisioning"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/faulttest"
)

func TestSDKReadsWorkspaces(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, transport http.RoundTripper) {
		second := w.AddWorkspace("finance")
		second.SetStatus("BANNED")
		api := provisioning.NewWorkspaces(w.accountSDK(t, transport))
		all, err := api.List(t.Context())
		if err != nil || len(all) != 2 {
			t.Fatalf("workspaces: %+v, %v", all, err)
		}
		for i, want := range []*databrickstest.Workspace{w.workspace, second} {
			got := all[i]
			host := "https://" + got.DeploymentName + ".cloud.databricks.com"
			if transport == nil {
				host = "http://" + got.DeploymentName
			}
			if got.WorkspaceId != want.ID || got.WorkspaceName != want.Name || host != want.Host() || got.AccountId != w.AccountID() {
				t.Errorf("workspace %d: %+v at %s, want %s", i, got, host, want.Host())
			}
		}
		if all[0].WorkspaceStatus != provisioning.WorkspaceStatusRunning || all[1].WorkspaceStatus != provisioning.WorkspaceStatusBanned {
			t.Errorf("statuses %s and %s", all[0].WorkspaceStatus, all[1].WorkspaceStatus)
		}
		if one, err := api.Get(t.Context(), provisioning.GetWorkspaceRequest{WorkspaceId: second.ID}); err != nil || one.WorkspaceName != "finance" {
			t.Errorf("get: %+v, %v", one, err)
		}
		if _, err := api.Get(t.Context(), provisioning.GetWorkspaceRequest{WorkspaceId: 7}); err == nil {
			t.Error("got workspace 7, which does not exist")
		}
	})
}

func TestSDKReadsAssignments(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, transport http.RoundTripper) {
		ann := w.someone("ann@example.com")
		g := w.AddGroup(databrickstest.GroupSpec{Name: "etl"})
		hidden := w.AddPerson(databrickstest.PersonSpec{UserName: "hidden@example.com"})
		w.AddMember(g.ID, hidden.ID)
		w.Assign(g.ID, w.workspace, true)
		api := iam.NewWorkspaceAssignment(w.accountSDK(t, transport))
		got, err := api.ListAll(t.Context(), iam.ListWorkspaceAssignmentRequest{WorkspaceId: w.workspace.ID})
		user, admin := []iam.WorkspacePermission{iam.WorkspacePermissionUser}, []iam.WorkspacePermission{iam.WorkspacePermissionAdmin}
		want := []iam.PermissionAssignment{
			{Permissions: admin, Principal: &iam.PrincipalOutput{PrincipalId: w.manager.ID, DisplayName: "workspace rotator", ServicePrincipalName: w.manager.ApplicationID}},
			{Permissions: user, Principal: &iam.PrincipalOutput{PrincipalId: w.app.ID, DisplayName: "nightly job", ServicePrincipalName: w.app.ApplicationID}},
			{Permissions: user, Principal: &iam.PrincipalOutput{PrincipalId: ann.ID, DisplayName: "Some One", UserName: "ann@example.com"}},
			{Permissions: admin, Principal: &iam.PrincipalOutput{PrincipalId: g.ID, DisplayName: "etl", GroupName: "etl"}},
		}
		if diff := cmp.Diff(want, got, ignoreForced); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
}

func TestSDKReadsRuleSets(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, transport http.RoundTripper) {
		ann := w.someone("ann@example.com")
		g := w.AddGroup(databrickstest.GroupSpec{Name: "platform"})
		w.GrantManager(ann.ID, w.app.ID)
		w.GrantManager(ann.ID, w.app.ID)
		w.GrantUser(g.ID, w.app.ID)
		if got := w.Managers(w.app.ID); !slices.Equal(got, sorted(w.manager.ID, ann.ID)) {
			t.Errorf("managers %v", got)
		}
		name := "accounts/" + w.AccountID() + "/servicePrincipals/" + w.app.ApplicationID + "/ruleSets/default"
		want := []iam.GrantRule{
			{Role: "roles/servicePrincipal.manager", Principals: []string{"servicePrincipals/" + w.manager.ApplicationID, "users/ann@example.com"}},
			{Role: "roles/servicePrincipal.user", Principals: []string{"groups/platform"}},
		}
		account := iam.NewAccountAccessControl(w.accountSDK(t, transport))
		workspace := iam.NewAccountAccessControlProxy(w.workspaceSDK(t, transport))
		for level, get := range map[string]func(string) (*iam.RuleSetResponse, error){
			"account": func(name string) (*iam.RuleSetResponse, error) {
				return account.GetRuleSet(t.Context(), iam.GetRuleSetRequest{Name: name})
			},
			"workspace": func(name string) (*iam.RuleSetResponse, error) {
				return workspace.GetRuleSet(t.Context(), iam.GetRuleSetRequest{Name: name})
			},
		} {
			got, err := get(name)
			if err != nil {
				t.Errorf("%s: %v", level, err)
				continue
			}
			if diff := cmp.Diff(want, got.GrantRules); diff != "" || got.Name != name || got.Etag == "" {
				t.Errorf("%s: %+v (-want +got):\n%s", level, got, diff)
			}
			for _, name := range []string{"accounts/" + w.AccountID() + "/ruleSets/default", fmt.Sprintf("accounts/%s/groups/%d/ruleSets/default", w.AccountID(), g.ID)} {
				if got, err := get(name); err != nil || len(got.GrantRules) != 0 {
					t.Errorf("%s %s: %+v, %v", level, name, got, err)
				}
			}
			for _, name := range []string{
				"", "accounts/x/ruleSets/default", strings.Replace(name, w.app.ApplicationID, strconv.FormatInt(w.app.ID, 10), 1),
				"accounts/" + w.AccountID() + "/groups/1/ruleSets/default", "accounts/" + w.AccountID() + "/tagPolicies/1/ruleSets/default",
			} {
				if got, err := get(name); err == nil {
					t.Errorf("%s: rule set %q is %+v", level, name, got)
				}
			}
		}
	})
}

func sorted(ids ...int64) []int64 {
	slices.Sort(ids)
	return ids
}

func TestSDKReadsApps(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, transport http.RoundTripper) {
		ann := w.someone("ann@example.com")
		made := w.clock.now.Add(-time.Hour)
		var want []oauth2.GetCustomAppIntegrationOutput
		for i := range 5 {
			app := w.AddCustomApp(databrickstest.CustomApp{
				Name: fmt.Sprint("app ", i), Confidential: i == 0, RedirectURLs: []string{"https://example.com"}, CreateTime: made,
				Scopes: []string{"all-apis", "offline_access"}, UserScopes: []string{"sql"}, CreatedBy: ann.ID,
				Access: &databrickstest.TokenAccess{AccessTTL: time.Hour, RefreshTTL: 7 * 24 * time.Hour, SessionTTL: 24 * time.Hour, SingleUseRefresh: true},
			})
			want = append(want, oauth2.GetCustomAppIntegrationOutput{
				IntegrationId: app.ID, ClientId: app.ClientID, Name: app.Name, Confidential: i == 0, RedirectUrls: app.RedirectURLs,
				CreateTime: made.UTC().Format("2006-01-02T15:04:05.000Z"), CreatedBy: ann.ID, CreatorUsername: "ann@example.com",
				Scopes: app.Scopes, UserAuthorizedScopes: app.UserScopes,
				TokenAccessPolicy: &oauth2.TokenAccessPolicy{
					AccessTokenTtlInMinutes: 60, RefreshTokenTtlInMinutes: 7 * 24 * 60,
					AbsoluteSessionLifetimeInMinutes: 24 * 60, EnableSingleUseRefreshTokens: true,
				},
			})
		}
		account := w.accountSDK(t, transport)
		custom := oauth2.NewCustomAppIntegration(account)
		got, err := custom.ListAll(t.Context(), oauth2.ListCustomAppIntegrationsRequest{IncludeCreatorUsername: true})
		if diff := cmp.Diff(want, got, ignoreForced); diff != "" || err != nil {
			t.Errorf("custom apps: %v (-want +got):\n%s", err, diff)
		}
		w.RemoveApp(want[1].IntegrationId)
		got, err = custom.ListAll(t.Context(), oauth2.ListCustomAppIntegrationsRequest{PageSize: 1})
		if err != nil || len(got) != 4 || got[0].CreatorUsername != "" {
			t.Errorf("custom apps without creators: %+v, %v", got, err)
		}
		w.DeletePerson(ann.ID)
		one, err := custom.Get(t.Context(), oauth2.GetCustomAppIntegrationRequest{IntegrationId: want[0].IntegrationId})
		if err != nil || one.CreatorUsername != "" || one.CreatedBy != ann.ID {
			t.Errorf("an app whose creator is gone: %+v, %v", one, err)
		}
		if _, err := custom.Get(t.Context(), oauth2.GetCustomAppIntegrationRequest{IntegrationId: want[1].IntegrationId}); err == nil {
			t.Error("got a removed app")
		}

		for i := range 3 {
			w.AddPublishedApp(databrickstest.PublishedApp{AppID: "power-bi", Name: fmt.Sprint("published ", i)})
		}
		published, err := oauth2.NewPublishedAppIntegration(account).ListAll(t.Context(), oauth2.ListPublishedAppIntegrationsRequest{})
		if err != nil || len(published) != 3 || published[2].Name != "published 2" || published[0].AppId != "power-bi" || published[0].TokenAccessPolicy != nil {
			t.Errorf("published apps: %+v, %v", published, err)
		}
	})
}

func TestSDKReadsFederationPolicies(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, transport http.RoundTripper) {
		for i := range 3 {
			w.AddFederationPolicy(w.app.ID, databrickstest.FederationPolicy{
				ID: fmt.Sprint("p", i), Description: "ci", Issuer: "https://token.example.com", Subject: fmt.Sprint("repo:", i), SubjectClaim: "sub",
			})
			w.AddAccountFederationPolicy(databrickstest.FederationPolicy{Issuer: "https://idp.example.com", Audiences: []string{fmt.Sprint(i)}, SubjectClaim: "email"})
		}
		account := w.accountSDK(t, transport)
		of, err := oauth2.NewServicePrincipalFederationPolicy(account).ListAll(t.Context(), oauth2.ListServicePrincipalFederationPoliciesRequest{ServicePrincipalId: w.app.ID})
		if err != nil || len(of) != 3 {
			t.Fatalf("of a service principal: %+v, %v", of, err)
		}
		want := oauth2.FederationPolicy{
			Name:     fmt.Sprintf("accounts/%s/servicePrincipals/%d/federationPolicies/p2", w.AccountID(), w.app.ID),
			PolicyId: "p2", Uid: of[2].Uid, ServicePrincipalId: w.app.ID, Description: "ci",
			CreateTime: "2027-03-01T09:00:00.000Z", UpdateTime: "2027-03-01T09:00:00.000Z",
			OidcPolicy: &oauth2.OidcFederationPolicy{Issuer: "https://token.example.com", Subject: "repo:2", SubjectClaim: "sub"},
		}
		if diff := cmp.Diff(want, of[2], ignoreForced); diff != "" || of[2].Uid == "" {
			t.Errorf("policy (-want +got):\n%s", diff)
		}
		all, err := oauth2.NewAccountFederationPolicy(account).ListAll(t.Context(), oauth2.ListAccountFederationPoliciesRequest{})
		if err != nil || len(all) != 3 || all[1].OidcPolicy.Audiences[0] != "1" || all[1].ServicePrincipalId != 0 || all[1].PolicyId != all[1].Uid {
			t.Errorf("of the account: %+v, %v", all, err)
		}
		none, err := oauth2.NewServicePrincipalFederationPolicy(account).ListAll(t.Context(), oauth2.ListServicePrincipalFederationPoliciesRequest{ServicePrincipalId: w.manager.ID})
		if err != nil || len(none) != 0 {
			t.Errorf("of one without: %+v, %v", none, err)
		}
	})
}

// Lists paged by token: a full page has a next one, the second is empty, a
// token belongs to its listing and size, and what is stale stays so.
func TestRegisterPaging(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	target := w.AccountHost() + "/api/2.0/accounts/" + w.AccountID() + "/oauth2/custom-app-integrations"
	pages := func(query string) (lengths []int) {
		next := ""
		for {
			got := w.api(http.MethodGet, target+"?"+query+"&page_token="+next, w.asAdmin(), "")
			if got.status != 200 {
				t.Fatalf("page: %+v", got)
			}
			rows, _ := got.body["apps"].([]any)
			lengths = append(lengths, len(rows))
			if next, _ = got.body["next_page_token"].(string); next == "" {
				return lengths
			}
		}
	}
	for n, want := range [][]int{{0}, {1}, {2, 0}, {2, 0, 1}, {2, 0, 2, 0}} {
		if n > 0 {
			w.AddCustomApp(databrickstest.CustomApp{Name: fmt.Sprint(n)})
		}
		if got := pages("page_size=2"); !slices.Equal(got, want) {
			t.Errorf("pages of %d: %v, want %v", n, got, want)
		}
	}
	first := w.api(http.MethodGet, target, w.asAdmin(), "")
	token, _ := first.body["next_page_token"].(string)
	for _, query := range []string{"page_token=" + token + "&page_size=1", "page_token=x", "page_token=%25", "page_size=0", "page_size=x", "include_creator_username=maybe"} {
		if got := w.api(http.MethodGet, target+"?"+query, w.asAdmin(), ""); got.status != 400 {
			t.Errorf("%s: %+v", query, got)
		}
	}
	published := strings.Replace(target, "custom", "published", 1)
	if got := w.api(http.MethodGet, published+"?page_token="+token, w.asAdmin(), ""); got.status != 400 {
		t.Errorf("a token of another listing: %+v", got)
	}
	w.LagReads(true)
	w.AddCustomApp(databrickstest.CustomApp{Name: "late"})
	if got := pages(""); !slices.Equal(got, []int{2, 0, 2, 0}) {
		t.Errorf("while reads lag: %v", got)
	}
	if got := pages(""); !slices.Equal(got, []int{2, 0, 2, 1}) {
		t.Errorf("after that: %v", got)
	}
	w.Faults().Add(faulttest.Fault{Op: databrickstest.OpListCustomApps, Skip: 3, Kind: faulttest.StaleRead})
	if got := pages(""); !slices.Equal(got, []int{2, 0, 2, 0}) {
		t.Errorf("with a stale fourth page: %v", got)
	}
}

func TestWorkspaceDown(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	w.asManager()
	w.workspace.Down(true)
	if got := w.api(http.MethodGet, w.workspaceScimURL(), w.asManager(), ""); got.err == nil {
		t.Errorf("a workspace that is down answered %+v", got)
	}
	if got := w.api(http.MethodGet, w.accountScimURL(), w.asAdmin(), ""); got.status != 200 {
		t.Errorf("the account: %+v", got)
	}
	w.workspace.Down(false)
	if got := w.api(http.MethodGet, w.workspaceScimURL(), w.asManager(), ""); got.status != 200 {
		t.Errorf("up again: %+v", got)
	}
}

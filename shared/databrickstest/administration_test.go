package databrickstest_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/databricks/databricks-sdk-go/apierr"
	"github.com/databricks/databricks-sdk-go/service/iam"
	"github.com/databricks/databricks-sdk-go/service/oauth2"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/databrickstest"
)

var patchSchema = []iam.PatchSchema{iam.PatchSchemaUrnIetfParamsScimApiMessages20PatchOp}

func TestSDKCreatesPrincipals(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, transport http.RoundTripper) {
		account := iam.NewAccountServicePrincipalsV2(w.accountSDK(t, transport))
		made, err := account.Create(t.Context(), iam.CreateAccountServicePrincipalRequest{DisplayName: "new", Active: true})
		if err != nil {
			t.Fatal(err)
		}
		id, _ := strconv.ParseInt(made.Id, 10, 64)
		want := databrickstest.Principal{ID: id, ApplicationID: made.ApplicationId, DisplayName: "new", Active: true}
		if got, ok := w.Principal(id); !ok || got != want {
			t.Errorf("made %+v, want %+v", got, want)
		}
		if got := w.Managers(id); !slices.Equal(got, []int64{w.admin.ID}) {
			t.Errorf("managers %v, want its creator", got)
		}
		add := iam.Patch{Op: iam.PatchOpAdd, Path: "roles", Value: []iam.ComplexValue{{Value: "account_admin"}}}
		if err := account.Patch(t.Context(), iam.PatchAccountServicePrincipalRequest{Id: made.Id, Schemas: patchSchema, Operations: []iam.Patch{add}}); err != nil {
			t.Fatal(err)
		}
		if got, _ := w.Principal(id); !got.AccountAdmin || !got.Active {
			t.Errorf("with a role: %+v", got)
		}

		here, err := iam.NewServicePrincipalsV2(w.workspaceSDK(t, transport)).Create(t.Context(), iam.CreateServicePrincipalRequest{DisplayName: "local", Active: true})
		if err != nil || len(here.Groups) != 1 || here.Groups[0].Display != "users" {
			t.Fatalf("made in a workspace: %+v, %v", here, err)
		}
		join := iam.Patch{Op: iam.PatchOpAdd, Path: "members", Value: []iam.ComplexValue{{Value: here.Id}}}
		groups := iam.NewGroupsV2(w.workspaceSDK(t, transport))
		if err := groups.Patch(t.Context(), iam.PatchGroupRequest{Id: fmt.Sprint(w.workspace.ID), Schemas: patchSchema, Operations: []iam.Patch{join}}); err != nil {
			t.Fatal(err)
		}
		here, err = iam.NewServicePrincipalsV2(w.workspaceSDK(t, transport)).Get(t.Context(), iam.GetServicePrincipalRequest{Id: here.Id})
		if err != nil || here.Groups[0].Display != "admins" {
			t.Errorf("as an admin: %+v, %v", here, err)
		}
	})
}

func TestSDKAssigns(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, transport http.RoundTripper) {
		api := iam.NewWorkspaceAssignment(w.accountSDK(t, transport))
		set := func(permissions ...iam.WorkspacePermission) {
			t.Helper()
			_, err := api.Update(t.Context(), iam.UpdateWorkspaceAssignments{
				WorkspaceId: w.workspace.ID, PrincipalId: w.admin.ID, Permissions: permissions,
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		level := func() string {
			all, err := api.ListAll(t.Context(), iam.ListWorkspaceAssignmentRequest{WorkspaceId: w.workspace.ID})
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range all {
				if a.Principal.PrincipalId == w.admin.ID {
					return string(a.Permissions[0])
				}
			}
			return "none"
		}
		if got := level(); got != "none" {
			t.Fatalf("assigned as %s before", got)
		}
		for _, step := range []struct {
			set  []iam.WorkspacePermission
			want string
		}{
			{[]iam.WorkspacePermission{"USER"}, "USER"},
			{[]iam.WorkspacePermission{"USER", "ADMIN"}, "ADMIN"},
			{nil, "none"},
		} {
			if set(step.set...); level() != step.want {
				t.Errorf("%v: assigned as %s, want %s", step.set, level(), step.want)
			}
		}
	})
}

func TestSDKReplacesRuleSets(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, transport http.RoundTripper) {
		w.someone("ann@example.com")
		w.AddGroup(databrickstest.GroupSpec{Name: "platform"})
		name := "accounts/" + w.AccountID() + "/servicePrincipals/" + w.app.ApplicationID + "/ruleSets/default"
		account := iam.NewAccountAccessControl(w.accountSDK(t, transport))
		workspace := iam.NewAccountAccessControlProxy(w.workspaceSDK(t, transport))
		before, err := account.GetRuleSet(t.Context(), iam.GetRuleSetRequest{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		rules := []iam.GrantRule{
			{Role: "roles/servicePrincipal.manager", Principals: []string{"servicePrincipals/" + w.manager.ApplicationID, "servicePrincipals/" + w.admin.ApplicationID}},
			{Role: "roles/servicePrincipal.user", Principals: []string{"groups/platform", "users/ann@example.com"}},
		}
		update := iam.UpdateRuleSetRequest{Name: name, RuleSet: iam.RuleSetUpdateRequest{Name: name, Etag: before.Etag, GrantRules: rules}}
		after, err := account.UpdateRuleSet(t.Context(), update)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(rules, after.GrantRules); diff != "" || after.Etag == before.Etag {
			t.Errorf("etag %s (-want +got):\n%s", after.Etag, diff)
		}
		if got := w.Managers(w.app.ID); !slices.Equal(got, sorted(w.manager.ID, w.admin.ID)) {
			t.Errorf("managers %v", got)
		}
		if _, err := account.UpdateRuleSet(t.Context(), update); !errors.Is(err, apierr.ErrResourceConflict) {
			t.Errorf("with an old etag: %v", err)
		}
		update.RuleSet.Etag, update.RuleSet.GrantRules = after.Etag, rules[:1]
		if got, err := workspace.UpdateRuleSet(t.Context(), update); err != nil || len(got.GrantRules) != 1 {
			t.Errorf("through the workspace: %+v, %v", got, err)
		}
	})
}

func TestSDKMakesFederationPolicies(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, transport http.RoundTripper) {
		aws := newIssuer(t, "https://one.tokens.example")
		stranger := newIssuer(t, aws.url)
		api := oauth2.NewServicePrincipalFederationPolicy(w.accountSDK(t, transport))
		create := oauth2.CreateServicePrincipalFederationPolicyRequest{
			ServicePrincipalId: w.admin.ID, PolicyId: "rotation-1",
			Policy: oauth2.FederationPolicy{Description: "rotation", OidcPolicy: &oauth2.OidcFederationPolicy{Issuer: aws.url, Subject: role, Audiences: []string{"other"}}},
		}
		made, err := api.Create(t.Context(), create)
		if err != nil || made.PolicyId != "rotation-1" || made.Uid == "" || made.ServicePrincipalId != w.admin.ID {
			t.Fatalf("created %+v, %v", made, err)
		}
		if _, err := api.Create(t.Context(), create); !errors.Is(err, apierr.ErrAlreadyExists) {
			t.Errorf("created twice: %v", err)
		}
		token := func(i *issuer) int {
			claims := jwt.Claims{Issuer: aws.url, Subject: role, Audience: jwt.Audience{w.AccountID()}, Expiry: jwt.NewNumericDate(w.clock.now.AddDate(1, 0, 0))}
			return w.form(w.accountTokenURL(), exchange(w.admin.ApplicationID, i.sign(claims))).status
		}
		if got := token(aws); got != http.StatusBadRequest {
			t.Errorf("a token for another audience: %d", got)
		}
		update := create.Policy
		update.OidcPolicy.Audiences = nil
		changed, err := api.Update(t.Context(), oauth2.UpdateServicePrincipalFederationPolicyRequest{
			ServicePrincipalId: w.admin.ID, PolicyId: "rotation-1", UpdateMask: "oidc_policy", Policy: update,
		})
		if err != nil || changed.Uid != made.Uid || len(changed.OidcPolicy.Audiences) != 0 || changed.Description != "rotation" {
			t.Fatalf("changed %+v, %v", changed, err)
		}
		if got := token(aws); got != http.StatusBadRequest {
			t.Errorf("before the issuer publishes its keys: %d", got)
		}
		w.PublishKeys(aws.url, aws.keys)
		if got := token(aws); got != http.StatusOK {
			t.Errorf("a good token: %d", got)
		}
		if got := token(stranger); got != http.StatusBadRequest {
			t.Errorf("signed by a stranger: %d", got)
		}
		create.PolicyId = ""
		for i := 1; i < 20; i++ {
			create.Policy.OidcPolicy.Subject = fmt.Sprint(role, i)
			if got, err := api.Create(t.Context(), create); err != nil || got.PolicyId == "" {
				t.Fatalf("policy %d: %+v, %v", i, got, err)
			}
		}
		if _, err := api.Create(t.Context(), create); err == nil {
			t.Error("a 21st policy was taken")
		}
	})
}

// Each write is refused in its own words: to whom it is not open, and for what
// it does not know.
func TestAdministrationRefuses(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	member := w.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "member"})
	w.Assign(member.ID, w.workspace, false)
	asMember := w.mustToken(w.workspaceTokenURL(), member, w.secret(member, databrickstest.SecretSpec{}).Value, "")
	memberAtAccount := w.mustToken(w.accountTokenURL(), member, w.secret(member, databrickstest.SecretSpec{}).Value, "")
	other := w.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "somebody else's"})
	w.Assign(other.ID, w.workspace, false)

	account := w.AccountHost() + "/api/2.0/accounts/" + w.AccountID()
	assign := fmt.Sprintf("%s/workspaces/%d/permissionassignments/principals/", account, w.workspace.ID)
	policies := fmt.Sprintf("%s/servicePrincipals/%d/federationPolicies", account, w.app.ID)
	admins := fmt.Sprintf("%s/api/2.0/preview/scim/v2/Groups/%d", w.workspace.Host(), w.workspace.ID)
	accountRules := w.AccountHost() + "/api/2.0/preview/accounts/" + w.AccountID() + "/access-control/rule-sets"
	workspaceRules := w.workspace.Host() + "/api/2.0/preview/accounts/access-control/rule-sets"
	name := func(p databrickstest.Principal) string {
		return "accounts/" + w.AccountID() + "/servicePrincipals/" + p.ApplicationID + "/ruleSets/default"
	}
	rules := func(name, in, etag, grants string) string {
		return fmt.Sprintf(`{"name":%q,"rule_set":{"name":%q,"etag":%q,"grant_rules":[%s]}}`, name, in, etag, grants)
	}
	etag := func(p databrickstest.Principal) string {
		got := w.api(http.MethodGet, accountRules+"?etag=&name="+name(p), w.asAdmin(), "")
		text, _ := got.body["etag"].(string)
		return text
	}
	patch := func(operations string) string {
		return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[` + operations + `]}`
	}
	const (
		post, put, change = http.MethodPost, http.MethodPut, http.MethodPatch
		policy            = `{"oidc_policy":{"issuer":"https://i.example","subject":"s"}}`
	)
	appID := strconv.FormatInt(w.app.ID, 10)
	tests := []struct {
		what, method, target, bearer, body string
		status                             int
		says                               string
	}{
		{"create, no admin", post, w.accountScimURL(), memberAtAccount, `{"displayName":"x"}`, 403, "account_admin"},
		{"create, no workspace admin", post, w.workspaceScimURL(), asMember, `{"displayName":"x"}`, 403, "not ADMIN"},
		{"create without a name", post, w.accountScimURL(), w.asAdmin(), `{"active":true}`, 400, "displayName"},
		{"create with a role", post, w.accountScimURL(), w.asAdmin(), `{"displayName":"x","roles":[]}`, 400, "roles"},
		{"create of another schema", post, w.accountScimURL(), w.asAdmin(), `{"displayName":"x","schemas":["y"]}`, 400, "schemas"},
		{"role, no admin", change, w.accountScimURL() + "/" + appID, memberAtAccount, patch(`{"op":"add","path":"roles","value":[{"value":"account_admin"}]}`), 403, "account_admin"},
		{"role unknown", change, w.accountScimURL() + "/" + appID, w.asAdmin(), patch(`{"op":"add","path":"roles","value":[{"value":"king"}]}`), 400, "roles"},
		{"role as a string", change, w.accountScimURL() + "/" + appID, w.asAdmin(), patch(`{"op":"add","path":"roles","value":"account_admin"}`), 400, "roles"},
		{"role in a workspace", change, w.workspaceScimURL() + "/" + appID, w.asManager(), patch(`{"op":"add","path":"roles","value":[{"value":"account_admin"}]}`), 400, "not simulated"},
		{"admins, no admin", change, admins, asMember, patch(`{"op":"add","path":"members","value":[{"value":"` + appID + `"}]}`), 403, "not ADMIN"},
		{"another group", change, admins + "0", w.asManager(), patch(`{"op":"add","path":"members","value":[{"value":"` + appID + `"}]}`), 400, "admins"},
		{"removal of a member", change, admins, w.asManager(), patch(`{"op":"remove","path":"members"}`), 400, "not simulated"},
		{"nobody", change, admins, w.asManager(), patch(`{"op":"add","path":"members","value":[]}`), 400, "members"},
		{"a stranger", change, admins, w.asManager(), patch(fmt.Sprintf(`{"op":"add","path":"members","value":[{"value":"%d"}]}`, w.admin.ID)), 404, "does not exist"},
		{"assignment, no admin", put, assign + appID, memberAtAccount, `{"permissions":["ADMIN"]}`, 403, "account_admin"},
		{"assignment unknown", put, assign + appID, w.asAdmin(), `{"permissions":["OWNER"]}`, 400, "OWNER"},
		{"assignment of nobody", put, assign + "7", w.asAdmin(), `{"permissions":["USER"]}`, 404, "does not exist"},
		{"assignment nowhere", put, strings.Replace(assign, fmt.Sprint(w.workspace.ID), "7", 1) + appID, w.asAdmin(), `{"permissions":["USER"]}`, 404, "workspace 7"},
		{"rules, no admin", put, accountRules, memberAtAccount, rules(name(w.app), name(w.app), etag(w.app), ""), 403, "account_admin"},
		{"rules, no manager", put, workspaceRules, w.asManager(), rules(name(other), name(other), etag(other), ""), 403, "servicePrincipal.manager"},
		{"rules without etag", put, accountRules, w.asAdmin(), rules(name(w.app), name(w.app), "", ""), 409, "etag"},
		{"rules of two names", put, accountRules, w.asAdmin(), rules(name(w.app), name(other), etag(w.app), ""), 400, "rule_set.name"},
		{"rules of the account", put, accountRules, w.asAdmin(), rules("accounts/"+w.AccountID()+"/ruleSets/default", "", "", ""), 400, "not changed"},
		{"rules of an unknown role", put, accountRules, w.asAdmin(), rules(name(w.app), name(w.app), etag(w.app), `{"role":"roles/king","principals":[]}`), 400, "roles/king"},
		{"rules for nobody", put, accountRules, w.asAdmin(), rules(name(w.app), name(w.app), etag(w.app), `{"role":"roles/servicePrincipal.user","principals":["users/nobody"]}`), 400, "users/nobody"},
		{"policy, no admin", post, policies, memberAtAccount, policy, 403, "account_admin"},
		{"policy without body", post, policies, w.asAdmin(), `{}`, 400, "oidc_policy is missing"},
		{"policy without subject", post, policies, w.asAdmin(), `{"oidc_policy":{"issuer":"https://i.example"}}`, 400, "subject"},
		{"policy of plain http", post, policies, w.asAdmin(), `{"oidc_policy":{"issuer":"http://i.example","subject":"s"}}`, 400, "issuer"},
		{"policy with an odd id", post, policies + "?policy_id=A_1", w.asAdmin(), policy, 400, "policy_id"},
		{"policy with an output", post, policies, w.asAdmin(), `{"uid":"x","oidc_policy":{"issuer":"https://i.example","subject":"s"}}`, 400, "uid"},
		{"change of no policy", change, policies + "/none?update_mask=oidc_policy", w.asAdmin(), policy, 404, "none"},
	}
	before := fmt.Sprint(w.Principals(), w.Managers(w.app.ID), w.Managers(other.ID))
	for _, test := range tests {
		got := w.api(test.method, test.target, test.bearer, test.body)
		if got.status != test.status || !strings.Contains(got.message(), test.says) {
			t.Errorf("%s: %d %q, want %d and %q", test.what, got.status, got.message(), test.status, test.says)
		}
	}
	if after := fmt.Sprint(w.Principals(), w.Managers(w.app.ID), w.Managers(other.ID)); after != before {
		t.Errorf("refused requests changed\n%s to\n%s", before, after)
	}
	if got := w.api(post, policies+"?policy_id=one", w.asAdmin(), policy); got.status != 200 {
		t.Fatalf("policy: %+v", got)
	}
	for _, mask := range []string{"", "?update_mask=description"} {
		if got := w.api(change, policies+"/one"+mask, w.asAdmin(), policy); got.status != 400 {
			t.Errorf("update mask %q: %+v", mask, got)
		}
	}
	if unknown := w.Unknown(); unknown != nil {
		t.Errorf("unknown routes %v", unknown)
	}
}

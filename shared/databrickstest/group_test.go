package databrickstest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"testing"

	"github.com/databricks/databricks-sdk-go/listing"
	"github.com/databricks/databricks-sdk-go/service/iam"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/faulttest"
)

func (w *world) usersURL(workspace bool) string {
	if workspace {
		return w.workspace.Host() + "/api/2.0/preview/scim/v2/Users"
	}
	return w.AccountHost() + "/api/2.0/accounts/" + w.AccountID() + "/scim/v2/Users"
}

func TestSDKReadsUsersAndGroups(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, transport http.RoundTripper) {
		ann := w.AddPerson(databrickstest.PersonSpec{UserName: "ann@example.com", DisplayName: "Ann", AccountAdmin: true})
		bob := w.AddPerson(databrickstest.PersonSpec{UserName: "bob@example.com", Inactive: true})
		outer := w.AddGroup(databrickstest.GroupSpec{Name: "platform", AccountAdmin: true})
		inner := w.AddGroup(databrickstest.GroupSpec{Name: "etl"})
		local := w.AddGroup(databrickstest.GroupSpec{Name: "local", Workspace: w.workspace})
		w.AddMember(outer.ID, inner.ID)
		w.AddMember(inner.ID, bob.ID)
		w.AddMember(inner.ID, w.app.ID)
		w.AddMember(local.ID, bob.ID)
		w.Assign(outer.ID, w.workspace, true)
		w.Entitle(bob.ID, w.workspace, "databricks-sql-access", "allow-cluster-create")

		account := w.accountSDK(t, transport)
		users, err := iam.NewAccountUsersV2(account).ListAll(t.Context(), iam.ListAccountUsersRequest{})
		email := func(name string) []iam.ComplexValue {
			return []iam.ComplexValue{{Type: "work", Value: name, Primary: true}}
		}
		want := []iam.AccountUser{
			{
				AccountId: w.AccountID(), Id: fmt.Sprint(ann.ID), UserName: "ann@example.com", DisplayName: "Ann", Active: true,
				Emails: email("ann@example.com"), Roles: []iam.ComplexValue{{Type: "direct", Value: "account_admin"}},
			},
			{AccountId: w.AccountID(), Id: fmt.Sprint(bob.ID), UserName: "bob@example.com", Emails: email("bob@example.com")},
		}
		if diff := cmp.Diff(want, users, ignoreForced); diff != "" || err != nil {
			t.Errorf("account users: %v (-want +got):\n%s", err, diff)
		}
		groups, err := iam.NewAccountGroupsV2(account).ListAll(t.Context(), iam.ListAccountGroupsRequest{})
		wantGroups := []iam.AccountGroup{
			{
				AccountId: w.AccountID(), Id: fmt.Sprint(outer.ID), DisplayName: "platform", Meta: &iam.ResourceMeta{ResourceType: "Group"},
				Roles: []iam.ComplexValue{{Type: "direct", Value: "account_admin"}},
			},
			{AccountId: w.AccountID(), Id: fmt.Sprint(inner.ID), DisplayName: "etl", Meta: &iam.ResourceMeta{ResourceType: "Group"}},
		}
		if diff := cmp.Diff(wantGroups, groups, ignoreForced); diff != "" || err != nil {
			t.Errorf("account groups: %v (-want +got):\n%s", err, diff)
		}
		one, err := iam.NewAccountGroupsV2(account).Get(t.Context(), iam.GetAccountGroupRequest{Id: fmt.Sprint(inner.ID)})
		wantMembers := []iam.ComplexValue{
			{Value: fmt.Sprint(bob.ID), Ref: "Users/" + fmt.Sprint(bob.ID)},
			{Display: "nightly job", Value: fmt.Sprint(w.app.ID), Ref: "ServicePrincipals/" + fmt.Sprint(w.app.ID)},
		}
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wantMembers, one.Members, ignoreForced); diff != "" {
			t.Errorf("members (-want +got):\n%s", diff)
		}

		workspace := w.workspaceSDK(t, transport)
		here, err := iam.NewUsersV2(workspace).ListAll(t.Context(), iam.ListUsersRequest{})
		if err != nil || len(here) != 1 || here[0].UserName != "bob@example.com" {
			t.Fatalf("workspace users: %+v, %v: want bob, who is there through groups", here, err)
		}
		bobHere := map[string]string{}
		for _, g := range here[0].Groups {
			bobHere[g.Display] = g.Type
		}
		wantBob := map[string]string{"admins": "indirect", "users": "direct", "etl": "direct", "local": "direct", "platform": "indirect"}
		if diff := cmp.Diff(wantBob, bobHere); diff != "" {
			t.Errorf("bob's groups (-want +got):\n%s", diff)
		}
		if e := here[0].Entitlements; len(e) != 2 || e[0].Value != "databricks-sql-access" || e[1].Value != "allow-cluster-create" {
			t.Errorf("bob's entitlements: %+v", e)
		}
		local4, err := listing.ToSlice(t.Context(), iam.NewGroupsV2(workspace).List(t.Context(), iam.ListGroupsRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		gotLocal := map[string][]string{}
		for _, g := range local4 {
			kind := g.Meta.ResourceType
			gotLocal[g.DisplayName+" "+kind] = nil
			for _, m := range g.Members {
				gotLocal[g.DisplayName+" "+kind] = append(gotLocal[g.DisplayName+" "+kind], m.Value)
			}
		}
		manager, app := fmt.Sprint(w.manager.ID), fmt.Sprint(w.app.ID)
		wantLocal := map[string][]string{
			"admins WorkspaceGroup": {manager, fmt.Sprint(outer.ID)},
			"users WorkspaceGroup":  {manager, app, fmt.Sprint(outer.ID)},
			"platform Group":        {fmt.Sprint(inner.ID)},
			"local WorkspaceGroup":  {fmt.Sprint(bob.ID)},
		}
		if diff := cmp.Diff(wantLocal, gotLocal); diff != "" {
			t.Errorf("workspace groups (-want +got):\n%s", diff)
		}
		if g, err := iam.NewGroupsV2(workspace).Get(t.Context(), iam.GetGroupRequest{Id: strconv.FormatInt(w.workspace.ID, 10)}); err != nil || g.DisplayName != "admins" || len(g.Members) != 2 {
			t.Errorf("admins: %+v, %v", g, err)
		}
	})
}

// Groups carry roles: those of the account, of a workspace, and on a service
// principal.
func TestGroupsGiveRoles(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	secret := w.secret(w.app, databrickstest.SecretSpec{})
	bearer := w.mustToken(w.accountTokenURL(), w.app, secret.Value, "")
	target := w.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "target"})
	w.Assign(target.ID, w.workspace, false)
	outer := w.AddGroup(databrickstest.GroupSpec{Name: "outer"})
	inner := w.AddGroup(databrickstest.GroupSpec{Name: "inner"})
	status := func(target string) int { return w.api(http.MethodGet, target, bearer, "").status }

	if got := status(w.workspaceSecretsURL(target.ID)); got != 403 {
		t.Fatalf("before: %d", got)
	}
	w.AddMember(outer.ID, inner.ID)
	w.AddMember(inner.ID, w.app.ID)
	w.Assign(outer.ID, w.workspace, true)
	if got := status(w.workspaceSecretsURL(target.ID)); got != 403 {
		t.Errorf("admin who does not manage: %d", got)
	}
	w.GrantManager(outer.ID, target.ID)
	if got := status(w.workspaceSecretsURL(target.ID)); got != 200 {
		t.Errorf("admin and manager through groups: %d", got)
	}
	if got := status(w.accountSecretsURL(target.ID)); got != 403 {
		t.Errorf("no account admin: %d", got)
	}
	admins := w.AddGroup(databrickstest.GroupSpec{Name: "account admins", AccountAdmin: true})
	w.AddMember(admins.ID, outer.ID)
	if got := status(w.accountSecretsURL(target.ID)); got != 200 {
		t.Errorf("account admin through groups: %d", got)
	}
	// A circle is not closed.
	w.AddMember(inner.ID, admins.ID)
	w.AddMember(inner.ID, inner.ID)
	if got := status(w.accountSecretsURL(target.ID)); got != 200 {
		t.Errorf("after a circle: %d", got)
	}
	got := w.api(http.MethodGet, w.AccountHost()+"/api/2.0/accounts/"+w.AccountID()+"/scim/v2/Groups/"+fmt.Sprint(inner.ID), w.asAdmin(), "")
	if members, _ := got.body["members"].([]any); len(members) != 1 {
		t.Errorf("inner has %v, want the app alone", members)
	}
}

func TestSCIMUsers(t *testing.T) {
	w := newWorld(t, databrickstest.Config{SCIMPageSize: 2})
	ann := w.someone("ann@example.com")
	for i := range 3 {
		w.AddPerson(databrickstest.PersonSpec{UserName: fmt.Sprintf("u%d@example.com", i)})
	}
	gone := w.someone("gone@example.com")
	w.DeletePerson(gone.ID)
	names := func(target, bearer string) []string {
		var names []string
		rows, _ := w.api(http.MethodGet, target, bearer, "").body["Resources"].([]any)
		for _, row := range rows {
			fields, _ := row.(map[string]any)
			name, _ := fields["userName"].(string)
			names = append(names, name)
		}
		return names
	}
	account, here := w.usersURL(false), w.usersURL(true)
	filter := func(text string) string { return "?filter=" + url.QueryEscape(text) }
	tests := []struct {
		name, target, bearer string
		want                 []string
	}{
		{"first page", account, w.asAdmin(), []string{"ann@example.com", "u0@example.com"}},
		{"last page", account + "?startIndex=3", w.asAdmin(), []string{"u1@example.com", "u2@example.com"}},
		{"empty page", account + "?startIndex=5", w.asAdmin(), nil},
		{"by name", account + filter(`userName eq "u2@example.com"`), w.asAdmin(), []string{"u2@example.com"}},
		{"by name in capitals", account + filter(`userName eq "U2@EXAMPLE.COM"`), w.asAdmin(), []string{"u2@example.com"}},
		{"by two names", account + filter(`userName eq u2@example.com or userName eq u0@example.com`), w.asAdmin(), []string{"u0@example.com", "u2@example.com"}},
		{"by name and more", account + filter(`userName eq u2@example.com and active eq false`), w.asAdmin(), nil},
		{"a service principal's id", account + filter(fmt.Sprintf("id eq %d", w.app.ID)), w.asAdmin(), nil},
		{"deleted", account + filter(`userName eq gone@example.com`), w.asAdmin(), nil},
		{"in the workspace", here, w.asManager(), []string{"ann@example.com"}},
		{"not in the workspace", here + filter(`userName eq u2@example.com`), w.asManager(), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, names(test.target, test.bearer)); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}

	for _, query := range []string{"?attributes=userName,active", "?excludedAttributes=emails,account_id,Active"} {
		got := w.api(http.MethodGet, account+"/"+fmt.Sprint(ann.ID)+query, w.asAdmin(), "")
		_, active := got.body["active"]
		if got.body["userName"] != "ann@example.com" || got.body["emails"] != nil || got.body["id"] == nil || active != (query[1] == 'a') {
			t.Errorf("%s: %+v", query, got.body)
		}
	}
	if got := w.api(http.MethodGet, account+"?attributes=id&excludedAttributes=active", w.asAdmin(), ""); got.status != 400 {
		t.Errorf("both: %+v", got)
	}
	for target, bearer := range map[string]string{account: w.asAdmin(), here: w.asManager()} {
		for _, id := range []string{fmt.Sprint(w.app.ID), fmt.Sprint(gone.ID), "x"} {
			if got := w.api(http.MethodGet, target+"/"+id, bearer, ""); got.status != 404 || got.message() != "user "+id+" does not exist" {
				t.Errorf("get %s: %+v", id, got)
			}
		}
	}
	const off = `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"active","value":false}]}`
	if got := w.api(http.MethodPatch, here+"/"+fmt.Sprint(ann.ID), w.asManager(), off); got.status != 200 {
		t.Errorf("patch: %+v", got)
	}
	if p, _ := w.Person(ann.ID); p.Active {
		t.Error("ann is still active")
	}
	// A stale read shows the person before the last write.
	w.Faults().Add(faulttest.Fault{Op: databrickstest.OpAccountGetUser, Kind: faulttest.StaleRead})
	if got := w.api(http.MethodGet, account+"/"+fmt.Sprint(ann.ID), w.asAdmin(), ""); got.body["active"] != true {
		t.Errorf("stale: %+v", got.body)
	}
}

// Who a host knows is remembered, and forgotten when anything about it changes.
func TestRosterFollows(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	target := w.workspaceScimURL()
	check := func(what string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, w.api(http.MethodGet, target, w.asManager(), "").names()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	check("at first", "workspace rotator", "nightly job")
	late := w.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "late"})
	check("added", "workspace rotator", "nightly job")
	g := w.AddGroup(databrickstest.GroupSpec{Name: "g"})
	w.Assign(g.ID, w.workspace, false)
	check("group assigned", "workspace rotator", "nightly job")
	w.AddMember(g.ID, late.ID)
	check("in the group", "workspace rotator", "nightly job", "late")
	w.Assign(w.admin.ID, w.workspace, false)
	check("assigned", "rotator", "workspace rotator", "nightly job", "late")
	w.DeletePrincipal(w.app.ID)
	check("deleted", "rotator", "workspace rotator", "late")
	w.Faults().Add(faulttest.Fault{Op: databrickstest.OpWorkspaceListPrincipals, Kind: faulttest.StaleRead})
	check("stale", "rotator", "workspace rotator", "nightly job", "late")
	check("fresh", "rotator", "workspace rotator", "late")
}

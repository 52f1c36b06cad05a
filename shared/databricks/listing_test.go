package databricks_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/databricks"
)

// collected is what a listing gives, and its error.
func collected[T any](list iter.Seq2[T, error]) ([]T, error) {
	var all []T
	for one, err := range list {
		if err != nil {
			return all, err
		}
		all = append(all, one)
	}
	return all, nil
}

var account = databricks.Host{URL: "https://stub.example.com", AccountID: "acc"}

// What Databricks answers, and what is made of it.
func TestReplies(t *testing.T) {
	created := time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		path, body string
		read       func(c *databricks.Client) (any, error)
		want       any
	}{
		"service principals of the account": {
			"/api/2.0/accounts/acc/scim/v2/ServicePrincipals?count=500&startIndex=1",
			`{"totalResults":2,"Resources":[{"id":"1","applicationId":"app-1","displayName":"etl","active":false,"roles":[{"value":"account_admin","type":"direct"}]},{"id":"2","applicationId":"app-2"}]}`,
			func(c *databricks.Client) (any, error) { return collected(c.ServicePrincipals(t.Context(), account)) },
			[]databricks.Member{{ID: "1", Name: "app-1", DisplayName: "etl", Roles: []string{"account_admin"}}, {ID: "2", Name: "app-2", Active: true}},
		},
		"users of a workspace": {
			"/api/2.0/preview/scim/v2/Users?count=500&startIndex=1",
			`{"totalResults":1,"Resources":[{"id":"1","userName":"ann@example.com","displayName":"Ann","active":true,"entitlements":[{"value":"workspace-access"}],"groups":[{"value":"7","display":"admins","$ref":"Groups/7"}]}]}`,
			func(c *databricks.Client) (any, error) {
				return collected(c.Users(t.Context(), databricks.Host{URL: account.URL}))
			},
			[]databricks.Member{{
				ID: "1", Name: "ann@example.com", DisplayName: "Ann", Active: true, Entitlements: []string{"workspace-access"},
				Groups: []databricks.GroupRef{{ID: "7", Name: "admins"}},
			}},
		},
		"groups": {
			"/api/2.0/accounts/acc/scim/v2/Groups?count=500&startIndex=1",
			`{"totalResults":1,"Resources":[{"id":"7","displayName":"ops","members":[{"value":"1","$ref":"Users/1"}],"groups":[{"value":"8","display":"all"}],"roles":[{"value":"account_admin"}],"entitlements":[{"value":"allow-cluster-create"}]}]}`,
			func(c *databricks.Client) (any, error) { return collected(c.Groups(t.Context(), account)) },
			[]databricks.Group{{
				ID: "7", Name: "ops", Roles: []string{"account_admin"}, Entitlements: []string{"allow-cluster-create"}, Members: []string{"1"},
				Parents: []databricks.GroupRef{{ID: "8", Name: "all"}},
			}},
		},
		"a group": {
			"/api/2.0/accounts/acc/scim/v2/Groups/7", `{"id":"7","displayName":"ops","members":[{"value":"1"}]}`,
			func(c *databricks.Client) (any, error) { return c.Group(t.Context(), account, "7") },
			databricks.Group{ID: "7", Name: "ops", Members: []string{"1"}},
		},
		"workspaces": {
			"/api/2.0/accounts/acc/workspaces",
			`[{"workspace_id":3,"workspace_name":"a","deployment_name":"dbc-1","workspace_status":"RUNNING"},{"workspace_id":4,"workspace_status":"PROVISIONING"}]`,
			func(c *databricks.Client) (any, error) { return c.Workspaces(t.Context(), account) },
			[]databricks.Workspace{{ID: 3, Name: "a", DeploymentName: "dbc-1", Running: true, Status: "RUNNING"}, {ID: 4, Status: "PROVISIONING"}},
		},
		"assignments": {
			"/api/2.0/accounts/acc/workspaces/3/permissionassignments",
			`{"permission_assignments":[{"permissions":["USER","ADMIN"],"principal":{"principal_id":1,"user_name":"ann"}},{"permissions":["USER"],"principal":{"principal_id":2}},{"error":"it failed","permissions":["ADMIN"],"principal":{"principal_id":3}},{"permissions":["ADMIN"]}]}`,
			func(c *databricks.Client) (any, error) { return c.WorkspaceAssignments(t.Context(), account, 3) },
			[]databricks.WorkspaceAssignment{{MemberID: "1", Admin: true}, {MemberID: "2"}},
		},
		"a host that is a workspace": {
			"/.well-known/databricks-config", `{"account_id":"acc","workspace_id":"534607222535855","oidc_endpoint":"x"}`,
			func(c *databricks.Client) (any, error) { return c.HostInfo(t.Context(), account) },
			databricks.HostInfo{AccountID: "acc", WorkspaceID: 534607222535855},
		},
		"a host whose workspace is a number": {
			"/.well-known/databricks-config", `{"account_id":"acc","workspace_id":534607222535855}`,
			func(c *databricks.Client) (any, error) { return c.HostInfo(t.Context(), account) },
			databricks.HostInfo{AccountID: "acc", WorkspaceID: 534607222535855},
		},
		"a host that is an account": {
			"/.well-known/databricks-config", `{"account_id":"acc"}`,
			func(c *databricks.Client) (any, error) { return c.HostInfo(t.Context(), account) },
			databricks.HostInfo{AccountID: "acc"},
		},
		"custom apps": {
			"/api/2.0/accounts/acc/oauth2/custom-app-integrations?include_creator_username=true",
			`{"apps":[{"integration_id":"i","client_id":"c","name":"n","confidential":true,"redirect_urls":["https://x"],"scopes":["sql"],"user_authorized_scopes":["sql"],"created_by":9,"creator_username":"ann","create_time":"2026-03-01T03:00:00Z","token_access_policy":{"access_token_ttl_in_minutes":60,"refresh_token_ttl_in_minutes":1440,"absolute_session_lifetime_in_minutes":2880,"enable_single_use_refresh_tokens":true}}]}`,
			func(c *databricks.Client) (any, error) { return c.CustomApps(t.Context(), account) },
			[]databricks.App{{
				ID: "i", ClientID: "c", Name: "n", RedirectURLs: []string{"https://x"}, Scopes: []string{"sql"}, UserScopes: []string{"sql"},
				CreatorID: "9", Creator: "ann", CreateTime: created, AccessTTL: time.Hour, RefreshTTL: 24 * time.Hour, SessionTTL: 48 * time.Hour, SingleUse: true,
			}},
		},
		"published apps": {
			"/api/2.0/accounts/acc/oauth2/published-app-integrations", `{"apps":[{"integration_id":"i","app_id":"databricks-cli","name":"CLI"}]}`,
			func(c *databricks.Client) (any, error) { return c.PublishedApps(t.Context(), account) },
			[]databricks.App{{ID: "i", ClientID: "databricks-cli", Name: "CLI", Published: true}},
		},
		"federation policies": {
			"/api/2.0/accounts/acc/servicePrincipals/1/federationPolicies",
			`{"policies":[{"policy_id":"p","uid":"u","create_time":"2026-03-01T03:00:00Z","oidc_policy":{"issuer":"https://i","audiences":["a"],"subject":"s","subject_claim":"c","jwks_json":"{}"}},{"uid":"u2"}]}`,
			func(c *databricks.Client) (any, error) { return c.FederationPolicies(t.Context(), account, "1") },
			[]databricks.FederationPolicy{{ID: "p", Issuer: "https://i", Audiences: []string{"a"}, Subject: "s", SubjectClaim: "c", CreateTime: created}, {ID: "u2"}},
		},
		"the account's federation policies": {
			"/api/2.0/accounts/acc/federationPolicies", `{}`,
			func(c *databricks.Client) (any, error) { return c.FederationPolicies(t.Context(), account, "") },
			[]databricks.FederationPolicy(nil),
		},
		"rules": {
			"/api/2.0/preview/accounts/acc/access-control/rule-sets?etag=&name=accounts%2Facc%2FservicePrincipals%2Fapp%2FruleSets%2Fdefault",
			`{"name":"x","etag":"y","grant_rules":[{"role":"roles/servicePrincipal.user","principals":["users/bob"]},{"role":"roles/servicePrincipal.manager","principals":["users/bob","groups/ops"]},{"role":"roles/servicePrincipal.manager","principals":["groups/ops"]}]}`,
			func(c *databricks.Client) (any, error) {
				rules, err := c.PrincipalRules(t.Context(), account, "acc", "app")
				return rules.With(databricks.RoleManager), err
			},
			[]string{"groups/ops", "users/bob"},
		},
		"permissions": {
			"/api/2.0/permissions/authorization/tokens",
			`{"access_control_list":[{"user_name":"ann","all_permissions":[{"permission_level":"CAN_USE"},{"permission_level":"CAN_MANAGE","inherited":true}]},{"group_name":"ops","all_permissions":[{"permission_level":"CAN_USE"}]},{"service_principal_name":"app"}]}`,
			func(c *databricks.Client) (any, error) {
				return c.ObjectPermissions(t.Context(), account, "authorization", "tokens")
			},
			[]databricks.Permission{{Name: "ann", Level: "CAN_USE"}, {Name: "ann", Level: "CAN_MANAGE", Inherited: true}, {Name: "ops", Group: true, Level: "CAN_USE"}},
		},
		"grants": {
			"/api/2.1/unity-catalog/effective-permissions/schema/main.raw?max_results=0",
			`{"privilege_assignments":[{"principal":"ann","privileges":[{"privilege":"SELECT"},{"privilege":"USE_CATALOG","inherited_from_type":"CATALOG","inherited_from_name":"main"}]}]}`,
			func(c *databricks.Client) (any, error) { return c.Grants(t.Context(), account, "schema", "main.raw") },
			[]databricks.Grant{{Name: "ann", Privilege: "SELECT"}, {Name: "ann", Privilege: "USE_CATALOG", InheritedFrom: "catalog main"}},
		},
		"a metastore": {
			"/api/2.1/unity-catalog/current-metastore-assignment", `{"metastore_id":"m","workspace_id":3}`,
			func(c *databricks.Client) (any, error) { return c.Metastore(t.Context(), account) },
			"m",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c, _, calls := stub(t, func(w http.ResponseWriter, r *http.Request) {
				if got := r.URL.RequestURI(); r.Method != http.MethodGet || got != test.path {
					t.Errorf("%s %s, want %s", r.Method, got, test.path)
				}
				writeJSON(w, http.StatusOK, test.body)
			})
			got, err := test.read(c)
			if err != nil || *calls != 1 {
				t.Fatalf("%v after %d calls", err, *calls)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What is no answer must not pass for an empty list.
func TestRepliesThatAreNone(t *testing.T) {
	type read func(ctx context.Context, c *databricks.Client) error
	apps := func(ctx context.Context, c *databricks.Client) error {
		_, err := c.CustomApps(ctx, account)
		return err
	}
	policies := func(ctx context.Context, c *databricks.Client) error {
		_, err := c.FederationPolicies(ctx, account, "")
		return err
	}
	workspaces := func(ctx context.Context, c *databricks.Client) error {
		_, err := c.Workspaces(ctx, account)
		return err
	}
	info := func(ctx context.Context, c *databricks.Client) error { _, err := c.HostInfo(ctx, account); return err }
	reads := map[string]read{
		"apps": apps, "federation policies": policies, "workspaces": workspaces, "host": info,
		"users": func(ctx context.Context, c *databricks.Client) error {
			_, err := collected(c.Users(ctx, account))
			return err
		},
		"grants": func(ctx context.Context, c *databricks.Client) error {
			_, err := c.Grants(ctx, account, "schema", "x")
			return err
		},
		"metastore": func(ctx context.Context, c *databricks.Client) error {
			_, err := c.Metastore(ctx, account)
			return err
		},
	}
	check := func(name string, read read, body string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			c, _, _ := stub(t, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, body) })
			if err := read(t.Context(), c); err == nil {
				t.Errorf("%s: %q passes for an answer", name, body)
			}
		})
	}
	for name, read := range reads {
		for _, body := range []string{``, `null`, `"x"`, `7`, `<html>sign in</html>`} {
			check(name, read, body)
		}
	}
	check("workspaces", workspaces, `{}`)
	check("workspaces", workspaces, `[{"workspace_id":"x"}]`)
	check("apps", apps, `[]`)
	check("apps", apps, `{"apps":[{}]}`)
	check("apps", apps, `{"apps":[{"integration_id":"x","create_time":"yesterday"}]}`)
	check("federation policies", policies, `{"policies":[{}]}`)
	check("federation policies", policies, `{"policies":[{"policy_id":"x","create_time":"yesterday"}]}`)
	check("host", info, `{"workspace_id":"x"}`)
	check("metastore", reads["metastore"], `{}`)
}

// A list that does not end is an error, and costs a bounded number of calls.
func TestEndlessLists(t *testing.T) {
	c, _, calls := stub(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/scim/") {
			writeJSON(w, http.StatusOK, `{"Resources":[{"id":"1","userName":"ann"}]}`)
			return
		}
		writeJSON(w, http.StatusOK, fmt.Sprintf(`{"next_page_token":%q}`, r.URL.Query().Get("page_token")+"x"))
	})
	if _, err := c.CustomApps(t.Context(), account); !errors.Is(err, databricks.ErrRejected) || *calls > 1000 {
		t.Errorf("apps: %v after %d calls", err, *calls)
	}
	*calls = 0
	if _, err := collected(c.Users(t.Context(), account)); !errors.Is(err, databricks.ErrRejected) || *calls > 1000 {
		t.Errorf("users: %v after %d calls", err, *calls)
	}
}

// Who stops reading a list costs no further page.
func TestListIsLazy(t *testing.T) {
	c, _, calls := stub(t, func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, `{"totalResults":900,"Resources":[{"id":"1","userName":"ann"},{"id":"2","userName":"bob"}]}`)
	})
	for m, err := range c.Users(t.Context(), account) {
		if err != nil || m.Name != "ann" {
			t.Errorf("%+v, %v", m, err)
		}
		break
	}
	if *calls != 1 {
		t.Errorf("%d calls", *calls)
	}
}

func TestWorkspaceHost(t *testing.T) {
	tests := []struct{ account, deployment, want string }{
		{"https://accounts.cloud.databricks.com", "dbc-1a2b", "https://dbc-1a2b.cloud.databricks.com"},
		{"https://accounts.cloud.databricks.com", "DBC-1A2B", "https://dbc-1a2b.cloud.databricks.com"},
		{"https://accounts.cloud.databricks.us", "dbc-1", "https://dbc-1.cloud.databricks.us"},
		{"http://127.0.0.1:4000", "127.0.0.1:4001", "http://127.0.0.1:4001"},
	}
	for _, test := range tests {
		if got := (databricks.Host{URL: test.account, AccountID: "acc"}).Workspace(test.deployment); got != (databricks.Host{URL: test.want}) {
			t.Errorf("%s of %s is %+v, want %s", test.deployment, test.account, got, test.want)
		}
	}
}

// Invariant 6: people paste credentials into comments and names. A word that
// only begins like one stays.
func TestPastedCredential(t *testing.T) {
	const pasted = "dapi0123456789abcdef0123456789abcdef"
	c, host, _ := stub(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, "/scim/"):
			writeJSON(w, http.StatusOK, `{"totalResults":2,"Resources":[{"id":"1","applicationId":"a","displayName":"for `+pasted+`"},{"id":"2","applicationId":"b","displayName":"overdoseanalysis"}]}`)
		case strings.Contains(r.URL.Path, "/oauth2/"):
			writeJSON(w, http.StatusOK, `{"apps":[{"integration_id":"i","name":"`+pasted+`"}]}`)
		case strings.Contains(r.URL.Path, "/federationPolicies"):
			writeJSON(w, http.StatusOK, `{"policies":[{"policy_id":"p","description":"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"}]}`)
		default:
			writeJSON(w, http.StatusOK, `{"token_infos":[{"token_id":"9f","comment":"it is `+pasted+`!"}]}`)
		}
	})
	tokens, err1 := c.Tokens(t.Context(), host)
	members, err2 := collected(c.ServicePrincipals(t.Context(), account))
	apps, err3 := c.CustomApps(t.Context(), account)
	policies, err4 := c.FederationPolicies(t.Context(), account, "")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	got := []string{tokens[0].Comment, members[0].DisplayName, members[1].DisplayName, apps[0].Name, policies[0].Description}
	if diff := cmp.Diff([]string{"it is [secret]!", "for [secret]", "overdoseanalysis", "[secret]", "[secret]"}, got); diff != "" {
		t.Error(diff)
	}
}

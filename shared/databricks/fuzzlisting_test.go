package databricks_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"databricks-credential-rotation/shared/databricks"
)

// FuzzListing has a host answer the reads of an audit with arbitrary bytes.
// Nothing panics, every list ends, no error shows a credential or the body
// (invariant 6), and what is kept of a token can be named.
func FuzzListing(f *testing.F) {
	for _, body := range []string{
		`{"token_infos":[` + tokenJSON + `]}`,
		`{"token_infos":null,"next_page_token":"x"}`,
		`{"totalResults":1,"Resources":[{"id":"1","applicationId":"a","groups":[{"value":"7"}],"members":[{"value":"1"}]}]}`,
		`{"apps":[{"integration_id":"i","create_time":"2026-03-01T03:00:00Z","token_access_policy":null}]}`,
		`{"policies":[{"policy_id":"p","oidc_policy":null}]}`,
		`[{"workspace_id":3,"deployment_name":"dbc"}]`,
		`{"permission_assignments":[{"permissions":["ADMIN"],"principal":{"principal_id":1}}]}`,
		`{"access_control_list":[{"user_name":"ann","all_permissions":[{"permission_level":"CAN_USE"}]}]}`,
		`{"privilege_assignments":[{"principal":"ann","privileges":[{"privilege":"SELECT","inherited_from_type":"CATALOG"}]}]}`,
		`{"grant_rules":[{"role":"roles/servicePrincipal.manager","principals":["users/ann"]}]}`,
		`{"account_id":"a","workspace_id":"7"}`, `{"workspace_id":1e30}`, `{"message":"dapi0123456789abcdef0123456789abcdef"}`, ``,
	} {
		f.Add(uint16(0), body)
		f.Add(uint16(229), body) // 429
	}
	f.Fuzz(func(t *testing.T, status uint16, body string) {
		code := 200 + int(status%400)
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			calls := 0
			c, host, _ := stub(t, func(w http.ResponseWriter, _ *http.Request) {
				// A list that goes on for ever is tested elsewhere.
				if calls++; calls > 60 {
					cancel()
				}
				writeJSON(w, code, body)
			})
			var errs []error
			keep := func(err error) { errs = append(errs, err) }
			tokens, err := c.Tokens(ctx, host)
			keep(err)
			_, err = collected(c.ServicePrincipals(ctx, account))
			keep(err)
			_, err = collected(c.Groups(ctx, host))
			keep(err)
			_, err = c.CustomApps(ctx, account)
			keep(err)
			_, err = c.FederationPolicies(ctx, account, "1")
			keep(err)
			_, err = c.Workspaces(ctx, account)
			keep(err)
			_, err = c.WorkspaceAssignments(ctx, account, 3)
			keep(err)
			_, err = c.ObjectPermissions(ctx, host, "jobs", "1")
			keep(err)
			_, err = c.Grants(ctx, host, "schema", "main.raw")
			keep(err)
			_, err = c.PrincipalRules(ctx, account, "acc", "app")
			keep(err)
			_, err = c.HostInfo(ctx, host)
			keep(err)
			for _, err := range errs {
				if err == nil {
					continue
				}
				if text := err.Error(); looksSecret.MatchString(text) || len(text) > 600 {
					t.Errorf("%d: the error shows a credential, or too much: %q", code, text)
				}
				if code < 300 && len(body) >= 12 && strings.Contains(err.Error(), body) {
					t.Errorf("%d: the error shows the body: %q", code, err)
				}
				var e *databricks.Error
				if !errors.As(err, &e) {
					t.Errorf("%d: %v is not reduced", code, err)
				}
			}
			for _, token := range tokens {
				if token.ID == "" || strings.ContainsAny(token.ID, " /?\n") {
					t.Errorf("the id %q cannot be named", token.ID)
				}
			}
		})
	})
}

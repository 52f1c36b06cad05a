package databrickstest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/databrickstest"
)

func (w *world) accountScimURL() string {
	return w.AccountHost() + "/api/2.0/accounts/" + w.AccountID() + "/scim/v2/ServicePrincipals"
}

func (w *world) workspaceScimURL() string {
	return w.workspace.Host() + "/api/2.0/preview/scim/v2/ServicePrincipals"
}

// names lists the display names that a SCIM list answers.
func (a answer) names() []string {
	var names []string
	rows, _ := a.body["Resources"].([]any)
	for _, row := range rows {
		fields, _ := row.(map[string]any)
		name, _ := fields["displayName"].(string)
		names = append(names, name)
	}
	return names
}

func TestSCIMFilter(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	quoted := w.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: `say "or" else`, Inactive: true})
	tests := []struct {
		filter string
		want   []string
		says   string // of the error
	}{
		{filter: fmt.Sprintf("id eq %d", w.app.ID), want: []string{"nightly job"}},
		{filter: fmt.Sprintf(`id eq "%d" or applicationId eq %s`, w.app.ID, w.admin.ApplicationID), want: []string{"rotator", "nightly job"}},
		{filter: `displayName eq "nightly job"`, want: []string{"nightly job"}},
		{filter: `DISPLAYNAME EQ "Nightly Job"`, want: []string{"nightly job"}},
		{filter: `displayName eq "nightly job" and active eq false`},
		{filter: `active eq false`, want: []string{quoted.DisplayName}},
		{filter: `displayName eq "say \"or\" else"`, want: []string{quoted.DisplayName}},
		{filter: `displayName eq "rotator" and active eq false or displayName eq "nightly job"`, want: []string{"nightly job"}},
		{filter: `displayName eq "nightly job" or displayName eq "rotator" and active eq false`, want: []string{"nightly job"}},
		{filter: `displayName eq ""`},
		{filter: `displayName co "job"`, says: "co"},
		{filter: `externalId eq "x"`, says: "externalId"},
		{filter: `displayName eq`, says: "too early"},
		{filter: `active eq true and`, says: "too early"},
		{filter: `active eq true xor active eq false`, says: "xor"},
		{filter: `displayName eq "open`, says: "not closed"},
	}
	for _, test := range tests {
		t.Run(test.filter, func(t *testing.T) {
			got := w.api(http.MethodGet, w.accountScimURL()+"?filter="+url.QueryEscape(test.filter), w.asAdmin(), "")
			if test.says != "" {
				if got.status != 400 || got.code() != "invalidFilter" || !strings.Contains(got.message(), test.says) {
					t.Errorf("answered %+v, want invalidFilter saying %q", got, test.says)
				}
				return
			}
			if diff := cmp.Diff(test.want, got.names()); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSCIMPaging(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	for i := range 120 {
		w.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: fmt.Sprint("p", i)})
	}
	tests := []struct {
		query              string
		start, items, from int
	}{
		{"", 1, 100, 0},
		{"?count=10000", 1, 100, 0},
		{"?startIndex=101&count=100", 101, 23, 100},
		{"?startIndex=124", 124, 0, 0},
		{"?startIndex=0&count=1", 1, 1, 0},
		{"?count=0", 1, 0, 0},
	}
	everyone := append([]string{"rotator", "workspace rotator", "nightly job"}, make([]string, 120)...)
	for i := range 120 {
		everyone[3+i] = fmt.Sprint("p", i)
	}
	for _, test := range tests {
		t.Run(test.query, func(t *testing.T) {
			got := w.api(http.MethodGet, w.accountScimURL()+test.query, w.asAdmin(), "")
			head := []any{got.body["totalResults"], got.body["startIndex"], got.body["itemsPerPage"]}
			if diff := cmp.Diff([]any{123.0, float64(test.start), float64(test.items)}, head); diff != "" {
				t.Errorf("total, start, items (-want +got):\n%s", diff)
			}
			want := append([]string(nil), everyone[test.from:test.from+test.items]...)
			if diff := cmp.Diff(want, got.names()); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}
	if got := w.api(http.MethodGet, w.accountScimURL()+"?count=many", w.asAdmin(), ""); got.code() != "invalidValue" {
		t.Errorf("count=many: %+v", got)
	}
	if got := w.api(http.MethodGet, w.accountScimURL()+"?fields=id", w.asAdmin(), ""); got.status != 400 || !strings.Contains(got.message(), "fields") {
		t.Errorf("unknown parameter: %+v", got)
	}
}

func TestSCIMPatch(t *testing.T) {
	const schemas = `"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"]`
	tests := []struct {
		name, body string
		status     int
		active     bool
	}{
		{"bare", `{` + schemas + `,"Operations":[{"op":"replace","path":"active","value":false}]}`, 200, false},
		{"string", `{` + schemas + `,"Operations":[{"op":"Replace","path":"active","value":"False"}]}`, 200, false},
		{"wrapped", `{` + schemas + `,"Operations":[{"op":"replace","path":"active","value":[{"value":"false"}]}]}`, 200, false},
		{"last wins", `{` + schemas + `,"Operations":[{"op":"replace","path":"active","value":false},{"op":"replace","path":"active","value":true}]}`, 200, true},
		{"no schema", `{"Operations":[{"op":"replace","path":"active","value":false}]}`, 400, true},
		{"no operation", `{` + schemas + `}`, 400, true},
		{"other path", `{` + schemas + `,"Operations":[{"op":"replace","path":"displayName","value":"x"}]}`, 400, true},
		{"other operation", `{` + schemas + `,"Operations":[{"op":"remove","path":"active"}]}`, 400, true},
		{"other value", `{` + schemas + `,"Operations":[{"op":"replace","path":"active","value":1}]}`, 400, true},
		{"good and bad", `{` + schemas + `,"Operations":[{"op":"replace","path":"active","value":false},{"op":"add","path":"x"}]}`, 400, true},
		{"unknown field", `{` + schemas + `,"operations":[],"x":1}`, 400, true},
	}
	for _, level := range []string{"account", "workspace"} {
		for _, test := range tests {
			t.Run(level+"/"+test.name, func(t *testing.T) {
				w := newWorld(t, databrickstest.Config{})
				target, bearer := w.accountScimURL(), w.asAdmin()
				if level == "workspace" {
					target, bearer = w.workspaceScimURL(), w.asManager()
				}
				target = fmt.Sprintf("%s/%d", target, w.app.ID)
				got := w.api(http.MethodPatch, target, bearer, test.body)
				if got.status != test.status {
					t.Fatalf("answered %+v, want %d", got, test.status)
				}
				if p, _ := w.Principal(w.app.ID); p.Active != test.active {
					t.Errorf("active is %t", p.Active)
				}
				seen := w.api(http.MethodGet, target, bearer, "")
				if seen.body["active"] != test.active || seen.body["applicationId"] != w.app.ApplicationID {
					t.Errorf("read back %+v", seen)
				}
			})
		}
	}
}

func TestSCIMWorkspaceKnowsItsOwn(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	got := w.api(http.MethodGet, w.workspaceScimURL(), w.asManager(), "")
	if diff := cmp.Diff([]string{"workspace rotator", "nightly job"}, got.names()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	gone := w.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "gone"})
	w.Assign(gone.ID, w.workspace, false)
	w.DeletePrincipal(gone.ID)
	if diff := cmp.Diff(got.names(), w.api(http.MethodGet, w.workspaceScimURL(), w.asManager(), "").names()); diff != "" {
		t.Errorf("names with a deleted one (-want +got):\n%s", diff)
	}
	for _, id := range []string{fmt.Sprint(w.admin.ID), "0", "-1", "abc", w.app.ApplicationID} {
		missing := w.api(http.MethodGet, w.workspaceScimURL()+"/"+id, w.asManager(), "")
		want := map[string]any{
			"schemas": []any{"urn:ietf:params:scim:api:messages:2.0:Error"},
			"detail":  "service principal " + id + " does not exist",
			"status":  "404",
		}
		if diff := cmp.Diff(want, missing.body); diff != "" || missing.status != 404 {
			t.Errorf("get %s: %d (-want +got):\n%s", id, missing.status, diff)
		}
	}
}

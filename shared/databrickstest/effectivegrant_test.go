package databrickstest_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/databricks/databricks-sdk-go/apierr"
	"github.com/databricks/databricks-sdk-go/service/catalog"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/databrickstest"
)

func TestEffectiveGrants(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	ann := w.AddPerson(databrickstest.PersonSpec{UserName: "ann@example.com"})
	gone := w.AddPerson(databrickstest.PersonSpec{UserName: "gone@example.com"})
	team := w.AddGroup(databrickstest.GroupSpec{Name: "team"})
	w.SetGrants("catalog main",
		databrickstest.Grant{Who: team.ID, Privileges: []string{"USE_CATALOG"}},
		databrickstest.Grant{Who: gone.ID, Privileges: []string{"ALL_PRIVILEGES"}})
	w.SetGrants("schema main.raw",
		databrickstest.Grant{Who: ann.ID, Privileges: []string{"SELECT"}},
		databrickstest.Grant{Who: team.ID, Privileges: []string{"USE_SCHEMA"}})
	w.SetGrants("table main.raw.events", databrickstest.Grant{Who: ann.ID, Privileges: []string{"MODIFY"}})
	w.DeletePerson(gone.ID)

	client := sdk(t, w.workspace.Host(), "", w.manager.ApplicationID, w.mgrSecret.Value, w.Transport())
	grants := catalog.NewGrants(client)
	tests := map[string][]string{
		"table main.raw.events": {
			"ann@example.com MODIFY", "ann@example.com SELECT SCHEMA main.raw",
			"team USE_SCHEMA SCHEMA main.raw", "team USE_CATALOG CATALOG main",
		},
		"schema main.raw": {"ann@example.com SELECT", "team USE_SCHEMA", "team USE_CATALOG CATALOG main"},
		"catalog main":    {"team USE_CATALOG"},
	}
	for securable, want := range tests {
		kind, name, _ := strings.Cut(securable, " ")
		var got []string
		// The first page, and then those that its token leads to.
		request := catalog.GetEffectiveRequest{SecurableType: kind, FullName: name, ForceSendFields: []string{"MaxResults"}}
		for {
			reply, err := grants.GetEffective(t.Context(), request)
			if err != nil {
				t.Fatalf("%s: %v", securable, err)
			}
			for _, a := range reply.PrivilegeAssignments {
				for _, p := range a.Privileges {
					got = append(got, strings.TrimSpace(strings.Join([]string{a.Principal, string(p.Privilege), string(p.InheritedFromType), p.InheritedFromName}, " ")))
				}
			}
			if reply.NextPageToken == "" {
				break
			}
			request.PageToken = reply.NextPageToken
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", securable, diff)
		}
	}
	_, err := grants.GetEffective(t.Context(), catalog.GetEffectiveRequest{SecurableType: "schema", FullName: "main.none"})
	if !errors.Is(err, apierr.ErrNotFound) {
		t.Errorf("%v, want not found", err)
	}
	metastore, err := catalog.NewMetastores(client).Current(t.Context())
	if err != nil || metastore.MetastoreId == "" || metastore.WorkspaceId != w.workspace.ID {
		t.Errorf("metastore %+v, %v", metastore, err)
	}
	if unknown := w.Unknown(); len(unknown) > 0 {
		t.Errorf("routes that do not exist: %q", unknown)
	}
}

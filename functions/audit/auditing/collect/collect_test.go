package collect_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/policy"
)

// sorted compares lists whose order is that of random ids.
var sorted = cmp.Options{
	cmpopts.EquateEmpty(),
	cmpopts.SortSlices(func(a, b inventory.Principal) bool { return a.Name < b.Name }),
	cmpopts.SortSlices(func(a, b inventory.Workspace) bool { return a.Name < b.Name }),
	cmpopts.SortSlices(func(a, b inventory.Token) bool { return a.Comment+a.Owner < b.Comment+b.Owner }),
	cmpopts.SortSlices(func(a, b inventory.App) bool { return a.Name < b.Name }),
	cmpopts.SortSlices(func(a, b inventory.Managed) bool { return a.Name < b.Name }),
	cmpopts.SortSlices(func(a, b inventory.FederationPolicy) bool { return a.Issuer < b.Issuer }),
}

func TestCollect(t *testing.T) {
	w := newWorld(t)
	w.Databricks.AddFederationPolicy(w.etl.Principal.ID, databrickstest.FederationPolicy{
		Issuer: "https://token.example.com", Audiences: []string{"databricks"}, Subject: "repo:example/etl",
	})
	got := w.collect(w.collector())
	w.finishWant(t, got)
}

func (w *world) finishWant(t *testing.T, got *inventory.Inventory) {
	t.Helper()
	s := w.Databricks
	secret := func(o databrickstest.OAuthSecret) inventory.OAuthSecret {
		return inventory.OAuthSecret{ID: o.ID, CreatedAt: o.CreateTime, ExpiresAt: o.ExpireTime, Scopes: o.Scopes}
	}
	etlSecret, reportSecret := s.Secrets(w.etl.Principal.ID)[0], s.Secrets(w.report.Principal.ID)[0]
	rotator := "servicePrincipals/" + w.Rotator.ApplicationID
	plain := inventory.Assignment{Entitlements: []string{"workspace-access"}, Groups: []string{"users"}}
	in := func(of int64, a inventory.Assignment) inventory.Assignment {
		a.ID = id(of)
		return a
	}
	admin := inventory.Assignment{Admin: true, Entitlements: []string{"workspace-access"}, Groups: []string{"admins", "users"}}
	want := &inventory.Inventory{
		TakenAt: w.Now(), AccountID: s.AccountID(),
		Workspaces: []inventory.Workspace{
			{ID: w.analytics.ID, Name: "analytics", Host: w.analytics.Host()},
			{ID: w.science.ID, Name: "science", Host: w.science.Host()},
		},
		People: []inventory.Person{
			{
				ID: id(w.ann.ID), UserName: "Ann@example.com", Active: true,
				Assignments: map[int64]inventory.Assignment{w.analytics.ID: in(w.ann.ID, inventory.Assignment{
					Admin: true, Entitlements: []string{"databricks-sql-access", "workspace-access"}, Groups: []string{"admins", "users"},
				})},
			},
			{
				ID: id(w.bob.ID), UserName: "bob@example.com", AccountAdmin: true,
				Assignments: map[int64]inventory.Assignment{w.science.ID: in(w.bob.ID, plain)},
			},
		},
		Principals: []inventory.Principal{
			{
				ID: id(w.etl.Principal.ID), ClientID: w.etl.Principal.ApplicationID, Name: "etl", Active: true,
				Assignments: map[int64]inventory.Assignment{w.analytics.ID: in(w.etl.Principal.ID, inventory.Assignment{
					Entitlements: []string{"databricks-sql-access", "workspace-access"}, Groups: []string{"users", "writers"},
				})},
				Managers: []string{rotator}, Secrets: []inventory.OAuthSecret{secret(etlSecret)},
				Federation: []inventory.FederationPolicy{{
					Issuer: "https://token.example.com", Audiences: []string{"databricks"}, Subject: "repo:example/etl", CreatedAt: w.Now(),
				}},
			},
			{
				ID: id(w.legacy.ID), ClientID: w.legacy.ApplicationID, Name: "legacy loader", AccountAdmin: true,
				Groups: []string{"ops", "platform"},
				Assignments: map[int64]inventory.Assignment{w.science.ID: in(w.legacy.ID, inventory.Assignment{
					Admin: true, Entitlements: []string{"allow-cluster-create", "workspace-access"},
					Groups: []string{"admins", "ops", "platform", "users"},
				})},
				Managers: []string{"groups/platform", "users/Ann@example.com"},
				Secrets:  []inventory.OAuthSecret{secret(w.legacySecret)},
			},
			{
				ID: id(w.report.Principal.ID), ClientID: w.report.Principal.ApplicationID, Name: "report", Active: true,
				Assignments: map[int64]inventory.Assignment{w.analytics.ID: in(w.report.Principal.ID, plain)},
				Managers:    []string{rotator}, Secrets: []inventory.OAuthSecret{secret(reportSecret)},
			},
			{
				ID: id(w.Rotator.ID), ClientID: w.Rotator.ApplicationID, Name: "rotator", Active: true, AccountAdmin: true,
				Assignments: map[int64]inventory.Assignment{w.analytics.ID: in(w.Rotator.ID, admin), w.science.ID: in(w.Rotator.ID, admin)},
				Secrets:     []inventory.OAuthSecret{secret(s.Secrets(w.Rotator.ID)[0])},
			},
		},
		Tokens: []inventory.Token{
			{
				ID: w.annToken.ID, Workspace: w.analytics.ID, Comment: "laptop", OwnerID: id(w.ann.ID), Owner: "Ann@example.com",
				CreatedBy: "Ann@example.com", CreatedAt: w.annToken.CreateTime, LastUsedAt: w.annToken.LastUsed,
			},
			{
				ID: w.goneToken.ID, Workspace: w.analytics.ID, OwnerID: id(w.gone.ID),
				CreatedBy: "gone@example.com", CreatedAt: w.goneToken.CreateTime, ExpiresAt: w.goneToken.ExpireTime,
			},
			{
				ID: w.botToken.ID, Workspace: w.science.ID, OwnerID: id(w.legacy.ID), Owner: w.legacy.ApplicationID, Automation: true,
				CreatedBy: "Ann@example.com", CreatedAt: w.botToken.CreateTime, ExpiresAt: w.botToken.ExpireTime, Scopes: []string{"sql"},
				Autoscope: "COMPLETED", Inferred: []string{"files", "jobs", "sql"},
			},
		},
		Apps: []inventory.App{
			{
				ID: w.app.ID, ClientID: w.app.ClientID, Name: "dashboards", RedirectURLs: w.app.RedirectURLs,
				Scopes: w.app.Scopes, UserScopes: w.app.UserScopes, CreatorID: id(w.ann.ID), Creator: "Ann@example.com",
				CreatedAt: w.app.CreateTime, AccessTTL: time.Hour, RefreshTTL: 7 * day, SingleUse: true,
			},
			{
				ID: w.orphanApp.ID, ClientID: w.orphanApp.ClientID, Name: "left behind", Scopes: []string{"all-apis"},
				CreatorID: id(w.gone.ID), CreatedAt: w.orphanApp.CreateTime,
			},
			{
				ID: w.published.ID, ClientID: "databricks-cli", Name: "Databricks CLI", Published: true,
				CreatorID: id(w.bob.ID), Creator: "bob@example.com", CreatedAt: w.published.CreateTime,
			},
		},
		Managed: []inventory.Managed{
			{
				ARN: w.etl.ARN, Name: "etl", Host: s.AccountHost(), ClientID: w.etl.Principal.ApplicationID,
				OAuthSecretID: etlSecret.ID, Recorded: []string{etlSecret.ID}, Tried: true, Authenticates: true,
			},
			{
				ARN: w.report.ARN, Name: "report", Host: w.analytics.Host(), ClientID: w.report.Principal.ApplicationID,
				OAuthSecretID: reportSecret.ID, Recorded: []string{reportSecret.ID}, Tried: true, Authenticates: true,
			},
		},
		Gaps: []inventory.Gap{{Where: w.closed.Host(), What: "everything in the workspace", Why: "the account says that it is FAILED"}},
	}
	ids := cmpopts.IgnoreFields(inventory.FederationPolicy{}, "ID", "Description")
	if diff := cmp.Diff(want, got, sorted, ids); diff != "" {
		t.Error(diff)
	}
}

// Invariant 6: what an inventory says is no secret value, and neither is what
// its log says.
func TestNoSecretInInventory(t *testing.T) {
	w := newWorld(t)
	var log strings.Builder
	c := w.collector()
	c.Log = newLog(&log)
	inv := w.collect(c)
	text, err := json.Marshal(inv)
	if err != nil {
		t.Fatal(err)
	}
	if log.Len() == 0 || len(text) < 1000 {
		t.Errorf("log %q, inventory of %d bytes", log.String(), len(text))
	}
	for _, value := range w.Databricks.Issued() {
		if strings.Contains(string(text)+log.String(), value) {
			t.Errorf("the inventory or its log holds %.8s…", value)
		}
	}
}

// The same estate gives the same inventory.
func TestSameAgain(t *testing.T) {
	w := newWorld(t)
	first := w.collect(w.collector())
	for range 3 {
		c := w.collector()
		c.Workers = 3
		if diff := cmp.Diff(first, w.collect(c), cmpopts.IgnoreFields(inventory.Inventory{}, "TakenAt")); diff != "" {
			t.Error(diff)
		}
	}
}

// The account's list of groups may carry the members, as it did before 2025.
// The policy says which workspaces are looked at.
func TestListedWorkspaces(t *testing.T) {
	w := newWorld(t)
	tests := map[string]struct {
		list       []string
		workspaces []string
		gaps       []string
	}{
		"by host": {[]string{w.science.Host()}, []string{"science"}, nil},
		"by bare host, in capitals, twice": {
			[]string{strings.ToUpper(strings.TrimPrefix(w.science.Host(), "https://")), w.science.Host() + "/"},
			[]string{"science"},
			nil,
		},
		"by id": {[]string{id(w.analytics.ID), id(w.science.ID)}, []string{"analytics", "science"}, nil},
		"one that has failed": {[]string{id(w.closed.ID)}, nil, []string{
			w.closed.Host() + ": everything in the workspace: the account says that it is FAILED",
		}},
		"one that there is not": {[]string{"12"}, nil, []string{
			w.Databricks.AccountHost() + ": everything in workspace 12: the account has no workspace of that id",
		}},
		"a host that may not be talked to": {[]string{"https://evil.example.com"}, nil, []string{
			"https://evil.example.com: everything in the workspace: host refused: evil.example.com is not among the allowed hosts",
		}},
		"the account console": {[]string{w.Databricks.AccountHost()}, nil, []string{
			w.Databricks.AccountHost() + ": everything in the workspace: the host is no workspace",
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w.policy.Audit.Workspaces = test.list
			inv := w.collect(w.collector())
			var names []string
			for _, p := range inv.Workspaces {
				names = append(names, p.Name)
			}
			if diff := cmp.Diff(test.workspaces, names, cmpopts.EquateEmpty(), cmpopts.SortSlices(func(a, b string) bool { return a < b })); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.gaps, gaps(inv), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			if len(inv.Principals) != 4 {
				t.Errorf("%d service principals: the account's are read whatever the workspaces", len(inv.Principals))
			}
		})
	}
}

// Access lists come from the policy's list and its roles, each in the place
// where it is.
func TestAccessLists(t *testing.T) {
	w := newWorld(t)
	s := w.Databricks
	w.analytics.SetAccess("warehouses/abc123",
		databrickstest.Access{Who: w.etl.Principal.ID, Level: "CAN_USE"},
		databrickstest.Access{Who: w.ann.ID, Level: "IS_OWNER"},
		databrickstest.Access{Who: databrickstest.Admins, Level: "CAN_MANAGE", Inherited: []string{"/sql/warehouses/"}})
	w.science.SetAccess("jobs/42", databrickstest.Access{Who: databrickstest.Users, Level: "CAN_VIEW"})
	s.SetGrants("catalog main", databrickstest.Grant{Who: w.ops.ID, Privileges: []string{"USE_CATALOG", "SELECT"}})
	s.SetGrants("schema main.raw", databrickstest.Grant{Who: w.etl.Principal.ID, Privileges: []string{"USE_SCHEMA", "SELECT"}},
		databrickstest.Grant{Who: w.ann.ID, Privileges: []string{"MODIFY"}}, databrickstest.Grant{Who: w.ops.ID, Privileges: []string{"MODIFY"}})
	w.policy.Audit.Objects = []policy.Object{{Type: "jobs", ID: "42"}, {Type: "jobs", ID: "43"}}
	w.policy.Audit.Securables = []policy.Securable{{Type: "schema", Name: "main.raw"}, {Type: "schema", Name: "main.none"}}
	w.policy.Roles = map[string]policy.Role{"etl": {
		Permissions: []policy.Permission{{Object: policy.Object{Type: "warehouses", ID: "abc123"}}, {Object: policy.Object{Type: "jobs", ID: "42"}}},
		Grants:      []policy.Grant{{Securable: policy.Securable{Type: "catalog", Name: "main"}}},
	}}
	inv := w.collect(w.collector())
	reader := inv.Objects[0].Workspace // whichever of the two was asked
	want := []inventory.Object{
		{Kind: "catalog", Name: "main", Workspace: reader, Grants: []inventory.Grant{
			{Identity: "ops", Group: true, Privilege: []string{"SELECT", "USE_CATALOG"}},
		}},
		{Kind: "jobs", Name: "42", Workspace: w.science.ID, Grants: []inventory.Grant{{Identity: "users", Group: true, Level: "CAN_VIEW"}}},
		{Kind: "schema", Name: "main.raw", Workspace: reader, Grants: []inventory.Grant{
			{Identity: w.etl.Principal.ApplicationID, Privilege: []string{"SELECT", "USE_SCHEMA"}},
			{Identity: "Ann@example.com", Privilege: []string{"MODIFY"}},
			{Identity: "ops", Group: true, Privilege: []string{"MODIFY"}},
			{Identity: "ops", Group: true, Privilege: []string{"SELECT", "USE_CATALOG"}, Inherited: true},
		}},
		{Kind: "warehouses", Name: "abc123", Workspace: w.analytics.ID, Grants: []inventory.Grant{
			{Identity: w.etl.Principal.ApplicationID, Level: "CAN_USE"},
			{Identity: "Ann@example.com", Level: "IS_OWNER"},
			{Identity: "admins", Group: true, Level: "CAN_MANAGE", Inherited: true},
		}},
	}
	if diff := cmp.Diff(want, inv.Objects); diff != "" {
		t.Error(diff)
	}
	wantGaps := []string{
		w.closed.Host() + ": everything in the workspace: the account says that it is FAILED",
		"policy: the grants of schema main.none: no metastore that was read has it",
		"policy: the permissions of jobs/43: no workspace that was read has it",
	}
	if diff := cmp.Diff(wantGaps, gaps(inv)); diff != "" {
		t.Error(diff)
	}
}

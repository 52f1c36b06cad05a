package blast_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/audit/auditing/blast"
	"databricks-credential-rotation/functions/audit/auditing/inventory"
)

const day = 24 * time.Hour

var now = time.Date(2026, 6, 1, 6, 0, 0, 0, time.UTC)

func estate() *inventory.Inventory {
	in := func(ids ...int64) map[int64]inventory.Assignment {
		m := map[int64]inventory.Assignment{}
		for _, id := range ids {
			m[id] = inventory.Assignment{}
		}
		return m
	}
	quarter := now.Add(90 * day)
	secret := func(id string, until time.Time, scopes ...string) []inventory.OAuthSecret {
		return []inventory.OAuthSecret{{ID: id, CreatedAt: now.Add(-day), ExpiresAt: until, Scopes: scopes}}
	}
	return &inventory.Inventory{
		TakenAt:    now,
		Workspaces: []inventory.Workspace{{ID: 1, Name: "sales"}, {ID: 2, Name: "risk"}},
		People: []inventory.Person{
			{UserName: "Ann@example.com", Active: true, Assignments: map[int64]inventory.Assignment{1: {Admin: true}, 2: {}}},
			{UserName: "left@example.com", Assignments: in(1)},
		},
		Principals: []inventory.Principal{
			{ClientID: "root", Active: true, AccountAdmin: true, Secrets: secret("everything", time.Time{})},
			{ClientID: "root2", Active: true, AccountAdmin: true, Secrets: secret("everything-soon", quarter)},
			{ClientID: "etl", Name: "etl", Active: true, Assignments: in(1), Groups: []string{"writers"}, Secrets: secret("narrow", quarter, "sql")},
			{ClientID: "wide", Active: true, Assignments: in(1), Groups: []string{"writers"}, Secrets: secret("wide", quarter)},
			{ClientID: "nobody", Active: true, Secrets: secret("nowhere", quarter)},
			{ClientID: "asleep", AccountAdmin: true, Secrets: secret("asleep", time.Time{})},
			{ClientID: "over", Active: true, AccountAdmin: true, Secrets: secret("expired", now)},
		},
		Tokens: []inventory.Token{
			{ID: "admin", Workspace: 1, Owner: "ann@example.com", ExpiresAt: quarter},
			{ID: "user", Workspace: 2, Owner: "ann@example.com", ExpiresAt: quarter},
			{ID: "of-left", Workspace: 1, Owner: "left@example.com"},
			{ID: "of-nobody", Workspace: 1, ExpiresAt: quarter, Scopes: []string{"alerts"}},
		},
		Objects: []inventory.Object{
			{Kind: "warehouses", Name: "w1", Workspace: 1, Grants: []inventory.Grant{{Identity: "writers", Group: true, Level: "CAN_USE"}, {Identity: "etl", Level: "CAN_MANAGE"}}},
			{Kind: "warehouses", Name: "w2", Workspace: 2, Grants: []inventory.Grant{{Identity: "users", Group: true, Level: "CAN_USE"}}},
		},
	}
}

// What reaches further ranks higher: admin above member, all APIs above one,
// no end above an end. What cannot be used is not there.
func TestRank(t *testing.T) {
	reaches, all := blast.Rank(estate(), func(string) string { return "team" }, 100)
	var got []string
	for i, r := range reaches {
		got = append(got, r.Subject.ID)
		if i > 0 && r.Score > reaches[i-1].Score || r.Score < 0 || r.Score > 100 {
			t.Errorf("%s has the score %v", r.Subject.ID, r.Score)
		}
	}
	want := []string{"everything", "everything-soon", "admin", "wide", "user", "narrow", "nowhere", "of-nobody"}
	// A token of nobody and a secret for nowhere are equally little.
	if diff := cmp.Diff(want, got); diff != "" || all != len(want) {
		t.Errorf("order (-want +got), %d in all:\n%s", all, diff)
	}
	if top, all := blast.Rank(estate(), func(string) string { return "" }, 2); len(top) != 2 || all != len(want) {
		t.Errorf("asked for two: %d of %d", len(top), all)
	}
}

func TestReach(t *testing.T) {
	reaches, _ := blast.Rank(estate(), func(string) string { return "team" }, 100)
	by := map[string]blast.Reach{}
	for _, r := range reaches {
		by[r.Subject.ID] = r
	}
	narrow := by["narrow"]
	if diff := cmp.Diff([]string{"warehouses w1 CAN_MANAGE", "warehouses w2 CAN_USE", "warehouses w1 CAN_USE"}, narrow.Access); diff != "" {
		t.Errorf("access of the OAuth secret (-want +got):\n%s", diff)
	}
	if narrow.Holder != "etl (etl)" || narrow.Owner != "team" || narrow.Admin != "none" || !narrow.Automation || narrow.Call != 0.5 || narrow.Time != 0.79 {
		t.Errorf("%+v", narrow)
	}
	if r := by["everything"]; r.Score != 100 || r.Admin != "account" || r.Scopes[0] != "all-apis" || r.Workspaces == nil {
		t.Errorf("%+v", r)
	}
	// A token reaches into its own workspace only.
	if r := by["admin"]; r.Admin != "workspace" || r.WorkspaceCount != 1 || r.Workspaces[0] != "sales" || len(r.Access) != 0 {
		t.Errorf("%+v", r)
	}
	if r := by["user"]; r.Admin != "none" || cmp.Diff([]string{"warehouses w2 CAN_USE"}, r.Access) != "" {
		t.Errorf("%+v", r)
	}
}

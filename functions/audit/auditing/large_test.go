package auditing_test

import (
	"fmt"
	"testing"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/blast"
	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/functions/audit/auditing/prune"
	"databricks-credential-rotation/functions/audit/auditing/rule"
	"databricks-credential-rotation/shared/policy"
)

// BenchmarkLarge judges the largest account: 10,000 principals, 50,000 OAuth
// secrets, 100,000 tokens, 50 workspaces.
func BenchmarkLarge(b *testing.B) {
	inv := &inventory.Inventory{TakenAt: now, AccountID: "a"}
	for i := range 50 {
		inv.Workspaces = append(inv.Workspaces, inventory.Workspace{ID: int64(i + 1), Name: fmt.Sprint("w", i), Host: "https://h"})
	}
	for i := range 10_000 {
		p := inventory.Principal{ID: fmt.Sprint(i), ClientID: fmt.Sprintf("%08x-0000-4000-8000-000000000000", i), Active: true, Groups: []string{"g"}, Assignments: map[int64]inventory.Assignment{int64(i%50 + 1): {}}}
		for j := range 5 {
			p.Secrets = append(p.Secrets, inventory.OAuthSecret{ID: fmt.Sprint(i, "-", j), CreatedAt: now.Add(-time.Duration(j) * day), ExpiresAt: now.Add(90 * day), Scopes: []string{"sql"}})
		}
		inv.Principals = append(inv.Principals, p)
	}
	for i := range 100_000 {
		inv.Tokens = append(inv.Tokens, inventory.Token{ID: fmt.Sprint("t", i), Workspace: int64(i%50 + 1), Owner: "ann@example.com", CreatedAt: now.Add(-40 * day), ExpiresAt: now.Add(40 * day), LastUsedAt: now.Add(-day), Scopes: []string{"sql"}})
	}
	for i := range 100 {
		o := inventory.Object{Kind: "warehouses", Name: fmt.Sprint(i), Workspace: 1}
		for j := range 100 {
			o.Grants = append(o.Grants, inventory.Grant{Identity: inv.Principals[(i*100+j)%10000].ClientID, Level: "CAN_USE"})
		}
		inv.Objects = append(inv.Objects, o)
	}
	p := policy.Default()
	p.Roles = map[string]policy.Role{"r": {Scopes: []string{"sql"}, Groups: []string{"g"}}}
	for _, q := range inv.Principals {
		p.Principals = append(p.Principals, policy.Principal{ClientID: q.ClientID, Role: "r", Owner: "o"})
	}
	b.ReportAllocs()
	for b.Loop() {
		e := rule.NewEstate(inv, p, rule.Place{})
		found := 0
		rule.Judge(e, func(finding.Finding) { found++ })
		reaches, _ := blast.Rank(inv, e.Owner, 1000)
		plan := prune.Make(inv, p, nil, "")
		_ = found + len(reaches) + len(plan.Items)
		b.ReportMetric(float64(found), "findings")
	}
}

package report_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/functions/audit/auditing/prune"
	"databricks-credential-rotation/functions/audit/auditing/report"
	"databricks-credential-rotation/functions/audit/auditing/reporttest"
	"databricks-credential-rotation/shared/policy"
)

const day = 24 * time.Hour

func TestMeasure(t *testing.T) {
	now := reporttest.TakenAt
	ago := func(days float64) time.Time { return now.Add(-time.Duration(days * float64(day))) }
	p := policy.Default()
	p.Roles = map[string]policy.Role{"etl": {Scopes: []string{"jobs", "sql"}}, "root": {Scopes: []string{"all-apis"}}}
	p.Principals = []policy.Principal{{ClientID: "sp-etl", Role: "etl"}, {ClientID: "sp-root", Role: "root"}, {ClientID: "sp-none"}}
	inv := &inventory.Inventory{
		TakenAt:    now,
		Workspaces: make([]inventory.Workspace, 2),
		People:     make([]inventory.Person, 3),
		Apps:       make([]inventory.App, 1),
		Managed:    make([]inventory.Managed, 2),
		Federation: make([]inventory.FederationPolicy, 1),
		Principals: []inventory.Principal{
			{ClientID: "sp-etl", Federation: make([]inventory.FederationPolicy, 2), Secrets: []inventory.OAuthSecret{
				{CreatedAt: ago(7), Scopes: []string{"jobs"}},
				{CreatedAt: ago(7.1), Scopes: []string{"jobs", "clusters"}},
				{CreatedAt: ago(400)},
			}},
			{ClientID: "sp-root", Secrets: []inventory.OAuthSecret{{CreatedAt: ago(-1)}}},
			{ClientID: "sp-none", Secrets: []inventory.OAuthSecret{{Scopes: []string{"sql"}}}},
		},
		Tokens: []inventory.Token{
			{CreatedAt: ago(365), LastUsedAt: ago(91), Owner: "sp-etl", Automation: true, Scopes: []string{"all-apis", "sql"}},
			{CreatedAt: ago(366), Owner: "sp-etl"}, // a person of that name
		},
	}
	want := report.Measures{
		Totals: report.Totals{Workspaces: 2, People: 3, ServicePrincipals: 3, OAuthSecrets: 5, Tokens: 2, Apps: 1, FederationPolicies: 3, ManagedSecrets: 2},
		Ages: []report.Bucket{
			{Label: "up to 7 days", UpTo: 7, OAuthSecrets: 2},
			{Label: "8 to 30", UpTo: 30, OAuthSecrets: 1},
			{Label: "31 to 90", UpTo: 90},
			{Label: "91 to 180", UpTo: 180},
			{Label: "181 to 365", UpTo: 365, Tokens: 1},
			{Label: "over a year", OAuthSecrets: 1, Tokens: 1},
			{Label: "not known", OAuthSecrets: 1},
		},
		LastUse: []report.Bucket{
			{Label: "up to 7 days", UpTo: 7},
			{Label: "8 to 30", UpTo: 30},
			{Label: "31 to 90", UpTo: 90},
			{Label: "91 to 180", UpTo: 180, Tokens: 1},
			{Label: "181 to 365", UpTo: 365},
			{Label: "over a year"},
			{Label: "never, or not known", Tokens: 1},
		},
		Scopes: []report.RoleScopes{
			{Role: "etl", Within: 1, Beyond: 1, Unrestricted: 2},
			{Role: "root", Within: 1},
			{Within: 1, Unrestricted: 1},
		},
	}
	got := report.Measure(inv, p)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n := got.Totals.Credentials(); n != 11 {
		t.Errorf("%d credentials, want 11", n)
	}
}

func TestNewID(t *testing.T) {
	at := time.Date(2026, 11, 24, 7, 8, 9, 999, time.FixedZone("CET", 3600))
	for request, want := range map[string]string{
		"":                                     "20261124T060809Z",
		"5F1C9A27-7d4e-4c53-9a51-0d6f1f0f6a77": "20261124T060809Z-5f1c9a277d4e",
		"../../x\n":                            "20261124T060809Z-x",
	} {
		if got := report.NewID(at, request); got != want {
			t.Errorf("NewID(%q) is %q, want %q", request, got, want)
		}
	}
}

func TestActionsTellWhatNeedsAPersonFirst(t *testing.T) {
	var p report.Prune
	p.Done = &prune.Done{}
	results := []prune.Result{"", prune.Protected, prune.Removed, prune.Failed, prune.Left, prune.InUse}
	for i, result := range results {
		key := fmt.Sprint(i)
		p.Plan.Items = append(p.Plan.Items, prune.Item{Key: key, State: prune.Due, Action: prune.Remove})
		if result != "" {
			p.Done.Outcomes = append(p.Done.Outcomes, prune.Outcome{Key: key, Result: result, Why: string(result)})
		}
	}
	p.Plan.Items = append(p.Plan.Items, prune.Item{Key: "e", State: prune.Exempt}, prune.Item{Key: "n", State: prune.Notice})
	var got []string
	for _, a := range p.Actions() {
		got = append(got, a.Key+" "+string(a.Result)+" "+string(a.State))
		if a.Detail != string(a.Result) {
			t.Errorf("%s: detail %q, want %q", a.Key, a.Detail, a.Result)
		}
	}
	want := []string{"3 failed due", "4 left due", "2 removed due", "5 in use due", "1 protected due", "0  due", "n  notice", "e  exempt"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if n := p.Count(prune.Removed, prune.InUse); n != 2 {
		t.Errorf("counted %d, want 2", n)
	}
	if n := p.InState(prune.Due); n != len(results) {
		t.Errorf("%d due, want %d", n, len(results))
	}
}

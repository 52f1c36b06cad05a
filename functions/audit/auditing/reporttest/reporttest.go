// Package reporttest makes reports for the tests of what shows them: a usual
// one, one whose every name is hostile, and large ones.
package reporttest

import (
	"fmt"
	"strconv"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/blast"
	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/prune"
	"databricks-credential-rotation/functions/audit/auditing/report"
	"databricks-credential-rotation/shared/policy"
)

// TakenAt is when the sample was taken.
var TakenAt = time.Date(2026, time.November, 24, 6, 0, 0, 0, time.UTC)

const (
	day       = 24 * time.Hour
	workspace = 1234567890123456
	host      = "https://dbc-1a2b3c4d-5e6f.cloud.databricks.com"
)

// Sample is an audit of a small estate with something in every section.
func Sample() *report.Report {
	r := &report.Report{
		Version:    report.Version,
		ID:         report.NewID(TakenAt, "5f1c9a27-7d4e-4c53-9a51-0d6f1f0f6a77"),
		TakenAt:    TakenAt,
		Deployment: "databricks-credentials",
		AccountID:  "8b1f6c5e-0c2d-4a58-9d0e-3a4f5b6c7d8e",
		AskedBy:    "schedule",
		Previous:   report.NewID(TakenAt.Add(-day), "0c2f8ba4-95d2-4f6b-8a43-6a2d1c4e7b91"),
		Gaps: []report.Gap{{
			Part: report.PartWorkspace, Where: "https://dbc-9f8e7d6c-5b4a.cloud.databricks.com", What: "tokens",
			Why: "the rotator's principal is no admin there: PERMISSION_DENIED", Workspace: workspace + 1,
		}},
	}
	etl := finding.Subject{Kind: finding.ServicePrincipal, ID: "4711", Name: "nightly-etl", ClientID: "0b8a7c52-1111-4e6f-8a2b-1c2d3e4f5a6b"}
	secret := finding.Subject{Kind: finding.OAuthSecret, ID: "9d3c1fa0b2", Name: "nightly-etl", ClientID: etl.ClientID}
	token := func(id, name string) finding.Subject {
		return finding.Subject{Kind: finding.Token, ID: id, Name: name, Workspace: workspace}
	}
	add := func(status report.Status, severity finding.Severity, rule, title string, s finding.Subject, owner, remedy string, age time.Duration, evidence ...finding.Evidence) {
		r.Findings = append(r.Findings, &report.Finding{
			Status: status,
			Finding: finding.Finding{
				ID: finding.StableID(rule, s, ""), Rule: rule, Severity: severity, Subject: s, Title: title,
				Owner: owner, Remedy: remedy, FirstSeen: TakenAt.Add(-age), Evidence: evidence,
			},
		})
	}
	add(report.New, finding.Critical, "account-admin-automation", "A service principal is account admin", etl, "data-platform",
		"Take the role account_admin from the service principal in the account console, or give its role in the policy admin: account.", 0,
		finding.Evidence{Name: "through", Value: "group platform-admins"})
	add(report.Open, finding.High, "pat-all-apis", "A token may call everything", token("a1b2c3", "CI deploys"), "ana@example.com",
		"databricks api patch /api/2.0/token-management/tokens/a1b2c3 --json '{\"token\":{\"scopes\":[\"jobs\"]},\"update_mask\":\"scopes\"}'", 12*day,
		finding.Evidence{Name: "scopes", Value: "all-apis"}, finding.Evidence{Name: "seen to use", Value: "jobs"})
	add(report.Reopened, finding.High, "oauth-secret-foreign", "An OAuth secret of a managed principal is somebody else's", secret, "data-platform",
		"databricks account service-principal-secrets delete 4711 9d3c1fa0b2", 40*day,
		finding.Evidence{Name: "created", Value: "2026-10-15 09:12 UTC"})
	add(report.Open, finding.Medium, "pat-unused", "A token has not been used for a long time", token("d4e5f6", "laptop"), "ben@example.com",
		"databricks token-management delete d4e5f6", 33*day,
		finding.Evidence{Name: "last used", Value: "2026-08-30"}, finding.Evidence{Name: "workspace", Value: host})
	add(report.Unchecked, finding.Medium, "pat-never-used", "A token was never used", finding.Subject{Kind: finding.Token, ID: "0f1e2d", Name: "test", Workspace: workspace + 1}, "",
		"databricks token-management delete 0f1e2d", 5*day,
		finding.Evidence{Name: "created", Value: "2026-09-01"})
	r.Findings[len(r.Findings)-1].HiddenBy = []string{r.Gaps[0].Name()}
	add(report.New, finding.Low, "sp-could-federate", "A principal on AWS needs no secret", etl, "data-platform",
		"Give the service principal a federation policy for its AWS role.", 0)
	add(report.Open, finding.Info, "source-unread", "A part of the estate could not be read",
		finding.Subject{Kind: finding.Source, ID: "dbc-9f8e7d6c-5b4a tokens", Name: "https://dbc-9f8e7d6c-5b4a.cloud.databricks.com: tokens", Workspace: workspace + 1}, "",
		"Make the rotator's service principal admin of that workspace.", 5*day)
	gone := token("778899", "old notebook")
	r.Resolved = []report.Resolved{
		{ResolvedAt: TakenAt, Finding: finding.Finding{
			ID: finding.StableID("pat-without-expiry", gone, ""), Rule: "pat-without-expiry", Severity: finding.High, Subject: gone,
			Title: "A token never expires", Owner: "ana@example.com", Remedy: "databricks token-management delete 778899", FirstSeen: TakenAt.Add(-20 * day),
		}},
		{ResolvedAt: TakenAt.Add(-3 * day), Finding: finding.Finding{
			ID: finding.StableID("pat-unused", gone, ""), Rule: "pat-unused", Severity: finding.Medium, Subject: gone,
			Title: "A token has not been used for a long time", Remedy: "databricks token-management delete 778899", FirstSeen: TakenAt.Add(-30 * day),
		}},
	}
	r.Exposures = []blast.Reach{
		{Subject: secret, Holder: "nightly-etl (" + etl.ClientID + ")", Automation: true, Owner: "data-platform", Scopes: []string{"all-apis"}, Admin: "account", Workspaces: []string{"analytics", "sandbox"}, WorkspaceCount: 2, Score: 81, Call: 1, Rights: 0.9, Time: 0.9},
		{Subject: token("a1b2c3", "CI deploys"), Holder: "ana@example.com", Owner: "ana@example.com", Scopes: []string{"all-apis"}, Admin: "none", Workspaces: []string{"analytics"}, WorkspaceCount: 1, Access: []string{"warehouses/abc123 CAN_MANAGE"}, Until: TakenAt.Add(300 * day), Score: 34.5, Call: 1, Rights: 0.46, Time: 0.75},
		{Subject: token("d4e5f6", "laptop"), Holder: "ben@example.com", Scopes: []string{"sql"}, Admin: "none", Workspaces: []string{"analytics"}, WorkspaceCount: 1, Until: TakenAt.Add(20 * day), Score: 2.1, Call: 0.2, Rights: 0.3, Time: 0.35},
	}
	r.ExposureCount = len(r.Exposures)
	item := func(key string, action prune.Action, s finding.Subject, state prune.State, noticed time.Duration) prune.Item {
		return prune.Item{
			Key: key, Action: action, Subject: s, Owner: "ben@example.com", Why: "not used for 86 days",
			LastUsedAt: TakenAt.Add(-86 * day), NoticedAt: TakenAt.Add(-noticed), DueAt: TakenAt.Add(14*day - noticed), State: state,
		}
	}
	narrow := item("narrow a1b2c3", prune.Narrow, token("a1b2c3", "CI deploys"), prune.Notice, 2*day)
	narrow.Why, narrow.From, narrow.To = "seen to use less", []string{"all-apis"}, []string{"jobs"}
	exempt := item("remove 5a5a5a", prune.Remove, token("5a5a5a", "break glass"), prune.Exempt, 14*day)
	exempt.Exemption = "kept for incidents, until 2027-01-31"
	r.Prune = report.Prune{
		Plan: prune.Plan{
			Mode: policy.Enforce, RightSize: policy.Report, LookedAt: 412, Budget: "100 credentials, 10%",
			Items: []prune.Item{
				item("remove d4e5f6", prune.Remove, token("d4e5f6", "laptop"), prune.Due, 20*day),
				item("remove e7f8a9", prune.Remove, token("e7f8a9", "notebook"), prune.Due, 20*day),
				narrow, exempt,
			},
		},
		Done: &prune.Done{
			Outcomes: []prune.Outcome{
				{Key: "remove d4e5f6", Result: prune.InUse, Why: "it was used on 2026-11-23", At: TakenAt},
				{Key: "remove e7f8a9", Result: prune.Removed, At: TakenAt},
			},
			Counts: map[prune.Result]int{prune.InUse: 1, prune.Removed: 1},
		},
	}
	r.Measures = report.Measures{
		Totals: report.Totals{Workspaces: 3, People: 61, ServicePrincipals: 40, OAuthSecrets: 66, Tokens: 341, Apps: 4, FederationPolicies: 5, ManagedSecrets: 31},
		Ages: []report.Bucket{
			{Label: "up to 7 days", UpTo: 7, OAuthSecrets: 14, Tokens: 22},
			{Label: "8 to 30", UpTo: 30, OAuthSecrets: 31, Tokens: 47},
			{Label: "31 to 90", UpTo: 90, OAuthSecrets: 12, Tokens: 108},
			{Label: "91 to 180", UpTo: 180, OAuthSecrets: 5, Tokens: 96},
			{Label: "181 to 365", UpTo: 365, OAuthSecrets: 3, Tokens: 51},
			{Label: "over a year", OAuthSecrets: 1, Tokens: 17},
			{Label: "not known"},
		},
		LastUse: []report.Bucket{
			{Label: "up to 7 days", UpTo: 7, Tokens: 142},
			{Label: "8 to 30", UpTo: 30, Tokens: 63},
			{Label: "31 to 90", UpTo: 90, Tokens: 41},
			{Label: "91 to 180", UpTo: 180, Tokens: 22},
			{Label: "181 to 365", UpTo: 365, Tokens: 8},
			{Label: "over a year", Tokens: 3},
			{Label: "never, or not known", Tokens: 62},
		},
		Scopes: []report.RoleScopes{
			{Role: "etl", Within: 38, Beyond: 4, Unrestricted: 2},
			{Role: "dashboards", Within: 12, Beyond: 1},
			{Role: "deploy", Within: 9, Unrestricted: 3},
			{Within: 121, Unrestricted: 217},
		},
	}
	for i := range 14 {
		at := TakenAt.Add(-time.Duration(14-i) * day)
		r.Trend = append(r.Trend, report.Point{
			ID: report.NewID(at, ""), TakenAt: at, New: i % 3, Resolved: (i + 1) % 4, Credentials: 430 - i,
			Open: report.Counts{Critical: i % 2, High: 9 - i/2, Medium: 14 - i/3, Low: 8, Info: 3},
		})
	}
	r.Trend = append(r.Trend, report.Point{ID: r.ID, TakenAt: TakenAt, Open: r.Counts(), New: 3, Resolved: 1, Credentials: r.Measures.Totals.Credentials()})
	r.Sort()
	return r
}

// Attacks are names that command a medium which shows them as they are. Each
// carries the mark "pwned", by which a test finds where it went.
func Attacks() []string {
	return []string{
		`<script>document.title="pwned"</script>`,
		`"><img src="https://pwned.example/x.png" onerror="document.title='pwned'">`,
		`</script></style></textarea></title><svg onload="document.title='pwned'">`,
		`javascript:pwned()`,
		`{{.Pwned}} ${pwned} {{pwned}}`,
		`=HYPERLINK("https://pwned.example","pwned")`,
		`+cmd|' /C pwned'!A0`,
		`-2+3+cmd|' /C pwned'!A0`,
		`@SUM(1+1)*cmd|' /C pwned'!A0`,
		"\t=pwned()",
		"a;=pwned();b",
		"ok\r\n\r\nNothing to do today. pwned",
		"a,b;\"c\"\tpwned",
		"\x1b[2J\x1b[31mpwned",
		"\x1b]0;pwned\x07",
		"\u009b31mpwned",
		"\x1b]8;;https://pwned.example\x1b\\click\x1b]8;;\x1b\\",
		"**pwned** _x_ ~y~ `z` [a](https://pwned.example) ![b](https://pwned.example/i.png)",
		"<!channel> <@U012345> <https://pwned.example|log in> &lt;b&gt; @here",
		"user\u202etxt.denwp pwned",
		"zero\u200bwidth\u2060 pwned",
		"tags\U000e0070\U000e0077 pwned",
		"cut \xff\xfe pwned",
		"`; rm -rf / # pwned",
		"$(pwned)",
		"https://pwned.example/login www.pwned.example",
		"rgb(1,2,3) var(--pwned) </text></svg><script>pwned</script>",
		`"Markdown" # pwned | table |`,
	}
}

// Hostile is the sample with an attack wherever somebody else's text stands.
func Hostile() *report.Report {
	r := Sample()
	r.Findings = nil
	for i, attack := range Attacks() {
		s := finding.Subject{Kind: finding.Token, ID: attack, Name: attack, Workspace: int64(i), ClientID: attack}
		r.Findings = append(r.Findings, &report.Finding{
			Status: report.New, HiddenBy: []string{attack},
			Finding: finding.Finding{
				ID: "pat-unused-" + strconv.Itoa(i), Rule: "pat-unused", Severity: report.Severities()[i%5], Subject: s, Title: "A token " + attack,
				Evidence: []finding.Evidence{{Name: attack, Value: attack}}, Owner: attack, Remedy: "databricks token-management delete " + attack, FirstSeen: TakenAt,
			},
		})
		r.Resolved = append(r.Resolved, report.Resolved{ResolvedAt: TakenAt, Finding: finding.Finding{
			ID: "pat-gone-" + strconv.Itoa(i), Rule: "pat-gone", Severity: finding.Low, Subject: s, Title: attack, Owner: attack, Remedy: attack, FirstSeen: TakenAt,
		}})
		r.Gaps = append(r.Gaps, report.Gap{Part: report.PartAccount, Where: attack, What: attack, Why: attack})
		r.Exposures = append(r.Exposures, blast.Reach{Subject: s, Holder: attack, Owner: attack, Scopes: []string{attack}, Admin: "none", Workspaces: []string{attack}, WorkspaceCount: 1, Access: []string{attack}, Score: float64(i)})
		r.Prune.Plan.Items = append(r.Prune.Plan.Items, prune.Item{Key: "k" + strconv.Itoa(i), Action: prune.Remove, Subject: s, Owner: attack, Why: attack, From: []string{attack}, To: []string{attack}, NoticedAt: TakenAt, DueAt: TakenAt, State: prune.Due, Exemption: attack})
		r.Prune.Done.Outcomes = append(r.Prune.Done.Outcomes, prune.Outcome{Key: "k" + strconv.Itoa(i), Result: prune.Failed, Why: attack, At: TakenAt})
		r.Measures.Scopes = append(r.Measures.Scopes, report.RoleScopes{Role: attack, Within: i, Beyond: 1, Unrestricted: 1})
	}
	r.ExposureCount = len(r.Exposures)
	r.Deployment, r.AskedBy, r.Prune.Plan.Stopped, r.Prune.Plan.Budget = Attacks()[0], Attacks()[1], Attacks()[2], Attacks()[5]
	r.Sort()
	return r
}

// Large is the sample with so many findings, each with names as long as they
// can be.
func Large(findings int) *report.Report {
	r := Sample()
	r.Findings = make([]*report.Finding, 0, findings)
	for i := range findings {
		s := finding.Subject{Kind: finding.Token, ID: fmt.Sprintf("%064x", i), Name: fmt.Sprintf("token %d of somebody with a very long name in the directory", i), Workspace: workspace}
		r.Findings = append(r.Findings, &report.Finding{
			Status: report.Open,
			Finding: finding.Finding{
				ID: finding.StableID("pat-unused", s, ""), Rule: "pat-unused", Severity: report.Severities()[i%5], Subject: s,
				Title: "A token has not been used for a long time", Owner: fmt.Sprintf("somebody.with.a.long.name.%d@department.example.com", i%500),
				Evidence:  []finding.Evidence{{Name: "last used", Value: "2026-08-30"}, {Name: "workspace", Value: host}},
				Remedy:    "databricks token-management delete " + s.ID + " --profile analytics-production",
				FirstSeen: TakenAt.Add(-time.Duration(i%90) * day),
			},
		})
	}
	r.Sort()
	return r
}

package usage_test

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/functions/audit/auditing/rule"
	"databricks-credential-rotation/functions/audit/auditing/usage"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/secret"
	"databricks-credential-rotation/shared/usagelog"
	"databricks-credential-rotation/shared/usagelogtest"
)

const (
	day = 24 * time.Hour

	etl     = "00000001-1111-4222-8333-000000000001" // in the inventory, with an owner
	batch   = "00000002-1111-4222-8333-000000000002" // in the inventory, with managers
	deleted = "00000003-1111-4222-8333-000000000003" // in the log only
	rotator = "00000009-1111-4222-8333-000000000009"
	alice   = "alice@example.com"
	home    = "203.0.113.5"
	sdk     = "databricks-sdk-go/0.182.0 go/1.26 os/linux"
)

var now = time.Date(2026, 11, 20, 6, 0, 0, 0, time.UTC)

// world is an audit log behind the simulator's statement API, and a client
// with a warehouse of it.
type world struct {
	t         *testing.T
	log       *usagelogtest.Log
	server    *databrickstest.Server
	client    *databricks.Client
	warehouse databricks.Warehouse
	policy    policy.Policy
	inventory inventory.Inventory
	question  usage.Question
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, log: &usagelogtest.Log{}, server: databrickstest.New(databrickstest.Config{}), policy: policy.Default()}
	workspace := w.server.AddWorkspace("analytics")
	workspace.AddWarehouse("abc")
	w.server.StatementPolls(0)
	w.server.SetStatements(w.log.Statement)
	auditor := w.server.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "auditor"})
	w.server.Assign(auditor.ID, workspace, true)
	made, err := w.server.AddSecret(auditor.ID, databrickstest.SecretSpec{})
	if err != nil {
		t.Fatal(err)
	}
	allowed, err := databricks.ParseAllowedHosts(workspace.Host())
	if err != nil {
		t.Fatal(err)
	}
	w.client = &databricks.Client{
		Allowed: allowed, Transport: w.server.Transport(),
		Identity: databricks.Stored{Read: func(context.Context) (string, secret.Text, error) {
			return auditor.ApplicationID, secret.New(made.Value), nil
		}},
	}
	w.warehouse = databricks.Warehouse{Host: databricks.Host{URL: workspace.Host()}, ID: "abc"}
	w.policy.Principals = []policy.Principal{{ClientID: etl, Owner: "data-platform"}}
	w.policy.Audit.Bursts = policy.Bursts{FailedAuthentications: 5, ACLChanges: 4, Window: 10 * time.Minute}
	w.inventory = inventory.Inventory{
		Principals: []inventory.Principal{
			{ID: "101", ClientID: etl, Name: "etl", Active: true},
			{ID: "102", ClientID: batch, Name: "batch", Active: true, Managers: []string{"alice@example.com", "ops"}},
		},
		People: []inventory.Person{{ID: "7", UserName: "Alice@example.com", Active: true}},
	}
	w.question = usage.Question{Now: now, Ours: []string{rotator}}
	return w
}

// call is a call of somebody some time ago, otherwise from home and by the SDK.
func (w *world) call(ago time.Duration, identity, work string, change ...func(*usagelogtest.Event)) {
	e := usagelogtest.Event{At: now.Add(-ago), Workspace: 1, Address: home, Agent: sdk, Identity: identity, Status: 200}
	e.Service, e.Action, _ = strings.Cut(work, ".")
	for _, c := range change {
		c(&e)
	}
	w.log.Add(e)
}

func from(address string) func(*usagelogtest.Event) {
	return func(e *usagelogtest.Event) { e.Address = address }
}

func by(agent string) func(*usagelogtest.Event) {
	return func(e *usagelogtest.Event) { e.Agent = agent }
}
func refused(e *usagelogtest.Event) { e.Status = 401 }
func with(params ...string) func(*usagelogtest.Event) {
	return func(e *usagelogtest.Event) {
		e.Params = map[string]string{}
		for i := 0; i < len(params); i += 2 {
			e.Params[params[i]] = params[i+1]
		}
	}
}

// steady has a principal work every day, for ever.
func (w *world) steady(identity string) {
	for ago := time.Hour; ago < 60*day; ago += day {
		w.call(ago, identity, "jobs.runNow")
	}
}

func (w *world) ask() usage.Observation {
	w.question.Policy = w.policy
	return usage.Ask(w.t.Context(), w.client, w.warehouse, w.question)
}

var place = rule.Place{RevokeFunction: "rotation-revoke"}

// judged are the findings as "rule severity subject", sorted.
func (w *world) judged() []string {
	w.t.Helper()
	o := w.ask()
	if len(o.Missing) > 0 {
		w.t.Errorf("missing: %v", o.Missing)
	}
	return lines(o.Findings(w.inventory, w.policy, place))
}

func lines(findings []finding.Finding) []string {
	all := []string{}
	for _, f := range findings {
		all = append(all, f.Rule+" "+f.Severity.String()+" "+string(f.Subject.Kind)+" "+f.Subject.ID)
	}
	slices.Sort(all)
	return all
}

func TestFindings(t *testing.T) {
	minute := func(i int) time.Duration { return 3*day - time.Duration(i)*time.Minute }
	tests := map[string]struct {
		plant func(w *world)
		want  []string
	}{
		"nothing but work": {func(*world) {}, nil},

		"address outside": {func(w *world) {
			w.policy.Audit.Networks = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32")}
			w.call(day, etl, "jobs.runNow", from("198.51.100.1:5555"))
			w.call(2*day, etl, "jobs.runNow", from("[2001:db9::1]:443"))
			w.call(day, alice, "accounts.tokenLogin", from("192.0.2.1"))
		}, []string{"address-outside-networks high person 7", "address-outside-networks high service-principal 101"}},
		"addresses inside, or Databricks' own": {func(w *world) {
			w.policy.Audit.Networks = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32")}
			for _, a := range []string{"203.0.113.77:1", "2001:db8::5", "[2001:db8::6]:9", "::ffff:203.0.113.9", "127.0.0.1", "0:0:0:0:0:0:0:1%0", "0.0.0.0", "169.254.1.1", "fe80::1%eth0", ""} {
				w.call(day, etl, "jobs.runNow", from(a))
			}
		}, nil},
		"outside, but refused, or a browser, or long ago": {func(w *world) {
			w.policy.Audit.Networks = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
			w.call(day, etl, "jobs.runNow", from("198.51.100.1"), refused)
			w.call(day, alice, "accounts.login", from("198.51.100.1"))
			w.call(8*day, etl, "jobs.runNow", from("198.51.100.1"))
		}, nil},

		"first-seen address": {
			func(w *world) { w.call(day, etl, "jobs.runNow", from("198.51.100.1")) },
			[]string{"address-first-seen low service-principal 101"},
		},
		"address seen before": {func(w *world) {
			w.call(day, etl, "jobs.runNow", from("198.51.100.1"))
			w.call(9*day, etl, "jobs.runNow", from("198.51.100.1:80"))
		}, nil},
		"first-seen address of a new principal": {
			func(w *world) { w.call(day, deleted, "jobs.runNow", from("198.51.100.1")) }, nil,
		},
		"first-seen program": {
			func(w *world) { w.call(day, etl, "jobs.runNow", by("curl/8.5")) },
			[]string{"agent-first-seen low service-principal 101"},
		},
		"new version of a program": {
			func(w *world) { w.call(day, etl, "jobs.runNow", by("databricks-sdk-go/9.9 go/2")) }, nil,
		},
		"known program": {func(w *world) {
			w.policy.Audit.KnownAgents = []string{"Curl/"}
			w.call(day, etl, "jobs.runNow", by("curl/8.5"))
		}, nil},

		"dormant principal awake": {func(w *world) {
			w.call(day, deleted, "jobs.runNow")
			w.call(31*day+time.Second, deleted, "jobs.runNow")
		}, []string{"dormant-principal-awake high service-principal " + deleted}},
		"dormant for less than the policy says": {func(w *world) {
			w.call(day, deleted, "jobs.runNow")
			w.call(31*day-time.Second, deleted, "jobs.runNow")
		}, nil},
		"not seen in all the history, with an old secret": {func(w *world) {
			w.inventory.Principals = append(w.inventory.Principals, inventory.Principal{
				ID: "103", ClientID: deleted, Secrets: []inventory.OAuthSecret{{CreatedAt: now.Add(-90 * day)}},
			})
			w.call(day, deleted, "jobs.runNow")
		}, []string{"dormant-principal-awake high service-principal 103"}},
		"not seen in all the history, with a young secret": {func(w *world) {
			w.inventory.Principals = append(w.inventory.Principals, inventory.Principal{
				ID: "103", ClientID: deleted, Secrets: []inventory.OAuthSecret{{CreatedAt: now.Add(-2 * day)}},
			})
			w.call(day, deleted, "jobs.runNow")
		}, nil},

		"failed authentications of an identity": {func(w *world) {
			for i := range 5 {
				w.call(minute(2*i), "bob@example.com", "accounts.tokenLogin", refused, from("198.51.100."+string(rune('1'+i))))
			}
		}, []string{"auth-failure-burst high person bob@example.com"}},
		"failed authentications from an address": {func(w *world) {
			for i := range 5 {
				w.call(minute(2*i), "guess"+string(rune('1'+i)), "accounts.login", refused, from("198.51.100.1"))
			}
		}, []string{"auth-failure-burst high address 198.51.100.1"}},
		"one failed authentication too few, too slow, or not refused": {func(w *world) {
			for i := range 4 {
				w.call(minute(i), "bob@example.com", "accounts.tokenLogin", refused)
			}
			for i := range 5 {
				w.call(minute(1000+3*i), "carol@example.com", "accounts.tokenLogin", refused, from("198.51.100.1"))
				w.call(minute(2000+i), "dave@example.com", "accounts.login", from("198.51.100.2"))
			}
		}, nil},

		"access lists changed at once": {func(w *world) {
			for i := range 4 {
				w.call(minute(i), etl, "unityCatalog.updatePermissions")
			}
		}, []string{"acl-change-burst medium service-principal 101"}},
		"access lists changed one by one": {func(w *world) {
			for i := range 4 {
				w.call(minute(4*i), etl, "unityCatalog.updatePermissions")
			}
		}, nil},

		"admin granted": {func(w *world) {
			w.call(day, alice, "accounts.setAdmin", with("targetUserName", "mallory@example.com"))
			w.call(day, etl, "accounts.addPrincipalToGroup", with("targetGroupName", "Admins", "targetUserName", "mallory@example.com"))
		}, []string{"admin-granted high person 7", "admin-granted high service-principal 101"}},
		"another group, refused, or long ago": {func(w *world) {
			w.call(day, alice, "accounts.addPrincipalToGroup", with("targetGroupName", "readers"))
			w.call(day, alice, "accounts.setAdmin", refused)
			w.call(8*day, alice, "accounts.setAdmin")
		}, nil},

		"secret made outside": {
			func(w *world) {
				w.call(day, alice, "servicePrincipalCredentials.create", with("service_principal_id", "101"))
			},
			[]string{"secret-made-outside high person 7"},
		},
		"secret made by the rotator, or recorded": {func(w *world) {
			w.inventory.Managed = []inventory.Managed{{OAuthSecretID: "s1", Recorded: []string{"s1", "s2"}}}
			w.call(day, rotator, "servicePrincipalCredentials.create", with("service_principal_id", "101"))
			w.call(day, alice, "servicePrincipalCredentials.create", with("principal", "s2"))
		}, nil},
		"tokens made": {func(w *world) {
			w.call(day, alice, "accounts.generateDbToken")
			w.call(day, alice, "accounts.generateDbToken")
			w.call(day, batch, "accounts.generateDbToken")
		}, []string{"token-made-outside low person 7", "token-made-outside medium service-principal 102"}},

		"use after revocation": {func(w *world) {
			w.question.Revoked = []usage.Revocation{
				{Subject: etl, At: now.Add(-2 * day)},
				{Subject: "Batch", At: now.Add(-day)},
				{TokenID: "f00d", At: now.Add(-3 * day)},
				{TokenID: "beef", At: now.Add(-time.Minute)},
			}
			w.call(3*day-30*time.Minute, alice, "accounts.tokenLogin", with("tokenId", "f00d"))
			w.call(day, alice, "accounts.tokenLogin", with("tokenId", "beef"))
		}, []string{"use-after-revocation critical service-principal 101", "use-after-revocation high token f00d"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.steady(etl)
			test.plant(w)
			if diff := gocmp.Diff(append([]string{}, test.want...), w.judged()); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("each rule is tested", func(t *testing.T) {
		tested := map[string]bool{"usage-not-watched": true} // below
		for _, test := range tests {
			for _, line := range test.want {
				id, _, _ := strings.Cut(line, " ")
				tested[id] = true
			}
		}
		for _, r := range usage.Rules() {
			if !tested[r.ID] {
				t.Errorf("no test finds %s", r.ID)
			}
		}
	})
}

// A finding has what its reader needs, and the same id in the next audit.
func TestFindingForReaders(t *testing.T) {
	w := newWorld(t)
	w.steady(etl)
	w.policy.Audit.Networks = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	for i := range 7 {
		for range 1 + i {
			w.call(day, etl, "jobs.runNow", from("198.51.100."+string(rune('1'+i))))
		}
	}
	found := w.ask().Findings(w.inventory, w.policy, place)
	want := finding.Finding{
		Rule: "address-outside-networks", Severity: finding.High,
		Subject: finding.Subject{Kind: finding.ServicePrincipal, ID: "101", Name: "etl", ClientID: etl},
		Title:   "A credential was used from outside the policy's networks",
		Evidence: []finding.Evidence{
			{Name: "seen", Value: "198.51.100.7, 198.51.100.6, 198.51.100.5, 198.51.100.4, 198.51.100.3 and 2 more"},
			{Name: "calls this week", Value: "28"},
			{Name: "last", Value: "2026-11-19 06:00:00 UTC"},
		},
		Owner: "data-platform",
	}
	if len(found) != 1 {
		t.Fatalf("found %v", lines(found))
	}
	if found[0].Remedy == "" {
		t.Error("no remedy")
	}
	want.ID = finding.StableID(want.Rule, want.Subject, "")
	found[0].Remedy = ""
	if diff := gocmp.Diff(want, found[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestUsage(t *testing.T) {
	w := newWorld(t)
	w.call(day, etl, "jobs.runNow")
	w.call(2*day, strings.ToUpper(etl), "databrickssql.executeStatement", from("203.0.113.6:99"))
	w.call(3*day, etl, "databrickssql.executeStatement", from("203.0.113.6:98"), by("curl/8"))
	w.call(4*day, etl, "accounts.oidcTokenAuthorization")
	w.call(5*day, etl, "clusters.delete", refused)
	w.call(6*day, alice, "brandNew.thing")
	w.call(7*day, alice, "accounts.somethingElse")
	w.call(61*day, alice, "jobs.runNow")
	got := w.ask().Usage()
	want := map[string]inventory.Usage{
		etl: {
			Last: now.Add(-day), Events: 4, Scopes: []string{"jobs", "sql"},
		},
		alice: {
			Last: now.Add(-6 * day), Events: 2, Scopes: []string{},
			Unmapped: []string{"accounts.somethingElse", "brandNew"},
		},
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The history reaches back far enough to know what is dormant.
func TestHistory(t *testing.T) {
	w := newWorld(t)
	w.policy.Audit.DormantAfter = 80 * day
	w.call(day, deleted, "jobs.runNow")
	w.call(82*day, deleted, "jobs.runNow")
	want := []string{"dormant-principal-awake high service-principal " + deleted}
	if diff := gocmp.Diff(want, w.judged()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

const allChecks = 10

func TestNoWarehouse(t *testing.T) {
	w := newWorld(t)
	w.warehouse = databricks.Warehouse{}
	w.question.Revoked = []usage.Revocation{{Subject: etl, At: now}}
	o := w.ask()
	found := o.Findings(w.inventory, w.policy, place)
	if diff := gocmp.Diff([]string{"usage-not-watched medium source audit-log"}, lines(found)); diff != "" {
		t.Fatal(diff)
	}
	if len(found[0].Evidence) != allChecks {
		t.Errorf("evidence %v", found[0].Evidence)
	}
	for _, e := range found[0].Evidence {
		if e.Value != "no warehouse is configured" {
			t.Errorf("%s: %s", e.Name, e.Value)
		}
	}
	if o.Usage() == nil || len(o.Usage()) != 0 {
		t.Errorf("usage %v", o.Usage())
	}
}

// A statement that fails takes its own checks with it, and no other.
func TestStatementFails(t *testing.T) {
	w := newWorld(t)
	w.steady(etl)
	w.call(day, alice, "accounts.setAdmin")
	w.server.SetStatements(func(statement string, params map[string]string) ([]string, [][]string, error) {
		if statement == usagelog.SQL("addresses") {
			return nil, nil, context.DeadlineExceeded
		}
		return w.log.Statement(statement, params)
	})
	found := w.ask().Findings(w.inventory, w.policy, place)
	want := []string{"admin-granted high person 7", "usage-not-watched medium source audit-log"}
	if diff := gocmp.Diff(want, lines(found)); diff != "" {
		t.Fatal(diff)
	}
	slices.SortFunc(found, func(a, b finding.Finding) int { return cmp.Compare(a.Rule, b.Rule) })
	why := "query addresses at " + w.warehouse.Host.URL + ": request rejected: context deadline exceeded"
	wantEvidence := []finding.Evidence{
		{Name: "addresses outside the policy's networks", Value: why}, {Name: "addresses seen for the first time", Value: why},
	}
	if diff := gocmp.Diff(wantEvidence, found[1].Evidence); diff != "" {
		t.Error(diff)
	}
}

// answers is a log that answers one statement with a table and the rest
// faithfully.
type answers struct {
	*world
	statement string
	table     databricks.Table
}

func (a answers) Query(ctx context.Context, w databricks.Warehouse, s databricks.Statement) (databricks.Table, error) {
	if s.SQL == usagelog.SQL(a.statement) {
		return a.table, nil
	}
	return a.client.Query(ctx, w, s)
}

// What cannot be read is said, and never half believed.
func TestOddReplies(t *testing.T) {
	text := func(values ...string) (row []*string) {
		for _, v := range values {
			row = append(row, &v)
		}
		return row
	}
	columns := []string{"identity", "first_seen", "last_seen", "events", "work"}
	good := text(etl, "1", "2", "3", "jobs")
	tests := map[string]struct {
		table databricks.Table
		want  string
	}{
		"other columns": {databricks.Table{Columns: columns[1:]}, "the reply has other columns than identity, first_seen, last_seen, events, work"},
		"NULL":          {databricks.Table{Columns: columns, Rows: [][]*string{{good[0], nil, good[2], good[3], good[4]}}}, "column 2 of a reply is NULL"},
		"no number":     {databricks.Table{Columns: columns, Rows: [][]*string{text(etl, "1", "2", "x", "jobs")}}, "column 4 of a reply is no number"},
		"short row":     {databricks.Table{Columns: columns, Rows: [][]*string{good[:4]}}, "a row of the reply has 4 values for 5 columns"},
		"cut off":       {databricks.Table{Columns: columns, Rows: [][]*string{good}, Truncated: true}, "only the first 1 rows were read"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.question.Policy = w.policy
			o := usage.Ask(t.Context(), answers{w, "usage", test.table}, w.warehouse, w.question)
			want := []usage.Missing{{Check: "what each identity uses", Why: test.want}}
			if diff := gocmp.Diff(want, o.Missing); diff != "" {
				t.Error(diff)
			}
			if read := len(o.Activities); read > 0 != test.table.Truncated {
				t.Errorf("%d activities", read)
			}
		})
	}
}

func TestUnreadableAddress(t *testing.T) {
	w := newWorld(t)
	w.steady(etl)
	w.policy.Audit.Networks = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	w.call(day, etl, "jobs.runNow", from("somewhere"))
	found := w.ask().Findings(w.inventory, w.policy, place)
	want := []finding.Evidence{{Name: "addresses outside the policy's networks", Value: "these are no addresses: somewhere"}}
	if len(found) != 1 || gocmp.Diff(want, found[0].Evidence) != "" {
		t.Errorf("found %+v", found)
	}
}

// Whose credential was used after it was revoked is locked out by one command.
func TestLateUseHasACommand(t *testing.T) {
	o := usage.Observation{LateUses: []usage.LateUse{{Subject: etl, Revoked: now, First: now, Last: now, Events: 1, Late: 1}, {TokenID: "f00d", Revoked: now, First: now, Last: now, Events: 1}}}
	found := o.Findings(inventory.Inventory{}, policy.Default(), place)
	if len(found) != 2 {
		t.Fatalf("found %+v", found)
	}
	want := `aws lambda invoke --function-name rotation-revoke --cli-read-timeout 0 --cli-binary-format raw-in-base64-out --payload '{"mode":"lockout","service_principal":"` + etl + `","reason":"used after it was revoked"}' /dev/stdout`
	if found[0].Remedy != want {
		t.Errorf("got  %s\nwant %s", found[0].Remedy, want)
	}
	if !strings.HasPrefix(found[1].Remedy, "Run the revoke function again") {
		t.Errorf("of a token: %s", found[1].Remedy)
	}
}

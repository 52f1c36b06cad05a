package collect_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"databricks-credential-rotation/functions/audit/auditing/collect"
	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/pace"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/secret"
)

// calls are all operations of Databricks that an audit needs, and the gap that
// each leaves when it always fails: where, and how what is missing begins.
func (w *world) calls() map[string][2]string {
	account := w.Databricks.AccountHost()
	return map[string][2]string{
		databrickstest.OpListWorkspaces:          {account, "the list of workspaces"},
		databrickstest.OpAccountListUsers:        {account, "the account's users"},
		databrickstest.OpAccountListPrincipals:   {account, "the account's service principals"},
		databrickstest.OpAccountListGroups:       {account, "the account's groups"},
		databrickstest.OpAccountGetGroup:         {account, "the members of group ops, group platform"},
		databrickstest.OpListCustomApps:          {account, "the custom OAuth apps"},
		databrickstest.OpListPublishedApps:       {account, "the published OAuth apps"},
		databrickstest.OpListAccountPolicies:     {account, "the account's federation policies"},
		databrickstest.OpListPrincipalPolicies:   {account, "the federation policies of etl ("},
		databrickstest.OpAccountListSecrets:      {account, "the OAuth secrets of etl ("},
		databrickstest.OpAccountGetRuleSet:       {account, "the managers of etl ("},
		databrickstest.OpListAssignments:         {account, "who is assigned to the workspace of analytics, science"},
		databrickstest.OpWorkspaceListGroups:     {w.analytics.Host(), "the workspace's groups, and what their members may do through them"},
		databrickstest.OpWorkspaceListPrincipals: {w.analytics.Host(), "the workspace's service principals"},
		databrickstest.OpWorkspaceListUsers:      {w.analytics.Host(), "the workspace's users"},
		databrickstest.OpListTokens:              {w.analytics.Host(), "the workspace's personal access tokens"},
		databrickstest.OpGetPermissions:          {w.analytics.Host(), "the permissions of jobs/42"},
		databrickstest.OpGetMetastore:            {w.analytics.Host(), "the grants of Unity Catalog"},
		databrickstest.OpGetEffective:            {"", "the grants of schema main.raw"},
		databrickstest.OpAccountToken:            {account, "the account's service principals"},
	}
}

func newGuardedWorld(t *testing.T) *world {
	w := newWorld(t)
	w.analytics.SetAccess("jobs/42", databrickstest.Access{Who: w.ann.ID, Level: "IS_OWNER"})
	w.Databricks.SetGrants("schema main.raw", databrickstest.Grant{Who: w.ann.ID, Privileges: []string{"SELECT"}})
	w.policy.Audit.Objects = []policy.Object{{Type: "jobs", ID: "42"}}
	w.policy.Audit.Securables = []policy.Securable{{Type: "schema", Name: "main.raw"}}
	return w
}

// A call that fails once is made again, and nobody notices.
func TestFaultOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newGuardedWorld(t)
		want := w.collect(w.collector())
		for op := range w.calls() {
			for _, kind := range []faulttest.Kind{faulttest.RequestLost, faulttest.ReplyLost, faulttest.Throttled, faulttest.ServerError, faulttest.Timeout} {
				w.Databricks.Faults().Clear()
				w.Databricks.Faults().Add(faulttest.Fault{Op: op, Kind: kind, RetryAfter: 3 * time.Second})
				got := w.collect(w.collector())
				if diff := cmp.Diff(want, got, fromAnywhere); diff != "" {
					t.Errorf("%s, %v: %s", op, kind, diff)
				}
			}
		}
	})
}

// fromAnywhere leaves out what depends on which workspace answered first.
var fromAnywhere = cmpopts.IgnoreFields(inventory.Object{}, "Workspace")

// Invariant 10: what cannot be read is a gap that says where and what, and
// everything else is read all the same.
func TestFaultForEver(t *testing.T) {
	faults := map[string]faulttest.Fault{
		"server error": {Kind: faulttest.ServerError},
		"throttled":    {Kind: faulttest.Throttled, RetryAfter: time.Second},
		"lost":         {Kind: faulttest.RequestLost},
		"silent":       {Kind: faulttest.Timeout},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newGuardedWorld(t)
				for op, want := range w.calls() {
					fault.Op, fault.Times = op, faulttest.Forever
					w.Databricks.Faults().Clear()
					w.Databricks.Faults().Add(fault)
					inv := w.collect(w.collector())
					down := op == databrickstest.OpWorkspaceListGroups && (name == "lost" || name == "silent")
					if down {
						want[1] = "everything in the workspace"
					}
					if !slices.ContainsFunc(inv.Gaps, func(g inventory.Gap) bool {
						return (want[0] == "" || g.Where == want[0]) && strings.HasPrefix(g.What, want[1]) && g.Why != ""
					}) {
						t.Errorf("%s: no gap at %s for %q in\n%s", op, want[0], want[1], strings.Join(gaps(inv), "\n"))
					}
					if len(inv.Managed) != 2 {
						t.Errorf("%s: %d managed secrets", op, len(inv.Managed))
					}
					w.checkUnknown(op, inv)
				}
			})
		})
	}
}

// checkUnknown holds what an inventory says for certain against the truth.
func (w *world) checkUnknown(op string, inv *inventory.Inventory) {
	w.t.Helper()
	for _, p := range inv.Principals {
		sp := w.Databricks.Secrets(number(p.ID))
		if !p.SecretsUnknown && len(p.Secrets) != len(sp) {
			w.t.Errorf("%s: %s has %d OAuth secrets, the inventory %d for certain", op, p.Name, len(sp), len(p.Secrets))
		}
		if n := len(w.Databricks.Managers(number(p.ID))); !p.ManagersUnknown && n != len(p.Managers) {
			w.t.Errorf("%s: %s has %d managers, the inventory %d for certain", op, p.Name, n, len(p.Managers))
		}
	}
	for _, o := range inv.Tokens {
		if o.Owner == "" && !o.OwnerUnknown && o.ID != w.goneToken.ID {
			w.t.Errorf("%s: the owner of token %s %q is said to have vanished", op, o.ID, o.Comment)
		}
	}
	for _, a := range inv.Apps {
		if a.Creator == "" && !a.CreatorUnknown && a.ID != w.orphanApp.ID {
			w.t.Errorf("%s: the creator of app %q is said to have vanished", op, a.Name)
		}
	}
}

func number(id string) (n int64) {
	_, _ = fmt.Sscan(id, &n)
	return n
}

// A workspace that does not answer is named once, and costs the others
// nothing.
func TestWorkspaceDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newGuardedWorld(t)
		w.science.Down(true)
		inv := w.collect(w.collector())
		if got := gaps(inv); len(got) != 2 || !slices.ContainsFunc(got, func(g string) bool {
			return strings.HasPrefix(g, w.science.Host()+": everything in the workspace: authenticate the rotator at "+w.science.Host()+": outcome unknown: no reply")
		}) {
			t.Errorf("gaps:\n%s", strings.Join(got, "\n"))
		}
		if token(t, inv, w.annToken.ID).Owner != "Ann@example.com" {
			t.Error("the other workspace's tokens have no owner")
		}
		// What the account knows of the workspace is known all the same.
		a := principal(t, inv, w.legacy.ApplicationID).Assignments[w.science.ID]
		if !a.Admin || a.ID != id(w.legacy.ID) || a.Entitlements != nil {
			t.Errorf("the legacy loader's assignment is %+v", a)
		}
		if len(inv.Workspaces) != 2 {
			t.Errorf("workspaces %+v", inv.Workspaces)
		}
	})
}

// What fails for the same reason is one gap, not ten thousand.
func TestAlikeGaps(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		w.Databricks.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: fmt.Sprintf("batch %02d", i)})
	}
	c := w.collector()
	c.Databricks = denied{c.Databricks}
	inv := w.collect(c)
	var found []string
	for _, g := range inv.Gaps {
		if strings.HasPrefix(g.What, "the OAuth secrets") {
			found = append(found, g.What)
		}
	}
	if len(found) != 1 || strings.Count(found[0], "batch ") != 5 || !strings.HasSuffix(found[0], " and 19 more") {
		t.Errorf("gaps %q", found)
	}
	if !principal(t, inv, w.legacy.ApplicationID).SecretsUnknown {
		t.Error("no secrets, for certain")
	}
}

// denied is a Databricks that lists no OAuth secrets to this caller, with
// another message for each.
type denied struct{ collect.Databricks }

func (d denied) ListSecrets(_ context.Context, host databricks.Host, principal string) ([]databricks.OAuthSecret, error) {
	return nil, &databricks.Error{Op: "list the OAuth secrets", Host: host.URL, Status: http.StatusForbidden, Code: "PERMISSION_DENIED", Message: "no right on " + principal}
}

// An account's rotator that has no right there, and a workspace's rotator,
// find what a workspace shows.
func TestWorkspaceLevel(t *testing.T) {
	s := newWorld(t)
	s.Databricks.GrantManager(s.Rotator.ID, s.legacy.ID)
	want := []string{"etl", "report", "rotator"}
	t.Run("no account", func(t *testing.T) {
		c := s.collector()
		c.Account = databricks.Host{}
		// Without an account and a list, the workspaces are those of managed
		// secrets.
		inv := s.collect(c)
		s.checkWorkspaceLevel(t, inv, want, "analytics")
		if inv.AccountID != s.Databricks.AccountID() {
			t.Errorf("account %q", inv.AccountID)
		}
		s.policy.Audit.Workspaces = []string{s.analytics.Host(), s.science.Host()}
		inv = s.collect(c)
		s.checkWorkspaceLevel(t, inv, []string{"etl", "legacy loader", "report", "rotator"}, "analytics, science")
		if got := principal(t, inv, s.legacy.ApplicationID); len(got.Secrets) != 1 || !got.FederationUnknown || !got.Assignments[s.science.ID].Admin {
			t.Errorf("legacy loader %+v", got)
		}
	})
}

func (w *world) checkWorkspaceLevel(t *testing.T, inv *inventory.Inventory, wantNames []string, wantPlaces string) {
	t.Helper()
	var names []string
	for _, p := range inv.Principals {
		names = append(names, p.Name)
		// The rotator manages all but itself.
		if p.SecretsUnknown != (p.Name == "rotator") || !p.FederationUnknown {
			t.Errorf("%s: %+v", p.Name, p)
		}
	}
	slices.Sort(names)
	if diff := cmp.Diff(wantNames, names); diff != "" {
		t.Error(diff)
	}
	if len(inv.Workspaces) != strings.Count(wantPlaces, ",")+1 {
		t.Errorf("workspaces %+v, want %s", inv.Workspaces, wantPlaces)
	}
	if !slices.ContainsFunc(inv.Gaps, func(g inventory.Gap) bool {
		return strings.HasPrefix(g.What, "everything that only the account console knows") && g.Why == "no account console is configured: it takes AccountConsole and DatabricksAccountId"
	}) {
		t.Errorf("gaps %q", gaps(inv))
	}
	if got := token(t, inv, w.annToken.ID); got.Owner != "Ann@example.com" {
		t.Errorf("token %+v", got)
	}
}

// An account console that does not let the rotator in is a gap; the workspaces
// are read by what they show.
func TestNoAccountAdmin(t *testing.T) {
	w := newWorld(t)
	helper := w.Databricks.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "helper"})
	w.Databricks.Assign(helper.ID, w.analytics, true)
	w.Databricks.GrantManager(helper.ID, w.etl.Principal.ID)
	own := w.secret(helper.ID, databrickstest.SecretSpec{})
	client := w.Client(nil)
	client.Identity = databricks.Stored{Read: func(context.Context) (string, secret.Text, error) {
		return helper.ApplicationID, secret.New(own.Value), nil
	}}
	c := w.collector()
	c.Databricks = client
	inv := w.collect(c)
	if got := principal(t, inv, w.etl.Principal.ApplicationID); len(got.Secrets) != 1 || got.SecretsUnknown || len(got.Managers) != 2 {
		t.Errorf("etl %+v", got)
	}
	if got := principal(t, inv, w.report.Principal.ApplicationID); !got.SecretsUnknown {
		t.Errorf("report %+v", got)
	}
	if len(inv.Workspaces) != 1 || len(inv.Tokens) != 2 {
		t.Errorf("%d workspaces, %d tokens", len(inv.Workspaces), len(inv.Tokens))
	}
	var lists int
	for _, g := range inv.Gaps {
		if g.Where == w.Databricks.AccountHost() && strings.Contains(g.Why, "does not have the role account_admin") {
			lists++
		}
	}
	if lists < 7 {
		t.Errorf("gaps:\n%s", strings.Join(gaps(inv), "\n"))
	}
}

// An owner is said to have vanished only if everybody could be looked up.
func TestVanishedOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if got := token(t, w.collect(w.collector()), w.goneToken.ID); got.Owner != "" || got.OwnerUnknown {
			t.Errorf("token %+v, want an owner who has vanished", got)
		}
		for _, op := range []string{databrickstest.OpWorkspaceListUsers, databrickstest.OpAccountListUsers, databrickstest.OpWorkspaceListPrincipals} {
			w.Databricks.Faults().Clear()
			w.Databricks.Faults().Add(faulttest.Fault{Op: op, Kind: faulttest.ServerError, Times: faulttest.Forever})
			if got := token(t, w.collect(w.collector()), w.goneToken.ID); got.Owner != "" || !got.OwnerUnknown {
				t.Errorf("%s fails: token %+v, want an owner who is not known", op, got)
			}
		}
	})
}

// An audit whose time runs out says what it did not get to, and leaves time
// for what comes after it.
func TestOutOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Databricks.Faults().Add(faulttest.Fault{Op: databrickstest.OpAccountListSecrets, Kind: faulttest.Slow, Delay: 25 * time.Second, Times: faulttest.Forever})
		c := w.collector()
		c.Workers, c.Reserve = 1, 2*time.Minute
		ctx, cancel := context.WithTimeout(t.Context(), c.Reserve+time.Minute)
		defer cancel()
		begin := time.Now()
		inv := w.collectIn(ctx, c)
		if took := time.Since(begin); took != time.Minute {
			t.Errorf("took %v, want the minute that there was", took)
		}
		known := 0
		for _, p := range inv.Principals {
			if !p.SecretsUnknown {
				known++
			}
			if !p.FederationUnknown || !p.ManagersUnknown {
				t.Errorf("%s: what was not read is known", p.Name)
			}
		}
		if known != 2 || len(inv.Principals) != 4 || len(inv.Tokens) != 3 {
			t.Errorf("OAuth secrets of %d of %d principals, %d tokens", known, len(inv.Principals), len(inv.Tokens))
		}
		for _, what := range []string{"the OAuth secrets of ", "the federation policies of ", "the managers of ", "whether the current credential authenticates of etl"} {
			if !slices.ContainsFunc(inv.Gaps, func(g inventory.Gap) bool {
				return strings.HasPrefix(g.What, what) && g.Why == "the time ran out before it was read"
			}) {
				t.Errorf("no gap for %q in\n%s", what, strings.Join(gaps(inv), "\n"))
			}
		}
	})
}

// A limit on requests costs time and nothing else.
func TestThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		w := newWorldAt(t, func() time.Time { return now.Add(time.Since(begin)) })
		for range 60 {
			p := w.Databricks.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "job"})
			w.secret(p.ID, databrickstest.SecretSpec{})
		}
		want := w.collect(w.collector())
		client := w.Client(nil)
		feel := &pace.Pace{}
		client.Pace = feel
		c := w.collector()
		c.Databricks = client
		w.Databricks.RateLimit(12)
		got := w.collect(c)
		if diff := cmp.Diff(want, got, fromAnywhere, cmpopts.IgnoreFields(inventory.Inventory{}, "TakenAt")); diff != "" {
			t.Error(diff)
		}
		stats := feel.Stats()
		if bound := time.Duration(stats.Sent-stats.Throttled-12) * time.Second / 12; stats.Throttled == 0 || time.Since(begin) > bound*3/2 {
			t.Errorf("took %v, the limit allows %v; %+v", time.Since(begin), bound, stats)
		}
	})
}

func TestManaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.register(estatetest.Registration{Name: "fresh", Fresh: true, Bare: true})
		dead := w.register(estatetest.Registration{Name: "dead"})
		for _, s := range w.Databricks.Secrets(dead.Principal.ID) {
			w.Databricks.DeleteSecret(dead.Principal.ID, s.ID)
		}
		held := w.register(estatetest.Registration{Name: "held"})
		store := managedsecret.Store{API: w.SecretsManager("operator")}
		if err := store.SetHold(t.Context(), held.ARN, managedsecret.Hold{Kind: managedsecret.Revoked, Since: now}); err != nil {
			t.Fatal(err)
		}
		broken := w.register(estatetest.Registration{Name: "broken"})
		w.put(broken, `{"DATABRICKS_HOST":"ftp://dose0123456789abcdef","DATABRICKS_CLIENT_ID":"x"}`)

		// Of the report's secrets one is current, one its predecessor, one is in
		// an old version only, and one is in none.
		old := w.Databricks.Secrets(w.report.Principal.ID)[0]
		predecessor := w.secret(w.report.Principal.ID, databrickstest.SecretSpec{})
		current := w.secret(w.report.Principal.ID, databrickstest.SecretSpec{})
		foreign := w.secret(w.report.Principal.ID, databrickstest.SecretSpec{})
		w.put(w.report, w.value(w.report, current, predecessor.ID))

		inv := w.collect(w.collector())
		managed := map[string]inventory.Managed{}
		for _, m := range inv.Managed {
			managed[m.Name] = m
		}
		if got := managed["fresh"]; got.Err != "" || got.Tried || got.Recorded != nil {
			t.Errorf("fresh %+v", got)
		}
		if got := managed["dead"]; !got.Tried || got.Authenticates {
			t.Errorf("dead %+v", got)
		}
		// Trying it would look like a use after revocation.
		if got := managed["held"]; !got.Held || got.Tried || managed["dead"].Held {
			t.Errorf("held %+v", got)
		}
		if got := managed["broken"]; got.Err == "" || strings.Contains(got.Err, "dose") || strings.Contains(got.Err, "\n") || !strings.Contains(got.Err, "DATABRICKS_HOST") || !strings.Contains(got.Err, "DATABRICKS_CLIENT_ID") {
			t.Errorf("broken %+v", got)
		}
		want := inventory.Managed{
			ARN: w.report.ARN, Name: "report", Host: w.analytics.Host(), ClientID: w.report.Principal.ApplicationID,
			OAuthSecretID: current.ID, IssuedAt: now, ExpiresAt: now.Add(90 * day), Predecessors: []string{predecessor.ID},
			Recorded: []string{current.ID, predecessor.ID, old.ID}, Tried: true, Authenticates: true,
		}
		if diff := cmp.Diff(want, managed["report"]); diff != "" {
			t.Error(diff)
		}
		if n := len(principal(t, inv, w.report.Principal.ApplicationID).Secrets); n != 4 || slices.Contains(managed["report"].Recorded, foreign.ID) {
			t.Errorf("%d OAuth secrets, recorded %v", n, managed["report"].Recorded)
		}

		// Versions that cannot be read leave open what they record.
		w.AWS.Faults().Add(faulttest.Fault{Op: "GetSecretValue", Target: "report", Kind: faulttest.ServerError, Times: faulttest.Forever})
		inv = w.collect(w.collector())
		i := slices.IndexFunc(inv.Managed, func(m inventory.Managed) bool { return m.Name == "report" })
		if !inv.Managed[i].RecordedUnknown || !slices.ContainsFunc(gaps(inv), func(g string) bool {
			return strings.HasPrefix(g, "AWS Secrets Manager: the versions of report: ")
		}) {
			t.Errorf("%+v, gaps %q", inv.Managed[i], gaps(inv))
		}

		// A list that cannot be read is a gap.
		w.AWS.Faults().Clear()
		w.AWS.Faults().Add(faulttest.Fault{Op: "ListSecrets", Kind: faulttest.ServerError, Times: faulttest.Forever})
		inv = w.collect(w.collector())
		if len(inv.Managed) != 0 || !slices.ContainsFunc(gaps(inv), func(g string) bool {
			return strings.HasPrefix(g, "AWS Secrets Manager: the list of managed secrets: ")
		}) {
			t.Errorf("%+v, gaps %q", inv.Managed, gaps(inv))
		}
	})
}

// A credential that was rotated between being read and being tried is not
// dead.
func TestRotatedMeanwhile(t *testing.T) {
	w := newWorld(t)
	old := w.Databricks.Secrets(w.report.Principal.ID)[0]
	var once bool
	w.Databricks.Faults().OnCall(func(c faulttest.Call) {
		if c.Op != databrickstest.OpWorkspaceToken || c.Target != w.report.Principal.ApplicationID || once {
			return
		}
		once = true
		next := w.secret(w.report.Principal.ID, databrickstest.SecretSpec{})
		w.put(w.report, w.value(w.report, next))
		w.Databricks.DeleteSecret(w.report.Principal.ID, old.ID)
	}, nil)
	inv := w.collect(w.collector())
	i := slices.IndexFunc(inv.Managed, func(m inventory.Managed) bool { return m.Name == "report" })
	if got := inv.Managed[i]; !once || !got.Tried || !got.Authenticates || got.OAuthSecretID == old.ID {
		t.Errorf("report %+v", got)
	}
}

// A list that lags, and a credential that has not reached every server, are no
// fault of the credential. The next audit sees what this one could not.
func TestStaleReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		old := w.Databricks.Secrets(w.report.Principal.ID)[0]
		w.Databricks.LagReads(true)
		next := w.secret(w.report.Principal.ID, databrickstest.SecretSpec{})
		w.put(w.report, w.value(w.report, next, old.ID))
		w.Databricks.LagReads(false)

		for _, want := range [][]string{{old.ID}, {old.ID, next.ID}} {
			inv := w.collect(w.collector())
			var listed []string
			for _, s := range principal(t, inv, w.report.Principal.ApplicationID).Secrets {
				listed = append(listed, s.ID)
			}
			slices.Sort(listed)
			slices.Sort(want)
			if diff := cmp.Diff(want, listed); diff != "" {
				t.Error(diff)
			}
			i := slices.IndexFunc(inv.Managed, func(m inventory.Managed) bool { return m.Name == "report" })
			if got := inv.Managed[i]; !got.Tried || !got.Authenticates || !slices.Equal(got.Recorded, []string{next.ID, old.ID}) {
				t.Errorf("report %+v", got)
			}
		}
	})
}

// put stores a value as a person would.
func (w *world) put(m *estatetest.Managed, value string) {
	w.t.Helper()
	_, err := w.SecretsManager("operator").PutSecretValue(w.t.Context(), &secretsmanager.PutSecretValueInput{SecretId: &m.ARN, SecretString: aws.String(value)})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) value(m *estatetest.Managed, o databrickstest.OAuthSecret, predecessors ...string) string {
	text, err := json.Marshal(map[string]string{
		credential.KeyHost: m.Host.URL, credential.KeyClientID: m.Principal.ApplicationID, credential.KeyClientSecret: o.Value,
		credential.KeyServicePrincipalID: id(m.Principal.ID), credential.KeyOAuthSecretID: o.ID,
		credential.KeyIssuedAt: now.Format(time.RFC3339), credential.KeyExpiresAt: now.Add(90 * day).Format(time.RFC3339),
		credential.KeyPredecessors: strings.Join(predecessors, " "),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

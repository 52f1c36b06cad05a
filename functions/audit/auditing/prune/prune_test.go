package prune_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/functions/audit/auditing/prune"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/trail"
)

func enforcing() policy.Policy {
	p := policy.Default()
	p.Prune.Mode, p.Prune.RightSize = policy.Enforce, policy.Enforce
	return p
}

// audit is one audit's prune, which remembers the plan of the one before.
func (e *estate) audit(t *testing.T, p policy.Policy, last *prune.Plan) (prune.Plan, prune.Done, error) {
	t.Helper()
	var noticed map[string]time.Time
	if last != nil {
		noticed = last.Notices()
	}
	plan := prune.Make(e.inventory(), p, noticed, "")
	done, err := prune.Run{Estate: e, Trail: e, Policy: p, Door: "sweep", Now: func() time.Time { return e.now }}.CarryOut(t.Context(), plan)
	return plan, done, err
}

// states are the plan's items in short.
func states(p prune.Plan) map[string]prune.State {
	m := map[string]prune.State{}
	for _, item := range p.Items {
		m[string(item.Action)+" "+item.Subject.ID] = item.State
	}
	return m
}

func results(d prune.Done) map[string]prune.Result {
	m := map[string]prune.Result{}
	for _, o := range d.Outcomes {
		f := strings.Fields(o.Key)
		m[f[0]+" "+f[len(f)-1]] = o.Result
	}
	return m
}

func equal[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// Invariant 9: what policy allows is found in one audit and removed in a later
// one, exactly that, and never a managed secret.
func TestEnforceTwice(t *testing.T) {
	e := newEstate()
	e.lastUsed[client] = time.Time{}
	first, done, err := e.audit(t, enforcing(), nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "first plan", map[string]prune.State{
		"remove stale": prune.Notice, "remove never": prune.Notice, "remove foreign": prune.Notice, "narrow wide": prune.Notice,
	}, states(first))
	equal(t, "first outcomes", nil, done.Outcomes)
	if len(e.trail) > 0 {
		t.Errorf("the first audit has changed something: %v", e.trail)
	}

	e.now = start.Add(13 * day)
	early, done, _ := e.audit(t, enforcing(), &first)
	equal(t, "outcomes a day early", nil, done.Outcomes)

	e.now = start.Add(14 * day)
	_, done, err = e.audit(t, enforcing(), &early)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "outcomes", map[string]prune.Result{
		"remove stale": prune.Removed, "remove never": prune.Removed, "remove foreign": prune.Removed, "narrow wide": prune.Narrowed,
	}, results(done))
	equal(t, "deletes", map[string]int{"stale": 1, "never": 1, "foreign": 1}, e.deletes)
	equal(t, "narrowed to", []string{"jobs", "sql"}, e.tokens["wide"].Scopes)
	equal(t, "still watched", nil, e.tokens["watched"].Scopes)
	equal(t, "tokens left", 102, len(e.tokens))
	equal(t, "trail", 8, len(e.trail))
	for i, entry := range e.trail {
		want := trail.Before
		if i%2 == 1 {
			want = trail.After
		}
		if entry.Phase != want || entry.Why == "" || entry.Door != "sweep" || entry.TokenID+entry.OAuthSecretID == "" {
			t.Errorf("entry %d: %+v", i, entry)
		}
	}

	again, done, err := e.audit(t, enforcing(), &early)
	equal(t, "third plan", map[string]prune.State{}, states(again))
	equal(t, "third outcomes", nil, done.Outcomes)
	if err != nil {
		t.Error(err)
	}
}

// Reporting changes nothing, however long.
func TestReportOnly(t *testing.T) {
	e := newEstate()
	first, _, _ := e.audit(t, policy.Default(), nil)
	e.now = start.Add(40 * day)
	for id, token := range e.tokens {
		if strings.HasPrefix(id, "used") {
			token.LastUsedAt = e.now
			e.tokens[id] = token
		}
	}
	plan, done, err := e.audit(t, policy.Default(), &first)
	if states(plan)["remove stale"] != prune.Due || len(done.Outcomes)+len(e.trail)+len(e.deletes) > 0 || err != nil {
		t.Errorf("%v %v %v", states(plan), done, err)
	}
}

// due is an estate with every item due, and the plan for it.
func due(t *testing.T, e *estate, p policy.Policy) prune.Plan {
	t.Helper()
	first := prune.Make(e.inventory(), p, nil, "")
	e.now = start.Add(14 * day)
	for id, token := range e.tokens {
		if strings.HasPrefix(id, "used") {
			token.LastUsedAt = e.now
			e.tokens[id] = token
		}
	}
	return prune.Make(e.inventory(), p, first.Notices(), "")
}

func carryOut(t *testing.T, e *estate, p policy.Policy, plan prune.Plan) (prune.Done, error) {
	t.Helper()
	return prune.Run{Estate: e, Trail: e, Policy: p, Door: "sweep", Now: func() time.Time { return e.now }}.CarryOut(t.Context(), plan)
}

// What was used, changed or taken over since the plan was made stays.
func TestLooksAgain(t *testing.T) {
	e := newEstate()
	plan := due(t, e, enforcing())
	used := e.tokens["stale"]
	used.LastUsedAt = e.now.Add(-day)
	e.tokens["stale"] = used
	delete(e.tokens, "never")
	wide := e.tokens["wide"]
	wide.Inferred = []string{"sql", "jobs", "files"}
	e.tokens["wide"] = wide
	e.recorded[client] = append(e.recorded[client], "foreign")
	done, err := carryOut(t, e, enforcing(), plan)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "outcomes", map[string]prune.Result{
		"remove stale": prune.InUse, "remove never": prune.Gone, "remove foreign": prune.Protected, "narrow wide": prune.Changed,
	}, results(done))
	equal(t, "trail", nil, e.trail)
	equal(t, "deletes", map[string]int{}, e.deletes)

	e.recorded[client] = nil
	e.lastUsed[client] = e.now.Add(-time.Hour)
	done, _ = carryOut(t, e, enforcing(), plan)
	if got := results(done)["remove foreign"]; got != prune.InUse {
		t.Errorf("an OAuth secret whose principal was seen an hour ago: %s", got)
	}
}

// A credential in use is not planned for: its notice begins anew when it is
// idle again.
func TestUseEndsNotice(t *testing.T) {
	e := newEstate()
	first := prune.Make(e.inventory(), enforcing(), nil, "")
	stale := e.tokens["stale"]
	stale.LastUsedAt = start
	e.tokens["stale"] = stale
	e.now = start.Add(day)
	second := prune.Make(e.inventory(), enforcing(), first.Notices(), "")
	if _, ok := states(second)["remove stale"]; ok {
		t.Fatal("a token that is used is in the plan")
	}
	e.now = start.Add(62 * day)
	third := prune.Make(e.inventory(), enforcing(), second.Notices(), "")
	if got := states(third)["remove stale"]; got != prune.Notice {
		t.Errorf("state %q, want a new notice", got)
	}
}

// Invariant 9: a plan over the budget is not carried out at all, and says why.
func TestBudget(t *testing.T) {
	e := newEstate()
	p := enforcing()
	p.Prune.UnusedAfter = day
	first := prune.Make(e.inventory(), p, nil, "")
	e.now = start.Add(14 * day)
	plan := prune.Make(e.inventory(), p, first.Notices(), "")
	done, err := carryOut(t, e, p, plan)
	if err != nil {
		t.Fatal(err)
	}
	const want = "are due to be removed, and one audit may remove at most 100 credentials, 10%: nothing is removed"
	if !strings.Contains(plan.Stopped, want) {
		t.Errorf("stopped: %q, want %q in it", plan.Stopped, want)
	}
	if len(e.deletes)+len(e.trail) > 0 || done.Counts[prune.Removed] > 0 {
		t.Errorf("over the budget, and yet %v", e.deletes)
	}

	p.Budgets.Prune = policy.Budget{Count: 1, Share: 1}
	plan = prune.Make(e.inventory(), p, first.Notices(), "")
	if plan.Stopped == "" {
		t.Error("two removals are within a budget of one")
	}
}

// Narrowing goes on from audit to audit, as many as the budget has.
func TestNarrowsInPortions(t *testing.T) {
	e := newEstate()
	p := enforcing()
	for _, id := range []string{"used00", "used01", "used02"} {
		token := e.tokens[id]
		token.Scopes, token.Autoscope, token.Inferred = []string{"sql", "jobs"}, "COMPLETED", []string{"sql"}
		e.tokens[id] = token
	}
	plan := due(t, e, p)
	p.Prune.Mode, p.Budgets.Prune = policy.Report, policy.Budget{Count: 3, Share: 1}
	done, err := carryOut(t, e, p, prune.Make(e.inventory(), p, plan.Notices(), ""))
	if err != nil || done.Counts[prune.Narrowed] != 3 || done.Counts[prune.Left] != 1 || done.Counts[prune.Removed] != 0 {
		t.Errorf("%v %v", done.Counts, err)
	}
	done, err = carryOut(t, e, p, prune.Make(e.inventory(), p, plan.Notices(), ""))
	if err != nil || done.Counts[prune.Narrowed] != 1 || done.Counts[prune.Left] != 0 {
		t.Errorf("the next audit: %v %v", done.Counts, err)
	}
}

func TestExemptions(t *testing.T) {
	e := newEstate()
	p := enforcing()
	p.Prune.Exempt = []policy.Exemption{
		{TokenID: "stale", Reason: "the quarterly close", Until: policy.Date{Time: start.Add(20 * day).Truncate(day)}},
		{ClientID: client, Reason: "under investigation"},
	}
	plan := due(t, e, p)
	want := map[string]prune.State{"remove stale": prune.Exempt, "remove never": prune.Due, "remove foreign": prune.Exempt, "narrow wide": prune.Due}
	equal(t, "states", want, states(plan))
	for _, item := range plan.Items {
		if item.State == prune.Exempt && item.Exemption == "" {
			t.Errorf("%s is exempt without a reason", item.Key)
		}
	}
	done, err := carryOut(t, e, p, plan)
	equal(t, "outcomes", map[string]prune.Result{"remove never": prune.Removed, "narrow wide": prune.Narrowed}, results(done))
	if err != nil {
		t.Error(err)
	}
	// When the exemption has ended, notice is given first.
	e.now = start.Add(22 * day)
	if got := states(prune.Make(e.inventory(), p, plan.Notices(), ""))["remove stale"]; got != prune.Notice {
		t.Errorf("after the exemption: %q", got)
	}
}

// A lost reply is looked into: what is gone was removed, once.
func TestLostReplies(t *testing.T) {
	e := newEstate()
	plan := due(t, e, enforcing())
	lost := &databricks.Error{Op: "delete", Message: "no reply"}
	uncertain := errors.Join(lost, databricks.ErrUncertain)
	e.fail = func(op, _ string) (before, after error) {
		if op == "delete" || op == "narrow" {
			return nil, uncertain
		}
		return nil, nil
	}
	done, err := carryOut(t, e, enforcing(), plan)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "counts", map[prune.Result]int{prune.Removed: 3, prune.Narrowed: 1}, done.Counts)
	equal(t, "deletes", map[string]int{"stale": 1, "never": 1, "foreign": 1}, e.deletes)
}

// A call that never arrived is a failure, and stops none of the others.
func TestFailures(t *testing.T) {
	e := newEstate()
	plan := due(t, e, enforcing())
	e.fail = func(op, id string) (before, after error) {
		if op == "delete" && id == "stale" {
			return errors.Join(errors.New("no route"), databricks.ErrUncertain), nil
		}
		if op == "read" && id == "never" {
			return databricks.ErrDenied, nil
		}
		return nil, nil
	}
	done, err := carryOut(t, e, enforcing(), plan)
	equal(t, "outcomes", map[string]prune.Result{
		"remove stale": prune.Failed, "remove never": prune.Failed, "remove foreign": prune.Removed, "narrow wide": prune.Narrowed,
	}, results(done))
	if err == nil || !strings.Contains(err.Error(), "stale: no route") || !strings.Contains(err.Error(), "never: not removed, for it could not be looked at again") {
		t.Errorf("error %v", err)
	}
	if i := slices.IndexFunc(e.trail, func(x trail.Entry) bool { return x.TokenID == "stale" && x.Phase == trail.After }); i < 0 || e.trail[i].Err == nil {
		t.Error("the trail does not tell of the failure")
	}
}

// Invariant 7: without the trail nothing is changed.
func TestNoTrailNoChange(t *testing.T) {
	e := newEstate()
	plan := due(t, e, enforcing())
	e.trailErr = errors.New("access denied")
	done, err := carryOut(t, e, enforcing(), plan)
	if err == nil || len(e.deletes) > 0 || e.tokens["wide"].Scopes != nil {
		t.Errorf("%v %v", err, e.deletes)
	}
	equal(t, "counts", map[prune.Result]int{prune.Failed: 1, prune.Left: 3}, done.Counts)
}

// While Secrets Manager is not read whole, no OAuth secret is anybody's to
// remove; while the log is short or absent, nobody knows that it is unused.
func TestDoubtKeepsSecrets(t *testing.T) {
	for name, spoil := range map[string]func(*inventory.Inventory){
		"list unread":     func(inv *inventory.Inventory) { inv.Gaps = []inventory.Gap{{Where: "AWS Secrets Manager"}} },
		"value unread":    func(inv *inventory.Inventory) { inv.Managed[0].Err = "denied" },
		"versions unread": func(inv *inventory.Inventory) { inv.Managed[0].RecordedUnknown = true },
		"no log":          func(inv *inventory.Inventory) { inv.Usage = nil },
		"short log":       func(inv *inventory.Inventory) { inv.UsageSince = start.Add(-59 * day) },
		"used":            func(inv *inventory.Inventory) { inv.Usage[client] = inventory.Usage{Last: start.Add(-59 * day)} },
		"young":           func(inv *inventory.Inventory) { inv.Principals[0].Secrets[2].CreatedAt = start.Add(-59 * day) },
		"expired":         func(inv *inventory.Inventory) { inv.Principals[0].Secrets[2].ExpiresAt = start },
	} {
		inv := newEstate().inventory()
		spoil(inv)
		if _, ok := states(prune.Make(inv, enforcing(), nil, ""))["remove foreign"]; ok {
			t.Errorf("%s: the plan removes an OAuth secret", name)
		}
	}
}

// What lies in a safe to get back in with is not used, and stays; so does what
// this product works by.
func TestKeepsOwnAndLastAdmins(t *testing.T) {
	due := func(spoil func(e *estate, inv *inventory.Inventory), own string) map[string]prune.State {
		e := newEstate()
		e.lastUsed = map[string]time.Time{}
		e.tokens["own"] = inventory.Token{ID: "own", Workspace: 1, Owner: other, Automation: true, CreatedAt: start.Add(-100 * day), LastUsedAt: start.Add(-80 * day), Autoscope: "COMPLETED", Inferred: []string{"sql"}}
		inv := e.inventory()
		spoil(e, inv)
		first := prune.Make(inv, enforcing(), nil, own)
		inv.TakenAt = inv.TakenAt.Add(15 * day)
		inv.UsageSince = inv.TakenAt.Add(-60 * day)
		return states(prune.Make(inv, enforcing(), first.Notices(), own))
	}
	admin := map[int64]inventory.Assignment{1: {Admin: true}}
	ann := func(p inventory.Person) func(*estate, *inventory.Inventory) {
		return func(_ *estate, inv *inventory.Inventory) {
			inv.Principals[1].AccountAdmin = true
			inv.People = []inventory.Person{p}
		}
	}
	for name, c := range map[string]struct {
		spoil func(*estate, *inventory.Inventory)
		own   string
		want  prune.State
	}{
		"nobody's":            {func(*estate, *inventory.Inventory) {}, "", prune.Due},
		"own":                 {func(*estate, *inventory.Inventory) {}, strings.ToUpper(other), prune.Exempt},
		"last account admin":  {ann(inventory.Person{UserName: "ann", Active: true}), "", prune.Exempt},
		"another one":         {ann(inventory.Person{UserName: "ann", Active: true, AccountAdmin: true}), "", prune.Due},
		"another one, asleep": {ann(inventory.Person{UserName: "ann", AccountAdmin: true}), "", prune.Exempt},
		"another one, of ours": {func(_ *estate, inv *inventory.Inventory) {
			inv.Principals[0].AccountAdmin, inv.Principals[1].AccountAdmin = true, true
		}, client, prune.Exempt},
		"last workspace admin": {func(_ *estate, inv *inventory.Inventory) { inv.Principals[1].Assignments = admin }, "", prune.Exempt},
		"one of two": {func(_ *estate, inv *inventory.Inventory) {
			inv.Principals[1].Assignments, inv.People = admin, []inventory.Person{{Active: true, Assignments: admin}}
		}, "", prune.Due},
		"deactivated last admin": {func(_ *estate, inv *inventory.Inventory) {
			inv.Principals[1].AccountAdmin, inv.Principals[1].Active = true, false
		}, "", prune.Due},
	} {
		t.Run(name, func(t *testing.T) {
			got := due(c.spoil, c.own)
			for _, item := range []string{"remove busy", "remove own"} {
				if got[item] != c.want {
					t.Errorf("%s is %q, want %q", item, got[item], c.want)
				}
			}
			// A person signs in without a token.
			if got["remove stale"] != prune.Due {
				t.Errorf("stale is %q", got["remove stale"])
			}
		})
	}
}

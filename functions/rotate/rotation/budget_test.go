package rotation_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/policy"
)

// orphan leaves behind what a run leaves that dies right after a create.
func (w *world) orphan(m *estatetest.Managed) string {
	w.t.Helper()
	s, err := w.Databricks.AddSecret(m.Principal.ID, databrickstest.SecretSpec{
		Lifetime: rotation.Fingerprint(m.ARN, w.policy.Lifetime), Scopes: m.Scopes,
	})
	w.must(err)
	return s.ID
}

// Invariant 9: over its budget a run removes no orphan at all, says how many
// there are and what to do, and rotates all the same.
func TestBudget(t *testing.T) {
	for name, test := range map[string]struct {
		budget  policy.Budget
		removes bool
	}{
		"no limit":               {policy.Budget{}, true},
		"just enough":            {policy.Budget{Count: 8, Share: 0.5}, true},
		"over the number":        {policy.Budget{Count: 7, Share: 0.5}, false},
		"over the share":         {policy.Budget{Count: 8, Share: 0.3}, false},
		"nothing may be removed": {policy.Budget{Count: 1, Share: 1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.policy.Budgets.Rotate = test.budget
				orphans := map[string]string{}
				for i := range 8 {
					m := w.register(estatetest.Registration{Name: fmt.Sprintf("etl-%d", i)})
					orphans[m.Name] = w.orphan(m)
				}
				time.Sleep(w.policy.Interval)
				report, err := w.engine.Sweep(w.t.Context(), false, false)
				if report.Counts[rotation.Rotated] != 8 {
					t.Errorf("counts are %v, want all rotated", report.Counts)
				}
				want := ""
				if !test.removes {
					want = fmt.Sprintf("8 of the 16 OAuth secrets that this run knows of should be removed, which is over the budget (%v); none of them was", test.budget)
				}
				w.checkErr(err, want)
				for _, m := range w.Managed() {
					gone := true
					for _, id := range w.ids(m) {
						gone = gone && id != orphans[m.Name]
					}
					if gone != test.removes {
						t.Errorf("%s: the orphan is removed: %v, want %v", m.Name, gone, test.removes)
					}
				}
				// Within the budget, or with it raised, everything is put in order.
				w.policy.Budgets.Rotate = policy.Budget{}
				time.Sleep(w.policy.Grace)
				w.reconcile()
				w.settled()
			})
		})
	}
}

// Invariant 9: predecessors need no budget: as many go as were rotated. And one
// principal can be tidied whatever the share.
func TestBudgetLeavesRoom(t *testing.T) {
	inWorld(t, func(w *world) {
		w.policy.Budgets.Rotate = policy.Budget{Count: 4, Share: 0.01}
		var first *estatetest.Managed
		for i := range 8 {
			m := w.register(estatetest.Registration{Name: fmt.Sprintf("etl-%d", i)})
			if first == nil {
				first = m
			}
		}
		for range 4 {
			w.orphan(first)
		}
		time.Sleep(w.policy.Interval)
		w.sweep("")
		time.Sleep(w.policy.Grace)
		if report := w.sweep(""); report.Counts[rotation.Retired] != 8 {
			t.Errorf("counts are %v, want 8 predecessors retired", report.Counts)
		}
		w.settled()
	})
}

// Invariant 9, at the other doors.
func TestBudgetAtOtherDoors(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		for range 4 {
			w.orphan(m)
		}
		time.Sleep(time.Hour)
		w.policy.Budgets.Rotate = policy.Budget{Count: 3, Share: 1}
		_, err := w.invoke(w.t.Context(), []byte(`{"action":"rotate","secrets":["etl"],"force":true}`))
		w.checkErr(err, "4 of the 5 OAuth secrets that this run knows of should be removed")
		w.checkErr(err, "etl: over budget: service principal")
		w.checkErr(w.step(m, "createSecret"), "could go, but for the run's budget")
		if n := len(w.ids(m)); n != 5 {
			t.Errorf("%d OAuth secrets are left, want all five", n)
		}
		w.policy.Budgets.Rotate = policy.Budget{Count: 4, Share: 0.1}
		if _, err := w.invoke(w.t.Context(), []byte(`{"action":"rotate","secrets":["etl"],"force":true}`)); err != nil {
			t.Error(err)
		}
		w.settled()
	})
}

// A dry run plans what the real run then does, postponed removals too.
func TestBudgetInDryRun(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		orphan := w.orphan(m)
		time.Sleep(w.policy.Interval)
		w.ResetCalls()
		report, err := w.engine.Sweep(w.t.Context(), false, true)
		w.checkErr(err, "")
		if len(report.Outcomes) != 1 || len(report.Outcomes[0].Retired) != 1 || report.Outcomes[0].Retired[0] != orphan || report.Outcomes[0].Reason != rotation.Due {
			t.Errorf("outcomes are %+v, want the orphan to go and a rotation", report.Outcomes)
		}
		if changes := w.Changes(); len(changes) > 1 { // the rotator's own token
			t.Errorf("a dry run made changes: %v", changes)
		}
	})
}

// What a look costs that finds an orphan: one listing to find it, one more
// before it goes, and nobody's directory is asked for it.
func TestOrphanCallCount(t *testing.T) {
	inWorldOf(t, estatetest.Config{Seed: 1, PageSize: 5}, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		w.orphan(m)
		time.Sleep(time.Hour)
		w.ResetCalls()
		w.reconcile()
		calls := w.calls()
		for op, want := range map[string]int{
			databrickstest.OpWorkspaceListSecrets: 2, databrickstest.OpWorkspaceDeleteSecret: 1,
			databrickstest.OpWorkspaceListPrincipals: 0, databrickstest.OpWorkspaceGetPrincipal: 0,
			"ListSecretVersionIds": 2,
		} {
			if calls[op] != want {
				t.Errorf("%s: %d calls, want %d", op, calls[op], want)
			}
		}
	})
}

// Five is what one principal can have at most, and is always within the share.
func TestWithinBudget(t *testing.T) {
	for _, test := range []struct {
		budget     policy.Budget
		remove, of int
		want       bool
	}{
		{policy.Budget{Count: 10, Share: 0.1}, 5, 5, true},
		{policy.Budget{Count: 10, Share: 0.1}, 6, 59, false},
		{policy.Budget{Count: 10, Share: 0.1}, 6, 60, true},
		{policy.Budget{Count: 10, Share: 0.1}, 11, 1000, false},
		{policy.Budget{Count: 4, Share: 0.1}, 5, 1000, false},
		{policy.Budget{}, 1000, 1000, true},
	} {
		if got := rotation.WithinBudget(test.budget, test.remove, test.of); got != test.want {
			t.Errorf("%v of %d within %v: %v, want %v", test.remove, test.of, test.budget, got, test.want)
		}
	}
}

// exclusively declares a principal the rotation's alone.
func (w *world) exclusively(m *estatetest.Managed) {
	w.policy.Principals = append(w.policy.Principals, policy.Principal{ClientID: m.Principal.ApplicationID, Exclusive: true})
}

// Invariant 3: somebody else's OAuth secret is removed only of a principal that
// the policy declares exclusive, only once it is as old as the grace period and
// nothing has changed for as long, and only in a run that sees every managed secret.
func TestExclusive(t *testing.T) {
	inWorld(t, func(w *world) {
		shared := w.register(estatetest.Registration{Name: "shared"})
		alone := w.register(estatetest.Registration{Name: "alone"})
		w.exclusively(alone)
		kept, _ := w.MakeByHand(shared, 365*day)
		foreign, err := w.Databricks.AddSecret(alone.Principal.ID, databrickstest.SecretSpec{Lifetime: 365 * day})
		w.must(err)

		time.Sleep(w.policy.Grace - time.Minute)
		w.reconcile()
		if !strings.Contains(strings.Join(w.ids(alone), " "), foreign.ID) {
			t.Error("it is removed before its owner could notice")
		}
		time.Sleep(time.Minute)
		if _, err := w.engine.Rotate(w.t.Context(), "direct", rotation.RotateRequest{Secrets: []string{"alone"}, Force: true}); err != nil {
			t.Error(err)
		}
		if !strings.Contains(strings.Join(w.ids(alone), " "), foreign.ID) {
			t.Error("it is removed by a run that does not see every managed secret")
		}
		w.reconcile()
		if !strings.Contains(strings.Join(w.ids(alone), " "), foreign.ID) {
			t.Error("it is removed within the grace period of a value that was current until just now")
		}
		time.Sleep(w.policy.Grace)
		w.reconcile()
		if strings.Contains(strings.Join(w.ids(alone), " "), foreign.ID) {
			t.Error("it is still there")
		}
		if !strings.Contains(strings.Join(w.ids(shared), " "), kept.ID) {
			t.Error("a colleague's secret of another principal is gone")
		}
	})
}

// Invariant 1: what is foreign to one managed secret may be current in
// another one of the same principal, or in one that could not be read.
func TestExclusiveTwice(t *testing.T) {
	const registration = `{"DATABRICKS_HOST":"HOST","DATABRICKS_CLIENT_ID":"ID"}`
	for name, test := range map[string]struct {
		value  string
		hidden bool
	}{
		"the same principal":      {registration, false},
		"one that cannot be read": {`not a registration`, false},
		"one that may not be":     {registration, true},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.register(estatetest.Registration{Name: "etl"})
				w.exclusively(m)
				foreign, err := w.Databricks.AddSecret(m.Principal.ID, databrickstest.SecretSpec{Lifetime: 365 * day})
				w.must(err)
				value := strings.NewReplacer("HOST", m.Host.URL, "ID", m.Principal.ApplicationID).Replace(test.value)
				if arn := w.secondFor("other", value); test.hidden {
					w.hide(arn)
				}
				time.Sleep(2 * w.policy.Grace)
				for range 2 {
					_, _ = w.engine.Sweep(w.t.Context(), true, false) // an error if the other cannot be read
				}
				if !strings.Contains(strings.Join(w.ids(m), " "), foreign.ID) {
					t.Error("it is removed, though the other secret may hold it")
				}
			})
		})
	}
}

// Invariant 1: what is not seen to be another secret's, because the listing broke
// off, is not removed.
func TestListingBreaksOff(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		s, err := w.Databricks.AddSecret(m.Principal.ID, databrickstest.SecretSpec{Lifetime: rotation.Fingerprint(m.ARN, w.policy.Lifetime)})
		w.must(err)
		for i := range 100 {
			w.register(estatetest.Registration{Name: fmt.Sprintf("other-%03d", i), Fresh: true})
		}
		value, err := json.Marshal(map[string]string{
			credential.KeyHost: m.Host.URL, credential.KeyClientID: m.Principal.ApplicationID,
			credential.KeyClientSecret: s.Value, credential.KeyOAuthSecretID: s.ID,
		})
		w.must(err)
		w.secondFor("twin", string(value)) // on the second page
		time.Sleep(time.Hour)
		w.AWS.Faults().Add(faulttest.Fault{Op: "ListSecrets", Skip: 1, Kind: faulttest.ServerError, Times: faulttest.Forever})
		report, err := w.engine.Sweep(w.t.Context(), true, false)
		w.checkErr(err, "listing the managed secrets")
		if report.Secrets != 100 || report.OverBudget == "" {
			t.Errorf("%d secrets were looked at, over budget: %q", report.Secrets, report.OverBudget)
		}
		if !w.Databricks.Authenticates(m.Principal.ApplicationID, s.Value) {
			t.Error("the twin's current credential was deleted")
		}
	})
}

package rotation_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
)

// A month passes, a sweep rotates; a day passes, a sweep retires; then there
// is nothing to do (invariants 1, 2, 3 and 8).
func TestSweepRotatesAndRetires(t *testing.T) {
	for name, r := range map[string]estatetest.Registration{
		"workspace level": {Name: "etl"},
		"account level":   {Name: "etl", AccountLevel: true},
		"scoped":          {Name: "etl", AccountLevel: true, Scopes: []string{"jobs", "sql"}},
		"fresh":           {Name: "etl", Fresh: true},
		"fresh, scoped":   {Name: "etl", Fresh: true, AccountLevel: true, Scopes: []string{"sql"}},
		"bare":            {Name: "etl", Bare: true},
		"bare and fresh":  {Name: "etl", Bare: true, Fresh: true, AccountLevel: true},
		"with other keys": {Name: "etl", Extra: map[string]string{"JDBC_URL": "jdbc:databricks://x", "TEAM": "data"}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.register(r)
				w.sweep("") // takes over what a person made, or issues the first
				first := w.current(m)
				w.settled()

				time.Sleep(w.policy.Interval)
				w.sweep("")
				second := w.current(m)
				if first.OAuthSecretID == second.OAuthSecretID {
					t.Fatal("the credential is as old as the interval and was not rotated")
				}
				if got := w.ids(m); !slices.Contains(got, first.OAuthSecretID) || !slices.Contains(got, second.OAuthSecretID) {
					t.Errorf("live are %v, want predecessor and successor", got)
				}
				w.settled()

				time.Sleep(w.policy.Grace - time.Second)
				w.sweep("")
				if !slices.Contains(w.ids(m), first.OAuthSecretID) {
					t.Error("the predecessor was retired within its grace period")
				}
				time.Sleep(time.Second)
				w.sweep("")
				if diff := cmp.Diff([]string{second.OAuthSecretID}, w.ids(m)); diff != "" {
					t.Errorf("after grace (-want +got):\n%s", diff)
				}
				w.settled()

				w.ResetCalls()
				report := w.sweep("")
				if changes := w.Changes(); len(changes) > 0 || report.Counts[rotation.Unchanged] != 1 {
					t.Errorf("a quiet sweep did %v, counts %v", changes, report.Counts)
				}
				for key, value := range r.Extra {
					if v, _ := w.AWS.Current(m.Name); !strings.Contains(v.Value, `"`+key+`":"`+value+`"`) {
						t.Errorf("the key %s is gone", key)
					}
				}
			})
		})
	}
}

// Invariant 10: one bad principal never stops the others, and the run's error
// names each.
func TestSweepGoesOn(t *testing.T) {
	inWorld(t, func(w *world) {
		full := w.register(estatetest.Registration{Name: "full"})
		inactive := w.register(estatetest.Registration{Name: "inactive"})
		malformed := w.register(estatetest.Registration{Name: "malformed"})
		good := w.register(estatetest.Registration{Name: "good"})
		for range 4 {
			w.MakeByHand(full, 365*day)
		}
		w.SetActive(inactive, false)
		w.put(malformed, `{"DATABRICKS_HOST":"nowhere"`)
		time.Sleep(w.policy.Interval)

		w.ResetCalls()
		report := w.sweep("3 of 4 managed secrets need attention, 1 are as they should be")
		want := map[rotation.Status]int{rotation.Blocked: 2, rotation.Failed: 1, rotation.Rotated: 1}
		if diff := cmp.Diff(want, report.Counts); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
		for _, part := range []string{"full: full: service principal ", "5 of 5", "inactive: inactive: service principal ", "malformed: the value of version"} {
			if !strings.Contains(report.Err().Error(), part) {
				t.Errorf("error does not say %q:\n%v", part, report.Err())
			}
		}
		if n := w.calls()[databrickstest.OpWorkspaceCreateSecret]; n != 1 {
			t.Errorf("%d secrets were created, want 1: a switched-off principal is not tried in vain", n)
		}
		if c := w.current(good); !w.Databricks.Authenticates(c.ClientID, c.ClientSecret.Reveal()) {
			t.Error("the good one does not authenticate")
		}
	})
}

// A sweep's rotation costs one write to Secrets Manager and three calls to
// Databricks, four when the secret is scoped, and one delete later.
func TestCallCount(t *testing.T) {
	const n = 40
	for name, test := range map[string]struct {
		scopes []string
		lists  int
	}{"unscoped": {nil, 1}, "scoped": {[]string{"sql"}, 2}} {
		t.Run(name, func(t *testing.T) {
			inWorldOf(t, estatetest.Config{Seed: 1, PageSize: 5}, func(w *world) {
				for i := range n {
					w.register(estatetest.Registration{Name: "etl-" + string(rune('a'+i/26)) + string(rune('a'+i%26)), AccountLevel: true, Scopes: test.scopes})
				}
				w.sweep("")
				time.Sleep(w.policy.Interval)
				for range 2 {
					w.sweep("") // rotates, at first what somebody else had put there
					time.Sleep(w.policy.Interval)
				}
				w.ResetCalls()
				w.sweep("") // retires the one before and rotates: the steady state
				calls := w.calls()
				for op, want := range map[string]int{
					"PutSecretValue": n, "UpdateSecretVersionStage": 0, "GetSecretValue": 0,
					"DescribeSecret": 0, "BatchGetSecretValue": n / 20, "ListSecrets": 1,
					databrickstest.OpAccountCreateSecret: n, databrickstest.OpAccountListSecrets: n * test.lists,
					databrickstest.OpAccountDeleteSecret: n,
					// One for each new secret, and one for the rotator itself.
					databrickstest.OpAccountToken:          n + 1,
					databrickstest.OpAccountListPrincipals: 1, // who is switched off
				} {
					if calls[op] != want {
						t.Errorf("%s: %d calls, want %d", op, calls[op], want)
					}
					delete(calls, op)
				}
				if len(calls) > 0 {
					t.Errorf("other calls: %v", calls)
				}
			})
		})
	}
}

// Invariant 5: ten rotations, and the scopes are what they were.
func TestScopesKept(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true, Scopes: []string{"sql", "jobs"}})
		for range 10 {
			time.Sleep(w.policy.Interval)
			w.sweep("")
			for _, s := range w.Databricks.Secrets(m.Principal.ID) {
				if diff := cmp.Diff([]string{"jobs", "sql"}, credential.NormalizeScopes(s.Scopes)); diff != "" {
					t.Fatalf("scopes (-want +got):\n%s", diff)
				}
			}
			w.settled()
		}
	})
}

// Invariant 5: a Databricks that ignores the scopes asked for gives out a
// wider credential. It is deleted, and the old one stays.
func TestScopesIgnored(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true, Scopes: []string{"sql"}})
		w.sweep("")
		before, ids := w.current(m), w.ids(m)
		w.Databricks.IgnoreScopes(true)
		time.Sleep(w.policy.Interval)
		w.sweep("gave the new OAuth secret the scopes [all-apis] instead of [sql]")
		if diff := cmp.Diff(ids[len(ids)-1:], w.ids(m)); diff != "" {
			t.Errorf("live OAuth secrets (-want +got):\n%s", diff)
		}
		if after := w.current(m); after.OAuthSecretID != before.OAuthSecretID {
			t.Error("the wide credential became current")
		}
		w.settled()
	})
}

// Invariant 1: what does not authenticate never becomes current, at whichever
// door. It is deleted.
func TestNeverPromotesWhatIsRefused(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		before, ids := w.current(m), w.ids(m)
		time.Sleep(w.policy.Interval)
		w.Databricks.RefuseNew(true)
		w.sweep("does not authenticate")
		if after := w.current(m); after.OAuthSecretID != before.OAuthSecretID {
			t.Error("a credential that does not authenticate became current")
		}
		if diff := cmp.Diff(ids, w.ids(m)); diff != "" {
			t.Errorf("OAuth secrets (-want +got):\n%s", diff)
		}
	})
}

// A human's edits are respected: keys they add survive, and a value that they
// wrote without bookkeeping is taken over again without a dead moment.
func TestHumanEdits(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		w.sweep("")
		w.edit(m, "TEAM", "data")
		w.sweep("")
		time.Sleep(w.policy.Interval)
		w.sweep("")
		if v, _ := w.AWS.Current(m.Name); !strings.Contains(v.Value, `"TEAM":"data"`) {
			t.Error("an added key is gone")
		}
		w.settled()

		// Somebody strips the bookkeeping: nothing may be deleted until it is
		// known again which secret is the current one.
		for _, key := range []string{credential.KeyOAuthSecretID, credential.KeyIssuedAt, credential.KeyExpiresAt, credential.KeyPredecessors} {
			w.edit(m, key, "")
		}
		time.Sleep(2 * w.policy.Grace)
		w.sweep("")
		w.check(w.Sample(w.policy.Grace))
		for range 4 {
			time.Sleep(w.policy.Grace)
			w.reconcile()
			w.check(w.Sample(w.policy.Grace))
		}
		w.settled()
	})
}

// The rollback that people do at night: AWSCURRENT back to AWSPREVIOUS. The
// version that is current again has a successor already, and gets another.
func TestRollback(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		w.sweep("")
		time.Sleep(w.policy.Interval)
		w.sweep("")
		w.moveCurrentBack(m)
		for range 3 {
			w.sweep("")
			w.check(w.Sample(w.policy.Grace))
			time.Sleep(w.policy.Grace)
		}
		w.sweep("")
		w.settled()
		if n := len(w.ids(m)); n != 1 {
			t.Errorf("%d OAuth secrets are left, want 1", n)
		}
	})
}

// A dead AWSCURRENT is found by the reconcile and healed.
func TestHealsDeadCurrent(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		time.Sleep(w.policy.Interval)
		w.sweep("")
		w.DeleteByHand(m, w.current(m).OAuthSecretID)
		w.sweep("") // it is young: an ordinary sweep does not ask
		w.reconcile()
		if c := w.current(m); !w.Databricks.Authenticates(c.ClientID, c.ClientSecret.Reveal()) {
			t.Error("AWSCURRENT is still dead")
		}
		w.settled()
	})
}

// A dry run says what it would do, and does nothing.
func TestDryRun(t *testing.T) {
	inWorld(t, func(w *world) {
		w.register(estatetest.Registration{Name: "fresh", Fresh: true})
		w.register(estatetest.Registration{Name: "old"})
		time.Sleep(w.policy.Interval)
		w.ResetCalls()
		report, err := w.engine.Sweep(w.t.Context(), false, true)
		w.checkErr(err, "")
		if changes := w.Changes(); len(changes) > 0 {
			t.Errorf("a dry run did %v", changes)
		}
		want := map[rotation.Status]int{rotation.Issued: 1, rotation.Rotated: 1}
		if diff := cmp.Diff(want, report.Counts); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
	})
}

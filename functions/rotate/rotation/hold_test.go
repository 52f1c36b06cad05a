package rotation_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/managedsecret"
)

// hold is a revocation's mark on a managed secret.
func (w *world) hold(m *estatetest.Managed) error {
	store := managedsecret.Store{API: w.SecretsManager("revoke")}
	return store.SetHold(w.t.Context(), m.ARN, managedsecret.Hold{Kind: managedsecret.Revoked, Since: w.Now()})
}

// A revocation that comes while a rotation is under way wins: the write is
// refused, the new OAuth secret goes, and the run says who has decided that.
// Invariants 1 and 3.
func TestRevokedMeanwhile(t *testing.T) {
	doors := map[string]func(w *world, m *estatetest.Managed) error{
		"sweep": func(w *world, _ *estatetest.Managed) error {
			_, err := w.engine.Sweep(w.t.Context(), false, false)
			return err
		},
		"protocol": func(w *world, m *estatetest.Managed) error {
			return (&process{&estatetest.Process{Ctx: w.t.Context()}, w.engine}).protocol(m, stepToken)
		},
	}
	for name, run := range doors {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true})
				w.sweep("")
				time.Sleep(w.policy.Interval)
				before, ids := w.current(m), w.ids(m)
				hold := func(c faulttest.Call) {
					if c.Op != databrickstest.OpAccountToken {
						return // the new one is being proven, and is stored next
					}
					if err := w.hold(m); err != nil {
						t.Error(err)
					}
				}
				w.Databricks.Faults().OnCall(hold, w.sample)
				w.Revoking(m)
				err := run(w, m)
				if err == nil || !strings.Contains(err.Error(), "its credential was revoked") || !strings.Contains(err.Error(), `{"mode":"release","secret":"etl"`) {
					t.Errorf("the run says %v", err)
				}
				if w.current(m).OAuthSecretID != before.OAuthSecretID {
					t.Error("another credential became current")
				}
				if diff := cmp.Diff(ids, w.ids(m)); diff != "" && name == "sweep" {
					t.Errorf("the principal's OAuth secrets (-before +after):\n%s", diff)
				}
			})
		})
	}
}

// Nor is a label that Secrets Manager has left taken off what was revoked
// meanwhile, and that is no failure of the run.
func TestRevokedBeforeALabelIsTakenOff(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true})
		w.mustStep(m, "createSecret") // by hand, so that nobody goes on
		time.Sleep(26 * hour)
		hold := func(c faulttest.Call) { // not in the test's goroutine
			if c.Op == databrickstest.OpAccountListSecrets {
				if err := w.hold(m); err != nil {
					t.Error(err)
				}
			}
		}
		w.Databricks.Faults().OnCall(hold, nil)
		w.Revoking(m)
		report, err := w.engine.Sweep(w.t.Context(), true, false)
		if w.checkErr(err, "its credential was revoked"); report.Counts[rotation.Blocked] != 1 {
			t.Errorf("counts %v, want it blocked", report.Counts)
		}
		if _, ok := w.AWS.Labelled(m.Name, managedsecret.Pending); !ok {
			t.Error("the label is gone")
		}
	})
}

// What is revoked between two steps of the rotation protocol goes no further. A
// test changes nothing, and may be asked for at any time.
func TestStepsUnderHold(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true})
		w.mustStep(m, "createSecret")
		before, ids := w.current(m), w.ids(m)
		w.Revoking(m)
		w.must(w.hold(m))
		for _, step := range []string{"createSecret", "setSecret", "finishSecret"} {
			if err := w.step(m, step); err == nil || !strings.Contains(err.Error(), "its credential was revoked") {
				t.Errorf("%s says %v", step, err)
			}
		}
		w.mustStep(m, "testSecret")
		if diff := cmp.Diff(ids, w.ids(m)); diff != "" || w.current(m).OAuthSecretID != before.OAuthSecretID {
			t.Errorf("another credential became current, or the principal's OAuth secrets changed (-before +after):\n%s", diff)
		}
	})
}

// A role that may not write for another reason is told apart.
func TestDenied(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true})
		ids := w.ids(m)
		w.AWS.SetAuthorizer(func(_ context.Context, a awstest.Access) error {
			if a.Action == "secretsmanager:PutSecretValue" {
				return errors.New("because no identity-based policy allows it")
			}
			return nil
		})
		report, err := w.engine.Rotate(w.t.Context(), "direct", rotation.RotateRequest{Secrets: []string{"etl"}, Force: true})
		if err == nil || !strings.Contains(err.Error(), "AccessDenied") || report.Counts[rotation.Failed] != 1 {
			t.Errorf("%v, %v", report.Counts, err)
		}
		if diff := cmp.Diff(ids, w.ids(m)); diff != "" {
			t.Errorf("the principal's OAuth secrets (-before +after):\n%s", diff)
		}
	})
}

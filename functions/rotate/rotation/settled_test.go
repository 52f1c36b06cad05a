package rotation_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/managedsecret"
)

// An idle managed secret costs a hundredth of a call: its line in the listing.
func TestIdleCallCount(t *testing.T) {
	const n = 200
	inWorld(t, func(w *world) {
		for i := range n {
			w.register(estatetest.Registration{Name: fmt.Sprintf("etl-%03d", i), AccountLevel: true, Fresh: true})
		}
		w.sweep("")
		time.Sleep(10 * day)
		w.ResetCalls()
		report := w.sweep("")
		if diff := cmp.Diff(map[string]int{"ListSecrets": n / 100}, w.calls()); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		if report.Unread != n || report.Counts[rotation.Unchanged] != n {
			t.Errorf("%d unread, counts %v", report.Unread, report.Counts)
		}
	})
}

// rotatedOnce is a managed secret whose current version a run has written.
func rotatedOnce(w *world, name string) *estatetest.Managed {
	m := w.register(estatetest.Registration{Name: name, AccountLevel: true, Fresh: true})
	w.sweep("")
	return m
}

func (w *world) listed(m *estatetest.Managed) managedsecret.Secret {
	w.t.Helper()
	for s, err := range w.engine.Store.List(w.t.Context()) {
		w.must(err)
		if s.ARN == m.ARN {
			return s
		}
	}
	w.t.Fatalf("%s is not listed", m.Name)
	return managedsecret.Secret{}
}

// What the listing shows must leave nothing undone: each of these is looked at.
func TestSettled(t *testing.T) {
	for name, test := range map[string]struct {
		after   time.Duration
		disturb func(w *world, m *estatetest.Managed)
		want    bool
	}{
		"young, and its predecessor may be due": {72*time.Hour - time.Second, nil, false},
		"idle":                                  {72 * time.Hour, nil, true},
		"idle to the last hour":                 {30*day - 31*time.Minute, nil, true},
		"due":                                   {30*day - 30*time.Minute, nil, false},
		"held": {10 * day, func(w *world, m *estatetest.Managed) {
			w.must(w.engine.Store.SetHold(w.t.Context(), m.ARN, managedsecret.Hold{Kind: managedsecret.Revoked}))
		}, false},
		"a value that a person wrote": {0, func(w *world, m *estatetest.Managed) {
			w.edit(m, "TEAM", "data")
			time.Sleep(10 * day)
		}, false},
		"moved back": {0, func(w *world, m *estatetest.Managed) {
			time.Sleep(31 * day)
			w.sweep("")
			w.moveCurrentBack(m)
			time.Sleep(10 * day)
		}, false},
		"moved back, and rotated once more": {0, func(w *world, m *estatetest.Managed) {
			time.Sleep(31 * day)
			w.sweep("")
			w.moveCurrentBack(m)
			w.sweep("")
			time.Sleep(10 * day)
		}, true},
		"a rotation by Secrets Manager is under way": {10 * day, func(w *world, m *estatetest.Managed) {
			value, _ := w.AWS.Current(m.Name)
			_, err := w.SecretsManager("operator").PutSecretValue(w.t.Context(), &secretsmanager.PutSecretValueInput{
				SecretId: &m.Name, SecretString: &value.Value, VersionStages: []string{managedsecret.Pending},
			})
			w.must(err)
			time.Sleep(5 * day)
		}, false},
		"a tag was changed": {10 * day, func(w *world, m *estatetest.Managed) {
			w.tag(m, "team", "data")
			time.Sleep(72*time.Hour - time.Second)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := rotatedOnce(w, "etl")
				time.Sleep(test.after)
				if test.disturb != nil {
					test.disturb(w, m)
				}
				if got := rotation.Settled(w.Now(), w.policy, w.listed(m)); got != test.want {
					t.Errorf("settled: %v, want %v", got, test.want)
				}
			})
		})
	}
}

// Who changes a tag hides from the listing when the credential was issued: the
// predecessor goes in time all the same (invariant 2), and the credential is
// replaced with the next reconcile.
func TestTagChangedAfterRotation(t *testing.T) {
	inWorld(t, func(w *world) {
		m := rotatedOnce(w, "etl")
		time.Sleep(w.policy.Interval)
		w.sweep("")
		first := w.current(m)
		time.Sleep(20 * time.Hour)
		w.tag(m, "team", "data")
		time.Sleep(w.policy.Grace - 20*time.Hour)
		w.sweep("")
		if diff := cmp.Diff([]string{first.OAuthSecretID}, w.ids(m)); diff != "" {
			t.Errorf("the predecessor stays (-want +got):\n%s", diff)
		}
		time.Sleep(w.policy.Interval / 2)
		w.tag(m, "team", "platform")
		time.Sleep(w.policy.Interval / 2)
		w.sweep("")
		if w.current(m).OAuthSecretID != first.OAuthSecretID {
			t.Fatal("the listing shows more than it should: this test no longer tells anything")
		}
		w.reconcile()
		if w.current(m).OAuthSecretID == first.OAuthSecretID {
			t.Error("it was not replaced")
		}
		w.settled()
	})
}

// A rotation that is blocked, and that sweeps no longer see to be due after a tag
// was changed, is among the failures of each reconcile, which have an alarm.
func TestBlockedUnseen(t *testing.T) {
	inWorld(t, func(w *world) {
		w.engine.Deployment = stackName
		m := rotatedOnce(w, "etl")
		time.Sleep(20 * day)
		w.tag(m, "team", "data")
		w.SetActive(m, false)
		time.Sleep(w.policy.Interval - 15*day)
		if report := w.sweep(""); report.Unread != 1 {
			t.Fatal("the sweep has seen it: this test no longer tells anything")
		}
		_, err := w.engine.Sweep(w.t.Context(), true, false)
		w.checkErr(err, "etl: inactive: ")
		if last := w.lastMetrics(); last.Door != "reconcile" || last.values["FailedByDoor"] != 1.0 {
			t.Errorf("%v failed by the door %s, want 1", last.values["FailedByDoor"], last.Door)
		}
	})
}

// A run that has not read every value reads them before it removes what may be
// another secret's.
func TestRemovalReadsWhatIsSettled(t *testing.T) {
	inWorld(t, func(w *world) {
		m := rotatedOnce(w, "etl")
		rotatedOnce(w, "other")
		time.Sleep(10 * day)
		// An orphan, left by a run that died. A forced rotation finds it.
		_, err := w.Databricks.AddSecret(m.Principal.ID, databrickstest.SecretSpec{Lifetime: w.current(m).ExpiresAt.Sub(w.current(m).IssuedAt)})
		w.must(err)
		time.Sleep(time.Hour)
		w.edit(m, "TEAM", "data") // so that a sweep looks at it
		time.Sleep(w.policy.Interval)
		w.tag(w.Managed()[1], "team", "data")
		time.Sleep(5 * day)
		w.ResetCalls()
		report := w.sweep("")
		if report.Unread != 1 || report.Counts[rotation.Rotated] != 1 {
			t.Fatalf("%d unread, counts %v: this test no longer tells anything", report.Unread, report.Counts)
		}
		// The one batch of what was not settled, and the one of all.
		if n := w.calls()["BatchGetSecretValue"]; n != 2 {
			t.Errorf("%d batches were read, want 2", n)
		}
		if n := len(w.ids(m)); n != 2 {
			t.Errorf("%d OAuth secrets are left, want the current one and its predecessor", n)
		}
	})
}

// A run that has read every value does not read them again.
func TestRemovalReadsOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		m := rotatedOnce(w, "etl")
		_, err := w.Databricks.AddSecret(m.Principal.ID, databrickstest.SecretSpec{Lifetime: w.current(m).ExpiresAt.Sub(w.current(m).IssuedAt)})
		w.must(err)
		time.Sleep(day)
		w.ResetCalls()
		w.reconcile()
		if n := len(w.ids(m)); n != 1 {
			t.Fatalf("%d OAuth secrets are left: this test no longer tells anything", n)
		}
		if n := w.calls()["BatchGetSecretValue"]; n != 1 {
			t.Errorf("%d batches were read, want 1", n)
		}
	})
}

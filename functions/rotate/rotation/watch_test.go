package rotation_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/managedsecret"
)

// A rotation that cannot happen says how long the current credential still
// works: that is how long there is to mend it.
func TestErrorsSayWhenItExpires(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		time.Sleep(w.policy.Interval)
		w.sweep("") // from here on it is ours, and lives for just under 90 days
		w.SetActive(m, false)
		time.Sleep(w.policy.Interval)
		w.sweep("etl: inactive: service principal")
		w.sweep("in 59 days")
		w.SetActive(m, true)
		w.Databricks.RefuseNew(true)
		time.Sleep(58 * day)
		w.sweep("does not authenticate")
		w.sweep(", in ")
		w.sweep(" hours")
		w.Databricks.RefuseNew(false)
		w.sweep("")
	})
}

// A rotation of Secrets Manager's that never ends must not hold up a
// credential's replacement in silence until it expires.
func TestOverdue(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		time.Sleep(w.policy.Interval)
		w.sweep("")
		now := w.current(m)
		// Somebody has begun a rotation that does not finish, once more.
		time.Sleep(30*day + 49*time.Hour)
		value, _ := w.AWS.Current(m.Name)
		_, err := w.SecretsManager("operator").PutSecretValue(w.t.Context(), &secretsmanager.PutSecretValueInput{
			SecretId: &m.Name, SecretString: &value.Value, VersionStages: []string{managedsecret.Pending},
		})
		w.must(err)
		report := w.sweep("etl: overdue: the current credential should have been replaced by " + now.IssuedAt.Add(30*day).UTC().Format(time.RFC3339))
		if report.Counts[rotation.Blocked] != 1 || !report.FirstExpiry.Equal(now.ExpiresAt) {
			t.Errorf("counts %v, first expiry %v", report.Counts, report.FirstExpiry)
		}
	})
}

// The report tells how old the fleet's credentials are, of all of them and not
// only of those that were rotated.
func TestReportTellsAges(t *testing.T) {
	inWorld(t, func(w *world) {
		old := w.register(estatetest.Registration{Name: "old"})
		if _, err := w.engine.Rotate(w.t.Context(), "direct", rotation.RotateRequest{Secrets: []string{"old"}, Force: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * day)
		young := w.register(estatetest.Registration{Name: "young", Fresh: true})
		report := w.sweep("")
		if !report.Oldest.IsZero() || !report.FirstExpiry.IsZero() || report.Unread != 1 {
			t.Errorf("a sweep that has not read all tells %v and %v, with %d unread", report.Oldest, report.FirstExpiry, report.Unread)
		}
		report, err := w.engine.Sweep(w.t.Context(), true, false)
		w.must(err)
		if !report.Oldest.Equal(w.current(old).IssuedAt) || !report.FirstExpiry.Equal(w.current(old).ExpiresAt) {
			t.Errorf("oldest %v, first expiry %v, want those of %+v", report.Oldest, report.FirstExpiry, w.current(old))
		}
		if !w.current(young).IssuedAt.After(report.Oldest) {
			t.Error("the new one is older")
		}
	})
}

// An answer lists what there is something to say about.
func TestReportLists(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		for _, want := range []int{0, 1} {
			report, err := w.engine.Sweep(w.t.Context(), true, false)
			if w.must(err); len(report.Outcomes) != want || report.Counts[rotation.Unchanged] != 1 {
				t.Errorf("counts %v, and listed are %+v", report.Counts, report.Outcomes)
			}
			_, err = w.Databricks.AddSecret(m.Principal.ID, databrickstest.SecretSpec{Lifetime: 365 * day})
			w.must(err)
		}
	})
}

// A credential of unknown age is neither the oldest nor the first to expire.
func TestEarlier(t *testing.T) {
	never, then, later := time.Time{}, time.Unix(1, 0), time.Unix(2, 0)
	for _, test := range []struct{ a, b, want time.Time }{
		{never, never, never}, {never, then, then}, {then, never, then}, {then, later, then}, {later, then, then},
	} {
		if got := rotation.Earlier(test.a, test.b); !got.Equal(test.want) {
			t.Errorf("of %v and %v the earlier is %v", test.a, test.b, got)
		}
	}
}

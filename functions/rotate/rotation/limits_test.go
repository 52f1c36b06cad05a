package rotation_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/trail"
)

// A run that will not finish stops in good time and says what is left; the
// next one goes on.
func TestStopsBeforeItsDeadline(t *testing.T) {
	inWorld(t, func(w *world) {
		const n = 12
		for i := range n {
			w.register(estatetest.Registration{Name: fmt.Sprintf("etl-%02d", i)})
		}
		time.Sleep(w.policy.Interval)
		w.engine.Workers = 1
		w.engine.Databricks = w.Client(slowly{3 * time.Second, w.Databricks.Transport()})
		ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
		defer cancel()
		report, err := w.engine.Sweep(ctx, false, false)
		if ctx.Err() != nil {
			t.Error("the run went on to its deadline")
		}
		if len(report.Left) == 0 || report.Counts[rotation.Rotated] == 0 || len(report.Left)+report.Secrets != n {
			t.Fatalf("%d rotated, %d left of %d", report.Counts[rotation.Rotated], len(report.Left), n)
		}
		w.checkErr(err, fmt.Sprintf("%d secrets were left for the next run, for time was over: %s", len(report.Left), report.Left[0]))
		w.engine = w.newEngine()
		if next := w.sweep(""); next.Counts[rotation.Rotated] != len(report.Left) {
			t.Errorf("%d were left, and the next run rotated %d", len(report.Left), next.Counts[rotation.Rotated])
		}
		w.settled()
	})
}

// slowly is a Databricks that takes its time.
type slowly struct {
	delay time.Duration
	next  http.RoundTripper
}

func (s slowly) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := sleep(r.Context(), s.delay); err != nil {
		return nil, err
	}
	return s.next.RoundTrip(r)
}

// flakyTrail fails from a given entry on.
type flakyTrail struct {
	next    trail.Trail
	entries []trail.Entry
	failAt  int
}

var errTrail = errors.New("the bucket is gone")

func (f *flakyTrail) Record(ctx context.Context, e trail.Entry) error {
	f.entries = append(f.entries, e)
	if len(f.entries) >= f.failAt {
		return errTrail
	}
	return f.next.Record(ctx, e)
}

// Invariant 7: every change is in the trail before and after; where the entry
// before it cannot be written, the change does not happen.
func TestTrail(t *testing.T) {
	prepare := func(w *world) *estatetest.Managed {
		m := w.register(estatetest.Registration{Name: "etl"})
		time.Sleep(w.policy.Interval)
		w.sweep("")
		time.Sleep(w.policy.Interval)
		w.resetCalls()
		return m
	}
	inWorld(t, func(w *world) {
		prepare(w)
		record := &flakyTrail{next: w.engine.Trail, failAt: 1 << 30}
		w.engine.Trail = record
		w.sweep("")
		var got []string
		for _, e := range record.entries {
			got = append(got, string(e.Phase)+" "+e.Action)
			if e.Secret != "etl" || e.ClientID == "" || e.Door != "sweep" || e.Why == "" {
				t.Errorf("entry %+v does not say what is changed, by which door and why", e)
			}
		}
		want := []string{"before retire", "after retire", "before issue", "after issue", "before store", "after store"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("trail (-want +got):\n%s", diff)
		}
	})
	// Fail at each entry in turn: never a change without its entry before.
	for failAt := 1; failAt <= 6; failAt++ {
		inWorld(t, func(w *world) {
			m := prepare(w)
			before := w.current(m)
			record := &flakyTrail{next: w.engine.Trail, failAt: failAt}
			w.engine.Trail = record
			w.sweep(errTrail.Error())
			written := 0
			for _, e := range record.entries[:failAt-1] {
				if e.Phase == trail.Before {
					written++
				}
			}
			if changes := w.changes(); len(changes) > written {
				t.Errorf("failing at entry %d: %d entries announce a change, and there were %v", failAt, written, changes)
			}
			if failAt <= 5 && w.current(m).OAuthSecretID != before.OAuthSecretID {
				t.Errorf("failing at entry %d: AWSCURRENT moved without an entry", failAt)
			}
			// The trail is back: the next runs put everything in order.
			w.engine = w.newEngine()
			w.sweep("")
			for range 3 {
				time.Sleep(w.policy.Grace)
				w.reconcile("")
			}
			w.settled()
		})
	}
}

// A policy that cannot be read, or makes no sense, stops the run.
func TestBadPolicyStopsTheRun(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		time.Sleep(w.policy.Interval)
		w.resetCalls()
		w.policy.Grace = -1
		w.policy.Interval = 0
		for _, event := range []string{`{"action":"sweep"}`, `{"action":"rotate","secrets":["etl"],"force":true}`} {
			_, err := w.invoke(w.t.Context(), []byte(event))
			w.checkErr(err, "rotation interval 0s must be positive\ngrace period -1ns must be positive")
			w.checkErr(err, "nothing was changed")
		}
		w.checkErr(w.step(m, "createSecret"), "policy: ")
		w.engine.Policy = func(context.Context) (policy.Policy, error) { return policy.Policy{}, errors.New("no such object") }
		_, err := w.invoke(w.t.Context(), []byte(`{"action":"sweep"}`))
		w.checkErr(err, "policy: no such object; nothing was changed")
		if calls := w.calls(); len(calls) > 0 {
			t.Errorf("calls were made all the same: %v", calls)
		}
		w.policy = testPolicy
	})
}

// Invariant 10: a panic in one secret's rotation stops that one only, and
// what it said is not printed: it may hold a secret.
func TestPanicIsContained(t *testing.T) {
	inWorld(t, func(w *world) {
		w.register(estatetest.Registration{Name: "bad"})
		good := w.register(estatetest.Registration{Name: "good"})
		time.Sleep(w.policy.Interval)
		w.engine.Databricks = explosive{w.Client(nil), w.Managed()[0]}
		before := w.current(good).OAuthSecretID
		w.sweep("bad: internal fault (string); this is a bug")
		if w.current(good).OAuthSecretID == before {
			t.Error("the good secret was not rotated")
		}
		if strings.Contains(w.log.String(), "dose-in-a-panic") {
			t.Error("the log shows what the panic said")
		}
	})
}

type explosive struct {
	rotation.Databricks
	bad *estatetest.Managed
}

func (e explosive) ListSecrets(ctx context.Context, host databricks.Host, principal string) ([]databricks.OAuthSecret, error) {
	if principal == fmt.Sprint(e.bad.Principal.ID) {
		panic("dose-in-a-panic")
	}
	return e.Databricks.ListSecrets(ctx, host, principal)
}

// At the same time, all doors: in the end one rotation, nothing lost, nothing
// left over (invariant 8).
func TestDoorsAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true})
		w.sweep("")
		time.Sleep(w.policy.Interval)
		s := &stage{world: w, seed: 7, tokens: map[string]string{}}
		done := make(chan struct{})
		doors := []deedKind{sweep, reconcile, sweep, rotate, sweep}
		for i, what := range doors {
			go func() {
				s.act(what, m, 4, fmt.Sprint(i))
				done <- struct{}{}
			}()
		}
		for range doors {
			<-done
		}
		for range 3 {
			time.Sleep(w.policy.Grace + time.Hour)
			w.reconcile("")
		}
		w.settled()
		if n := len(w.ids(m)); n != 1 {
			t.Errorf("%d OAuth secrets are left, want 1", n)
		}
		if versions := w.AWS.Versions(m.Name); slices.ContainsFunc(versions, func(v awstest.Version) bool { return len(v.Labels) > 1 }) {
			t.Errorf("labels are left over: %v", versions)
		}
	})
}

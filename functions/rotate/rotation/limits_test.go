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

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/secret"
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
		w.ResetCalls()
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
			if changes := w.Changes(); len(changes) > written {
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
				w.reconcile()
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
		w.ResetCalls()
		w.policy.Grace = -1
		w.policy.Interval = 0
		for _, event := range []string{`{"action":"sweep"}`, `{"action":"rotate","secrets":["etl"],"force":true}`} {
			_, err := w.invoke(w.t.Context(), []byte(event))
			w.checkErr(err, "rotation interval 0s must be positive")
			w.checkErr(err, "grace period -1ns must be positive")
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

// A rollback behind a version that has no label any more: its id is taken, and
// another is found in the same run.
func TestRollbackToOldVersion(t *testing.T) {
	inWorld(t, func(w *world) {
		w.policy.Interval = w.policy.Grace / 2 // so that two predecessors live
		m := w.register(estatetest.Registration{Name: "etl"})
		for range 2 {
			time.Sleep(w.policy.Interval)
			w.sweep("")
		}
		versions := w.AWS.Versions(m.Name)
		w.moveLabel(m, managedsecret.Current, versions[2].ID, versions[0].ID)
		first := w.current(m)
		for _, id := range w.ids(m) {
			if id != first.OAuthSecretID {
				w.DeleteByHand(m, id) // so that nothing but the id is in the way
			}
		}
		if report := w.sweep(""); report.Counts[rotation.Rotated] != 1 {
			t.Errorf("counts %v, want it rotated", report.Counts)
		}
		if got := w.current(m); got.OAuthSecretID == first.OAuthSecretID || len(w.ids(m)) != 2 {
			t.Errorf("AWSCURRENT has not moved, or %d OAuth secrets are live", len(w.ids(m)))
		}
	})
}

// Invariant 1: what a labelled version records is not known while it cannot be
// read, and what nobody is known to have is not therefore an orphan.
func TestLabelledVersionCannotBeRead(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		time.Sleep(w.policy.Interval)
		w.sweep("")
		w.moveCurrentBack(m) // only AWSPREVIOUS records the newest OAuth secret
		time.Sleep(time.Hour)
		previous, _ := w.AWS.Labelled(m.Name, managedsecret.Previous)
		w.engine.Store.API = unreadable{w.SecretsManager("rotate"), previous.ID}
		ids := w.ids(m)
		w.sweep("reading version " + previous.ID)
		if diff := cmp.Diff(ids, w.ids(m)); diff != "" {
			t.Errorf("OAuth secrets (-want +got):\n%s", diff)
		}
	})
}

// unreadable is Secrets Manager that lists a version and does not find it.
type unreadable struct {
	managedsecret.API
	version string
}

func (u unreadable) GetSecretValue(ctx context.Context, in *secretsmanager.GetSecretValueInput, opts ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	if aws.ToString(in.VersionId) == u.version {
		return nil, &types.ResourceNotFoundException{Message: aws.String("Secrets Manager can't find the specified secret value for VersionId.")}
	}
	return u.API.GetSecretValue(ctx, in, opts...)
}

// Losing the race for a version is no fault; not being able to clean up after
// it, or to see who won, is.
func TestOvertaken(t *testing.T) {
	for name, test := range map[string]struct {
		fault func(w *world)
		want  string
	}{
		"clean": {func(*world) {}, ""},
		"cannot delete": {func(w *world) {
			w.Databricks.Faults().Add(faulttest.Fault{Op: databrickstest.OpWorkspaceDeleteSecret, Kind: faulttest.ServerError, Times: faulttest.Forever})
		}, "could not be deleted and is left to a later run"},
		"cannot see who won": {func(w *world) {
			w.AWS.Faults().Add(faulttest.Fault{Op: "ListSecretVersionIds", Kind: faulttest.ServerError, Times: faulttest.Forever})
		}, "listing the versions"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.register(estatetest.Registration{Name: "etl"})
				time.Sleep(w.policy.Interval)
				// The other run is as fast as can be: it rotates between this
				// run's create and its write.
				other := w.newEngine()
				w.engine.Databricks = &meanwhile{Databricks: w.Client(nil), do: func() {
					if _, err := other.Sweep(w.t.Context(), false, false); err != nil {
						t.Error(err)
					}
					test.fault(w)
				}}
				report := w.sweep(test.want)
				want := rotation.Overtaken
				if test.want != "" {
					want = rotation.Failed
				}
				if report.Counts[want] != 1 {
					t.Errorf("counts %v, want %s", report.Counts, want)
				}
				if c := w.current(m); !w.Databricks.Authenticates(c.ClientID, c.ClientSecret.Reveal()) {
					t.Error("the winner's credential is dead")
				}
			})
		})
	}
}

// meanwhile has something happen right after a secret was created.
type meanwhile struct {
	rotation.Databricks
	do func()
}

func (m *meanwhile) CreateSecret(ctx context.Context, host databricks.Host, principal string, lifetime time.Duration, scopes []string) (databricks.IssuedSecret, error) {
	s, err := m.Databricks.CreateSecret(ctx, host, principal, lifetime, scopes)
	if m.do != nil {
		m.do()
	}
	m.do = nil
	return s, err
}

// Listing and value are read in two calls; where they are of different
// moments, both are read again before anything is concluded.
func TestReadsAgainWhatDisagrees(t *testing.T) {
	inWorld(t, func(w *world) {
		w.register(estatetest.Registration{Name: "etl"})
		time.Sleep(w.policy.Interval)
		w.sweep("")
		w.ResetCalls()
		w.AWS.Faults().Add(faulttest.Fault{Op: "BatchGetSecretValue", Kind: faulttest.StaleRead})
		if report := w.sweep(""); report.Counts[rotation.Unchanged] != 1 {
			t.Errorf("counts %v: the stale value was taken for the current one", report.Counts)
		}
		if changes := w.Changes(); len(changes) > 0 {
			t.Errorf("the stale value led to %v", changes)
		}
		// Nor does it keep a rotation from being done.
		time.Sleep(w.policy.Interval)
		w.AWS.Faults().Add(faulttest.Fault{Op: "BatchGetSecretValue", Kind: faulttest.StaleRead})
		if report := w.sweep(""); report.Counts[rotation.Rotated] != 1 {
			t.Errorf("counts %v: what was due was not rotated", report.Counts)
		}
	})
}

// A create that is refused for another reason than a full principal is told as
// what it is.
func TestRejectedThoughNotFull(t *testing.T) {
	inWorld(t, func(w *world) {
		w.register(estatetest.Registration{Name: "etl"})
		w.engine.Databricks = rejecting{w.Client(nil)}
		time.Sleep(w.policy.Interval)
		report := w.sweep("no such scope")
		if report.Counts[rotation.Failed] != 1 {
			t.Errorf("counts %v, want one that failed", report.Counts)
		}
	})
}

type rejecting struct{ rotation.Databricks }

func (rejecting) CreateSecret(context.Context, databricks.Host, string, time.Duration, []string) (databricks.IssuedSecret, error) {
	return databricks.IssuedSecret{}, fmt.Errorf("no such scope: %w", databricks.ErrRejected)
}

// Secrets Manager may repeat a step while it still runs. Whichever attempt fills
// the version first, the step is done.
func TestStepRepeatedWhileItRuns(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl"})
		time.Sleep(w.policy.Interval)
		w.sweep("")
		other := w.newEngine()
		request := rotation.StepRequest{Step: rotation.CreateSecret, SecretID: m.ARN, Token: stepToken}
		w.engine.Databricks = &meanwhile{w.Client(nil), func() { w.must(other.RunStep(w.t.Context(), request)) }}
		w.must(w.engine.RunStep(w.t.Context(), request))
		if n := len(w.ids(m)); n != 3 {
			t.Errorf("%d OAuth secrets, want the current one, its predecessor and the pending one", n)
		}
	})
}

// A step that fails is in the outcome, whichever it is.
func TestEachStepCanFail(t *testing.T) {
	for name, test := range map[string]struct{ aws, databricks, want string }{
		"clear":  {"UpdateSecretVersionStage", "", "moving AWSPENDING"},
		"retire": {"", databrickstest.OpWorkspaceDeleteSecret, "delete an OAuth secret"},
		"list":   {"", databrickstest.OpWorkspaceListSecrets, "list the OAuth secrets"},
		"store":  {"PutSecretValue", "", "whether version"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.register(estatetest.Registration{Name: "etl"})
				time.Sleep(w.policy.Interval)
				w.sweep("")
				w.must(w.step(m, "createSecret"))
				time.Sleep(w.policy.Interval)
				for _, f := range []faulttest.Fault{{Op: test.aws}, {Op: test.databricks}} {
					if f.Kind, f.Times = faulttest.ServerError, faulttest.Forever; f.Op != "" {
						w.AWS.Faults().Add(f)
						w.Databricks.Faults().Add(f)
					}
				}
				report := w.sweep(test.want)
				if report.Counts[rotation.Failed] != 1 {
					t.Errorf("counts %v", report.Counts)
				}
			})
		})
	}
}

// A Databricks that does not keep the lifetime that it is asked for takes the
// fingerprint away. The rotation goes on, and says so.
func TestLifetimeNotKept(t *testing.T) {
	const warning = "did not keep the lifetime"
	inWorld(t, func(w *world) {
		w.register(estatetest.Registration{Name: "etl"})
		time.Sleep(w.policy.Interval)
		w.sweep("")
		if strings.Contains(w.log.String(), warning) {
			t.Error("a lifetime that was kept is warned about")
		}
		w.engine.Databricks = rounding{w.Client(nil)}
		time.Sleep(w.policy.Interval)
		w.sweep("")
		if !strings.Contains(w.log.String(), warning) {
			t.Error("a lifetime that was not kept is not warned about")
		}
	})
}

type rounding struct{ rotation.Databricks }

func (r rounding) CreateSecret(ctx context.Context, host databricks.Host, principal string, lifetime time.Duration, scopes []string) (databricks.IssuedSecret, error) {
	s, err := r.Databricks.CreateSecret(ctx, host, principal, lifetime, scopes)
	s.ExpireTime = s.ExpireTime.Truncate(time.Hour)
	return s, err
}

// A current credential is tried with its own scopes: asked for others, a
// scoped secret may be refused though it works.
func TestTriedWithItsOwnScopes(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true, Scopes: []string{"sql"}})
		_, err := w.Databricks.AddSecret(m.Principal.ID, databrickstest.SecretSpec{Scopes: []string{"jobs"}})
		w.must(err)
		w.edit(m, credential.KeyScopes, "")
		asked := &scopesAsked{Databricks: w.Client(nil)}
		w.engine.Databricks = asked
		w.reconcile() // those listed
		w.edit(m, credential.KeyScopes, "sql")
		asked.Databricks = unlisting{w.Client(nil), w.current(m).OAuthSecretID}
		w.reconcile() // those stated
		if diff := cmp.Diff([][]string{{"sql"}, {"sql"}}, asked.scopes); diff != "" {
			t.Errorf("scopes asked for (-want +got):\n%s", diff)
		}
	})
}

// Invariant 5: a host that lists no scopes makes no secret unrestricted. Where
// the value names none either, only a token for all-apis shows that it is.
func TestScopesNotListed(t *testing.T) {
	for name, scopes := range map[string][]string{"unrestricted": nil, "scoped": {"jobs", "sql"}} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.register(estatetest.Registration{Name: "etl", Scopes: scopes})
				w.edit(m, credential.KeyScopes, "")
				// The list shows what was just created as it is.
				w.engine.Databricks = unlisting{w.Client(nil), w.current(m).OAuthSecretID}
				time.Sleep(w.policy.Interval)
				w.sweep("")
				issued, _ := w.Secret(m, w.current(m).OAuthSecretID)
				if diff := cmp.Diff(scopes, issued.Scopes, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("scopes (-want +got):\n%s", diff)
				}
				if len(w.ids(m)) != 2 {
					t.Error("it was not rotated")
				}
			})
		})
	}
}

// unlisting lists one OAuth secret without its scopes.
type unlisting struct {
	rotation.Databricks
	id string
}

func (u unlisting) ListSecrets(ctx context.Context, host databricks.Host, principal string) ([]databricks.OAuthSecret, error) {
	listed, err := u.Databricks.ListSecrets(ctx, host, principal)
	for i := range listed {
		if listed[i].ID == u.id {
			listed[i].Scopes = nil
		}
	}
	return listed, err
}

type scopesAsked struct {
	rotation.Databricks
	scopes [][]string
}

func (s *scopesAsked) Granted(ctx context.Context, host databricks.Host, clientID string, clientSecret secret.Text, scopes []string) ([]string, error) {
	s.scopes = append(s.scopes, scopes)
	return s.Databricks.Granted(ctx, host, clientID, clientSecret, scopes)
}

// Lists lag: the scopes of a new secret are read back until it is there.
func TestScopesReadBackFromLaggingList(t *testing.T) {
	inWorld(t, func(w *world) {
		w.register(estatetest.Registration{Name: "etl", AccountLevel: true, Scopes: []string{"sql"}})
		time.Sleep(w.policy.Interval)
		w.Databricks.LagReads(true)
		w.sweep("")
		w.settled()
	})
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
			w.reconcile()
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

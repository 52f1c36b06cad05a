package rotation_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/trail"
)

// What an error says of a change must be so: what is current, what is left, and
// what a person has decided.

// A write whose first attempt got no reply and whose second was refused, for a
// revocation came between them: the error tells of the revocation, and that the
// first may have been done.
func TestHeldBetweenTwoAttempts(t *testing.T) {
	for _, kind := range []faulttest.Kind{faulttest.ReplyLost, faulttest.RequestLost} {
		t.Run(kind.String(), func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true})
				w.sweep("")
				time.Sleep(w.policy.Interval)
				w.Revoking(m)
				once := false
				w.AWS.Faults().OnCall(nil, func(c faulttest.Call) {
					if c.Op == "PutSecretValue" && !once {
						once = true
						if err := w.hold(m); err != nil {
							t.Error(err)
						}
					}
				})
				w.AWS.Faults().Add(faulttest.Fault{Op: "PutSecretValue", Kind: kind})
				report := w.sweep("etl: revoked: its credential was revoked")
				for _, part := range []string{"was stored is not known", "is kept"} {
					if !strings.Contains(report.Err().Error(), part) {
						t.Errorf("the error does not say %q: %v", part, report.Err())
					}
				}
				// What it had in hand goes with the hold.
				time.Sleep(rotation.OrphanAge)
				w.sweep("revoked")
				for _, s := range w.Databricks.Secrets(m.Principal.ID) {
					if rotation.IsOurs(m.ARN, databricks.OAuthSecret{ID: s.ID, CreateTime: s.CreateTime, ExpireTime: s.ExpireTime}) {
						t.Errorf("OAuth secret %s is left", s.ID)
					}
				}
			})
		})
	}
}

// untold is a trail that loses the entries after a change.
type untold struct {
	trail.Trail
	action string
}

func (u untold) Record(ctx context.Context, e trail.Entry) error {
	if e.Phase == trail.After && e.Action == u.action {
		return errors.New("no reply from S3")
	}
	return u.Trail.Record(ctx, e)
}

// Invariant 7: a change that was made, and that the trail was not told of, is an
// error. What is current all the same, the report says.
func TestTrailMissesTheEnd(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true})
		time.Sleep(w.policy.Interval)
		w.sweep("")
		time.Sleep(w.policy.Interval)
		w.engine.Trail = untold{w.engine.Trail, "store"}
		report := w.sweep("the trail cannot be written, so it does not tell how the change ended: no reply from S3; version rotation-")
		c := w.current(m)
		if err := report.Err().Error(); !strings.Contains(err, "is AWSCURRENT all the same, with OAuth secret "+c.OAuthSecretID) ||
			strings.Contains(err, "not known") || strings.Contains(err, "expires") {
			t.Errorf("the error is %v", err)
		}
		o := report.Outcomes[0]
		if o.Issued != c.OAuthSecretID || !o.ExpiresAt.Equal(c.ExpiresAt) || o.Status() != rotation.Failed {
			t.Errorf("the outcome is %+v", o)
		}
	})
}

// undated is a Databricks that does not say when an OAuth secret was created.
type undated struct{ rotation.Databricks }

func (u undated) ListSecrets(ctx context.Context, host databricks.Host, principal string) ([]databricks.OAuthSecret, error) {
	listed, err := u.Databricks.ListSecrets(ctx, host, principal)
	for i := range listed {
		listed[i].CreateTime = time.Time{}
	}
	return listed, err
}

func (u undated) CreateSecret(ctx context.Context, host databricks.Host, principal string, lifetime time.Duration, scopes []string) (databricks.IssuedSecret, error) {
	issued, err := u.Databricks.CreateSecret(ctx, host, principal, lifetime, scopes)
	issued.CreateTime = time.Time{}
	return issued, err
}

// Invariant 8: a credential that Databricks does not date is as old as its
// version, and not of an unknown age in every sweep anew.
func TestUndatedCredential(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true, Fresh: true})
		w.engine.Databricks = undated{w.engine.Databricks}
		w.sweep("")
		first := w.current(m)
		time.Sleep(time.Hour)
		w.ResetCalls()
		w.sweep("")
		w.reconcile()
		if changes := w.Changes(); len(changes) > 0 {
			t.Errorf("the second sweep makes changes: %v", changes)
		}
		time.Sleep(w.policy.Interval)
		w.sweep("")
		if w.current(m).OAuthSecretID == first.OAuthSecretID {
			t.Error("it was not rotated when it was due")
		}
	})
}

// Invariant 8: a run that was overtaken, and is told by a stale answer that it
// was not, does not rotate once more.
func TestOvertakenByAStaleAnswer(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true})
		w.sweep("")
		time.Sleep(w.policy.Interval)
		other := w.newEngine()
		begun := false
		w.AWS.Faults().OnCall(func(c faulttest.Call) {
			if c.Op != "PutSecretValue" || begun {
				return
			}
			begun = true // the run is about to store; another one is faster
			if _, err := other.Sweep(w.t.Context(), false, false); err != nil {
				t.Error(err)
			}
			w.AWS.Faults().Add(faulttest.Fault{Op: "DescribeSecret", Kind: faulttest.StaleRead})
		}, nil)
		report := w.sweep("")
		if report.Counts[rotation.Overtaken] != 1 {
			t.Errorf("counts %v, want one that was overtaken", report.Counts)
		}
		if n := len(w.ids(m)); n != 2 {
			t.Errorf("%d OAuth secrets, want the new one and its predecessor", n)
		}
	})
}

// What a revocation left and a run cannot delete is no decision of a person: it
// is told beside the hold, and counts as a failure.
func TestLeftoverOfARevocationStays(t *testing.T) {
	inWorld(t, func(w *world) {
		w.engine.Deployment = stackName
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true, Fresh: true})
		w.sweep("")
		time.Sleep(day)
		w.Revoking(m)
		w.must(w.hold(m))
		w.Databricks.Faults().Add(faulttest.Fault{Op: databrickstest.OpAccountDeleteSecret, Kind: faulttest.ServerError, Times: faulttest.Forever})
		w.sweep("etl: revoked: ")
		report := w.sweep("; and delete an OAuth secret at ")
		if n := w.lastMetrics().values["Failed"]; n != 1.0 {
			t.Errorf("%v failed, want 1", n)
		}
		if n := w.lastMetrics().values["Held"]; n != 1.0 {
			t.Errorf("%v are held, want 1", n)
		}
		if len(report.Outcomes[0].Retired) > 0 {
			t.Errorf("the report has %v retired", report.Outcomes[0].Retired)
		}
		w.Databricks.Faults().Clear()
		w.sweep("etl: revoked: ")
		if n := w.lastMetrics().values["Failed"]; n != 0.0 {
			t.Errorf("%v failed, want none", n)
		}
		if diff := cmp.Diff([]string(nil), w.ids(m)); diff != "" {
			t.Errorf("OAuth secrets (-want +got):\n%s", diff)
		}
	})
}

// spelling is a Databricks that lists scopes by names that a value cannot hold.
type spelling struct{ rotation.Databricks }

func (s spelling) ListSecrets(ctx context.Context, host databricks.Host, principal string) ([]databricks.OAuthSecret, error) {
	listed, err := s.Databricks.ListSecrets(ctx, host, principal)
	for i := range listed {
		for j, scope := range listed[i].Scopes {
			listed[i].Scopes[j] = strings.ToUpper(scope)
		}
	}
	return listed, err
}

// A value that the next run could not read is not stored, and one that Secrets
// Manager would not take needs no OAuth secret first.
func TestNothingIsCreatedForAValueThatCannotBe(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(w *world) *estatetest.Managed
		want    string
	}{
		"scopes that do not read": {func(w *world) *estatetest.Managed {
			m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true, Scopes: []string{"sql"}})
			w.engine.Databricks = spelling{w.engine.Databricks}
			return m
		}, "ROTATION_SCOPES must be scope names"},
		"a value that is full": {func(w *world) *estatetest.Managed {
			return w.register(estatetest.Registration{Name: "etl", AccountLevel: true, Extra: map[string]string{"NOTES": strings.Repeat("x", 65_100)}})
		}, "shorten the keys that are not the rotation's"},
		"a value that its times would make full": {func(w *world) *estatetest.Managed {
			return w.register(estatetest.Registration{Name: "etl", AccountLevel: true, Extra: map[string]string{"NOTES": strings.Repeat("x", 64_960)}})
		}, "shorten the keys that are not the rotation's"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := test.prepare(w)
				before := w.current(m)
				time.Sleep(w.policy.Interval)
				w.ResetCalls()
				w.sweep("etl: no OAuth secret was created, for its value could not be stored: ")
				w.sweep(test.want)
				if n := w.calls()[databrickstest.OpAccountCreateSecret]; n > 0 {
					t.Errorf("%d OAuth secrets were created", n)
				}
				if w.current(m).OAuthSecretID != before.OAuthSecretID {
					t.Error("another credential is current")
				}
			})
		})
	}
}

// A run that could not delete what it had created does not create another one.
// What is left goes once it is old enough.
func TestBusyLeavesOneOrphan(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true, Fresh: true})
		w.sweep("")
		time.Sleep(w.policy.Interval)
		// The first token is the rotator's own.
		w.Databricks.Faults().Add(faulttest.Fault{Op: databrickstest.OpAccountToken, Kind: faulttest.Throttled, Skip: 1, Times: faulttest.Forever})
		w.Databricks.Faults().Add(faulttest.Fault{Op: databrickstest.OpAccountDeleteSecret, Kind: faulttest.Throttled, Times: faulttest.Forever})
		w.ResetCalls()
		w.sweep("could not be deleted and is left to a later run")
		if n := w.calls()[databrickstest.OpAccountCreateSecret]; n != 1 {
			t.Errorf("%d OAuth secrets were created, want 1", n)
		}
		w.Databricks.Faults().Clear()
		time.Sleep(rotation.OrphanAge)
		w.sweep("")
		if n := len(w.ids(m)); n != 2 {
			t.Errorf("%d OAuth secrets, want the new one and its predecessor", n)
		}
	})
}

// What was retired before Databricks was too busy for the rest is in the report of
// the run that comes back to it.
func TestBusyAfterRetirement(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true})
		first := w.current(m)
		time.Sleep(w.policy.Interval)
		w.sweep("")
		time.Sleep(w.policy.Interval)
		w.Databricks.Faults().Add(faulttest.Fault{Op: databrickstest.OpAccountCreateSecret, Kind: faulttest.Throttled})
		w.reconcile()
		report := w.sweep("")
		if report.Counts[rotation.Unchanged] != 1 {
			t.Fatalf("the second run changes something: %+v", report.Outcomes)
		}
		if n := w.calls()[databrickstest.OpAccountDeleteSecret]; n != 1 || strings.Contains(strings.Join(w.ids(m), " "), first.OAuthSecretID) {
			t.Fatalf("%d deletes: this test no longer tells anything", n)
		}
		if log := w.log.String(); !strings.Contains(log, `"retired":["`+first.OAuthSecretID+`"]`) {
			t.Error("the run does not say that it retired the predecessor")
		}
	})
}

package revocation_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/revoke/revocation"
	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/faulttest"
)

// Replacing never leaves a reader of AWSCURRENT without a working credential,
// and leaves nothing of what was there before (invariants 1 and 3).
func TestReplace(t *testing.T) {
	for name, request := range map[string]func(w *world, m *estatetest.Managed) revocation.Request{
		"by secret": func(_ *world, m *estatetest.Managed) revocation.Request { return revocation.Request{Secret: m.Name} },
		"by ARN":    func(_ *world, m *estatetest.Managed) revocation.Request { return revocation.Request{Secret: m.ARN} },
		"by client id": func(_ *world, m *estatetest.Managed) revocation.Request {
			return revocation.Request{ServicePrincipal: m.Principal.ApplicationID}
		},
		"by numeric id": func(w *world, m *estatetest.Managed) revocation.Request {
			return revocation.Request{ServicePrincipal: w.current(m).ServicePrincipalID}
		},
		"by name": func(_ *world, m *estatetest.Managed) revocation.Request {
			return revocation.Request{ServicePrincipal: m.Principal.DisplayName}
		},
		"by OAuth secret": func(w *world, m *estatetest.Managed) revocation.Request {
			return revocation.Request{OAuthSecretID: w.current(m).OAuthSecretID}
		},
		"by hash": func(w *world, m *estatetest.Managed) revocation.Request {
			return revocation.Request{SHA256: w.current(m).ClientSecret.SHA256()}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m, other := w.rotated("etl"), w.register(estatetest.Registration{Name: "bystander"})
				foreign, _ := w.MakeByHand(m, 365*day)
				old := w.current(m)
				req := request(w, m)
				req.Mode = revocation.Replace
				reply := w.revoke(req, m)

				now := w.current(m)
				if w.works(m, old.ClientSecret) || !w.works(m, now.ClientSecret) {
					t.Errorf("the old one works: %v, the new one works: %v", w.works(m, old.ClientSecret), w.works(m, now.ClientSecret))
				}
				want := []string{foreign.ID, now.OAuthSecretID}
				got := w.ids(m)
				slices.Sort(got)
				slices.Sort(want)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("live (-want +got):\n%s", diff)
				}
				if !w.works(other, w.current(other).ClientSecret) {
					t.Error("a bystander lost its credential")
				}
				if reply.Steps[0].Action != revocation.Issue || !reply.Proofs[0].Refused {
					t.Errorf("the reply is\n%s", reply.Text())
				}
				// Afterwards the rotation goes on as ever.
				w.sweep("")
				time.Sleep(w.policy.Interval)
				w.sweep("")
			})
		})
	}
}

// What was revoked stays dead, whoever looks, until it is released.
func TestRevokeAndRelease(t *testing.T) {
	for mode, says := range map[revocation.Mode]string{revocation.Revoke: "etl: revoked: its credential was revoked", revocation.Lockout: "etl: locked out: it was locked out"} {
		t.Run(string(mode), func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.rotated("etl")
				old := w.current(m)
				reply := w.revoke(revocation.Request{Mode: mode, Secret: m.Name}, m)
				if n := len(w.ids(m)); n > 0 {
					t.Fatalf("%d OAuth secrets are left:\n%s", n, reply.Text())
				}
				if p, _ := w.Databricks.Principal(m.Principal.ID); p.Active != (mode == revocation.Revoke) {
					t.Errorf("active = %v", p.Active)
				}
				for range 3 {
					w.sweep(says)
					if _, err := w.engine.Sweep(w.t.Context(), false, false); err == nil || !strings.Contains(err.Error(), says) {
						t.Errorf("an ordinary sweep says %v", err)
					}
					if _, err := w.engine.Rotate(w.t.Context(), "direct", rotation.RotateRequest{Secrets: []string{m.Name}, Force: true}); err == nil || !strings.Contains(err.Error(), says) {
						t.Errorf("a rotation that is asked for says %v", err)
					}
					time.Sleep(w.policy.Interval)
				}
				if n := len(w.ids(m)); n > 0 {
					t.Fatalf("%d OAuth secrets were issued", n)
				}
				// Once more changes nothing (invariant 8).
				again := w.revoke(revocation.Request{Mode: mode, Secret: m.Name}, m)
				if len(again.Steps) > 0 {
					t.Errorf("once more it does %v", actions(again))
				}
				w.revoke(revocation.Request{Mode: revocation.Release, Secret: m.Name}, m)
				now := w.current(m)
				if !w.works(m, now.ClientSecret) || w.works(m, old.ClientSecret) {
					t.Errorf("after the release: the new one works: %v, the old one works: %v", w.works(m, now.ClientSecret), w.works(m, old.ClientSecret))
				}
				w.sweep("")
				if again := w.revoke(revocation.Request{Mode: revocation.Release, Secret: m.Name}, m); len(again.Steps) > 0 {
					t.Errorf("a second release does %v", actions(again))
				}
			})
		})
	}
}

// What Secrets Manager is about to make current goes too, though Databricks does
// not list it yet.
func TestRevokePendingThatIsNotListed(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", Fresh: true})
		err := w.engine.RunStep(w.t.Context(), rotation.StepRequest{Step: rotation.CreateSecret, SecretID: m.ARN, Token: strings.Repeat("a", 32)})
		w.must(err)
		w.Databricks.Faults().Add(faulttest.Fault{Kind: faulttest.StaleRead, Times: faulttest.Forever})
		reply := w.revoke(revocation.Request{Mode: revocation.Revoke, Secret: m.Name}, m)
		if n := len(w.ids(m)); n > 0 {
			t.Errorf("%d OAuth secrets are left:\n%s", n, reply.Text())
		}
	})
}

// One earlier credential is ended alone: readers of AWSCURRENT notice nothing,
// and nothing is held.
func TestRevokeOneThatIsNotCurrent(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.rotated("etl")
		now := w.current(m)
		pred := now.Predecessors[0].OAuthSecretID
		s, _ := w.Secret(m, pred)
		w.Replacing(m) // grace is waived
		reply := w.revoke(revocation.Request{Mode: revocation.Revoke, OAuthSecretID: pred})
		w.Killed(m, false, s.Value)
		if diff := cmp.Diff([]string{"delete earlier credential " + pred}, actions(reply)); diff != "" {
			t.Error(diff)
		}
		if !w.works(m, now.ClientSecret) || w.current(m).OAuthSecretID != now.OAuthSecretID {
			t.Error("the current credential was touched")
		}
		w.sweep("")
		// Once more: it is gone already.
		if again := w.revoke(revocation.Request{Mode: revocation.Revoke, OAuthSecretID: pred}); len(again.Steps) > 0 {
			t.Errorf("once more it does %v", actions(again))
		}
	})
}

// A dry run changes nothing, and its plan is what the real run then does.
func TestDryRun(t *testing.T) {
	for _, mode := range []revocation.Mode{revocation.Replace, revocation.Revoke, revocation.Lockout} {
		for _, foreign := range []bool{false, true} {
			t.Run(string(mode), func(t *testing.T) {
				inWorld(t, func(w *world) {
					m := w.rotated("etl")
					w.MakeByHand(m, 365*day)
					w.ResetCalls()
					req := revocation.Request{Mode: mode, Secret: m.Name, IncludeForeign: foreign, DryRun: true}
					plan := w.revoke(req, m)
					if changes := w.Changes(); len(changes) > 0 || len(w.told) > 0 {
						t.Errorf("the dry run changes %v and tells %v", changes, w.told)
					}
					if plan.Complete || len(plan.Steps) == 0 {
						t.Errorf("the dry run's reply is\n%s", plan.Text())
					}
					req.DryRun = false
					if foreign {
						for _, s := range w.Databricks.Secrets(m.Principal.ID) {
							if w.IsForeign(m, s.ID) {
								defer w.DeleteByHand(m, s.ID)
							}
						}
					}
					done := w.revoke(req, m)
					if diff := cmp.Diff(actions(plan), actions(done)); diff != "" {
						t.Errorf("plan and deed differ (-plan +done):\n%s", diff)
					}
				})
			})
		}
	}
}

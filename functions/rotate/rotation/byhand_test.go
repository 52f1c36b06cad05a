package rotation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/policy"
)

// People write values by hand, with what the rotation has noted, without it, or
// with what it has noted of another value. Which OAuth secret such a value is of
// is known from the versions, or not at all.

// bare is the value that is current, without what the rotation has noted.
func (w *world) bare(m *estatetest.Managed) string {
	c := w.current(m)
	value, err := json.Marshal(map[string]string{
		credential.KeyHost: c.Host, credential.KeyAccountID: c.AccountID, credential.KeyClientID: c.ClientID, credential.KeyClientSecret: c.ClientSecret.Reveal(),
	})
	w.must(err)
	return string(value)
}

// works tells that what is current authenticates.
func (w *world) works(m *estatetest.Managed) bool {
	c := w.current(m)
	return w.Databricks.Authenticates(c.ClientID, c.ClientSecret.Reveal())
}

// rotateNow asks for a rotation of etl.
func (w *world) rotateNow() {
	w.t.Helper()
	_, err := w.invoke(w.t.Context(), []byte(`{"action":"rotate","secrets":["etl"],"force":true}`))
	w.checkErr(err, "")
}

// Invariants 1 and 2: a value that a person has pasted over another one's id
// works, and for its grace period after, whatever that id says.
func TestPastedBesideAnotherId(t *testing.T) {
	for name, test := range map[string]struct {
		exclusive bool
		paste     func(w *world, m *estatetest.Managed) error
	}{
		"the one before":               {false, func(w *world, m *estatetest.Managed) error { return w.RollBackByHand(w.t.Context(), m, w.policy.Grace) }},
		"one made by hand":             {false, func(w *world, m *estatetest.Managed) error { return w.PasteByHand(w.t.Context(), m, 365*day) }},
		"the one before, exclusive":    {true, func(w *world, m *estatetest.Managed) error { return w.RollBackByHand(w.t.Context(), m, w.policy.Grace) }},
		"one made by hand, exclusive":  {true, func(w *world, m *estatetest.Managed) error { return w.PasteByHand(w.t.Context(), m, 365*day) }},
		"one made long before it is":   {true, func(w *world, m *estatetest.Managed) error { return w.storeLater(m) }},
		"the one before, without ids":  {true, func(w *world, m *estatetest.Managed) error { return w.putBack(m) }},
		"the current one, without ids": {true, func(w *world, m *estatetest.Managed) error { return w.RewriteByHand(w.t.Context(), m) }},
	} {
		for _, reconciles := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reconciles %t", name, reconciles), func(t *testing.T) {
				inWorld(t, func(w *world) {
					m := w.register(estatetest.Registration{Name: "etl", Fresh: true, AccountLevel: true})
					if test.exclusive {
						w.exclusively(m)
					}
					w.sweep("")
					time.Sleep(w.policy.Interval)
					w.sweep("")
					time.Sleep(hour)
					w.must(test.paste(w, m))
					w.forty(reconciles)
					if now := w.current(m); now.OAuthSecretID == "" || !rotation.IsOurs(m.ARN, w.oauthSecret(m, now.OAuthSecretID)) {
						t.Error("the rotation has not taken it over")
					}
				})
			})
		}
	}
}

// forty lets forty days of sweeps pass, hourly ones at first, with reconciles or
// without.
func (w *world) forty(reconciles bool) {
	w.t.Helper()
	for began, reconciled := time.Now(), time.Now(); time.Since(began) < 40*day; {
		time.Sleep(hour)
		if time.Since(began) > 3*day {
			time.Sleep(7 * hour)
		}
		check := reconciles && time.Since(reconciled) >= 22*hour
		if check {
			reconciled = time.Now()
		}
		_, err := w.engine.Sweep(w.t.Context(), check, false)
		w.checkErr(err, "")
		w.check(w.Sample(w.policy.Grace))
	}
}

// storeLater stores, without ids, what a person made a day before.
func (w *world) storeLater(m *estatetest.Managed) error {
	made, _ := w.MakeByHand(m, 365*day)
	time.Sleep(w.policy.Grace)
	c := w.current(m)
	return w.tryPut(m, `{"DATABRICKS_HOST":"`+c.Host+`","DATABRICKS_ACCOUNT_ID":"`+c.AccountID+`","DATABRICKS_CLIENT_ID":"`+c.ClientID+`","DATABRICKS_CLIENT_SECRET":"`+made.Value+`"}`)
}

// putBack makes the value before current again, without ids.
func (w *world) putBack(m *estatetest.Managed) error {
	if err := w.RollBackByHand(w.t.Context(), m, w.policy.Grace); err != nil {
		return err
	}
	return w.tryPut(m, w.bare(m))
}

// oauthSecret is one as Databricks lists it.
func (w *world) oauthSecret(m *estatetest.Managed, id string) (s databricks.OAuthSecret) {
	all, err := w.Client(nil).ListSecrets(w.t.Context(), databricks.Host{URL: m.Host.URL, AccountID: m.Host.AccountID}, fmt.Sprint(m.Principal.ID))
	w.must(err)
	if i := slices.IndexFunc(all, func(s databricks.OAuthSecret) bool { return s.ID == id }); i >= 0 {
		s = all[i]
	}
	return s
}

// What was carried along as a predecessor, with the date of then, may be the
// value that is current again, of which no version knows the id.
func TestPredecessorIsBack(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", Bare: true})
		first := w.current(m)
		w.sweep("")
		time.Sleep(hour)
		w.rotateNow()
		time.Sleep(w.policy.Grace / 2)
		w.edit(m, credential.KeyClientSecret, first.ClientSecret.Reveal())
		w.edit(m, credential.KeyOAuthSecretID, "")
		for range 40 {
			time.Sleep(hour)
			w.sweep("")
			w.check(w.Sample(w.policy.Grace))
		}
		time.Sleep(w.policy.Grace)
		w.sweep("")
		w.settled()
	})
}

// Invariant 5: a successor has the scopes of the value that it replaces, not of
// the one whose id is beside it. Nor is it tried with those.
func TestPastedScopes(t *testing.T) {
	for name, test := range map[string]struct{ check, deleted bool }{
		"when due":                                  {false, false},
		"by a reconcile":                            {true, false},
		"when due, and the other one is gone":       {false, true},
		"by a reconcile, and the other one is gone": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.register(estatetest.Registration{Name: "etl", Fresh: true, AccountLevel: true, Scopes: []string{"jobs"}})
				w.sweep("")
				other := w.current(m).OAuthSecretID
				narrow, err := w.Databricks.AddSecret(m.Principal.ID, databrickstest.SecretSpec{Scopes: []string{"sql"}, Lifetime: 365 * day})
				w.must(err)
				w.edit(m, credential.KeyClientSecret, narrow.Value)
				m.Scopes = []string{"sql"}
				if test.deleted {
					w.DeleteByHand(m, other)
				}
				if !test.check {
					time.Sleep(w.policy.Interval)
				}
				_, err = w.engine.Sweep(w.t.Context(), test.check, false)
				w.must(err)
				if c := w.current(m); c.ClientSecret.Reveal() == narrow.Value || !slices.Equal(c.Scopes, []string{"sql"}) {
					t.Errorf("the successor has the scopes %v", c.Scopes)
				}
				w.found = nil // a person has changed the scopes
			})
		})
	}
}

// A reconcile looks at whose a value is while its version is new, if it may be
// another one's.
func TestReconcileLooksAtNewVersions(t *testing.T) {
	for name, test := range map[string]struct {
		write func(w *world, m *estatetest.Managed) error
		want  rotation.Status
		reads int
	}{
		"the one before": {func(w *world, m *estatetest.Managed) error { return w.RollBackByHand(w.t.Context(), m, w.policy.Grace) }, rotation.Rotated, 1},
		"the only one, as it was": {func(w *world, m *estatetest.Managed) error {
			time.Sleep(w.policy.Grace)
			w.sweep("")
			return w.tryPut(m, w.whole(m)+" ")
		}, rotation.Unchanged, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true})
				time.Sleep(w.policy.Interval)
				w.sweep("")
				w.must(test.write(w, m))
				w.ResetCalls()
				report, err := w.engine.Sweep(w.t.Context(), true, false)
				if w.must(err); report.Counts[test.want] != 1 {
					t.Errorf("counts %v, want %s", report.Counts, test.want)
				}
				if n := w.calls()["ListSecretVersionIds"]; n != test.reads {
					t.Errorf("its versions are listed %d times, want %d", n, test.reads)
				}
			})
		})
	}
}

// Invariant 5: what is put back without ids keeps the scopes that an older
// version says it has, and is tried with those.
func TestPutBackScopes(t *testing.T) {
	for _, check := range []bool{false, true} {
		t.Run(fmt.Sprint(check), func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.register(estatetest.Registration{Name: "etl", Fresh: true, AccountLevel: true, Scopes: []string{"sql"}})
				w.sweep("")
				time.Sleep(hour)
				before := w.current(m)
				w.put(m, w.bare(m))
				if _, err := w.engine.Sweep(w.t.Context(), check, false); err != nil {
					t.Fatal(err)
				}
				if c := w.current(m); !slices.Equal(c.Scopes, []string{"sql"}) || c.Predecessors[0].OAuthSecretID != before.OAuthSecretID {
					t.Errorf("the successor has the scopes %v, and replaces %v", c.Scopes, c.Predecessors)
				}
			})
		})
	}
}

// oldKey is a Secrets Manager that refuses one version, whose key the rotation
// may not use.
type oldKey struct {
	managedsecret.API
	version, code string
}

func (k oldKey) GetSecretValue(ctx context.Context, in *secretsmanager.GetSecretValueInput, o ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	if in.VersionId != nil && *in.VersionId == k.version {
		return nil, &smithy.GenericAPIError{Code: k.code, Message: "Access to KMS is not allowed"}
	}
	return k.API.GetSecretValue(ctx, in, o...)
}

// An older version that cannot be read holds no adoption up. What it may record
// is not taken for an orphan.
func TestOldVersionUnderAnotherKey(t *testing.T) {
	for _, code := range []string{"AccessDeniedException", "DecryptionFailure"} {
		t.Run(code, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.register(estatetest.Registration{Name: "etl", Bare: true})
				v, _ := w.AWS.Current(m.Name)
				w.put(m, v.Value+" ")
				w.put(m, v.Value+"  ") // so that the first has no label any more
				orphan, err := w.Databricks.AddSecret(m.Principal.ID, databrickstest.SecretSpec{Lifetime: rotation.Fingerprint(m.ARN, w.policy.Lifetime)})
				w.must(err)
				w.engine.Store.API = oldKey{w.SecretsManager("rotate"), v.ID, code}
				for range 3 {
					time.Sleep(day)
					w.reconcile()
				}
				if now := w.current(m); now.OAuthSecretID == "" {
					t.Error("it was not adopted")
				}
				if !slices.Contains(w.ids(m), orphan.ID) {
					t.Error("what an unreadable version may record is gone")
				}
				w.engine.Store.API = w.SecretsManager("rotate")
				w.reconcile()
				if slices.Contains(w.ids(m), orphan.ID) {
					t.Error("the orphan is still there")
				}
			})
		})
	}
}

// Whom a value names is looked at before anything is done with it, also if it
// is changed in between.
func TestChangedBehindTheCheck(t *testing.T) {
	for name, test := range map[string]struct {
		run     func(w *world, m *estatetest.Managed) error
		wantErr string
	}{
		"sweep": {func(w *world, _ *estatetest.Managed) error {
			_, err := w.engine.Sweep(w.t.Context(), false, false)
			return err
		}, "binds the secret to"},
		"protocol": {func(w *world, m *estatetest.Managed) error { return w.step(m, "createSecret") }, "disagree about which version is current"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.engine.OwnClientID = w.Rotator.ApplicationID
				m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true})
				w.sweep("")
				w.tag(m, managedsecret.BindingKey, w.current(m).ClientID)
				w.put(m, w.bare(m))
				c := w.current(m)
				changed := false
				w.Databricks.Faults().OnCall(func(call faulttest.Call) {
					if call.Op == databrickstest.OpAccountListSecrets && !changed {
						changed = true
						w.put(m, fmt.Sprintf(`{"DATABRICKS_HOST":%q,"DATABRICKS_ACCOUNT_ID":%q,"ROTATION_SERVICE_PRINCIPAL_ID":"%d","DATABRICKS_CLIENT_ID":%q}`,
							c.Host, c.AccountID, w.Rotator.ID, w.Rotator.ApplicationID))
					}
				}, func(faulttest.Call) {})
				w.checkErr(test.run(w, m), test.wantErr)
				if n := len(w.Databricks.Secrets(w.Rotator.ID)); n > 1 {
					t.Errorf("%d OAuth secrets of the rotator's own principal", n)
				}
			})
		})
	}
}

// Invariants 1 and 2: a person who corrects the id beside a value is not believed
// more than the first time. Neither OAuth secret is touched.
func TestCorrectedId(t *testing.T) {
	for _, reconciles := range []bool{false, true} {
		t.Run(fmt.Sprint(reconciles), func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.policy.Grace = 6 * hour
				m := w.register(estatetest.Registration{Name: "etl", Fresh: true, AccountLevel: true})
				other, _ := w.MakeByHand(m, 700*day)
				own, _ := w.MakeByHand(m, 700*day)
				c := w.current(m)
				for _, id := range []string{other.ID, own.ID} {
					w.put(m, fmt.Sprintf(`{"DATABRICKS_HOST":%q,"DATABRICKS_ACCOUNT_ID":%q,"DATABRICKS_CLIENT_ID":%q,"DATABRICKS_CLIENT_SECRET":%q,"ROTATION_OAUTH_SECRET_ID":%q}`,
						c.Host, c.AccountID, c.ClientID, own.Value, id))
					time.Sleep(time.Minute)
				}
				w.forty(reconciles)
				if w.current(m).ClientSecret.Reveal() == own.Value {
					t.Error("it was not replaced")
				}
			})
		})
	}
}

// A value that somebody has damaged is healed, no wider than it was, by a
// reconcile and by a replacement.
func TestDamagedValue(t *testing.T) {
	for name, heal := range map[string]func(w *world, m *estatetest.Managed) error{
		"reconcile": func(w *world, _ *estatetest.Managed) error {
			_, err := w.engine.Sweep(w.t.Context(), true, false)
			return err
		},
		"replacement": func(w *world, m *estatetest.Managed) error {
			_, err := w.replace(m)
			return err
		},
	} {
		for _, scopes := range [][]string{nil, {"sql"}} {
			t.Run(fmt.Sprint(name, scopes), func(t *testing.T) {
				inWorld(t, func(w *world) {
					m := w.register(estatetest.Registration{Name: "etl", Fresh: true, AccountLevel: true, Scopes: scopes})
					w.sweep("")
					time.Sleep(hour)
					w.edit(m, credential.KeyClientSecret, w.current(m).ClientSecret.Reveal()+"x")
					w.must(heal(w, m))
					if !w.works(m) {
						t.Error("what is current does not authenticate")
					}
					w.found = nil // until then it did not
				})
			})
		}
	}
}

// What Secrets Manager has rotated long ago costs a reconcile no versions, though
// somebody else's OAuth secret is beside it.
func TestVersionsOfTheProtocolAtRest(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", Fresh: true, AccountLevel: true})
		w.sweep("")
		w.MakeByHand(m, 700*day)
		for range 3 {
			time.Sleep(2 * day)
			w.must(w.rotateSecret(m, true))
			w.sweep("")
		}
		time.Sleep(3 * day)
		w.reconcile()
		w.ResetCalls()
		w.reconcile()
		if n := w.calls()["GetSecretValue"]; n > 0 {
			t.Errorf("%d versions were read", n)
		}
	})
}

// Invariant 9: what a sweep may not remove, the batches that it queues may not
// either, and none of them fails for it.
func TestBudgetHoldsForTheQueue(t *testing.T) {
	inWorld(t, func(w *world) {
		var all []*estatetest.Managed
		for i := range 40 {
			all = append(all, w.register(estatetest.Registration{Name: fmt.Sprintf("etl-%02d", i), Fresh: true}))
		}
		w.sweep("")
		for _, m := range all {
			_, err := w.Databricks.AddSecret(m.Principal.ID, databrickstest.SecretSpec{Lifetime: rotation.Fingerprint(m.ARN, w.policy.Lifetime)})
			w.must(err)
		}
		time.Sleep(hour)
		q := w.withQueue()
		w.engine.QueueAbove = 20
		w.policy.Budgets.Rotate = policy.Budget{Count: 10, Share: 1}
		if report, err := w.engine.Sweep(w.t.Context(), true, false); err == nil || report.Queued != 20 {
			t.Fatalf("%d are queued; the sweep says %v", report.Queued, err)
		}
		if done := q.work(); done != 20 || len(q.redelivered) > 0 {
			t.Errorf("%d messages are done with, and delivered again: %v", done, q.redelivered)
		}
		if dead := q.receive(q.DeadLetterURL); len(dead) > 0 {
			t.Errorf("%d messages were given up", len(dead))
		}
		left := 0
		for _, m := range all {
			left += len(w.ids(m)) - 1
		}
		if left != 40 {
			t.Errorf("%d of 40 orphans are left", left)
		}
	})
}

package rotation_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/usagelog"
)

// whole is the value that is current, as it stands.
func (w *world) whole(m *estatetest.Managed) string {
	v, _ := w.AWS.Current(m.Name)
	return v.Value
}

// Invariant 1: what one managed secret holds is not ended by the rotation of
// another one, into which somebody has copied it.
func TestCopies(t *testing.T) {
	copied := &estatetest.Managed{Name: "copy"}
	for name, test := range map[string]struct {
		value func(w *world, m *estatetest.Managed) string
		// then is what the person does on being told.
		then func(w *world) error
	}{
		"bare":  {(*world).bare, nil},
		"whole": {(*world).whole, nil},
		"whole, and then without its id": {
			(*world).whole,
			func(w *world) error { return w.tryEdit(copied, credential.KeyOAuthSecretID, "") },
		},
		"whole, and then rotated": {
			(*world).whole,
			func(w *world) error {
				_, err := w.invoke(w.t.Context(), []byte(`{"action":"rotate","secrets":["copy"],"force":true}`))
				w.checkErr(err, "it holds the same OAuth secret as")
				return nil
			},
		},
		"whole, and then rotated by Secrets Manager": {
			(*world).whole,
			func(w *world) error {
				w.checkErr(w.rotateSecret(copied, true), "it holds the same OAuth secret as")
				return nil
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.register(estatetest.Registration{Name: "etl", Fresh: true, AccountLevel: true})
				w.sweep("")
				copied.ARN = w.secondFor(copied.Name, test.value(w, m))
				w.sweep("copy: it holds the same OAuth secret as " + m.ARN)
				time.Sleep(hour)
				if test.then != nil {
					w.must(test.then(w))
				}
				for h := range 5 * 24 {
					time.Sleep(hour)
					_, _ = w.engine.Sweep(w.t.Context(), h%24 == 0, false)
					w.check(w.Sample(w.policy.Grace))
				}
				_, err := w.engine.Sweep(w.t.Context(), true, false)
				w.checkErr(err, "it holds the same OAuth secret as")
			})
		})
	}
}

// Invariant 1: what an older version records may be current in another managed
// secret that cannot be read.
func TestRecordedAndUnreadable(t *testing.T) {
	for name, test := range map[string]struct {
		make    func(w *world, m *estatetest.Managed)
		wantErr string
	}{
		"readable":  {func(*world, *estatetest.Managed) {}, ""},
		"malformed": {func(w *world, m *estatetest.Managed) { w.edit(m, credential.KeyIssuedAt, "yesterday") }, "ROTATION_ISSUED_AT"},
		"denied":    {func(w *world, m *estatetest.Managed) { w.hide(m.ARN) }, "AccessDenied"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.register(estatetest.Registration{Name: "etl", Fresh: true})
				w.sweep("")
				c := w.current(m)
				v, _ := w.AWS.Current(m.Name)
				arn := w.secondFor("copy", v.Value)
				w.sweep("it holds the same OAuth secret as")
				w.put(&estatetest.Managed{Name: "copy"}, `{"DATABRICKS_HOST":"`+c.Host+`","DATABRICKS_CLIENT_ID":"`+c.ClientID+`"}`)
				w.sweep("")
				orphan, err := w.Databricks.AddSecret(m.Principal.ID, databrickstest.SecretSpec{Lifetime: rotation.Fingerprint(arn, w.policy.Lifetime)})
				w.must(err)
				test.make(w, m)
				time.Sleep(w.policy.Grace + hour)
				_, err = w.engine.Sweep(w.t.Context(), true, false)
				w.checkErr(err, test.wantErr)
				if slices.Contains(w.ids(m), orphan.ID) {
					t.Error("the orphan is still there, so nothing was looked at")
				}
				if !w.Databricks.Authenticates(c.ClientID, c.ClientSecret.Reveal()) {
					t.Error("what etl holds was deleted")
				}
			})
		})
	}
}

// Invariant 1: a copy of what a sweep has not read is not taken over by way of the
// queue either.
func TestQueuedCopy(t *testing.T) {
	inWorld(t, func(w *world) {
		first := w.register(estatetest.Registration{Name: "aaa", Fresh: true, AccountLevel: true})
		m := w.register(estatetest.Registration{Name: "etl", Fresh: true, AccountLevel: true})
		w.sweep("")
		time.Sleep(hour)
		w.rotateNow() // so that the listing shows that a run has written it
		for range 5 {
			time.Sleep(day)
			w.sweep("")
		}
		w.secondFor("copy", w.bare(m))
		w.put(first, w.bare(first)) // something to do before it
		q := w.withQueue()
		w.engine.QueueAbove = 1
		if report := w.sweep(""); report.Unread != 1 || report.Queued != 1 {
			t.Fatalf("%d are unread, and %d queued", report.Unread, report.Queued)
		}
		if done := q.work(); done != 0 {
			t.Error("the copy is taken over")
		}
	})
}

// Invariant 1: nothing is taken over while it cannot be told who else holds it.
func TestSurveyFails(t *testing.T) {
	for _, op := range []string{"BatchGetSecretValue", "ListSecrets"} {
		t.Run(op, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.register(estatetest.Registration{Name: "etl", Fresh: true, AccountLevel: true})
				w.sweep("")
				w.secondFor("copy", w.bare(m))
				w.AWS.Faults().Add(faulttest.Fault{Op: op, Kind: faulttest.ServerError, Times: faulttest.Forever})
				_, err := w.engine.Rotate(w.t.Context(), "direct", rotation.RotateRequest{Secrets: []string{"copy"}, Force: true})
				w.checkErr(err, "whether another managed secret holds what this one does not name")
			})
		})
	}
}

// Invariant 1: a replica is rotated elsewhere, and ends no survey.
func TestSurveyPassesReplicas(t *testing.T) {
	inWorld(t, func(w *world) {
		w.register(estatetest.Registration{Name: "aaa", Fresh: true, AccountLevel: true})
		m := w.register(estatetest.Registration{Name: "etl", Fresh: true, AccountLevel: true})
		w.register(estatetest.Registration{Name: "zzz", Fresh: true, AccountLevel: true})
		w.sweep("")
		w.secondFor("copy", w.bare(m))
		w.engine.Store.API = replicas{w.SecretsManager("rotate"), []string{"aaa", "zzz"}}
		_, err := w.engine.Rotate(w.t.Context(), "direct", rotation.RotateRequest{Secrets: []string{"copy"}, Force: true})
		w.checkErr(err, "it holds the same OAuth secret as")
	})
}

// What has no value holds nothing, and what may not be read is no reason to leave
// a credential that somebody has put there for good.
func TestSurveyGoesOn(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", Bare: true})
		w.register(estatetest.Registration{Name: "last", Fresh: true}) // what is read after them is no excuse
		w.secondFor("empty", "")
		w.hide(w.secondFor("hidden", w.bare(m)))
		w.rotateNow()
		if c := w.current(m); !rotation.IsOurs(m.ARN, w.oauthSecret(m, c.OAuthSecretID)) {
			t.Error("the rotation has not taken it over")
		}
	})
}

// Invariant 1: a value that is no credential as it stands still belongs to its
// readers.
func TestCopyOfAMalformedValue(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", Fresh: true, AccountLevel: true})
		w.sweep("")
		c := w.current(m)
		w.secondFor("copy", w.bare(m))
		w.edit(m, credential.KeyIssuedAt, "yesterday")
		for h := range 3 * 24 {
			_, err := w.engine.Sweep(w.t.Context(), h%24 == 0, false)
			w.checkErr(err, "it holds the same OAuth secret as")
			time.Sleep(hour)
			if !w.Databricks.Authenticates(c.ClientID, c.ClientSecret.Reveal()) {
				t.Fatalf("after %d hours etl's readers have nothing", h)
			}
		}
	})
}

// The same placeholder in many registrations is no copy.
func TestPlaceholders(t *testing.T) {
	inWorld(t, func(w *world) {
		var all []*estatetest.Managed
		for i := range 4 {
			m := w.register(estatetest.Registration{Name: fmt.Sprint("etl-", i), Fresh: true, AccountLevel: true, Scopes: []string{"sql"}})
			w.edit(m, credential.KeyClientSecret, "changeme")
			all = append(all, m)
		}
		w.sweep("")
		for _, m := range all {
			if !w.works(m) {
				t.Errorf("what is current of %s does not authenticate", m.Name)
			}
		}
		w.found = nil // until then it did not
	})
}

// A managed secret without a value, or with one that is no credential, does not
// keep what other ones have left behind.
func TestRecordedBesideAnEmptyOne(t *testing.T) {
	for name, value := range map[string]string{"empty": "", "no credential": "not json"} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.register(estatetest.Registration{Name: "etl", Fresh: true})
				if value != "" {
					w.secondFor("new", value)
				} else {
					_, err := w.SecretsManager("operator").CreateSecret(w.t.Context(), &secretsmanager.CreateSecretInput{
						Name: aws.String("new"), Tags: []types.Tag{{Key: aws.String(managedsecret.TagKey), Value: aws.String(managedsecret.TagValue)}},
					})
					w.must(err)
				}
				w.sweep("new: ")
				time.Sleep(hour)
				w.rotateNow()
				undone := w.current(m)
				time.Sleep(hour)
				w.moveCurrentBack(m)
				for range 3 {
					time.Sleep(w.policy.Grace / 2)
					_, err := w.engine.Sweep(w.t.Context(), true, false)
					w.checkErr(err, "new: ")
				}
				if w.Databricks.Authenticates(undone.ClientID, undone.ClientSecret.Reveal()) {
					t.Error("what was undone is still alive")
				}
			})
		})
	}
}

// Invariant 1: a value that names another one's current credential among its own
// predecessors does not end it, whichever of the two is listed first, whether the
// other one was read or is settled, and whether the usage log is asked or not.
func TestNamedByAnother(t *testing.T) {
	for _, settled := range []bool{false, true} {
		for _, asks := range []bool{false, true} {
			for _, first := range []bool{false, true} {
				t.Run(fmt.Sprintf("settled %v, asks %v, first %v", settled, asks, first), func(t *testing.T) {
					inWorld(t, func(w *world) {
						one := w.register(estatetest.Registration{Name: "etl", AccountLevel: true, Fresh: true})
						two := &estatetest.Managed{Name: "second"}
						w.secondFor(two.Name, w.whole(one))
						w.sweep("")
						if asks {
							w.engine.Usage = source(func(h []usagelog.Handover) ([][]usagelog.Reader, error) {
								return make([][]usagelog.Reader, len(h)), nil
							})
						}
						if settled {
							time.Sleep(10 * day)
						}
						if !first {
							one, two = two, one
						}
						w.edit(one, credential.KeyPredecessors, w.current(two).OAuthSecretID+"="+time.Now().Add(-w.policy.Grace-hour).UTC().Format(time.RFC3339))
						for h := range 26 {
							_, _ = w.engine.Sweep(w.t.Context(), h%24 == 23, false)
							time.Sleep(hour)
						}
						if !w.works(two) {
							t.Error("what the other one holds was ended")
						}
					})
				})
			}
		}
	}
}

// A predecessor of which only the value says that it is ours waits for the
// directory and the other managed secrets, and its rotation does not.
func TestDoubtHoldsNothingUp(t *testing.T) {
	for name, fault := range map[string]func(w *world){
		"the directory": func(w *world) {
			w.Databricks.Faults().Add(faulttest.Fault{Op: databrickstest.OpAccountGetPrincipal, Kind: faulttest.ServerError, Times: faulttest.Forever})
		},
		"the other managed secrets": func(w *world) {
			// The sweep's own listing is the first.
			w.AWS.Faults().Add(faulttest.Fault{Op: "ListSecrets", Skip: 1, Kind: faulttest.ServerError, Times: faulttest.Forever})
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true})
				adopted := w.current(m).OAuthSecretID
				time.Sleep(w.policy.Interval)
				w.sweep("")
				time.Sleep(w.policy.Interval) // nothing sweeps meanwhile
				before := w.current(m).OAuthSecretID
				said := "stay until it is known that they are nobody else's: " + adopted
				fault(w)
				_, err := w.engine.Sweep(w.t.Context(), false, true)
				w.checkErr(err, said)
				w.AWS.Faults().Clear()
				fault(w)
				w.sweep(said)
				if w.current(m).OAuthSecretID == before {
					t.Error("it was not rotated")
				}
				w.Databricks.Faults().Clear()
				w.AWS.Faults().Clear()
				w.reconcile()
				if slices.Contains(w.ids(m), adopted) {
					t.Error("the predecessor is still there")
				}
			})
		})
	}
}

// Nor does it hide that a managed secret is held.
func TestDoubtUnderHold(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true, Fresh: true})
		w.sweep("")
		w.Revoking(m)
		w.must(w.hold(m))
		time.Sleep(hour)
		w.AWS.Faults().Add(faulttest.Fault{Op: "ListSecrets", Skip: 1, Kind: faulttest.ServerError, Times: faulttest.Forever})
		report, err := w.engine.Sweep(w.t.Context(), false, false)
		w.checkErr(err, "its credential was revoked")
		w.checkErr(err, "stay until it is known that they are nobody else's")
		if o := report.Outcomes[0]; o.Block == nil || o.Block.Kind != rotation.Revoked {
			t.Errorf("the outcome is %+v", o)
		}
		w.AWS.Faults().Clear()
		w.sweep("its credential was revoked")
		if ids := w.ids(m); len(ids) > 0 {
			t.Errorf("%v are still there", ids)
		}
	})
}

// Invariant 1: two applications may have shared one credential that a person made.
// The second one is registered, without its id, when the first one's managed secret
// has been rotated: it is not ended under it.
func TestSharedAndRegisteredLater(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true, Bare: true})
		value := w.bare(m)
		w.sweep("")
		time.Sleep(w.policy.Grace + hour)
		w.secondFor("second", value)
		for range 3 {
			_, err := w.engine.Rotate(w.t.Context(), "direct", rotation.RotateRequest{Secrets: []string{"etl"}})
			w.checkErr(err, "")
			if !w.works(&estatetest.Managed{Name: "second"}) {
				t.Fatal("what the second one holds is dead")
			}
			time.Sleep(hour)
		}
	})
}

// A copy that died with what it was copied from is replaced, though the original
// still names it.
func TestDeadCopyIsHealed(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true, Fresh: true})
		w.sweep("")
		value := w.whole(m)
		w.rotateNow()
		w.secondFor("zcopy", value)
		for h := range 3 * 24 {
			_, _ = w.engine.Sweep(w.t.Context(), h%24 == 23, false)
			time.Sleep(hour)
		}
		if !w.works(&estatetest.Managed{Name: "zcopy"}) {
			t.Error("the copy is still dead")
		}
	})
}

// What could not be read for now is not counted as read.
func TestUnreadForNow(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true})
		adopted := w.current(m)
		time.Sleep(w.policy.Interval)
		w.sweep("")
		for n := range 20 { // the copy is in a batch of its own
			w.register(estatetest.Registration{Name: fmt.Sprintf("other-%02d", n), AccountLevel: true, Fresh: true})
		}
		w.secondFor("zcopy", fmt.Sprintf(`{"DATABRICKS_HOST":%q,"DATABRICKS_ACCOUNT_ID":%q,"DATABRICKS_CLIENT_ID":%q,"DATABRICKS_CLIENT_SECRET":%q,"ROTATION_OAUTH_SECRET_ID":%q}`,
			m.Host.URL, m.Host.AccountID, adopted.ClientID, adopted.ClientSecret.Reveal(), adopted.OAuthSecretID))
		w.engine.Usage = source(func(h []usagelog.Handover) ([][]usagelog.Reader, error) {
			return make([][]usagelog.Reader, len(h)), nil
		})
		time.Sleep(w.policy.Grace)
		w.AWS.Faults().Add(faulttest.Fault{Op: "BatchGetSecretValue", Skip: 1, Kind: faulttest.ServerError, Times: 8})
		_, _ = w.engine.Sweep(w.t.Context(), false, false)
		w.AWS.Faults().Clear()
		if !w.Databricks.Authenticates(adopted.ClientID, adopted.ClientSecret.Reveal()) {
			t.Error("what the copy holds is dead")
		}
	})
}

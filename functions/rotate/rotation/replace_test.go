package rotation_test

import (
	"slices"
	"testing"
	"time"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/managedsecret"
)

// replace is what a revocation asks of the engine.
func (w *world) replace(m *estatetest.Managed, sacrifice ...string) (rotation.Outcome, error) {
	return w.engine.Replace(w.t.Context(), "revoke", m.ARN, sacrifice)
}

// A replacement, for which there is no next run, meets changes.
func TestReplaceMeetsChanges(t *testing.T) {
	for name, test := range map[string]struct {
		changes, lists int
		want           string
	}{
		"none":              {0, 1, ""},
		"one":               {1, 2, ""},
		"one with each try": {faulttest.Forever, rotation.MaxTries, "disagree about which version is current"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true})
				w.put(m, w.bare(m))
				value, lists := w.bare(m), 0
				w.Databricks.Faults().OnCall(func(call faulttest.Call) {
					if call.Op != databrickstest.OpAccountListSecrets {
						return
					}
					if lists++; lists <= test.changes || test.changes == faulttest.Forever {
						value += " "
						w.put(m, value)
					}
				}, nil)
				out, err := w.replace(m)
				if w.checkErr(err, test.want); (out.Issued != "") != (test.want == "") {
					t.Errorf("issued is %q", out.Issued)
				}
				if want := map[bool]int{true: 2, false: 1}[test.want == ""]; lists != test.lists || len(w.ids(m)) != want {
					t.Errorf("%d lists, and %d OAuth secrets; want %d, and %d", lists, len(w.ids(m)), test.lists, want)
				}
			})
		})
	}
}

// Nor is there a next run to read what was stale.
func TestReplaceReadsAgain(t *testing.T) {
	for name, test := range map[string]struct {
		stale, reads int
		want         string
	}{
		"once":   {1, 2 + 1, ""}, // and once for the hold
		"always": {faulttest.Forever, 4, "disagree about which version is current"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true, Fresh: true})
				w.sweep("")
				w.AWS.Faults().Add(faulttest.Fault{Op: "DescribeSecret", Kind: faulttest.StaleRead, Times: test.stale})
				w.ResetCalls()
				_, err := w.replace(m)
				w.checkErr(err, test.want)
				if n := w.calls()["DescribeSecret"]; n != test.reads {
					t.Errorf("it was described %d times, want %d", n, test.reads)
				}
			})
		})
	}
}

// What is sacrificed goes only if there is no room without it, one at a time, and
// never the current one.
func TestReplaceMakesRoom(t *testing.T) {
	for name, test := range map[string]struct {
		others, want int
	}{
		"room":    {3, 0},
		"no room": {4, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true})
				sacrifice := w.ids(m)
				for range test.others {
					s, err := w.Databricks.AddSecret(m.Principal.ID, databrickstest.SecretSpec{Lifetime: 365 * day})
					w.must(err)
					sacrifice = append(sacrifice, s.ID)
				}
				if test.want > 0 {
					_, err := w.replace(m)
					w.checkErr(err, "has 5 of 5 OAuth secrets")
				}
				out, err := w.replace(m, sacrifice...)
				if w.must(err); out.Issued == "" || !slices.Equal(out.Retired, sacrifice[1:1+test.want]) {
					t.Errorf("issued is %q, and retired %v of %v", out.Issued, out.Retired, sacrifice)
				}
			})
		})
	}
}

// Nor when something changes once room was made.
func TestReplaceMeetsAChangeAfterMakingRoom(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true})
		var sacrifice []string
		for range 4 {
			s, err := w.Databricks.AddSecret(m.Principal.ID, databrickstest.SecretSpec{Lifetime: 365 * day})
			w.must(err)
			sacrifice = append(sacrifice, s.ID)
		}
		value := w.bare(m) // so that all versions are read
		w.put(m, value)
		w.Databricks.Faults().OnCall(func(call faulttest.Call) {
			if call.Op == databrickstest.OpAccountDeleteSecret {
				w.put(m, value+" ")
			}
		}, nil)
		out, err := w.replace(m, sacrifice...)
		if w.must(err); out.Issued == "" || !slices.Equal(out.Retired, sacrifice[:1]) {
			t.Errorf("issued is %q, and retired %v", out.Issued, out.Retired)
		}
	})
}

// A rotation by Secrets Manager that is given up holds nothing up, if a read shows
// it still.
func TestReplaceGivesUpForGood(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true})
		w.mustStep(m, "createSecret")
		w.put(m, w.bare(m)) // so that all versions are read, and the labels again
		w.AWS.Faults().Add(faulttest.Fault{Op: "DescribeSecret", Kind: faulttest.StaleRead, Skip: 1})
		out, err := w.replace(m)
		if w.must(err); out.Issued == "" {
			t.Error("nothing was issued")
		}
	})
}

// Invariant 5: a rotation by Secrets Manager may leave its label on the version
// that it made current. A replacement takes that one label off, and still sees
// that what stands in the value may be another one's.
func TestReplaceBesideALeftLabel(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true, Fresh: true})
		w.sweep("")
		for _, step := range []string{"createSecret", "setSecret", "testSecret", "finishSecret"} {
			w.mustStep(m, step)
		}
		time.Sleep(hour)
		// The credential has other scopes from here on, which the estate takes for a
		// fault.
		w.Databricks.Faults().OnCall(nil, nil)
		w.AWS.Faults().OnCall(nil, nil)
		m.Scopes = []string{"sql"}
		narrow, ok := w.MakeByHand(m, 365*day)
		if !ok {
			t.Fatal("there is no room")
		}
		w.edit(m, credential.KeyClientSecret, narrow.Value)
		if left, ok := w.AWS.Labelled(m.Name, managedsecret.Pending); !ok || !slices.Contains(left.Labels, managedsecret.Previous) {
			t.Fatalf("the label is not left: %v", left.Labels)
		}
		out, err := w.replace(m)
		w.must(err)
		if issued, _ := w.Secret(m, out.Issued); !slices.Equal(issued.Scopes, narrow.Scopes) {
			t.Errorf("the new one has the scopes %v, and the one before %v", issued.Scopes, narrow.Scopes)
		}
	})
}

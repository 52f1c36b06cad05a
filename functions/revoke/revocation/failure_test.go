package revocation_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/revoke/revocation"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/trail"
)

// A failure in one part does not stop the others, and the reply says what is
// still alive.
func TestOnePartFails(t *testing.T) {
	for name, test := range map[string]struct {
		mode  revocation.Mode
		fault faulttest.Fault
		aws   bool
		// left is how many OAuth secrets live afterwards.
		left int
		says []string
	}{
		"the principal cannot be switched off": {
			revocation.Lockout,
			faulttest.Fault{Op: databrickstest.OpAccountPatchPrincipal},
			false, 0,
			[]string{"switch off service principal etl", "FAILED", "access tokens that were issued from what was deleted"},
		},
		"the tag cannot be set": {
			revocation.Revoke,
			faulttest.Fault{Op: "TagResource"},
			true, 0,
			[]string{"hold etl: FAILED", "etl is not held: a sweep may issue a new credential"},
		},
		"nothing can be issued": {
			revocation.Replace,
			faulttest.Fault{Op: databrickstest.OpAccountCreateSecret},
			false, 1,
			[]string{"replace the credential of etl: FAILED", "delete current credential", "SKIPPED", "revoke or lockout deletes it all the same", "it is current, and readers get it"},
		},
		"nothing can be stored": {
			revocation.Replace, faulttest.Fault{Op: "PutSecretValue"}, true, 2, // the new one may be stored after all
			[]string{"replace the credential of etl: FAILED", "SKIPPED"},
		},
		"nothing can be deleted": {
			revocation.Revoke,
			faulttest.Fault{Op: databrickstest.OpAccountDeleteSecret},
			false, 2,
			[]string{"hold etl (", "delete current credential", "FAILED", "it was not asked for, or could not be deleted"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.rotated("etl")
				w.expect(revocation.Request{Mode: test.mode}, m)
				injector := w.Databricks.Faults()
				if test.aws {
					injector = w.AWS.Faults()
				}
				test.fault.Kind, test.fault.Times = faulttest.ServerError, faulttest.Forever
				injector.Add(test.fault)
				began := time.Now()
				_, err := w.revoker.Handle(w.t.Context(), []byte(`{"mode":"`+string(test.mode)+`","secret":"etl","reason":"drill"}`))
				if err == nil {
					t.Fatal("the invocation does not fail")
				}
				if took := time.Since(began); took > 45*time.Second {
					t.Errorf("it took %v", took)
				}
				injector.Clear()
				for _, part := range append(test.says, "NOT COMPLETE", "send ") {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("the error does not say %q:\n%v", part, err)
					}
				}
				if n := len(w.ids(m)); n != test.left {
					t.Errorf("%d OAuth secrets are left, want %d", n, test.left)
				}
				if len(w.told) != 1 || !strings.HasPrefix(w.told[0], "Databricks credentials: "+string(test.mode)+" NOT COMPLETE: etl") {
					t.Errorf("told: %q", w.told)
				}
			})
		})
	}
}

// Nobody being told is no reason to fail what is done.
func TestUntold(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.rotated("etl")
		w.untold = errors.New("the topic is gone")
		reply := w.revoke(revocation.Request{Mode: revocation.Replace, Secret: "etl"}, m)
		if !reply.Complete || !strings.Contains(strings.Join(reply.Warnings, ""), "nobody was told: the topic is gone") {
			t.Errorf("the reply is\n%s", reply.Text())
		}
	})
}

// A mistake in the policy does not stand between a leaked credential and its
// successor.
func TestBrokenPolicy(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.rotated("etl")
		broken := func(context.Context) (policy.Policy, error) { return policy.Policy{}, errors.New("line 3: a mistake") }
		w.replacing.Policy = revocation.OrDefault(broken, w.revoker.Log)
		w.revoke(revocation.Request{Mode: revocation.Replace, Secret: "etl"}, m)
		if !strings.Contains(w.log.String(), "line 3: a mistake") {
			t.Error("the mistake is not in the log")
		}
		p, err := revocation.OrDefault(func(context.Context) (policy.Policy, error) { return w.policy, nil }, w.revoker.Log)(w.t.Context())
		if err != nil || p.Lifetime != w.policy.Lifetime {
			t.Errorf("a good policy is not used: %v, %v", p, err)
		}
	})
}

// A credential that a person put there, of which nobody recorded the id. To
// delete it is to delete what may be somebody else's.
func TestByHand(t *testing.T) {
	for _, mode := range []revocation.Mode{revocation.Replace, revocation.Revoke} {
		t.Run(string(mode), func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.register(estatetest.Registration{Name: "etl", Bare: true})
				value := w.current(m).ClientSecret
				w.expect(revocation.Request{Mode: mode}, m)
				reply := w.revoke(revocation.Request{Mode: mode, SHA256: value.SHA256(), IncludeForeign: true})
				if w.works(m, value) {
					t.Errorf("it still works:\n%s", reply.Text())
				}
				if mode == revocation.Replace && !w.works(m, w.current(m).ClientSecret) {
					t.Error("the new one does not work")
				}
			})
		})
	}
}

// With a second OAuth secret it cannot be told which one leaked. That is said,
// and include_foreign ends both.
func TestByHandAmbiguous(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", Bare: true})
		w.MakeByHand(m, 365*day)
		w.Replacing(m)
		payload := `{"mode":"replace","sha256":"` + w.current(m).ClientSecret.SHA256() + `","reason":"drill"`
		_, err := w.revoker.Handle(w.t.Context(), []byte(payload+"}"))
		if err == nil || !strings.Contains(err.Error(), "the credential that was named is still accepted: its OAuth secret's id was never recorded") {
			t.Fatalf("error %v", err)
		}
		w.Replacing(m)
		if _, err = w.revoker.Handle(w.t.Context(), []byte(`{"mode":"replace","secret":"etl","include_foreign":true,"reason":"drill"}`)); err != nil {
			t.Fatal(err)
		}
		if n := len(w.ids(m)); n != 1 || !w.works(m, w.current(m).ClientSecret) {
			t.Errorf("%d OAuth secrets are left", n)
		}
	})
}

// A principal that is full of other people's secrets is replaced within its
// limit (invariant 4), and one with room to make makes it of its own.
func TestFull(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.rotated("etl")
		for range 3 {
			w.MakeByHand(m, 365*day)
		}
		// Five: the current one, one in grace, three of a colleague's.
		w.revoke(revocation.Request{Mode: revocation.Replace, Secret: "etl"}, m)
		if n := len(w.ids(m)); n != 4 || !w.works(m, w.current(m).ClientSecret) {
			t.Errorf("%d OAuth secrets are left", n)
		}
		w.MakeByHand(m, 365*day)
		w.expect(revocation.Request{Mode: revocation.Replace}, m)
		_, err := w.revoker.Handle(w.t.Context(), []byte(`{"mode":"replace","secret":"etl","reason":"drill"}`))
		if err == nil || !strings.Contains(err.Error(), "5 of 5 OAuth secrets") || !w.works(m, w.current(m).ClientSecret) {
			t.Errorf("a full principal: %v", err)
		}
	})
}

// Two managed secrets of one principal: one is replaced without the other, and
// both are locked out together.
func TestSharedPrincipal(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.rotated("etl")
		value, _ := w.AWS.Current(m.Name)
		arn, err := w.AWS.CreateSecret("etl-copy", value.Value, map[string]string{managedsecret.TagKey: managedsecret.TagValue})
		w.must(err)
		w.Replacing(m)
		if _, err := w.engine.Replace(w.t.Context(), "direct", arn, nil); err != nil {
			t.Fatal(err)
		}
		reply := w.revoke(revocation.Request{Mode: revocation.Lockout, ServicePrincipal: "etl"}, m)
		if n := len(w.ids(m)); n > 0 {
			t.Errorf("%d OAuth secrets are left:\n%s", n, reply.Text())
		}
		for _, name := range []string{"etl", "etl-copy"} {
			if w.AWS.Tags(name)[managedsecret.HoldKey] == "" {
				t.Errorf("%s is not held", name)
			}
		}
	})
}

// A copy of the leaked credential in another managed secret is replaced too.
func TestCopy(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.rotated("etl")
		value, _ := w.AWS.Current(m.Name)
		_, err := w.AWS.CreateSecret("etl-copy", value.Value, map[string]string{managedsecret.TagKey: managedsecret.TagValue})
		w.must(err)
		leaked := w.current(m).ClientSecret
		reply := w.revoke(revocation.Request{Mode: revocation.Replace, SHA256: leaked.SHA256()}, m)
		copied := w.current(&estatetest.Managed{Name: "etl-copy"}).ClientSecret
		if w.works(m, leaked) || !w.works(m, w.current(m).ClientSecret) || !w.works(m, copied) {
			t.Errorf("not both are replaced:\n%s", reply.Text())
		}
	})
}

// Invariant 7: each change has an entry on either side, with who asked and why.
func TestTrail(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.rotated("etl")
		w.entries = nil
		w.revoke(revocation.Request{Mode: revocation.Lockout, Secret: "etl", RequestedBy: "m. huber"}, m)
		var got []string
		for _, e := range w.entries {
			got = append(got, string(e.Phase)+" "+e.Action)
			why, reply, _ := strings.Cut(e.Why, "\n")
			if isLast := e.Action == "revocation" && e.Phase == trail.After; isLast != strings.HasPrefix(reply, "lockout of etl: complete\n") {
				t.Errorf("the reply is in the entry %s %s: %v", e.Phase, e.Action, !isLast)
			}
			if e.Door != "revocation" || e.RequestedBy != "m. huber" || why != "lockout: seen in a log" || e.ClientID != m.Principal.ApplicationID || e.Err != nil {
				t.Errorf("entry %+v", e)
			}
		}
		want := []string{"before revocation"}
		for _, action := range []string{"switch off", "hold", "delete", "delete"} {
			want = append(want, "before "+action, "after "+action)
		}
		want = append(want, "after revocation")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if last := w.entries[len(w.entries)-1]; last.Phase != trail.After {
			t.Errorf("last entry %+v", last)
		}
	})
}

var update = flag.Bool("update", false, "write the golden files")

// What people read, as a whole.
func TestText(t *testing.T) {
	for _, mode := range []revocation.Mode{revocation.Replace, revocation.Lockout} {
		t.Run(string(mode), func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.rotated("etl")
				w.MakeByHand(m, 365*day)
				reply := w.revoke(revocation.Request{Mode: mode, Secret: "etl", RequestedBy: "m. huber"}, m)
				// The first version's id is drawn by the SDK, and the next follows from it.
				got := regexp.MustCompile(`rotation-[0-9a-f]{48}`).ReplaceAllString(reply.Text(), "rotation-…")
				file := filepath.Join("testdata", string(mode)+".txt")
				if *update {
					w.must(os.WriteFile(file, []byte(got), 0o600))
				}
				want, err := os.ReadFile(file)
				w.must(err)
				if diff := cmp.Diff(string(want), got); diff != "" {
					t.Errorf("(-want +got, -update accepts it):\n%s", diff)
				}
			})
		})
	}
}

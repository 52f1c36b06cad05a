package revocation_test

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/revoke/revocation"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/secret"
)

// A person stores a credential by hand, and writes down no id. Then nobody can
// tell which of the principal's OAuth secrets it is: a revocation deletes none
// that may be a colleague's unless it is asked to, none that readers of
// AWSCURRENT may hold before they can read another, and never says that it is
// complete while the credential may be alive.

// cast are a principal's OAuth secrets: one that was registered with its id, a
// colleague's, and the one that was stored by hand and is current.
type cast struct {
	m                          *estatetest.Managed
	registered, colleague, own databrickstest.OAuthSecret
}

func (w *world) storedByHand() cast {
	w.t.Helper()
	m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true, Scopes: []string{"sql"}})
	c := cast{m: m}
	c.registered, _ = w.Secret(m, w.ids(m)[0])
	c.colleague, _ = w.MakeByHand(m, 365*day)
	time.Sleep(hour)
	w.must(w.StoreByHand(w.t.Context(), m, 365*day))
	for _, s := range w.Databricks.Secrets(m.Principal.ID) {
		if s.ID != c.registered.ID && s.ID != c.colleague.ID {
			c.own = s
		}
	}
	time.Sleep(hour)
	return c
}

// alive are those of the cast that still work.
func (w *world) alive(c cast) []string {
	var names []string
	for _, s := range []struct {
		name, id string
	}{{"registered", c.registered.ID}, {"colleague", c.colleague.ID}, {"own", c.own.ID}} {
		if slices.Contains(w.ids(c.m), s.id) {
			names = append(names, s.name)
		}
	}
	return names
}

func TestStoredByHand(t *testing.T) {
	const (
		bySecret = iota
		byHash
		byID
		colleaguesID
	)
	for name, test := range map[string]struct {
		mode     revocation.Mode
		selector int
		foreign  bool
		// fails is what Databricks does not do meanwhile.
		fails    string
		complete bool
		alive    []string
		// works tells whether readers of AWSCURRENT work afterwards.
		works bool
		says  string
	}{
		"replace": {
			mode: revocation.Replace, alive: []string{"colleague", "own"}, works: true,
			says: "what was current of etl is still accepted: its OAuth secret's id was never recorded; it may be ",
		},
		"replace with all": {mode: revocation.Replace, foreign: true, complete: true, works: true},
		"replace with all, and nothing can be issued": {
			mode: revocation.Replace, foreign: true, fails: databrickstest.OpAccountCreateSecret,
			alive: []string{"colleague", "own"}, works: true, says: "there is no new credential",
		},
		"replace with all, and nothing can be tried": {
			mode: revocation.Replace, foreign: true, fails: databrickstest.OpAccountToken,
			alive: []string{"colleague", "own"}, works: true, says: "there is no new credential",
		},
		"replace by hash":          {mode: revocation.Replace, selector: byHash, alive: []string{"colleague", "own"}, works: true, says: "the credential that was named is still accepted"},
		"replace by hash with all": {mode: revocation.Replace, selector: byHash, foreign: true, complete: true, works: true},
		"replace by id":            {mode: revocation.Replace, selector: byID, foreign: true, complete: true, alive: []string{"colleague"}, works: true},
		"replace by id, and nothing can be issued": {
			mode: revocation.Replace, selector: byID, foreign: true, fails: databrickstest.OpAccountCreateSecret,
			alive: []string{"colleague", "own"}, works: true, says: "SKIPPED",
		},
		"replace a colleague's": {mode: revocation.Replace, selector: colleaguesID, foreign: true, complete: true, alive: []string{"own"}, works: true},

		"revoke":          {mode: revocation.Revoke, alive: []string{"colleague", "own"}, works: true, says: "send the request again with include_foreign, which deletes each of them, or lock the principal out"},
		"revoke with all": {mode: revocation.Revoke, foreign: true, complete: true},
		"revoke, and nothing can be tried": {
			mode: revocation.Revoke, fails: databrickstest.OpAccountToken,
			alive: []string{"colleague", "own"}, works: true, says: "what was current of etl could not be tried, so whether it is dead is not known",
		},
		"revoke with all, and nothing can be tried": {mode: revocation.Revoke, foreign: true, fails: databrickstest.OpAccountToken, says: "could not be tried"},
		"revoke by hash":          {mode: revocation.Revoke, selector: byHash, alive: []string{"colleague", "own"}, works: true, says: "is still accepted"},
		"revoke by hash with all": {mode: revocation.Revoke, selector: byHash, foreign: true, complete: true},
		"revoke by id":            {mode: revocation.Revoke, selector: byID, foreign: true, complete: true, alive: []string{"colleague"}},

		"lockout": {mode: revocation.Lockout, complete: true, alive: []string{"colleague", "own"}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				c := w.storedByHand()
				req := revocation.Request{Mode: test.mode, IncludeForeign: test.foreign, Reason: "drill"}
				switch test.selector {
				case bySecret:
					req.Secret = "etl"
				case byHash:
					req.SHA256 = w.current(c.m).ClientSecret.SHA256()
				case byID:
					req.OAuthSecretID = c.own.ID
				case colleaguesID:
					req.OAuthSecretID = c.colleague.ID
				}
				w.expect(req, c.m)
				if test.fails != "" {
					fault := faulttest.Fault{Op: test.fails, Kind: faulttest.ServerError, Times: faulttest.Forever}
					if test.fails == databrickstest.OpAccountToken {
						fault.Target = c.m.Principal.ApplicationID
					}
					w.Databricks.Faults().Add(fault)
				}
				reply, err := w.revoker.Revoke(w.t.Context(), req)
				w.must(err)
				w.Databricks.Faults().Clear()
				if reply.Complete != test.complete || !strings.Contains(reply.Text(), test.says) {
					t.Errorf("complete is %v, want %v and %q:\n%s", reply.Complete, test.complete, test.says, reply.Text())
				}
				if diff := cmp.Diff(test.alive, w.alive(c)); diff != "" {
					t.Errorf("alive (-want +got):\n%s\n%s", diff, reply.Text())
				}
				if got := w.works(c.m, w.current(c.m).ClientSecret); got != test.works {
					t.Errorf("AWSCURRENT works: %v, want %v", got, test.works)
				}
			})
		})
	}
}

// The value that is current is another one's by now, and the one that was
// stored by hand is in an earlier version.
func TestWasStoredByHand(t *testing.T) {
	for _, mode := range []revocation.Mode{revocation.Replace, revocation.Revoke} {
		t.Run(string(mode), func(t *testing.T) {
			inWorld(t, func(w *world) {
				c := w.storedByHand()
				w.sweep("")
				time.Sleep(hour)
				req := revocation.Request{Mode: mode, Secret: "etl", Reason: "drill"}
				w.expect(req, c.m)
				reply, err := w.revoker.Revoke(w.t.Context(), req)
				w.must(err)
				if reply.Complete || !strings.Contains(reply.Text(), " of etl holds is still accepted: its OAuth secret's id was never recorded; it may be ") {
					t.Errorf("it does not say what is alive:\n%s", reply.Text())
				}
				req.IncludeForeign = true
				w.revoke(req, c.m)
				if alive := w.alive(c); len(alive) > 0 {
					t.Errorf("alive: %v", alive)
				}
			})
		})
	}
}

// A value that somebody has written back without its id is known by the version
// that had it with its id.
func TestRewrittenByHand(t *testing.T) {
	for _, mode := range []revocation.Mode{revocation.Replace, revocation.Revoke, revocation.Lockout} {
		t.Run(string(mode), func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := w.rotated("etl")
				colleagues, _ := w.MakeByHand(m, 365*day)
				w.must(w.RewriteByHand(w.t.Context(), m))
				old := w.current(m)
				w.revoke(revocation.Request{Mode: mode, Secret: "etl"}, m)
				if w.works(m, old.ClientSecret) || !slices.Contains(w.ids(m), colleagues.ID) {
					t.Errorf("the value works: %v; live: %v", w.works(m, old.ClientSecret), w.ids(m))
				}
			})
		})
	}
}

// Whoever pastes a new value may leave the id of the old one beside it.
func TestPastedBesideAnId(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.rotated("etl")
		w.MakeByHand(m, 365*day)
		pasted, _ := w.MakeByHand(m, 365*day)
		w.edit(m, func(value map[string]string) { value[credential.KeyClientSecret] = pasted.Value })
		time.Sleep(hour)
		w.expect(revocation.Request{Mode: revocation.Revoke}, m)
		w.Databricks.Faults().Add(faulttest.Fault{Op: databrickstest.OpAccountToken, Target: m.Principal.ApplicationID, Kind: faulttest.ServerError, Times: faulttest.Forever})
		reply, err := w.revoker.Revoke(w.t.Context(), revocation.Request{Mode: revocation.Revoke, Secret: "etl", Reason: "drill"})
		w.must(err)
		if reply.Complete || !slices.Contains(w.ids(m), pasted.ID) {
			t.Errorf("it is complete, though the value pasted may be alive:\n%s", reply.Text())
		}
	})
}

func (w *world) edit(m *estatetest.Managed, change func(map[string]string)) {
	w.t.Helper()
	v, _ := w.AWS.Current(m.Name)
	value := map[string]string{}
	w.must(json.Unmarshal([]byte(v.Value), &value))
	change(value)
	raw, err := json.Marshal(value)
	w.must(err)
	text := string(raw)
	_, err = w.SecretsManager("operator").PutSecretValue(w.t.Context(), &secretsmanager.PutSecretValueInput{SecretId: &m.ARN, SecretString: &text})
	w.must(err)
}

// What was stored by hand is dead. Then the only OAuth secret that is left in
// the end is a colleague's, and stays. The dry run says the same.
func TestStoredByHandAndDead(t *testing.T) {
	for _, mode := range []revocation.Mode{revocation.Replace, revocation.Revoke} {
		t.Run(string(mode), func(t *testing.T) {
			inWorld(t, func(w *world) {
				c := w.storedByHand()
				w.DeleteByHand(c.m, c.own.ID)
				plan := w.revoke(revocation.Request{Mode: mode, Secret: "etl", DryRun: true}, c.m)
				reply := w.revoke(revocation.Request{Mode: mode, Secret: "etl"}, c.m)
				if diff := cmp.Diff([]string{"colleague"}, w.alive(c)); diff != "" || !reply.Complete {
					t.Errorf("alive (-want +got):\n%s\n%s", diff, reply.Text())
				}
				if diff := cmp.Diff(actions(plan), actions(reply)); diff != "" {
					t.Errorf("plan and deed differ (-plan +done):\n%s", diff)
				}
			})
		})
	}
}

// The product's own credential is protected, whoever has stored it and however.
func TestStoredByHandProtected(t *testing.T) {
	inWorld(t, func(w *world) {
		c := w.storedByHand()
		w.revoker.Rotator = rotatorIs(c.m.Principal.ApplicationID)
		for _, req := range []revocation.Request{
			{OAuthSecretID: c.own.ID, IncludeForeign: true},
			{OAuthSecretID: c.colleague.ID, IncludeForeign: true}, // as far as anybody knows
			{SHA256: w.current(c.m).ClientSecret.SHA256(), IncludeForeign: true},
			{Secret: "etl"},
		} {
			req.Mode = revocation.Revoke
			w.refuse(req, "is the identity by which this product works")
		}
		// Nor is one deleted that nobody has recorded: what is beside a value
		// may be wrong.
		foreign, _ := w.MakeByHand(c.m, 365*day)
		w.refuse(revocation.Request{Mode: revocation.Revoke, OAuthSecretID: foreign.ID, IncludeForeign: true}, "is the identity by which this product works")
		// One that is known not to be current is no danger.
		w.Replacing(c.m)
		w.revoke(revocation.Request{Mode: revocation.Revoke, OAuthSecretID: c.registered.ID})
	})
}

// What a lockout could not delete is not switched on again by its release.
func TestStoredByHandReleased(t *testing.T) {
	inWorld(t, func(w *world) {
		c := w.storedByHand()
		leaked := w.current(c.m).ClientSecret
		reply := w.revoke(revocation.Request{Mode: revocation.Lockout, Secret: "etl"}, c.m)
		if !strings.Contains(strings.Join(reply.Warnings, ""), "a release needs it deleted in Databricks, or include_foreign") {
			t.Errorf("warnings %q", reply.Warnings)
		}
		w.refuse(revocation.Request{Mode: revocation.Release, Secret: "etl"}, "it would be alive again if it is OAuth secret ")
		w.MayGo(c.m)
		w.revoke(revocation.Request{Mode: revocation.Release, Secret: "etl", IncludeForeign: true}, c.m)
		if w.works(c.m, leaked) || !w.works(c.m, w.current(c.m).ClientSecret) {
			t.Errorf("what leaked works: %v, what is current works: %v", w.works(c.m, leaked), w.works(c.m, w.current(c.m).ClientSecret))
		}
	})
}

// elsewhere is a managed secret that was another principal's once: that one's
// credential is in an earlier version, and alive.
func (w *world) elsewhere(m *estatetest.Managed) (databrickstest.Principal, databrickstest.OAuthSecret) {
	w.t.Helper()
	v, _ := w.AWS.Current(m.Name)
	other := w.Databricks.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "other"})
	theirs, err := w.Databricks.AddSecret(other.ID, databrickstest.SecretSpec{})
	w.must(err)
	_, err = w.AWS.CreateSecret("elsewhere", v.Value, map[string]string{managedsecret.TagKey: managedsecret.TagValue})
	w.must(err)
	elsewhere := &estatetest.Managed{Name: "elsewhere", ARN: "elsewhere"}
	was := w.current(m)
	w.edit(elsewhere, func(value map[string]string) {
		value[credential.KeyClientID], value[credential.KeyClientSecret] = other.ApplicationID, theirs.Value
		value[credential.KeyServicePrincipalID], value[credential.KeyOAuthSecretID] = strconv.FormatInt(other.ID, 10), theirs.ID
	})
	w.edit(elsewhere, func(value map[string]string) {
		value[credential.KeyClientID], value[credential.KeyClientSecret] = was.ClientID, was.ClientSecret.Reveal()
		value[credential.KeyServicePrincipalID], value[credential.KeyOAuthSecretID] = was.ServicePrincipalID, was.OAuthSecretID
	})
	return other, theirs
}

// A request about the managed secret does not reach the other principal, and
// says so.
func TestRepointed(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.rotated("etl")
		other, _ := w.elsewhere(m)
		w.expect(revocation.Request{Mode: revocation.Replace}, m)
		reply, err := w.revoker.Revoke(w.t.Context(), revocation.Request{Mode: revocation.Replace, Secret: "elsewhere", Reason: "drill"})
		w.must(err)
		if want := `send a request with "service_principal":"` + other.ApplicationID; reply.Complete || !strings.Contains(reply.Text(), want) {
			t.Errorf("it does not say %q:\n%s", want, reply.Text())
		}
	})
}

// What leaked is the other principal's, and so is what ends.
func TestRepointedAndNamed(t *testing.T) {
	for _, byHash := range []bool{false, true} {
		inWorld(t, func(w *world) {
			m := w.rotated("etl")
			other, theirs := w.elsewhere(m)
			req := revocation.Request{Mode: revocation.Revoke, OAuthSecretID: theirs.ID}
			if byHash {
				req = revocation.Request{Mode: revocation.Revoke, SHA256: secret.New(theirs.Value).SHA256()}
			}
			w.refuse(req, "set include_foreign")
			req.IncludeForeign = true
			reply := w.revoke(req)
			if w.Databricks.Authenticates(other.ApplicationID, theirs.Value) || len(reply.Steps) != 1 {
				t.Errorf("by hash: %v: it is alive:\n%s", byHash, reply.Text())
			}
			if !w.works(m, w.current(m).ClientSecret) {
				t.Error("the one that has the managed secret now was touched")
			}
		})
	}
}

// By its id it is found where no version knows even the principal's id.
func TestNamedOfBare(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true, Bare: true})
		value := w.current(m).ClientSecret
		w.revoke(revocation.Request{Mode: revocation.Replace, OAuthSecretID: w.ids(m)[0], IncludeForeign: true}, m)
		if w.works(m, value) || !w.works(m, w.current(m).ClientSecret) {
			t.Errorf("it works: %v, the new one works: %v", w.works(m, value), w.works(m, w.current(m).ClientSecret))
		}
	})
}

// A managed secret that is held is not released by a request about another.
func TestHeldTwinStaysHeld(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.rotated("etl")
		v, _ := w.AWS.Current(m.Name)
		_, err := w.AWS.CreateSecret("etl-copy", v.Value, map[string]string{
			managedsecret.TagKey: managedsecret.TagValue, managedsecret.HoldKey: managedsecret.Hold{Kind: managedsecret.Revoked, Since: w.Now()}.String(),
		})
		w.must(err)
		leaked := w.current(m).ClientSecret
		w.revoke(revocation.Request{Mode: revocation.Replace, Secret: "etl"}, m)
		if _, held := w.AWS.Tags("etl-copy")[managedsecret.HoldKey]; !held || w.works(m, leaked) {
			t.Errorf("the copy is held: %v, what leaked works: %v", held, w.works(m, leaked))
		}
	})
}

// A copy in another managed secret is not known to the request by name. Its
// readers are not left with what is deleted.
func TestCopyByName(t *testing.T) {
	for _, forget := range []bool{false, true} {
		inWorld(t, func(w *world) {
			m := w.rotated("etl")
			v, _ := w.AWS.Current(m.Name)
			_, err := w.AWS.CreateSecret("etl-copy", v.Value, map[string]string{managedsecret.TagKey: managedsecret.TagValue})
			w.must(err)
			twin := &estatetest.Managed{Name: "etl-copy", ARN: "etl-copy"}
			if forget {
				w.edit(twin, func(value map[string]string) { delete(value, credential.KeyOAuthSecretID) })
			}
			reply := w.revoke(revocation.Request{Mode: revocation.Replace, Secret: "etl"}, m)
			if !w.works(m, w.current(m).ClientSecret) || !w.works(m, w.current(twin).ClientSecret) {
				t.Errorf("readers are left with what was deleted:\n%s", reply.Text())
			}
			if !strings.Contains(strings.Join(reply.Warnings, ""), "etl-copy holds, or may hold, what is to end here") {
				t.Errorf("warnings %q", reply.Warnings)
			}
		})
	}
}

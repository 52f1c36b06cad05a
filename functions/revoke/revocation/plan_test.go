package revocation

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/fingerprint"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/secret"
)

const (
	planARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:etl-a1b2c3"
	hour    = time.Hour
	day     = 24 * hour
)

var planNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func oursAged(id string, age time.Duration) databricks.OAuthSecret {
	created := planNow.Add(-age)
	return databricks.OAuthSecret{ID: id, CreateTime: created, ExpireTime: created.Add(fingerprint.Lifetime(planARN, 90*day))}
}

func theirsAged(id string, age time.Duration) databricks.OAuthSecret {
	created := planNow.Add(-age)
	return databricks.OAuthSecret{ID: id, CreateTime: created, ExpireTime: created.Add(730 * day)}
}

// etl is a managed secret whose current credential "cur" is five days old and
// has a predecessor "pred".
func etl(change ...func(*situation, *managed)) *situation {
	m := &managed{
		secret: managedsecret.Secret{ARN: planARN, Name: "etl", Managed: true, Labels: map[string][]string{"v2": {managedsecret.Current}}},
		current: version{"v2", planNow.Add(-5 * day), credential.Credential{
			ClientID: "c", ClientSecret: secret.New("dose-current"), OAuthSecretID: "cur", IssuedAt: planNow.Add(-5 * day),
			Predecessors: []credential.Predecessor{{OAuthSecretID: "pred"}},
		}},
	}
	m.versions = []version{m.current}
	s := &situation{
		now: planNow, target: &target{clientID: "c", known: true, active: true, secrets: []*managed{m}},
		listed: []databricks.OAuthSecret{oursAged("pred", 35*day), oursAged("cur", 5*day)},
	}
	for _, f := range change {
		f(s, m)
	}
	// What an invocation finds out at its first look.
	s.learn()
	for _, v := range s.values {
		v.refused = v.credential.ClientSecret.Reveal() == "dose-dead"
	}
	s.takeIn()
	return s
}

// stored has a person put a value into the secret, without its OAuth secret's
// id. A trial has refused dose-dead, and no other.
func stored(value string, age time.Duration) func(*situation, *managed) {
	return func(s *situation, m *managed) {
		m.current = version{"v9", planNow.Add(-age), credential.Credential{ClientID: "c", ClientSecret: secret.New(value)}}
		m.secret.Labels = map[string][]string{"v9": {managedsecret.Current}}
	}
}

// only says what is listed.
func only(listed ...databricks.OAuthSecret) func(*situation, *managed) {
	return func(s *situation, _ *managed) { s.listed = listed }
}

// earlier is a version that was current before.
func earlier(id, value, oauthSecretID string, age time.Duration) func(*situation, *managed) {
	return func(_ *situation, m *managed) {
		m.versions = append(m.versions, version{id, planNow.Add(-age), credential.Credential{ClientID: "c", ClientSecret: secret.New(value), OAuthSecretID: oauthSecretID}})
	}
}

// neighbor is a second managed secret of the principal, that is not meant.
func neighbor(value, oauthSecretID string) func(*situation, *managed) {
	return func(s *situation, _ *managed) {
		s.target.others = append(s.target.others, &managed{
			secret: managedsecret.Secret{ARN: planARN + "2", Name: "other"}, current: version{"w1", planNow.Add(-5 * day), credential.Credential{
				ClientID: "c", ClientSecret: secret.New(value), OAuthSecretID: oauthSecretID,
			}},
		})
	}
}

// namedValue is a request by hash.
func namedValue(value, version string) func(*situation, *managed) {
	return func(s *situation, m *managed) {
		s.target.leak = &leak{arn: m.secret.ARN, versionID: version, value: secret.New(value)}
	}
}

// namedID is a request by id.
func namedID(id string) func(*situation, *managed) {
	return func(s *situation, _ *managed) { s.req.OAuthSecretID, s.target.leak = id, &leak{id: id} }
}

func heldSince(kind managedsecret.HoldKind, age time.Duration) func(*situation, *managed) {
	return func(_ *situation, m *managed) {
		m.secret.Hold = &managedsecret.Hold{Kind: kind, Since: planNow.Add(-age)}
	}
}

func lists(more ...databricks.OAuthSecret) func(*situation, *managed) {
	return func(s *situation, _ *managed) { s.listed = append(s.listed, more...) }
}

func without(id string) func(*situation, *managed) {
	return func(s *situation, _ *managed) {
		s.listed = slices.DeleteFunc(s.listed, func(o databricks.OAuthSecret) bool { return o.ID == id })
	}
}

func onHold(kind managedsecret.HoldKind) func(*situation, *managed) {
	return func(_ *situation, m *managed) { m.secret.Hold = &managedsecret.Hold{Kind: kind} }
}

func named(id, version string) func(*situation, *managed) {
	return func(s *situation, m *managed) { s.target.leak = &leak{id: id, arn: m.secret.ARN, versionID: version} }
}

func switchedOff(s *situation, _ *managed) { s.target.active = false }

func pendingOne(id string) func(*situation, *managed) {
	return func(_ *situation, m *managed) {
		m.secret.Labels["v3"] = []string{managedsecret.Pending}
		m.versions = append(m.versions, version{"v3", planNow, credential.Credential{ClientID: "c", OAuthSecretID: id}})
	}
}

func withForeign(s *situation, _ *managed) { s.req.IncludeForeign = true }

// begun is the second round: "new" was issued, and what was there is gone.
func begun(gone ...string) func(*situation, *managed) {
	return func(s *situation, m *managed) {
		s.issued, s.gone, s.suspects = map[string]string{planARN: "new"}, map[string]bool{}, map[string]bool{"cur": true, "pred": true}
		for _, id := range gone {
			s.gone[id] = true
		}
		s.listed = append(s.listed, oursAged("new", 0))
		m.current = version{"v4", planNow, credential.Credential{ClientID: "c", ClientSecret: secret.New("dose-new"), OAuthSecretID: "new", IssuedAt: planNow}}
	}
}

// later is when what was issued is of some age.
func later(age time.Duration) func(*situation, *managed) {
	return func(s *situation, _ *managed) {
		for i := range s.listed {
			if s.listed[i].ID == "new" {
				s.listed[i] = oursAged("new", age)
			}
		}
	}
}

// other is a second managed secret of the principal, that is not meant.
func other(id string) func(*situation, *managed) {
	return func(s *situation, _ *managed) {
		m := &managed{secret: managedsecret.Secret{ARN: planARN + "2", Name: "other"}, current: version{id: "w1", credential: credential.Credential{
			ClientID: "c", ClientSecret: secret.New("dose-other"), OAuthSecretID: id,
		}}}
		s.target.others = append(s.target.others, m)
		s.listed = append(s.listed, theirsAged(id, day))
	}
}

// TestPlanTable is the truth table of a revocation.
func TestPlanTable(t *testing.T) {
	tests := []struct {
		name string
		mode Mode
		s    *situation
		want []string
	}{
		{"replace", Replace, etl(), []string{"replace", "delete cur", "delete pred"}},
		{"replace, the younger first", Replace, etl(lists(oursAged("old", 60*day))), []string{"replace", "delete cur", "delete pred", "delete old"}},
		{"replace, and what was pending shows only then", Replace, etl(lists(oursAged("old", time.Minute)), begun("cur", "pred"), pendingOne("old")), []string{"replace", "delete old"}},
		{"replace, and a rotation of the new one begins", Replace, etl(begun("cur", "pred"), later(time.Minute), lists(oursAged("next", 0)), pendingOne("next")), nil},
		{"replace leaves what is somebody else's", Replace, etl(lists(theirsAged("f", day))), []string{"replace", "delete cur", "delete pred"}},
		{"replace, with what is somebody else's", Replace, etl(lists(theirsAged("f", day)), withForeign), []string{"replace", "delete cur", "delete pred", "delete f after etl"}},
		{"replace never takes another managed secret's", Replace, etl(other("o"), withForeign), []string{"replace", "delete cur", "delete pred"}},
		{"replace, with an orphan", Replace, etl(lists(oursAged("orphan", hour))), []string{"replace", "delete cur", "delete orphan", "delete pred"}},
		{"replace, and a run has one in hand", Replace, etl(lists(oursAged("young", time.Minute))), []string{"replace", "delete cur", "delete pred"}},
		{"replace, during a rotation by protocol", Replace, etl(lists(oursAged("pend", time.Minute)), pendingOne("pend")), []string{"replace", "delete cur", "delete pend", "delete pred"}},
		{"replace, during one that takes long", Replace, etl(lists(oursAged("pend", 2*hour)), pendingOne("pend")), []string{"replace", "delete cur", "delete pend", "delete pred"}},
		{"replace the pending one that is named", Replace, etl(lists(oursAged("pend", time.Minute)), pendingOne("pend"), named("pend", "v3")), []string{"replace", "delete pend", "delete cur", "delete pred"}},
		{"replace an earlier one that is named, during one that takes long", Replace, etl(lists(oursAged("pend", 2*hour)), pendingOne("pend"), named("pred", "v1")), []string{"replace", "delete pred", "delete cur", "delete pend"}},
		{"replace an earlier one that is named, on which a rotation left its label", Replace, etl(func(_ *situation, m *managed) {
			m.secret.Labels["v1"] = []string{managedsecret.Previous, managedsecret.Pending}
		}, earlier("v1", "dose-earlier", "pred", 35*day), named("pred", "v1")), []string{"delete pred"}},
		{"the same, of a version that is named by nothing else", Replace, etl(func(_ *situation, m *managed) {
			m.secret.Labels["v1"] = []string{managedsecret.Previous, managedsecret.Pending}
		}, earlier("v1", "dose-earlier", "older", 2*hour), lists(oursAged("older", 2*hour)), named("older", "v1")), []string{"delete older", "delete pred"}},
		{"replace the pending one that is named, of a rotation that was given up", Replace, etl(lists(oursAged("pend", 26*hour)), func(_ *situation, m *managed) {
			m.secret.Labels["v3"] = []string{managedsecret.Pending}
		}, earlier("v3", "dose-pending", "pend", 26*hour), named("pend", "v3")), []string{"delete pend", "delete pred"}},
		{"replace a dead one that another managed secret holds: the list may lag", Replace, etl(without("cur"), neighbor("dose-current", "cur")), []string{"replace", "delete pred"}},
		{"replace a dead one that another managed secret held, which is held itself", Replace, etl(without("cur"), neighbor("dose-current", "cur"), func(s *situation, _ *managed) {
			s.target.others[0].secret.Hold = &managedsecret.Hold{Kind: managedsecret.Revoked}
		}), []string{"replace", "delete pred", "delete cur"}},
		{"replace, and a version that is new is another principal's", Replace, etl(func(_ *situation, m *managed) {
			m.versions = append(m.versions, version{"v1", planNow, credential.Credential{ClientID: "another", ClientSecret: secret.New("dose-new"), OAuthSecretID: "p1", IssuedAt: planNow.Add(-time.Minute)}})
		}), []string{"replace", "delete cur", "delete pred"}},
		{"replace, and the pending one is not listed yet", Replace, etl(pendingOne("pend")), []string{"replace", "delete cur", "delete pred", "delete pend"}},
		{"replace, and an earlier one that is new is not listed yet", Replace, etl(func(_ *situation, m *managed) {
			m.versions = append(m.versions, version{"v1", planNow, credential.Credential{ClientID: "c", ClientSecret: secret.New("dose-new"), OAuthSecretID: "p1", IssuedAt: planNow.Add(-time.Minute)}})
		}), []string{"replace", "delete cur", "delete pred", "delete p1"}},
		{"replace a dead one: the list may lag", Replace, etl(without("cur")), []string{"replace", "delete pred", "delete cur"}},
		{"replace an expired one", Replace, etl(without("cur"), lists(func() databricks.OAuthSecret {
			o := oursAged("cur", 5*day)
			o.ExpireTime = planNow
			return o
		}())), []string{"replace", "delete pred"}},
		{"replace ends a revocation", Replace, etl(without("cur"), without("pred"), onHold(managedsecret.Revoked)), []string{"release etl", "replace"}},
		{"replace the one named, which is current", Replace, etl(named("cur", "v2")), []string{"replace", "delete cur", "delete pred"}},
		{"replace the one named, which is not", Replace, etl(named("pred", "v1")), []string{"delete pred"}},
		{"replace the one named, and the others with it", Replace, etl(named("pred", "v1"), lists(oursAged("old", 60*day))), []string{"delete pred", "delete old"}},
		{"replace the one named, which is gone: an attempt that died had begun with it", Replace, etl(named("pred", "v1"), without("pred"), lists(oursAged("old", 60*day))), []string{"delete old"}},
		{"replace, once more after it", Replace, etl(begun("cur", "pred")), nil},
		{"replace, and one was overlooked", Replace, etl(begun("cur")), []string{"delete pred"}},
		{"replace, and another run was busy", Replace, etl(begun("cur", "pred"), lists(oursAged("young", time.Second))), nil},

		{"revoke", Revoke, etl(), []string{"hold etl", "delete cur", "delete pred"}},
		{"revoke, with what a run has in hand", Revoke, etl(lists(oursAged("young", time.Minute))), []string{"hold etl", "delete cur", "delete young", "delete pred"}},
		{"revoke under a list that lags: what readers hold goes all the same", Revoke, etl(without("cur"), without("pred")), []string{"hold etl", "delete cur"}},
		{"revoke what is revoked", Revoke, etl(without("cur"), without("pred"), onHold(managedsecret.Revoked)), nil},
		{"revoke continues", Revoke, etl(without("cur"), onHold(managedsecret.Revoked)), []string{"delete pred"}},
		{"revoke what is locked out", Revoke, etl(without("cur"), without("pred"), onHold(managedsecret.LockedOut)), nil},
		{"revoke the one named, which is current", Revoke, etl(named("cur", "v2")), []string{"hold etl", "delete cur", "delete pred"}},
		{"revoke the pending one that is named", Revoke, etl(lists(oursAged("pend", time.Minute)), pendingOne("pend"), named("pend", "v3")), []string{"hold etl", "delete pend", "delete cur", "delete pred"}},
		{"revoke the one named, which is not", Revoke, etl(named("pred", "v1")), []string{"delete pred"}},
		{"revoke the one named, which is gone", Revoke, etl(named("pred", "v1"), without("pred")), nil},
		{"revoke the one named continues", Revoke, etl(named("cur", "v2"), without("cur"), onHold(managedsecret.Revoked)), []string{"delete pred"}},
		{"revoke a named one of somebody else", Revoke, etl(named("f", ""), lists(theirsAged("f", day)), withForeign), []string{"delete f"}},
		{"revoke an unmanaged principal", Revoke, etl(withForeign, func(s *situation, _ *managed) { s.target.secrets = nil }), []string{"delete cur", "delete pred"}},

		{"lockout", Lockout, etl(), []string{"switch off", "hold etl", "delete cur", "delete pred"}},
		{"lockout of what is revoked", Lockout, etl(without("cur"), without("pred"), onHold(managedsecret.Revoked)), []string{"switch off", "hold etl"}},
		{"lockout of what is switched off", Lockout, etl(switchedOff), []string{"hold etl", "delete cur", "delete pred"}},
		{"lockout again", Lockout, etl(switchedOff, without("cur"), without("pred"), onHold(managedsecret.LockedOut)), nil},
		{"lockout by one that is not current", Lockout, etl(named("pred", "v1")), []string{"switch off", "hold etl", "delete pred", "delete cur"}},
		{"lockout leaves what cannot be used", Lockout, etl(lists(theirsAged("f", day))), []string{"switch off", "hold etl", "delete cur", "delete pred"}},

		{"release", Release, etl(switchedOff, without("cur"), without("pred"), onHold(managedsecret.LockedOut)), []string{"switch on", "release etl", "replace"}},
		{"release lets nothing come back", Release, etl(switchedOff, onHold(managedsecret.LockedOut)), []string{"delete cur", "delete pred", "switch on", "release etl", "replace"}},
		{"release of a revocation", Release, etl(without("cur"), without("pred"), onHold(managedsecret.Revoked)), []string{"release etl", "replace"}},
		{"release of nothing", Release, etl(), nil},
		// A value that a person stored, without its OAuth secret's id.
		{"by hand: that only one is there proves nothing", Replace, etl(stored("dose-hand", day), only(theirsAged("h", 2*day))), []string{"replace"}},
		{"by hand, and what may be it may go", Replace, etl(stored("dose-hand", day), only(theirsAged("h", 2*day)), withForeign), []string{"replace", "delete h after etl"}},
		{"by hand, one of two", Replace, etl(stored("dose-hand", day), only(theirsAged("h", 2*day), theirsAged("f", 3*day))), []string{"replace"}},
		{"by hand, one of two, and both may go", Replace, etl(stored("dose-hand", day), only(theirsAged("h", 2*day), theirsAged("f", 3*day)), withForeign), []string{"replace", "delete h after etl", "delete f after etl"}},
		{"by hand, dead: the one there is somebody else's", Replace, etl(stored("dose-dead", day), only(theirsAged("f", 2*day))), []string{"replace"}},
		{"by hand, one of ours by its lifetime", Replace, etl(stored("dose-hand", day), only(theirsAged("f", 3*day), oursAged("o", 2*day))), []string{"replace", "delete o after etl"}},
		{"by hand, and an earlier version has its id", Replace, etl(stored("dose-current", day), lists(theirsAged("f", 6*day))), []string{"replace", "delete cur", "delete pred"}},
		{"by hand, with the id of the one before left there", Replace, etl(stored("dose-hand", day), lists(theirsAged("h", 2*day), theirsAged("f", 2*day)), func(_ *situation, m *managed) {
			m.current.credential.OAuthSecretID = "cur"
		}), []string{"replace", "delete cur", "delete pred after etl"}},
		{"by hand, and one of two named: it may be current", Replace, etl(stored("dose-hand", day), only(theirsAged("h", 2*day), theirsAged("f", 3*day)), namedID("f"), withForeign), []string{"replace", "delete f after etl"}},
		{"by hand, and one named that cannot be current", Replace, etl(stored("dose-hand", day), only(theirsAged("h", 2*day), theirsAged("f", 3*day), theirsAged("x", hour)), namedID("x"), withForeign), []string{"delete x"}},
		{"by hand, an earlier version", Replace, etl(earlier("v1", "dose-hand", "", 60*day), lists(theirsAged("h", 70*day)), withForeign), []string{"replace", "delete cur", "delete pred", "delete h after etl"}},
		{"by hand, an earlier version, one of two", Replace, etl(earlier("v1", "dose-hand", "", 60*day), lists(theirsAged("h", 70*day), theirsAged("f", 70*day))), []string{"replace", "delete cur", "delete pred"}},
		{
			"by hand, full: nothing that may be current makes room", Replace,
			etl(stored("dose-hand", day), only(theirsAged("a", 2*day), theirsAged("b", 2*day), theirsAged("c", 2*day), theirsAged("d", 2*day), theirsAged("e", 2*day)), withForeign),
			[]string{"replace", "delete a after etl", "delete b after etl", "delete c after etl", "delete d after etl", "delete e after etl"},
		},
		{"by hand, revoked", Revoke, etl(stored("dose-hand", day), only(theirsAged("h", 2*day))), []string{"hold etl"}},
		{"by hand, revoked, one of two", Revoke, etl(stored("dose-hand", day), only(theirsAged("h", 2*day), theirsAged("f", 3*day))), []string{"hold etl"}},
		{"by hand, revoked, and both may go", Revoke, etl(stored("dose-hand", day), only(theirsAged("h", 2*day), theirsAged("f", 3*day)), withForeign), []string{"hold etl", "delete h", "delete f"}},
		{"by hand, revoked, and one of two named: it may be current", Revoke, etl(stored("dose-hand", day), only(theirsAged("h", 2*day), theirsAged("f", 3*day)), namedID("f"), withForeign), []string{"hold etl", "delete f"}},
		{"by hand, revoked by hash", Revoke, etl(stored("dose-hand", day), only(theirsAged("h", 2*day), theirsAged("f", 3*day)), namedValue("dose-hand", "v9")), []string{"hold etl"}},
		{"by hand, revoked by hash, each that it may be", Revoke, etl(stored("dose-hand", day), only(theirsAged("h", 2*day), theirsAged("f", hour), theirsAged("g", 3*day)), namedValue("dose-hand", "v9"), withForeign), []string{"hold etl", "delete h", "delete g"}},
		{"by hand, an earlier version revoked by hash, each that it may be", Revoke, etl(earlier("v1", "dose-hand", "", 60*day), lists(theirsAged("h", 70*day), theirsAged("g", 70*day), theirsAged("f", day)), namedValue("dose-hand", "v1"), withForeign), []string{"delete h", "delete g"}},
		{"by hand, locked out", Lockout, etl(stored("dose-hand", day), only(theirsAged("h", 2*day), theirsAged("f", 3*day))), []string{"switch off", "hold etl"}},
		{"by hand, released, each that it may be", Release, etl(stored("dose-hand", day), only(theirsAged("h", 2*day), theirsAged("f", hour)), heldSince(managedsecret.LockedOut, hour), switchedOff, withForeign), []string{"delete h", "switch on", "release etl", "replace"}},
		{"by hand, released, and dead", Release, etl(stored("dose-dead", day), only(theirsAged("f", 2*day)), heldSince(managedsecret.Revoked, hour)), []string{"release etl", "replace"}},
		{"by hand, stored to mend things, released", Release, etl(stored("dose-hand", time.Minute), only(theirsAged("h", 2*hour), theirsAged("f", 2*hour)), heldSince(managedsecret.Revoked, hour)), []string{"release etl", "replace"}},
		{"by hand, stored under a hold, and revoked too", Revoke, etl(stored("dose-hand", time.Minute), only(theirsAged("h", 2*hour)), heldSince(managedsecret.Revoked, hour)), []string{"hold etl"}},
		{"by hand, stored before the hold, and revoked again", Revoke, etl(stored("dose-hand", 2*hour), only(theirsAged("h", 3*hour)), heldSince(managedsecret.Revoked, hour)), nil},
		{"by hand, refused, and not held any more", Release, etl(stored("dose-dead", day), only()), []string{"release etl", "replace"}},

		// Two managed secrets of one principal.
		{"the other's value has no id: nothing that it may be goes", Replace, etl(neighbor("dose-other", ""), earlier("v1", "dose-pred", "pred", 35*day), lists(theirsAged("f", 6*day), theirsAged("young", day)), withForeign), []string{"replace", "delete cur", "delete pred", "delete young after etl"}},
		{"the other holds the same: it is replaced too", Replace, etl(neighbor("dose-current", "")), []string{"replace", "replace", "delete cur", "delete pred"}},
		{"the other holds an earlier one: it is replaced too", Replace, etl(neighbor("dose-pred", "pred")), []string{"replace", "replace", "delete cur", "delete pred"}},
		{"the other holds the same: it is held too", Revoke, etl(neighbor("dose-current", "cur")), []string{"hold etl", "hold other", "delete cur", "delete pred"}},
		{"the other holds an earlier one, and another is named", Replace, etl(neighbor("dose-pred", "pred"), lists(oursAged("old", 60*day)), namedID("old")), []string{"delete old"}},
		{"the other may hold the one named", Replace, etl(neighbor("dose-other", ""), only(theirsAged("f", 6*day), theirsAged("g", 6*day)), without("cur"), namedID("f"), withForeign, func(s *situation, m *managed) {
			s.target.secrets, s.target.others = nil, append(s.target.others, m)
		}), []string{"replace", "delete f after other"}},

		{"release continues", Release, etl(without("cur"), without("pred")), []string{"release etl", "replace"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.s.req.Mode = test.mode
			steps, err := test.s.plan()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range steps {
				text := string(p.action)
				switch {
				case p.id != "":
					text += " " + p.id
					if p.kind != kindCurrent && p.kind != kindPredecessor && p.kind != kindPending {
						for _, m := range p.after {
							text += " after " + m.secret.Name
						}
					}
				case p.action == Hold || p.action == Unhold:
					text += " " + p.m.secret.Name
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What is not listed is deleted by a replacement once there is another, and what
// this invocation has issued is not, listed or not.
func TestUnlisted(t *testing.T) {
	s := etl(pendingOne("pend"))
	s.req.Mode = Replace
	steps, err := s.plan()
	if err != nil {
		t.Fatal(err)
	}
	if last := steps[len(steps)-1]; last.id != "pend" || len(last.after) != 1 || last.after[0] != s.target.secrets[0] {
		t.Errorf("the last step is %+v", last)
	}
	m := s.target.secrets[0]
	s.issued = map[string]string{planARN: "cur"}
	s.listed = nil
	if got := s.unlisted(m); len(got) != 1 || got[0].id != "pend" {
		t.Errorf("it deletes %+v", got)
	}
	// Under a hold what was there before it has been deleted.
	s.issued, m.secret.Hold = nil, &managedsecret.Hold{Kind: managedsecret.Revoked, Since: planNow}
	if got := s.unlisted(m); len(got) != 1 || got[0].id != "pend" {
		t.Errorf("under a hold it deletes %+v", got)
	}
}

// What another run may be about to make current, or has a rotation by Secrets
// Manager make, is not deleted to make room for a replacement.
func TestSacrifices(t *testing.T) {
	for name, test := range map[string]struct {
		s    *situation
		want []string
	}{
		"a run has one in hand":         {etl(lists(oursAged("young", time.Minute))), []string{"pred"}},
		"a run that died has left one":  {etl(lists(oursAged("orphan", hour))), []string{"orphan", "pred"}},
		"a rotation by Secrets Manager": {etl(lists(oursAged("pend", 2*hour)), pendingOne("pend")), []string{"pred"}},
		"somebody else's":               {etl(lists(theirsAged("f", day))), []string{"pred"}},
		"somebody else's, and all":      {etl(lists(theirsAged("f", day)), withForeign), []string{"pred", "f"}},
	} {
		t.Run(name, func(t *testing.T) {
			test.s.req.Mode = Replace
			steps, err := test.s.plan()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, steps[0].sacrifice); diff != "" || steps[0].action != Issue {
				t.Errorf("%s may sacrifice (-want +got):\n%s", steps[0].action, diff)
			}
		})
	}
}

func TestPlanRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		mode Mode
		s    *situation
		want string
	}{
		"replace what is locked out":            {Replace, etl(onHold(managedsecret.LockedOut)), "etl is locked out: release it first"},
		"release what somebody else turned off": {Release, etl(switchedOff), "somebody else did that"},
		"delete a colleague's":                  {Revoke, etl(named("f", ""), lists(theirsAged("f", day))), "is somebody else's: set include_foreign"},
		"a value of unknown id":                 {Revoke, etl(earlier("v0", "dose-hand", "", 9*day), lists(theirsAged("f", 9*day), theirsAged("g", 9*day)), namedValue("dose-hand", "v0")), "was not recorded: use lockout"},
		"one of two that may be current":        {Revoke, etl(stored("dose-hand", day), only(theirsAged("h", 2*day), theirsAged("f", 3*day)), namedID("f")), "may be what somebody stored by hand in etl"},
		"release what may be alive":             {Release, etl(stored("dose-hand", day), only(theirsAged("h", 2*day)), heldSince(managedsecret.LockedOut, hour), switchedOff), "it would be alive again if it is OAuth secret h"},
	} {
		t.Run(name, func(t *testing.T) {
			test.s.req.Mode = test.mode
			_, err := test.s.plan()
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v does not say %q", err, test.want)
			}
		})
	}
}

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
	return s
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
		m.versions = append(m.versions, version{"v3", planNow, credential.Credential{OAuthSecretID: id}})
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
		m.current = version{"v4", planNow, credential.Credential{ClientSecret: secret.New("dose-new"), OAuthSecretID: "new", IssuedAt: planNow}}
	}
}

// other is a second managed secret of the principal, that is not meant.
func other(id string) func(*situation, *managed) {
	return func(s *situation, _ *managed) {
		m := &managed{secret: managedsecret.Secret{ARN: planARN + "2", Name: "other"}, current: version{id: "w1", credential: credential.Credential{
			ClientSecret: secret.New("dose-other"), OAuthSecretID: id,
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
		{"replace leaves what is somebody else's", Replace, etl(lists(theirsAged("f", day))), []string{"replace", "delete cur", "delete pred"}},
		{"replace, with what is somebody else's", Replace, etl(lists(theirsAged("f", day)), withForeign), []string{"replace", "delete cur", "delete pred", "delete f"}},
		{"replace never takes another managed secret's", Replace, etl(other("o"), withForeign), []string{"replace", "delete cur", "delete pred"}},
		{"replace, with an orphan", Replace, etl(lists(oursAged("orphan", hour))), []string{"replace", "delete cur", "delete orphan", "delete pred"}},
		{"replace, and a run has one in hand", Replace, etl(lists(oursAged("young", time.Minute))), []string{"replace", "delete cur", "delete pred"}},
		{"replace, during a rotation by protocol", Replace, etl(lists(oursAged("pend", time.Minute)), pendingOne("pend")), []string{"replace", "delete cur", "delete pend", "delete pred"}},
		{"replace a dead one", Replace, etl(without("cur")), []string{"replace", "delete pred"}},
		{"replace an expired one", Replace, etl(without("cur"), lists(func() databricks.OAuthSecret {
			o := oursAged("cur", 5*day)
			o.ExpireTime = planNow
			return o
		}())), []string{"replace", "delete pred"}},
		{"replace ends a revocation", Replace, etl(without("cur"), without("pred"), onHold(managedsecret.Revoked)), []string{"release etl", "replace"}},
		{"replace the one named, which is current", Replace, etl(named("cur", "v2")), []string{"replace", "delete cur", "delete pred"}},
		{"replace the one named, which is not", Replace, etl(named("pred", "v1")), []string{"delete pred"}},
		{"replace the one named, and the others with it", Replace, etl(named("pred", "v1"), lists(oursAged("old", 60*day))), []string{"delete pred", "delete old"}},
		{"replace the one named, which is gone", Replace, etl(named("pred", "v1"), without("pred"), lists(oursAged("old", 60*day))), nil},
		{"replace a current one that nobody recorded", Replace, etl(without("pred"), func(s *situation, m *managed) {
			m.current.credential.OAuthSecretID, s.listed = "", []databricks.OAuthSecret{theirsAged("hand", day)}
		}), []string{"replace", "delete hand"}},
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

func TestPlanRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		mode Mode
		s    *situation
		want string
	}{
		"replace what is locked out":            {Replace, etl(onHold(managedsecret.LockedOut)), "etl is locked out: release it first"},
		"release what somebody else turned off": {Release, etl(switchedOff), "somebody else did that"},
		"delete a colleague's":                  {Revoke, etl(named("f", ""), lists(theirsAged("f", day))), "is somebody else's: set include_foreign"},
		"a value of unknown id":                 {Revoke, etl(named("", "v0")), "was not recorded: use lockout"},
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

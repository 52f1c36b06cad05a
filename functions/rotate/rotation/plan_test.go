package rotation_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/secret"
)

const (
	// The policy of the tests knows these two.
	exclusiveID = "eeeeeeee-eeee-eeee-eeee-eeeeeeeeeeee"
	analystID   = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"

	testARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/etl-a1b2c3"
	hour    = time.Hour
	day     = 24 * time.Hour
)

var (
	testNow    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	testPolicy = policy.Policy{
		Interval: 30 * day, Grace: 1 * day, Lifetime: 90 * day,
		Roles:      map[string]policy.Role{"analyst": {Scopes: []string{"sql", "files"}}},
		Principals: []policy.Principal{{ClientID: exclusiveID, Exclusive: true}, {ClientID: analystID, Role: "analyst"}},
	}
	// sweptID is what a version looks like that a sweep made current.
	sweptID = rotation.SuccessorID(testARN, "before", 0)
)

// ago is a moment before the test's now.
func ago(d time.Duration) time.Time { return testNow.Add(-d) }

// ours is an OAuth secret that carries the fingerprint of the test's secret.
func ours(id string, age time.Duration, scopes ...string) databricks.OAuthSecret {
	created := ago(age)
	return databricks.OAuthSecret{
		ID: id, CreateTime: created, ExpireTime: created.Add(rotation.Fingerprint(testARN, testPolicy.Lifetime)), Scopes: scopes,
	}
}

// theirs is one that somebody made in the console.
func theirs(id string, age time.Duration) databricks.OAuthSecret {
	created := ago(age)
	return databricks.OAuthSecret{ID: id, CreateTime: created, ExpireTime: created.Add(730 * day)}
}

// observed is a healthy secret whose current credential "cur" has a given
// age: the point from which each case departs.
func observed(age time.Duration, change ...func(*rotation.Observation)) rotation.Observation {
	cur := ours("cur", age)
	o := rotation.Observation{
		Now: testNow,
		Secret: managedsecret.Secret{
			ARN: testARN, Name: "prod/etl", Managed: true, LastChanged: ago(age),
			Labels: map[string][]string{sweptID: {managedsecret.Current}},
		},
		Current: rotation.Version{ID: sweptID, CreatedAt: ago(age), Credential: credential.Credential{
			Host: "https://dbc-1.cloud.databricks.com", ClientID: "11111111-1111-1111-1111-111111111111",
			ClientSecret: secret.New("dose-current"), ServicePrincipalID: "4711", OAuthSecretID: "cur",
			Scopes: []string{credential.AllAPIs}, IssuedAt: cur.CreateTime, ExpiresAt: cur.ExpireTime,
		}},
		Listed: []databricks.OAuthSecret{cur},
	}
	for _, f := range change {
		f(&o)
	}
	return o
}

func list(more ...databricks.OAuthSecret) func(*rotation.Observation) {
	return func(o *rotation.Observation) { o.Listed = append(o.Listed, more...) }
}

// unlisted takes the current secret out of Databricks' list.
func unlisted(o *rotation.Observation) {
	o.Listed = slices.DeleteFunc(o.Listed, func(s databricks.OAuthSecret) bool { return s.ID == "cur" })
}

func predecessor(id string, superseded time.Time) func(*rotation.Observation) {
	return func(o *rotation.Observation) {
		o.Current.Credential.Predecessors = append(o.Current.Credential.Predecessors,
			credential.Predecessor{OAuthSecretID: id, SupersededAt: superseded})
	}
}

func pendingSince(token string, age time.Duration) func(*rotation.Observation) {
	return func(o *rotation.Observation) {
		o.Secret.Labels[token] = []string{managedsecret.Pending}
		o.Versions = append(o.Versions, managedsecret.Version{ID: token, CreatedAt: ago(age)})
		if o.Recorded == nil {
			o.Recorded = map[string]string{}
		}
	}
}

func recorded(pairs ...string) func(*rotation.Observation) {
	return func(o *rotation.Observation) {
		if o.Recorded == nil {
			o.Recorded = map[string]string{}
		}
		for i := 0; i < len(pairs); i += 2 {
			o.Recorded[pairs[i]] = pairs[i+1]
		}
	}
}

// oldVersion has a version of long ago record an OAuth secret.
func oldVersion(id string) func(*rotation.Observation) {
	return func(o *rotation.Observation) {
		recorded(id, "old")(o)
		o.Versions = append(o.Versions, managedsecret.Version{ID: "old", CreatedAt: ago(60 * day)})
	}
}

func tried(works bool) func(*rotation.Observation) {
	return func(o *rotation.Observation) { o.Tried, o.Authenticates = true, works }
}

func principal(active bool) func(*rotation.Observation) {
	return func(o *rotation.Observation) {
		o.Principal = &databricks.ServicePrincipal{ID: "4711", ApplicationID: o.Current.Credential.ClientID, Active: active}
	}
}

func change(f func(*credential.Credential)) func(*rotation.Observation) {
	return func(o *rotation.Observation) { f(&o.Current.Credential) }
}

// misnamed is a current value without its id, or with that of another one; "cur"
// is the id that another version has beside it.
func misnamed(o *rotation.Observation) {
	o.Misnamed, o.Current.Credential.IssuedAt = true, time.Time{}
}

func force(o *rotation.Observation) { o.Force = true }

func check(o *rotation.Observation) { o.Check = true }

func withhold(o *rotation.Observation) { o.Withhold = true }

// exclusive is a principal that the policy declares ours, in a run that has
// seen no other managed secret of it.
func exclusive(o *rotation.Observation) { o.Current.Credential.ClientID, o.Alone = exclusiveID, true }

func held(kind managedsecret.HoldKind) func(*rotation.Observation) {
	return func(o *rotation.Observation) { o.Secret.Hold = &managedsecret.Hold{Kind: kind, Since: ago(hour)} }
}

// surveyed has other managed secrets name OAuth secrets.
func surveyed(ids ...string) func(*rotation.Observation) {
	return func(o *rotation.Observation) {
		o.Claims = map[string]string{}
		for _, id := range ids {
			o.Claims[id] = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:other"
		}
	}
}

// replacing is what a revocation has asked for.
func replacing(o *rotation.Observation) { o.Replacing = true }

// doubtful is what other managed secrets, or the directory, could not be asked for.
func doubtful(o *rotation.Observation) { o.Doubt = "no reply" }

// decision is a plan without its prose.
type decision struct {
	Needs   []rotation.Need
	Clear   string
	Retire  []string
	Issue   rotation.Reason
	Block   rotation.BlockKind
	Foreign []string
	// Withheld are removals that the budget forbids.
	Withheld []string
}

func decide(o rotation.Observation) decision {
	p := rotation.MakePlan(testPolicy, o)
	d := decision{Needs: p.Needs, Clear: p.Clear, Foreign: p.Foreign}
	for _, r := range p.Retire {
		d.Retire = append(d.Retire, r.ID)
	}
	for _, r := range p.Withheld {
		d.Withheld = append(d.Withheld, r.ID)
	}
	if p.Issue != nil {
		d.Issue = p.Issue.Reason
	}
	if p.Block != nil {
		d.Block = p.Block.Kind
	}
	return d
}

const (
	needTrial     = rotation.NeedTrial
	needPrincipal = rotation.NeedPrincipal
	needVersions  = rotation.NeedVersions
	needClaims    = rotation.NeedClaims
)

func needs(n ...rotation.Need) decision { return decision{Needs: n} }

// TestPlan is the truth table of the plan: what is observed, what is decided.
func TestPlan(t *testing.T) {
	token := strings.Repeat("t", 36)
	unissued := change(func(c *credential.Credential) {
		c.ClientSecret, c.OAuthSecretID = secret.Text{}, ""
		c.IssuedAt, c.ExpiresAt = time.Time{}, time.Time{}
	})
	unidentified := change(func(c *credential.Credential) {
		c.OAuthSecretID, c.Scopes = "", nil
		c.IssuedAt, c.ExpiresAt = time.Time{}, time.Time{}
	})

	tests := []struct {
		name string
		o    rotation.Observation
		want decision
	}{
		// Age.
		{"young: nothing to do", observed(5 * day), decision{}},
		{"one second short of the interval", observed(30*day - time.Second), decision{}},
		{"at the interval", observed(30 * day), decision{Issue: rotation.Due}},
		{"the list's age counts, not the value's", observed(40*day, change(func(c *credential.Credential) { c.IssuedAt = ago(day) })), decision{Issue: rotation.Due}},
		{"asked for", observed(5*day, force), decision{Issue: rotation.Forced}},
		{"about to expire", observed(5*day, func(o *rotation.Observation) { o.Listed[0].ExpireTime = testNow.Add(2*day - 1) }), decision{Issue: rotation.Expiring}},
		{"just far enough from expiry", observed(5*day, func(o *rotation.Observation) { o.Listed[0].ExpireTime = testNow.Add(2 * day) }), decision{}},
		{"never expires", observed(5*day, func(o *rotation.Observation) { o.Listed[0].ExpireTime = time.Time{} }), decision{}},

		// Revoked or locked out: nothing is issued whatever the state.
		{"revoked", observed(5*day, unlisted, held(managedsecret.Revoked)), decision{Block: rotation.Revoked}},
		{"revoked and due", observed(40*day, unlisted, held(managedsecret.Revoked)), decision{Block: rotation.Revoked}},
		{"revoked and dead", observed(5*day, unlisted, tried(false), principal(true), held(managedsecret.Revoked)), decision{Block: rotation.Revoked}},
		{"revoked and asked for", observed(5*day, unlisted, force, held(managedsecret.Revoked)), decision{Block: rotation.Revoked}},
		{"revoked before the first issue", observed(0, unissued, unlisted, principal(true), held(managedsecret.Revoked)), decision{Block: rotation.Revoked}},
		{"locked out", observed(5*day, unlisted, held(managedsecret.LockedOut)), decision{Block: rotation.LockedOut}},
		{"locked out and switched off", observed(40*day, unlisted, tried(false), principal(false), held(managedsecret.LockedOut)), decision{Block: rotation.LockedOut}},
		{"locked out, during a rotation by protocol", observed(5*day, unlisted, pendingSince(token, hour), held(managedsecret.LockedOut)), decision{Block: rotation.LockedOut}},
		{"revoked, and a run had one in hand: another managed secret may have it", observed(5*day, unlisted, list(ours("o1", 30*time.Minute)), held(managedsecret.Revoked)), needs(needClaims)},
		{"revoked, and a run had one in hand", observed(5*day, unlisted, list(ours("o1", 30*time.Minute)), held(managedsecret.Revoked), surveyed()), decision{Retire: []string{"o1"}, Block: rotation.Revoked}},
		{"revoked, and what is ours lives on", observed(5*day, list(ours("p1", 6*day)), predecessor("p1", ago(5*day)), held(managedsecret.Revoked), surveyed()), decision{Retire: []string{"cur", "p1"}, Block: rotation.Revoked}},
		{"revoked, and whether another one has what is ours could not be looked up", observed(5*day, held(managedsecret.Revoked), doubtful), decision{Block: rotation.Revoked}},
		{"revoked, in a replacement", observed(5*day, held(managedsecret.Revoked), surveyed(), replacing), decision{Block: rotation.Revoked}},
		{"revoked, and another managed secret has what is ours", observed(5*day, list(ours("p1", 6*day)), held(managedsecret.Revoked), surveyed("cur")), decision{Retire: []string{"p1"}, Block: rotation.Revoked}},
		{"revoked by a read that may be stale", observed(30*time.Minute-1, held(managedsecret.Revoked)), decision{Block: rotation.Revoked}},
		{"revoked, with what a person made", observed(5*day, unlisted, list(theirs("f1", day)), held(managedsecret.Revoked)), decision{Block: rotation.Revoked}},
		{"revoked, and a person has put a credential there", observed(5*day, func(o *rotation.Observation) { o.Listed[0] = theirs("cur", day) }, held(managedsecret.Revoked)), decision{Block: rotation.Revoked}},
		{"held by hand", observed(40*day, func(o *rotation.Observation) { o.Secret.Hold = &managedsecret.Hold{Kind: managedsecret.LockedOut} }), decision{Block: rotation.LockedOut}},

		// First issue.
		{"fresh: the principal is looked up first", observed(0, unissued, unlisted), needs(needPrincipal)},
		{"fresh", observed(0, unissued, unlisted, principal(true)), decision{Issue: rotation.Fresh}},
		{"fresh, with a colleague's secrets", observed(0, unissued, unlisted, principal(true), list(theirs("f1", day))), decision{Issue: rotation.Fresh, Foreign: []string{"f1"}}},
		{"fresh, switched off", observed(0, unissued, unlisted, principal(false)), decision{Block: rotation.Inactive}},

		// A current credential that is not listed.
		{"not listed: it is tried before it is called dead", observed(5*day, unlisted), needs(needTrial, needPrincipal)},
		{"not listed, and no run has written it: the versions say with what it is tried", observed(5*day, unlisted, byProtocol(ago(day))), needs(needVersions)},
		{"reconciled: tried", observed(5*day, check), needs(needTrial)},
		{"reconciled, and it works", observed(5*day, check, tried(true)), decision{}},
		{"reconciled: what no run has written may be another one's", observed(5*day, check, list(theirs("f1", day)), byProtocol(ago(2*day)), written(2*day-time.Second)), needs(needVersions)},
		{"reconciled, and there is no other one", observed(5*day, check, byProtocol(ago(hour)), written(hour)), needs(needTrial)},
		{"reconciled two days after it was written: nothing new", observed(5*day, check, list(theirs("f1", day)), byProtocol(ago(2*day)), written(2*day)), needs(needTrial)},
		{"what no run has written, without a reconcile", observed(5*day, list(theirs("f1", day)), byProtocol(ago(hour)), written(hour)), decision{Foreign: []string{"f1"}}},
		{"not listed and refused", observed(5*day, unlisted, tried(false), principal(true)), decision{Issue: rotation.Dead}},
		{"not listed and working: the list lags", observed(5*day, unlisted, tried(true), principal(true)), decision{}},
		{"expired in the list is not alive", observed(100 * day), needs(needTrial, needPrincipal)},
		{"expired", observed(100*day, tried(false), principal(true)), decision{Issue: rotation.Dead}},
		{"works, nothing is listed, and nothing names its scopes", observed(31*day, unlisted, tried(true), principal(true), change(func(c *credential.Credential) { c.Scopes = nil })), decision{Block: rotation.Scopes}},
		{"dead, and nothing names its scopes: another one's are not its own", observed(5*day, unlisted, list(ours("p1", day, "sql")), predecessor("p1", ago(hour)), tried(false), principal(true), change(func(c *credential.Credential) { c.Scopes = nil })), decision{Block: rotation.Scopes}},
		{"due, and nothing names its scopes: tried first", observed(31*day, change(func(c *credential.Credential) { c.Scopes = nil })), needs(needTrial)},
		{"listed but refused: the directory is asked why", observed(5*day, tried(false)), needs(needPrincipal)},
		{"listed but refused", observed(5*day, tried(false), principal(true)), decision{Issue: rotation.Dead}},
		{"refused because it is switched off", observed(5*day, tried(false), principal(false)), decision{Block: rotation.Inactive}},
		{"due, and the directory lists it as switched off", observed(31*day, func(o *rotation.Observation) { o.Inactive = true }), decision{Block: rotation.Inactive}},
		{"young and switched off: nothing to do", observed(5*day, func(o *rotation.Observation) { o.Inactive = true }), decision{}},
		{"dead: deleted secret's scopes unknown", observed(5*day, unlisted, tried(false), principal(true), change(func(c *credential.Credential) { c.Scopes = nil })), decision{Block: rotation.Scopes}},

		// Adoption of somebody else's value.
		{"unidentified: an older version may know its id", observed(5*day, unidentified), needs(needVersions)},
		{"unidentified, and no version knows it: tried", observed(5*day, unidentified, recorded()), needs(needTrial, needPrincipal)},
		{"an older version knew its id: replaced at once, so that the next one says it", observed(5*day, misnamed, recorded("cur", "old")), decision{Issue: rotation.Adopted}},
		{"an older version knew its id: what replaced that one goes once its grace is over", observed(9*day, misnamed, recorded("cur", "older"), oldVersion("o1"), list(ours("o1", 9*day), theirs("f1", day))), decision{Retire: []string{"o1"}, Issue: rotation.Adopted, Foreign: []string{"f1"}}},
		{"unidentified, the only secret", observed(5*day, unidentified, unlisted, list(theirs("f1", day)), tried(true), principal(true), recorded()), decision{Issue: rotation.Adopted}},
		{"unidentified among several", observed(5*day, unidentified, unlisted, list(theirs("f1", day), theirs("f2", day)), tried(true), principal(true), recorded()), decision{Issue: rotation.Adopted, Foreign: []string{"f1", "f2"}}},
		{"listed without scopes and refused: nobody knows them, on a host that may list none", observed(5*day, check, tried(false), principal(true), list(theirs("f1", day)), change(func(c *credential.Credential) { c.Scopes = nil })), decision{Block: rotation.Scopes, Foreign: []string{"f1"}}},
		{"the same, on a host that lists another one's", observed(5*day, check, tried(false), principal(true), list(ours("o1", time.Minute, "sql")), recorded(), change(func(c *credential.Credential) { c.Scopes = nil })), decision{Issue: rotation.Dead}},
		{"unidentified among several of different scopes", observed(5*day, unidentified, unlisted, list(theirs("f1", day), ours("o1", day, "sql")), tried(true), principal(true), recorded()), decision{Block: rotation.Scopes, Foreign: []string{"f1"}}},
		{"unidentified: no secret of ours is deleted, it may be the current one", observed(9*day, unidentified, tried(true), principal(true), recorded("cur", "old"), list(ours("o1", 9*day))), decision{Issue: rotation.Adopted}},
		{"principal and client id disagree", observed(5*day, unlisted, tried(false), principal(true), change(func(c *credential.Credential) { c.ClientID = "22222222-2222-2222-2222-222222222222" }), func(o *rotation.Observation) {
			o.Principal = &databricks.ServicePrincipal{ID: "4711", ApplicationID: "33333333-3333-3333-3333-333333333333", Active: true}
		}), decision{Block: rotation.Mismatch}},

		// Invariant 2: predecessors and their grace.
		{"predecessor in grace", observed(day-time.Second, list(ours("p1", 31*day)), predecessor("p1", time.Time{})), decision{}},
		{"grace just over", observed(day, list(ours("p1", 31*day)), predecessor("p1", time.Time{})), decision{Retire: []string{"p1"}}},
		{"a dated predecessor goes by its date", observed(hour, list(ours("p1", 31*day)), predecessor("p1", ago(day))), decision{Retire: []string{"p1"}}},
		{"a dated predecessor in grace", observed(5*day, list(ours("p1", 31*day)), predecessor("p1", ago(day-1))), decision{}},
		{"a foreign predecessor: a value alone says that it was adopted", observed(2*day, list(theirs("p1", 31*day)), predecessor("p1", time.Time{})), needs(needPrincipal)},
		{"the same, and the id is the principal's", observed(2*day, list(theirs("p1", 31*day)), predecessor("p1", time.Time{}), principal(true)), needs(needVersions)},
		{"the same, and its value is known", observed(2*day, list(theirs("p1", 31*day)), predecessor("p1", time.Time{}), principal(true), recorded()), needs(needClaims)},
		{"the same, and another managed secret holds its value", observed(2*day, list(theirs("p1", 31*day)), predecessor("p1", time.Time{}), principal(true), recorded(), surveyed(), func(o *rotation.Observation) {
			o.Hashes, o.Holders = map[string]string{"p1": "hash"}, map[string][]string{"hash": {testARN, "another"}}
		}), decision{Foreign: []string{"p1"}}},
		{"the same, and only this one holds its value", observed(2*day, list(theirs("p1", 31*day)), predecessor("p1", time.Time{}), principal(true), recorded(), surveyed(), func(o *rotation.Observation) {
			o.Hashes, o.Holders = map[string]string{"p1": "hash"}, map[string][]string{"hash": {testARN}}
		}), decision{Retire: []string{"p1"}}},
		{"the same, and another one holds a value that nobody has named", observed(2*day, list(theirs("p1", 31*day)), predecessor("p1", time.Time{}), principal(true), recorded(), surveyed(), func(o *rotation.Observation) {
			o.Unnamed, o.Holders = []string{"hash"}, map[string][]string{"hash": {"another"}}
		}), decision{Foreign: []string{"p1"}}},
		{"the same, and its own value is another", observed(2*day, list(theirs("p1", 31*day)), predecessor("p1", time.Time{}), principal(true), recorded(), surveyed(), func(o *rotation.Observation) {
			o.Hashes, o.Unnamed, o.Holders = map[string]string{"p1": "its own"}, []string{"hash"}, map[string][]string{"hash": {"another"}}
		}), decision{Retire: []string{"p1"}}},
		{"one that has expired is nobody's any more, and its place is needed", observed(31*day, list(theirs("p1", 800*day), theirs("f1", day), theirs("f2", day), theirs("f3", day)), predecessor("p1", ago(770*day))), decision{Retire: []string{"p1"}, Issue: rotation.Due, Foreign: []string{"f1", "f2", "f3"}}},
		{"the same, in doubt", observed(31*day, doubtful, list(theirs("p1", 800*day), theirs("f1", day), theirs("f2", day), theirs("f3", day)), predecessor("p1", ago(770*day))), decision{Retire: []string{"p1"}, Issue: rotation.Due, Foreign: []string{"f1", "f2", "f3"}}},
		{"the same, in a replacement", observed(31*day, replacing, list(theirs("p1", 800*day), theirs("f1", day), theirs("f2", day), theirs("f3", day)), predecessor("p1", ago(770*day))), decision{Retire: []string{"p1"}, Issue: rotation.Due, Foreign: []string{"f1", "f2", "f3"}}},
		{"the same, and a managed secret cannot be read", observed(2*day, list(theirs("p1", 31*day)), predecessor("p1", time.Time{}), principal(true), recorded(), surveyed(), func(o *rotation.Observation) { o.Denied = true }), decision{}},
		{"full, and what could go may be another one's", observed(31*day, list(theirs("p1", 61*day), theirs("f1", day), theirs("f2", day), theirs("f3", day)), predecessor("p1", ago(2*day)), doubtful), decision{Block: rotation.Full, Foreign: []string{"f1", "f2", "f3"}}},
		{"the same, and it could not be looked up: the rest is planned", observed(31*day, list(theirs("p1", 61*day), ours("p2", 61*day)), predecessor("p1", ago(2*day)), predecessor("p2", ago(2*day)), doubtful), decision{Retire: []string{"p2"}, Issue: rotation.Due}},
		{"a predecessor of ours that somebody has copied", observed(2*day, list(ours("p1", 31*day)), predecessor("p1", time.Time{}), surveyed("p1")), decision{Retire: []string{"p1"}}},
		{"a foreign predecessor was adopted, and retires too", observed(2*day, list(theirs("p1", 31*day)), predecessor("p1", time.Time{}), principal(true), recorded(), surveyed()), decision{Retire: []string{"p1"}}},
		{"a foreign predecessor that another managed secret has", observed(2*day, list(theirs("p1", 31*day)), predecessor("p1", time.Time{}), surveyed("p1")), decision{Foreign: []string{"p1"}}},
		{"a foreign predecessor under the id of another principal", observed(2*day, list(theirs("p1", 31*day)), predecessor("p1", time.Time{}), surveyed(), func(o *rotation.Observation) {
			o.Principal = &databricks.ServicePrincipal{ID: "4711", ApplicationID: "another", Active: true}
		}), decision{Block: rotation.Mismatch}},
		{"a predecessor that is gone already", observed(2*day, predecessor("p1", time.Time{})), decision{}},
		{"a predecessor that has expired by itself", observed(2*day, list(ours("p1", 95*day)), predecessor("p1", time.Time{})), decision{}},
		{"promoted by protocol: grace from the rotation's end", observed(day+hour, list(ours("p1", 31*day)), predecessor("p1", time.Time{}), byProtocol(ago(day-time.Minute))), decision{}},
		{"promoted by protocol: grace over", observed(day+hour, list(ours("p1", 31*day)), predecessor("p1", time.Time{}), byProtocol(ago(day)), recorded()), decision{Retire: []string{"p1"}}},
		{"what a run has not written, and something to do: the versions say whose its value is", observed(day+hour, list(ours("p1", 31*day)), predecessor("p1", time.Time{}), byProtocol(ago(day))), needs(needVersions)},
		{"what somebody has registered, over nothing: no version is read", observed(31*day, byProtocol(time.Time{}), func(o *rotation.Observation) { delete(o.Secret.Labels, "before") }), decision{Issue: rotation.Due}},
		{"what a run has not written, and nothing to do: no version is read", observed(day+hour, list(theirs("f1", day)), byProtocol(ago(day))), decision{Foreign: []string{"f1"}}},
		{"promoted by protocol, end not recorded: the latest it can have been", observed(2*day-time.Second, list(ours("p1", 31*day)), predecessor("p1", time.Time{}), byProtocol(ago(40*day))), decision{}},
		{"promoted by protocol, end not recorded, surely over", observed(2*day, list(ours("p1", 31*day)), predecessor("p1", time.Time{}), byProtocol(ago(40*day)), recorded()), decision{Retire: []string{"p1"}}},
		{"due and a predecessor to retire: both", observed(31*day, list(ours("p1", 61*day)), predecessor("p1", time.Time{})), decision{Retire: []string{"p1"}, Issue: rotation.Due}},

		// Invariant 3: recorded, foreign, or an orphan of ours.
		{"foreign", observed(5*day, list(theirs("f1", 200*day))), decision{Foreign: []string{"f1"}}},
		{"foreign that never expires", observed(5*day, list(databricks.OAuthSecret{ID: "f1", CreateTime: ago(9 * day)})), decision{Foreign: []string{"f1"}}},
		{"ours and unknown: all versions are read first", observed(5*day, list(ours("o1", hour))), needs(needVersions)},
		{"orphan", observed(5*day, list(ours("o1", hour)), recorded()), decision{Retire: []string{"o1"}}},
		{"orphan's fingerprint, and another managed secret names it", observed(5*day, list(ours("o1", hour)), recorded(), func(o *rotation.Observation) {
			o.Claims = map[string]string{"o1": testARN + "x", "cur": testARN}
		}), decision{Foreign: []string{"o1"}}},
		{"orphan at the age where no run can still hold it", observed(5*day, list(ours("o1", 30*time.Minute)), recorded()), decision{Retire: []string{"o1"}}},
		{"too young to be an orphan: a run may be about to store it", observed(5*day, list(ours("o1", 30*time.Minute-1)), recorded()), decision{}},
		{"ours in an older version: grace from the last change", observed(5*day, list(ours("v1", 40*day)), oldVersion("v1"), func(o *rotation.Observation) { o.Secret.LastChanged = ago(day - 1) }), decision{}},
		{"ours in an older version, grace over", observed(5*day, list(ours("v1", 40*day)), oldVersion("v1"), func(o *rotation.Observation) { o.Secret.LastChanged = ago(day) }), decision{Retire: []string{"v1"}}},
		{"ours in a version that another run has just stored", observed(40*day, tried(true), list(ours("v1", hour)), recorded("v1", "new"), func(o *rotation.Observation) {
			o.Versions = []managedsecret.Version{{ID: "new", CreatedAt: ago(time.Second)}}
		}), decision{Issue: rotation.Due}},
		{"foreign, of an exclusive principal: all versions are read first", observed(5*day, exclusive, list(theirs("f1", day))), needs(needVersions)},
		{"foreign, of an exclusive principal: the id must be that principal's", observed(5*day, exclusive, list(theirs("f1", day)), recorded()), needs(needPrincipal)},
		{"foreign, of an exclusive principal", observed(5*day, exclusive, principal(true), list(theirs("f1", day)), recorded()), decision{Retire: []string{"f1"}}},
		{"the same, in its first day", observed(5*day, exclusive, list(theirs("f1", day-1)), recorded()), decision{Foreign: []string{"f1"}}},
		{"the same, and another managed secret may hold it", observed(5*day, exclusive, list(theirs("f1", day)), func(o *rotation.Observation) { o.Alone = false }), decision{Foreign: []string{"f1"}}},
		{"exclusive, and nobody knows which secret is the current one", observed(5*day, unidentified, unlisted, exclusive, list(theirs("f1", day), theirs("f2", day)), tried(true), principal(true), recorded()), decision{Issue: rotation.Adopted}},
		{"foreign in an older version was ours to keep", observed(5*day, principal(true), list(theirs("v1", 40*day)), oldVersion("v1")), decision{Retire: []string{"v1"}}},

		// A rotation by protocol in progress.
		{"pending: its age is read first", observed(31*day, func(o *rotation.Observation) { o.Secret.Labels[token] = []string{managedsecret.Pending} }), needs(needVersions)},
		{"due, but a protocol rotation is under way", observed(31*day, pendingSince(token, hour)), decision{}},
		{"asked for, but a protocol rotation is under way", observed(5*day, force, pendingSince(token, hour)), decision{Block: rotation.InProgress}},
		{"dead: a protocol rotation is not waited for", observed(31*day, unlisted, tried(false), principal(true), pendingSince(token, hour)), decision{Issue: rotation.Dead}},
		{"pending secret is kept", observed(5*day, pendingSince(token, testPolicy.Grace+hour/2), list(ours("n1", testPolicy.Grace+hour/2)), recorded("n1", token), func(o *rotation.Observation) { o.Secret.LastChanged = ago(3 * day) }), decision{}},
		{"pending one second before it is stale", observed(31*day, pendingSince(token, 25*hour-time.Second)), decision{}},
		{"stale pending is given up, and rotation goes on", observed(31*day, pendingSince(token, 25*hour)), decision{Clear: token, Issue: rotation.Due}},
		{"pending left on the current version says nothing", observed(31*day, func(o *rotation.Observation) {
			o.Secret.Labels[sweptID] = []string{managedsecret.Current, managedsecret.Pending}
		}), decision{Issue: rotation.Due}},
		{"pending, and the current one expires before it is given up", observed(88*day, pendingSince("p", hour)), decision{Issue: rotation.Due}},
		{"the step's own pending version is no obstacle", observed(5*day, force, pendingSince(token, 0), func(o *rotation.Observation) { o.Token = token }), decision{Issue: rotation.Forced}},

		// Invariant 4: five is the limit.
		{"full: current and four of somebody else's", observed(31*day, list(theirs("f1", day), theirs("f2", day), theirs("f3", day), theirs("f4", day))), decision{Block: rotation.Full, Foreign: []string{"f1", "f2", "f3", "f4"}}},
		{"full, but not due: no finding", observed(5*day, list(theirs("f1", day), theirs("f2", day), theirs("f3", day), theirs("f4", day))), decision{Foreign: []string{"f1", "f2", "f3", "f4"}}},
		{"four leave room for one", observed(31*day, list(theirs("f1", day), theirs("f2", day), theirs("f3", day))), decision{Issue: rotation.Due, Foreign: []string{"f1", "f2", "f3"}}},
		{"full, one is a predecessor past grace: it makes room", observed(31*day, list(ours("p1", 61*day), theirs("f2", day), theirs("f3", day), theirs("f4", day)), predecessor("p1", time.Time{})), decision{Retire: []string{"p1"}, Issue: rotation.Due, Foreign: []string{"f2", "f3", "f4"}}},
		{"full, one is in grace: it is not sacrificed", observed(31*day, list(ours("p1", 61*day), theirs("f2", day), theirs("f3", day), theirs("f4", day)), predecessor("p1", ago(hour))), decision{Block: rotation.Full, Foreign: []string{"f2", "f3", "f4"}}},
		{"full, one is an orphan: it makes room", observed(31*day, list(ours("o1", hour), theirs("f2", day), theirs("f3", day), theirs("f4", day)), recorded()), decision{Retire: []string{"o1"}, Issue: rotation.Due, Foreign: []string{"f2", "f3", "f4"}}},
		{"full, one may be in another run's hands: a later sweep finds room", observed(31*day, list(ours("o1", time.Minute), theirs("f2", day), theirs("f3", day), theirs("f4", day)), recorded()), decision{Foreign: []string{"f2", "f3", "f4"}}},
		{"the same, asked for", observed(31*day, force, list(ours("o1", time.Minute), theirs("f2", day), theirs("f3", day), theirs("f4", day)), recorded()), decision{Block: rotation.InProgress, Foreign: []string{"f2", "f3", "f4"}}},
		{"the same, dead", observed(31*day, unlisted, tried(false), principal(true), list(ours("o1", time.Minute), theirs("f2", day), theirs("f3", day), theirs("f4", day), theirs("f5", day)), recorded()), decision{Block: rotation.InProgress, Foreign: []string{"f2", "f3", "f4", "f5"}}},
		{"the same, beside a predecessor in grace, which stays", observed(31*day, list(ours("x1", 95*day), ours("p2", 40*day), theirs("f3", day), theirs("f4", day)), predecessor("p2", ago(hour))), decision{Retire: []string{"x1"}, Issue: rotation.Due, Foreign: []string{"f3", "f4"}}},
		{"full, somebody else's has expired: it is left", observed(31*day, list(theirs("x1", 731*day), theirs("f2", day), theirs("f3", day), theirs("f4", day))), decision{Issue: rotation.Due, Foreign: []string{"f2", "f3", "f4"}}},
		{"full, one of ours has expired: it makes room, in case Databricks counts it", observed(31*day, list(ours("p1", 95*day), theirs("f2", day), theirs("f3", day), theirs("f4", day))), decision{Retire: []string{"p1"}, Issue: rotation.Due, Foreign: []string{"f2", "f3", "f4"}}},
		{"full of somebody else's, current dead", observed(5*day, unlisted, tried(false), principal(true), list(theirs("f1", day), theirs("f2", day), theirs("f3", day), theirs("f4", day), theirs("f5", day))), decision{Block: rotation.Full, Foreign: []string{"f1", "f2", "f3", "f4", "f5"}}},
		{"full, exclusive: foreign ones make room", observed(31*day, exclusive, principal(true), list(theirs("f1", day), theirs("f2", day), theirs("f3", day), theirs("f4", 0)), recorded()), decision{Retire: []string{"f1", "f2", "f3"}, Issue: rotation.Due, Foreign: []string{"f4"}}},
		{"dead and full, exclusive: foreign ones go before predecessors, as far as room is needed", observed(5*day, unlisted, tried(false), exclusive, principal(true), list(ours("p1", 31*day), theirs("f1", day), theirs("f2", day), theirs("f3", day), theirs("f4", day)), predecessor("p1", time.Time{}), recorded()), decision{Retire: []string{"f1"}, Issue: rotation.Dead}},

		// Invariant 4: every mixture of five is worked out by what they are:
		// ours current, previous in grace and past it, orphan, expired, foreign.
		{"five: current, in grace, past grace, orphan, foreign", observed(31*day, list(ours("p1", 61*day), ours("p2", 91*day-hour), ours("o1", hour), theirs("f1", day)), predecessor("p1", ago(hour)), predecessor("p2", ago(2*day)), recorded()), decision{Retire: []string{"o1"}, Issue: rotation.Due, Foreign: []string{"f1"}}},
		{"five of ours: current, and four past grace", observed(31*day, list(ours("p1", 40*day), ours("p2", 50*day), ours("p3", 60*day), ours("p4", 70*day)), predecessor("p1", ago(day)), predecessor("p2", ago(2*day)), predecessor("p3", ago(3*day)), predecessor("p4", ago(4*day))), decision{Retire: []string{"p1", "p2", "p3", "p4"}, Issue: rotation.Due}},
		{"five of ours: current, and four in grace", observed(31*day, list(ours("p1", 40*day), ours("p2", 50*day), ours("p3", 60*day), ours("p4", 70*day)), predecessor("p1", ago(1)), predecessor("p2", ago(2)), predecessor("p3", ago(3)), predecessor("p4", ago(4))), decision{Block: rotation.Full}},
		{"five of ours: current, and four orphans", observed(31*day, list(ours("o1", hour), ours("o2", hour), ours("o3", hour), ours("o4", hour)), recorded()), decision{Retire: []string{"o1", "o2", "o3", "o4"}, Issue: rotation.Due}},
		{"five orphans, current dead", observed(5*day, unlisted, tried(false), principal(true), list(ours("o1", hour), ours("o2", hour), ours("o3", hour), ours("o4", hour), ours("o5", hour)), recorded()), decision{Retire: []string{"o1", "o2", "o3", "o4", "o5"}, Issue: rotation.Dead}},
		{"five: current, an old version's, two orphans, one expired that is still listed", observed(31*day, list(ours("v1", 40*day), ours("o1", hour), ours("o2", hour), ours("x1", 95*day)), oldVersion("v1"), func(o *rotation.Observation) { o.Secret.LastChanged = ago(day) }), decision{Retire: []string{"v1", "o1", "o2"}, Issue: rotation.Due}},
		{"five: current, pending, in grace, two foreign; asked for by the step that fills another version", observed(5*day, force, pendingSince(token, hour), list(ours("n1", hour), ours("p1", 31*day), theirs("f1", day), theirs("f2", day)), recorded("n1", token), predecessor("p1", ago(hour))), decision{Block: rotation.InProgress, Foreign: []string{"f1", "f2"}}},
		{"five, current dead: in grace, past grace, orphan, foreign, just issued", observed(5*day, unlisted, tried(false), principal(true), list(ours("p1", 31*day), ours("p2", 61*day), ours("o1", hour), theirs("f1", day), ours("o2", time.Minute)), predecessor("p1", ago(hour)), predecessor("p2", ago(2*day)), recorded()), decision{Retire: []string{"o1"}, Issue: rotation.Dead, Foreign: []string{"f1"}}},
		{"five of ours, and a person put the second back without its id: an older version knows it", observed(5*day, misnamed, list(ours("v1", 40*day), ours("v2", 35*day), ours("v3", 33*day), ours("o1", hour)), recorded("cur", "second", "v1", "old", "v2", "old", "v3", "old"), oldVersion("v1")), decision{Retire: []string{"v1", "v2", "v3", "o1"}, Issue: rotation.Adopted}},
		{"five, and a person stored a value that no version knows: it may be any of them", observed(5*day, unidentified, unlisted, tried(true), principal(true), list(ours("v1", 40*day), ours("p2", 35*day), ours("o1", hour), theirs("f1", day), theirs("f2", day)), oldVersion("v1"), predecessor("p2", ago(9*day))), decision{Block: rotation.Full, Foreign: []string{"f1", "f2"}}},

		// Invariant 9: what the budget forbids stays.
		{"over budget: the orphan stays", observed(5*day, withhold, list(ours("o1", hour)), recorded()), decision{Withheld: []string{"o1"}}},
		{"over budget: a predecessor needs none", observed(day, withhold, list(ours("p1", 31*day)), predecessor("p1", time.Time{})), decision{Retire: []string{"p1"}}},
		{"over budget, and due: it is rotated beside the orphan", observed(31*day, withhold, list(ours("o1", hour)), recorded()), decision{Withheld: []string{"o1"}, Issue: rotation.Due}},
		{"over budget, full, and due", observed(31*day, withhold, list(ours("o1", hour), ours("o2", hour), theirs("f1", day), theirs("f2", day)), recorded()), decision{Withheld: []string{"o1", "o2"}, Block: rotation.OverBudget, Foreign: []string{"f1", "f2"}}},
		{"over budget: nothing is withheld that may be current", observed(9*day, withhold, unidentified, tried(true), principal(true), recorded("cur", "old"), list(ours("o1", 9*day))), decision{Issue: rotation.Adopted}},

		{"dead: predecessors are kept while there is room", observed(5*day, unlisted, tried(false), principal(true), list(ours("p1", 31*day)), predecessor("p1", time.Time{})), decision{Issue: rotation.Dead}},
		{"dead: an orphan goes all the same, after it no predecessor", observed(5*day, unlisted, tried(false), principal(true), list(ours("p1", 31*day), ours("o1", hour)), predecessor("p1", time.Time{}), recorded()), decision{Retire: []string{"o1"}, Issue: rotation.Dead}},
		{"dead and full: just the room that is needed", observed(5*day, unlisted, tried(false), principal(true), list(ours("p1", 31*day), ours("p2", 31*day), theirs("f1", day), theirs("f2", day), theirs("f3", day)), predecessor("p1", time.Time{}), predecessor("p2", time.Time{})), decision{Retire: []string{"p1"}, Issue: rotation.Dead, Foreign: []string{"f1", "f2", "f3"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, decide(test.o), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
		})
	}
}

// byProtocol has the current version come from Secrets Manager's protocol,
// whose last rotation ended at a given time.
func byProtocol(end time.Time) func(*rotation.Observation) {
	return func(o *rotation.Observation) {
		id := strings.Repeat("c", 36)
		o.Secret.Labels = map[string][]string{id: {managedsecret.Current}, "before": {managedsecret.Previous}}
		o.Current.ID, o.Secret.LastRotated = id, end
	}
}

// written has the current version be of that age, whatever its credential's.
func written(age time.Duration) func(*rotation.Observation) {
	return func(o *rotation.Observation) { o.Current.CreatedAt = ago(age) }
}

// Invariant 5: the successor asks for the scopes of what it replaces.
func TestPlanScopes(t *testing.T) {
	scoped := func(scopes ...string) func(*rotation.Observation) {
		return func(o *rotation.Observation) { o.Listed[0].Scopes = scopes }
	}
	stated := func(scopes ...string) func(*rotation.Observation) {
		return change(func(c *credential.Credential) { c.Scopes = scopes })
	}
	for name, test := range map[string]struct {
		o    rotation.Observation
		want []string
	}{
		"listed scopes":                             {observed(31*day, scoped("sql", "jobs")), []string{"jobs", "sql"}},
		"listed scopes over stated ones":            {observed(31*day, scoped("sql"), stated("jobs")), []string{"sql"}},
		"a list without scopes widens none":         {observed(31*day, stated("sql")), []string{"sql"}},
		"unrestricted":                              {observed(31 * day), []string{"all-apis"}},
		"listed without, none stated":               {observed(31*day, stated(), tried(true)), []string{"all-apis"}},
		"nothing names them, and it was given some": {observed(31*day, stated(), tried(true), func(o *rotation.Observation) { o.Granted = []string{"sql", "jobs"} }), []string{"jobs", "sql"}},
		"dead: the stated ones":                     {observed(5*day, stated("sql"), unlisted, tried(false), principal(true)), []string{"sql"}},
		"fresh: as registered":                      {observed(0, stated("sql"), unlisted, principal(true), change(func(c *credential.Credential) { c.ClientSecret, c.OAuthSecretID = secret.Text{}, "" })), []string{"sql"}},
		"fresh: what its role needs": {observed(0, stated(), unlisted, principal(true), change(func(c *credential.Credential) {
			c.ClientSecret, c.OAuthSecretID, c.ClientID = secret.Text{}, "", analystID
		}), principal(true)), []string{"files", "sql"}},
		"fresh: as registered, not its role": {observed(0, stated("jobs"), unlisted, change(func(c *credential.Credential) {
			c.ClientSecret, c.OAuthSecretID, c.ClientID = secret.Text{}, "", analystID
		}), principal(true)), []string{"jobs"}},
		"adopted: those that all have":      {observed(5*day, stated(), unlisted, list(ours("a", day, "sql"), ours("b", day, "sql")), tried(true), principal(true), recorded(), change(func(c *credential.Credential) { c.OAuthSecretID, c.IssuedAt = "", time.Time{} })), []string{"sql"}},
		"adopted: all of them unrestricted": {observed(5*day, stated(), unlisted, list(theirs("a", day), theirs("b", day)), tried(true), principal(true), recorded(), change(func(c *credential.Credential) { c.OAuthSecretID, c.IssuedAt = "", time.Time{} })), []string{"all-apis"}},
		"adopted: stated in the value":      {observed(5*day, stated("jobs"), unlisted, list(theirs("a", day)), tried(true), principal(true), recorded(), change(func(c *credential.Credential) { c.OAuthSecretID, c.IssuedAt = "", time.Time{} })), []string{"jobs"}},
	} {
		t.Run(name, func(t *testing.T) {
			plan := rotation.MakePlan(testPolicy, test.o)
			if plan.Issue == nil {
				t.Fatalf("nothing is issued: %+v", plan)
			}
			if diff := cmp.Diff(test.want, plan.Issue.Next.Scopes); diff != "" {
				t.Errorf("scopes (-want +got):\n%s", diff)
			}
		})
	}
}

// What is retired now is named no more, and what stays is.
func TestPlanPredecessorBesideARetired(t *testing.T) {
	o := observed(31*day, list(ours("p1", 40*day), ours("p2", 35*day)), predecessor("p1", ago(30*day)), predecessor("p2", ago(hour)))
	plan := rotation.MakePlan(testPolicy, o)
	if len(plan.Retire) != 1 || plan.Retire[0].ID != "p1" || plan.Issue == nil {
		t.Fatalf("the plan is %+v", plan)
	}
	var named []string
	for _, p := range plan.Issue.Next.Predecessors {
		named = append(named, p.OAuthSecretID)
	}
	slices.Sort(named)
	if diff := cmp.Diff([]string{"cur", "p2"}, named); diff != "" {
		t.Errorf("predecessors (-want +got):\n%s", diff)
	}
}

// The next version's value names every predecessor that still lives, with the
// time when its grace began where that is known for good.
func TestPlanPredecessors(t *testing.T) {
	o := observed(30*day,
		list(ours("p1", 31*day), ours("p2", 32*day)),
		predecessor("p1", time.Time{}), predecessor("p2", ago(hour)), predecessor("gone", ago(hour)))
	o.Current.CreatedAt = ago(2 * hour)
	plan := rotation.MakePlan(testPolicy, o)
	if plan.Issue == nil || len(plan.Retire) > 0 {
		t.Fatalf("plan is %+v", plan)
	}
	want := []credential.Predecessor{
		{OAuthSecretID: "cur"},
		{OAuthSecretID: "p1", SupersededAt: ago(2 * hour)},
		{OAuthSecretID: "p2", SupersededAt: ago(hour)},
	}
	if diff := cmp.Diff(want, plan.Issue.Next.Predecessors); diff != "" {
		t.Errorf("predecessors (-want +got):\n%s", diff)
	}

	unidentified := change(func(c *credential.Credential) { c.OAuthSecretID, c.IssuedAt = "", time.Time{} })
	for name, test := range map[string]struct {
		o    rotation.Observation
		want []credential.Predecessor
	}{
		"adopted":                                {observed(5*day, unlisted, list(theirs("f1", day)), unidentified, recorded()), []credential.Predecessor{{OAuthSecretID: "f1"}}},
		"adopted, and it is another version's":   {observed(5*day, unlisted, list(theirs("f1", day)), unidentified, recorded("f1", "old")), nil},
		"adopted, and it is one of two":          {observed(5*day, unlisted, list(theirs("f1", day), theirs("f2", day)), unidentified, recorded()), nil},
		"put back beside what had replaced it":   {observed(5*day, misnamed, predecessor("cur", ago(40*day)), list(ours("p1", 30*day)), predecessor("p1", ago(hour)), recorded()), []credential.Predecessor{{OAuthSecretID: "cur"}, {OAuthSecretID: "p1", SupersededAt: ago(hour)}}},
		"forced beside one whose time is unsure": {observed(5*day, force, list(ours("p1", 30*day)), predecessor("p1", time.Time{}), func(o *rotation.Observation) { o.Current.CreatedAt = ago(hour) }), []credential.Predecessor{{OAuthSecretID: "cur"}, {OAuthSecretID: "p1", SupersededAt: ago(hour)}}},
	} {
		t.Run(name, func(t *testing.T) {
			tried(true)(&test.o)
			principal(true)(&test.o)
			plan := rotation.MakePlan(testPolicy, test.o)
			if plan.Issue == nil {
				t.Fatalf("nothing is issued: %+v", plan)
			}
			if diff := cmp.Diff(test.want, plan.Issue.Next.Predecessors); diff != "" {
				t.Errorf("predecessors (-want +got):\n%s", diff)
			}
		})
	}
}

// A glance must never miss what a full look would act on, other than what the
// daily reconcile is for.
func TestGlance(t *testing.T) {
	for name, test := range map[string]struct {
		o    rotation.Observation
		want bool
	}{
		"young":                       {observed(5 * day), false},
		"due":                         {observed(30 * day), true},
		"not yet due":                 {observed(30*day - 1), false},
		"about to expire":             {observed(5*day, change(func(c *credential.Credential) { c.ExpiresAt = testNow.Add(2*day - 1) })), true},
		"never issued":                {observed(5*day, change(func(c *credential.Credential) { c.ClientSecret = secret.Text{} })), true},
		"unidentified":                {observed(5*day, change(func(c *credential.Credential) { c.OAuthSecretID = "" })), true},
		"unknown age":                 {observed(5*day, change(func(c *credential.Credential) { c.IssuedAt = time.Time{} })), true},
		"unknown expiry":              {observed(5*day, change(func(c *credential.Credential) { c.ExpiresAt = time.Time{} })), true},
		"held":                        {observed(5*day, held(managedsecret.Revoked)), true},
		"pending":                     {observed(5*day, pendingSince("p", hour)), true},
		"predecessor in grace":        {observed(5*day, predecessor("p", ago(day-1))), false},
		"predecessor past grace":      {observed(5*day, predecessor("p", ago(day))), true},
		"predecessor long past grace": {observed(5*day, predecessor("p", ago(3*day))), false},
		"predecessor a while past":    {observed(5*day, predecessor("p", ago(3*day-1))), true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := rotation.Glance(test.o.Now, testPolicy, test.o.Secret, test.o.Current); got != test.want {
				t.Errorf("Glance = %v, want %v", got, test.want)
			}
		})
	}
}

// The on-call engineer is told what is the matter and what to do.
func TestBlockMessages(t *testing.T) {
	full := rotation.MakePlan(testPolicy, observed(31*day,
		list(ours("p1", 61*day), theirs("f2", day), theirs("f3", day), theirs("f4", day)), predecessor("p1", ago(hour))))
	for _, part := range []string{"5 of 5", "1 current", "p1 until 2026-03-02T11:00:00Z", "3 of somebody else's (f2, f3, f4)", "delete one"} {
		if !strings.Contains(full.Block.Message, part) {
			t.Errorf("%q does not say %q", full.Block.Message, part)
		}
	}
	inDoubt := rotation.MakePlan(testPolicy, observed(31*day, doubtful,
		list(theirs("p1", 61*day), theirs("f1", day), theirs("f2", day), theirs("f3", day)), predecessor("p1", ago(2*day))))
	if !strings.HasSuffix(inDoubt.Block.Message, "; p1 could go once it is known that nobody else holds it") {
		t.Errorf("in doubt: %q", inDoubt.Block.Message)
	}
	out := rotation.MakePlan(testPolicy, observed(5*day, held(managedsecret.LockedOut), surveyed()))
	want := `it was locked out on 2026-03-01T11:00:00Z, so nothing is issued for it; when it may live again, invoke the revoke function with {"mode":"release","secret":"prod/etl","reason":"…"}, or take the tag databricks-rotation-hold off the secret`
	if diff := cmp.Diff(want, out.Block.Message); diff != "" {
		t.Error(diff)
	}
	inactive := rotation.MakePlan(testPolicy, observed(31*day, principal(false)))
	if !strings.Contains(inactive.Block.Message, "11111111-1111-1111-1111-111111111111") || !strings.Contains(inactive.Block.Message, "activate it") {
		t.Errorf("inactive: %q", inactive.Block.Message)
	}
}

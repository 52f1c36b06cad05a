package rotation_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/secret"
)

// What a plan may never do, whatever was observed.
func planProperties(t *rapid.T) {
	o := drawObservation(t)
	plan := rotation.MakePlan(testPolicy, o)

	if diff := cmp.Diff(plan, rotation.MakePlan(testPolicy, o), cmp.AllowUnexported(credential.Credential{})); diff != "" {
		t.Fatalf("the plan is not a function of the observation:\n%s", diff)
	}
	if o.Secret.Hold != nil && len(plan.Needs) == 0 {
		heldProperties(t, o, plan)
		return
	}
	if len(plan.Needs) > 0 {
		if plan.Issue != nil || plan.Block != nil || plan.Retire != nil || plan.Clear != "" {
			t.Fatalf("an incomplete plan already decides: %+v", plan)
		}
		for _, need := range plan.Needs {
			if need == rotation.NeedTrial && o.Tried || need == rotation.NeedPrincipal && o.Principal != nil || need == rotation.NeedVersions && o.Versions != nil && o.Recorded != nil || need == rotation.NeedClaims && o.Claims != nil {
				t.Fatalf("the plan needs what it was given: %v", plan.Needs)
			}
		}
		return
	}
	if plan.Issue != nil && plan.Block != nil {
		t.Fatal("the plan issues and is blocked")
	}
	c := o.Current.Credential
	live := 0
	for _, s := range o.Listed {
		if !s.Expired(o.Now) {
			live++
		}
	}
	retired := 0
	for _, r := range plan.Retire {
		if r.Kind != rotation.Expired {
			retired++
		}
	}
	if plan.Issue != nil && live-retired >= databricks.MaxSecrets {
		t.Fatalf("invariant 4: issues a sixth OAuth secret: %d live, %d retired", live, retired)
	}
	if plan.Issue != nil && o.Principal != nil && !o.Principal.Active {
		t.Fatal("issues a secret for a principal that is switched off")
	}
	for _, r := range plan.Retire {
		if r.ID == c.OAuthSecretID {
			t.Fatal("invariant 1: retires the current credential")
		}
		i := slices.IndexFunc(o.Listed, func(s databricks.OAuthSecret) bool { return s.ID == r.ID })
		if i < 0 || o.Listed[i].Expired(o.Now) != (r.Kind == rotation.Expired) {
			t.Fatal("retires what is not there")
		}
		_, isRecorded := o.Recorded[r.ID]
		isPredecessor := slices.ContainsFunc(c.Predecessors, func(p credential.Predecessor) bool { return p.OAuthSecretID == r.ID })
		mine := rotation.IsOurs(testARN, o.Listed[i])
		if o.Claims[r.ID] != "" && r.Kind != rotation.Expired && (!mine || !isPredecessor) {
			t.Fatal("invariant 3: retires what another managed secret names")
		}
		if r.Kind != rotation.Expired && o.Replacing {
			t.Fatal("retires what a revocation is to delete once readers have another")
		}
		if !mine && r.Kind != rotation.Expired && (o.Principal == nil || o.Doubt != "" || r.Kind == rotation.Predecessor && o.Claims == nil) {
			t.Fatal("retires, by a value alone, what may be another one's")
		}
		if r.Kind == rotation.Expired {
			if !isPredecessor && !rotation.IsOurs(testARN, o.Listed[i]) {
				t.Fatal("invariant 3: retires somebody else's expired secret")
			}
			continue
		}
		removable := o.Alone && c.ClientID == exclusiveID && o.Now.Sub(o.Listed[i].CreateTime) >= testPolicy.Grace
		if !isRecorded && !isPredecessor && !rotation.IsOurs(testARN, o.Listed[i]) && !removable {
			t.Fatal("invariant 3: retires somebody else's secret")
		}
		if !isPredecessor && o.Withhold {
			t.Fatal("invariant 9: retires what the budget forbids")
		}
		if !isRecorded && !isPredecessor && o.Now.Sub(o.Listed[i].CreateTime) < 30*time.Minute {
			t.Fatal("retires a secret that a run may hold")
		}
		for _, p := range c.Predecessors {
			if p.OAuthSecretID == r.ID && !p.SupersededAt.IsZero() && o.Now.Sub(p.SupersededAt) < testPolicy.Grace {
				t.Fatal("invariant 2: retires a predecessor within its grace period")
			}
			if p.OAuthSecretID == r.ID && p.SupersededAt.IsZero() && o.Now.Sub(o.Current.CreatedAt) < testPolicy.Grace {
				t.Fatal("invariant 2: retires a predecessor whose successor is younger than the grace period")
			}
		}
		if plan.Issue != nil && slices.ContainsFunc(plan.Issue.Next.Predecessors, func(p credential.Predecessor) bool { return p.OAuthSecretID == r.ID }) {
			t.Fatal("hands a retired secret on as a predecessor")
		}
	}
	for _, id := range plan.Foreign {
		if slices.ContainsFunc(plan.Retire, func(r rotation.Retirement) bool { return r.ID == id }) {
			t.Fatal("calls a secret foreign and retires it")
		}
	}
	if plan.Issue != nil {
		next := plan.Issue.Next
		if next.Issued() || next.OAuthSecretID != "" || next.ClientID != c.ClientID || next.Host != c.Host {
			t.Fatal("the successor is not a fresh credential of the same principal")
		}
		if len(next.Scopes) == 0 {
			t.Fatal("invariant 5: the successor's scopes are left open")
		}
		if i := slices.IndexFunc(o.Listed, func(s databricks.OAuthSecret) bool {
			return s.ID == c.OAuthSecretID && len(s.Scopes) > 0 && !s.Expired(o.Now)
		}); i >= 0 &&
			!slices.Equal(next.Scopes, credential.NormalizeScopes(o.Listed[i].Scopes)) {
			t.Fatal("invariant 5: the successor has other scopes than what it replaces")
		}
	}
}

// heldProperties are of what was revoked: it is never healed, and a person's
// own secret is never touched.
func heldProperties(t *rapid.T, o rotation.Observation, plan rotation.Plan) {
	if plan.Issue != nil || plan.Clear != "" || plan.Block == nil {
		t.Fatalf("a held secret is not left alone: %+v", plan)
	}
	for _, r := range plan.Retire {
		i := slices.IndexFunc(o.Listed, func(s databricks.OAuthSecret) bool { return s.ID == r.ID })
		if i < 0 || !rotation.IsOurs(testARN, o.Listed[i]) || o.Now.Sub(o.Listed[i].CreateTime) < rotation.OrphanAge || o.Claims == nil || o.Claims[r.ID] != "" || o.Doubt != "" || o.Replacing {
			t.Fatalf("retires what it must not: %s", r.ID)
		}
	}
}

// drawObservation draws any observation, also such as no real run makes.
func drawObservation(t *rapid.T) rotation.Observation {
	ids := []string{"cur", "p1", "p2", "o1", "f1", "f2", "f3"}
	age := func(name string) time.Duration {
		return rapid.SampledFrom([]time.Duration{
			0, time.Second, 29 * time.Minute, 30 * time.Minute, time.Hour, day - time.Second, day, 25 * hour, 2 * day, 29 * day, 30 * day, 89 * day, 91 * day,
		}).Draw(t, name)
	}
	o := observed(age("age"))
	o.Listed = nil
	for _, id := range ids {
		if !rapid.Bool().Draw(t, "lists "+id) {
			continue
		}
		s := ours(id, age(id+"'s age"))
		if rapid.Bool().Draw(t, id+" is theirs") {
			s = theirs(id, age(id+"'s age"))
		}
		s.Scopes = rapid.SampledFrom([][]string{nil, {"sql"}, {"jobs", "sql"}}).Draw(t, id+"'s scopes")
		o.Listed = append(o.Listed, s)
	}
	for _, id := range []string{"p1", "p2", "f1"} {
		if rapid.Bool().Draw(t, id+" is a predecessor") {
			var superseded time.Time
			if rapid.Bool().Draw(t, id+" is dated") {
				superseded = ago(age(id + " superseded"))
			}
			predecessor(id, superseded)(&o)
		}
	}
	c := &o.Current.Credential
	switch rapid.IntRange(0, 3).Draw(t, "current") {
	case 1: // never issued
		c.ClientSecret, c.OAuthSecretID = secret.Text{}, ""
	case 2: // somebody else's
		c.OAuthSecretID, c.IssuedAt, c.ExpiresAt = "", time.Time{}, time.Time{}
	case 3:
		byProtocol(ago(age("rotated")))(&o)
	}
	c.Scopes = rapid.SampledFrom([][]string{nil, {"all-apis"}, {"sql"}}).Draw(t, "stated scopes")
	if rapid.Bool().Draw(t, "pending") {
		o.Secret.Labels["pending"] = []string{managedsecret.Pending}
	}
	if rapid.Bool().Draw(t, "versions") {
		o.Versions = []managedsecret.Version{{ID: "pending", CreatedAt: ago(age("pending age"))}, {ID: "old", CreatedAt: ago(age("old age"))}}
		o.Recorded = map[string]string{}
		for _, id := range []string{"p2", "o1", "f2"} {
			if rapid.Bool().Draw(t, id+" is recorded") {
				o.Recorded[id] = rapid.SampledFrom([]string{"old", "pending", "new"}).Draw(t, "version of "+id)
			}
		}
	}
	o.Secret.LastChanged = ago(age("changed"))
	o.Force = rapid.Bool().Draw(t, "force")
	o.Check = rapid.Bool().Draw(t, "check")
	o.Alone = rapid.Bool().Draw(t, "alone")
	o.Withhold = rapid.Bool().Draw(t, "withhold")
	c.ClientID = rapid.SampledFrom([]string{c.ClientID, exclusiveID, analystID}).Draw(t, "client id")
	if rapid.IntRange(0, 7).Draw(t, "hold") == 1 {
		held(rapid.SampledFrom([]managedsecret.HoldKind{managedsecret.Revoked, managedsecret.LockedOut}).Draw(t, "kind of hold"))(&o)
	}
	o.Inactive = rapid.Bool().Draw(t, "inactive")
	if o.Tried = rapid.Bool().Draw(t, "tried"); o.Tried {
		o.Authenticates = rapid.Bool().Draw(t, "authenticates")
	}
	if rapid.Bool().Draw(t, "principal") {
		principal(rapid.Bool().Draw(t, "active"))(&o)
	}
	if rapid.Bool().Draw(t, "surveyed") {
		surveyed()(&o)
		for _, id := range ids[1:] {
			if rapid.IntRange(0, 3).Draw(t, id+" is another's") == 1 {
				o.Claims[id] = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:other"
			}
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "doubt") == 1 {
		o.Doubt = "no reply"
	}
	o.Replacing = rapid.IntRange(0, 3).Draw(t, "replacing") == 1
	return o
}

func TestPlanProperties(t *testing.T) { rapid.Check(t, planProperties) }

func FuzzPlan(f *testing.F) { f.Fuzz(rapid.MakeFuzz(planProperties)) }

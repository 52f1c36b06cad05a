// Package planted is an estate with known faults: what an audit must find in
// it, and nothing else. The list of faults is written by hand beside each
// fault and knows nothing of how the rules find them.
package planted

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/fingerprint"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/secret"
	"databricks-credential-rotation/shared/usagelogtest"
)

const (
	day  = 24 * time.Hour
	hour = time.Hour

	// tokens is how many personal access tokens the estate has.
	tokens = 400
	// principals is how many service principals, the rotator's included.
	principals = 40
)

// Fault is one planted fault: a rule's id, and the id of its subject.
type Fault struct{ Rule, Subject string }

func (f Fault) String() string { return f.Rule + " " + f.Subject }

// Clouds are where the estate is planted.
type Clouds struct {
	Databricks *databrickstest.Server
	AWS        *awstest.Server
	// Secrets is Secrets Manager for somebody who may write there.
	Secrets *secretsmanager.Client
	// Workspaces are three.
	Workspaces []*databrickstest.Workspace
	Rotator    databrickstest.Principal
	// Now is the clock of both.
	Now func() time.Time
}

// Estate is what was planted.
type Estate struct {
	// Faults are all that an audit must find.
	Faults []Fault
	// Policy is the document under which they are faults.
	Policy []byte
	// Log is the usage log.
	Log *usagelogtest.Log
	// Stale are the tokens that a prune may remove, Wide those that it may
	// narrow, and to what; Watched is one that Databricks has not watched to
	// the end.
	Stale   []string
	Wide    map[string][]string
	Watched string
	// MendBroken takes the managed secret that is no credential out of the
	// rotation. While it is there nobody knows what it names, and no OAuth
	// secret is anybody's to remove.
	MendBroken func() error

	clouds    Clouds
	now       time.Time
	roles     []role
	policy    policy.Policy
	access    map[string][]databrickstest.Access
	people    []databrickstest.Person
	principal int // how many there are
	token     int
	fixes     []func() error
	busy      []busy
}

// busy is somebody whose work goes on.
type busy struct {
	identity string
	services []string
}

// role is a kind of work, done in one workspace.
type role struct {
	name      string
	workspace *databrickstest.Workspace
	scopes    []string
	object    string
	level     string
}

// Plant plants the estate. Its clouds must be empty but for the rotator.
func Plant(clouds Clouds) (*Estate, error) {
	e := &Estate{clouds: clouds, now: clouds.Now().UTC(), Log: &usagelogtest.Log{}, Wide: map[string][]string{}, principal: 1, access: map[string][]databrickstest.Access{}}
	clouds.Databricks.SetStatements(e.Log.Statement)
	e.roles = []role{
		{"etl", clouds.Workspaces[0], []string{"jobs", "sql"}, "warehouses/etl", "CAN_USE"},
		{"bi", clouds.Workspaces[1], []string{"sql"}, "warehouses/bi", "CAN_USE"},
		{"ml", clouds.Workspaces[2], []string{"jobs", "sql"}, "warehouses/ml", "CAN_MONITOR"},
	}
	e.begin()
	for i := range 24 {
		p := clouds.Databricks.AddPerson(databrickstest.PersonSpec{UserName: fmt.Sprintf("person%02d@example.com", i)})
		for _, w := range clouds.Workspaces {
			clouds.Databricks.Assign(p.ID, w, false)
		}
		e.people = append(e.people, p)
	}
	for _, plant := range []func() error{
		e.plantSecrets, e.plantPrincipals, e.plantAccess, e.plantFederation, e.plantManaged, e.plantTokens, e.plantApps, e.plantUse,
	} {
		if err := plant(); err != nil {
			return nil, err
		}
	}
	err := e.fill()
	if err != nil {
		return nil, err
	}
	e.lists()
	e.work(e.now.Add(-70*day), e.now)
	if e.Policy, err = e.policy.Encode(); err != nil {
		return nil, err
	}
	return e, nil
}

// fault notes what must be found.
func (e *Estate) fault(rule, subject string) {
	e.Faults = append(e.Faults, Fault{rule, subject})
}

// fix notes how a person would mend it.
func (e *Estate) fix(mend func() error) { e.fixes = append(e.fixes, mend) }

// Fix mends every fault, as people do who read the report. Work goes on until
// the clock's time.
func (e *Estate) Fix() error {
	for _, mend := range e.fixes {
		if err := mend(); err != nil {
			return err
		}
	}
	now := e.clouds.Now().UTC()
	e.work(e.now, now)
	e.now = now
	e.lists()
	var err error
	e.Policy, err = e.policy.Encode()
	return err
}

// Age has everything in the usage log happen that much earlier, for a clock
// that cannot be moved.
func (e *Estate) Age(by time.Duration) {
	log := &usagelogtest.Log{}
	for _, event := range e.Log.Events() {
		event.At = event.At.Add(-by)
		log.Add(event)
	}
	e.Log, e.now = log, e.now.Add(-by)
	e.clouds.Databricks.SetStatements(log.Statement)
}

// work adds to the log what everybody does who is busy: every other day, from
// the company's network.
func (e *Estate) work(from, to time.Time) {
	for i, b := range e.busy {
		for at := from.Add(time.Duration(i) * time.Minute); at.Before(to); at = at.Add(2 * day) {
			for _, service := range b.services {
				e.Log.Add(usagelogtest.Event{
					At: at, Workspace: e.clouds.Workspaces[0].ID, Address: fmt.Sprintf("203.0.113.%d", 1+i%200), Agent: "databricks-sdk-go/0.182.0 os/linux",
					Identity: b.identity, Service: service, Action: "get", Status: 200,
				})
			}
		}
	}
}

// works has a principal use what its scopes are for.
func (e *Estate) works(p databrickstest.Principal, scopes ...string) {
	service := map[string]string{"jobs": "jobs", "sql": "databrickssql", "clusters": "clusters"}
	b := busy{identity: p.ApplicationID}
	for _, s := range scopes {
		b.services = append(b.services, service[s])
	}
	e.busy = append(e.busy, b)
}

// member is a principal as it should be, and what of it faults may change.
type member struct {
	databrickstest.Principal
	id, name string
	role     role
	// scopes are of its OAuth secret, nil for the role's.
	scopes []string
	// age is of its current credential, lifetime of its OAuth secret if it is
	// not the rotation's own.
	age, lifetime time.Duration
	inactive      bool
	admin         bool // of its workspace
	accountAdmin  bool
	entitlements  []string
	// noRole leaves it out of the policy, unmanaged out of Secrets Manager,
	// idle out of the usage log.
	noRole, unmanaged, idle bool
	onAWS                   bool
	// level is what it may do with its role's object, "-" for nothing.
	level string
	// noJob leaves it without the job of its role.
	noJob bool
	// used are the scopes that its work needs, nil for those of its secret.
	used []string

	secret databrickstest.OAuthSecret
	arn    string
	value  credential.Credential
}

// add makes a principal with everything that belongs to it.
func (e *Estate) add(name string, change func(*member)) (*member, error) {
	m := &member{name: name, role: e.roles[e.principal%len(e.roles)], age: 10 * day, entitlements: []string{"databricks-sql-access"}}
	if change != nil {
		change(m)
	}
	e.principal++
	db := e.clouds.Databricks
	m.Principal = db.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: name, Inactive: m.inactive, AccountAdmin: m.accountAdmin})
	m.id = strconv.FormatInt(m.ID, 10)
	db.Assign(m.ID, m.role.workspace, m.admin)
	db.Entitle(m.ID, m.role.workspace, m.entitlements...)
	db.GrantManager(e.people[e.principal%len(e.people)].ID, m.ID)
	if m.scopes == nil {
		m.scopes = m.role.scopes
	}
	if !m.noRole {
		e.policy.Principals = append(e.policy.Principals, policy.Principal{ClientID: m.ApplicationID, Role: m.role.name, Owner: "team-" + m.role.name, OnAWS: m.onAWS})
	}
	if m.level == "" {
		m.level = m.role.level
	}
	if m.level != "-" && !m.noRole {
		e.allow(m.role.object, m.ID, m.level)
		if m.role.name == "etl" && !m.noJob {
			e.allow(job, m.ID, jobLevel)
		}
	}
	if !m.idle {
		used := m.used
		if used == nil {
			used = m.scopes
		}
		if len(used) == 0 {
			used = m.role.scopes
		}
		e.works(m.Principal, used...)
	}
	if m.unmanaged {
		return m, nil
	}
	return m, e.manage(m)
}

// manage registers the principal and issues its credential, as the rotation
// does.
func (e *Estate) manage(m *member) error {
	m.value = credential.Credential{
		Host: e.clouds.Databricks.AccountHost(), AccountID: e.clouds.Databricks.AccountID(), ClientID: m.ApplicationID,
		ServicePrincipalID: m.id, Scopes: m.scopes,
	}
	// The fingerprint needs the ARN, so the secret comes first.
	text, err := m.value.Encode()
	if err != nil {
		return err
	}
	if m.arn, err = e.clouds.AWS.CreateSecret("databricks/"+m.name, text.Reveal(), map[string]string{managedsecret.TagKey: managedsecret.TagValue}); err != nil {
		return err
	}
	return e.rotate(m, m.age)
}

// rotate issues an OAuth secret of this age and makes it current. What was
// current before is deleted.
func (e *Estate) rotate(m *member, age time.Duration) error {
	lifetime := m.lifetime
	if lifetime == 0 {
		lifetime = fingerprint.Lifetime(m.arn, 90*day)
	}
	if m.secret.ID != "" {
		e.clouds.Databricks.DeleteSecret(m.ID, m.secret.ID)
	}
	var err error
	if m.secret, err = e.clouds.Databricks.AddSecret(m.ID, databrickstest.SecretSpec{Scopes: m.scopes, CreateTime: e.clouds.Now().Add(-age), Lifetime: lifetime}); err != nil {
		return err
	}
	m.value.ClientSecret, m.value.OAuthSecretID = secret.New(m.secret.Value), m.secret.ID
	m.value.IssuedAt, m.value.ExpiresAt = m.secret.CreateTime.Truncate(time.Second), m.secret.ExpireTime.Truncate(time.Second)
	m.value.Scopes = m.scopes
	return e.put(m)
}

func (e *Estate) put(m *member) error {
	text, err := m.value.Encode()
	if err != nil {
		return err
	}
	_, err = e.clouds.Secrets.PutSecretValue(context.Background(), &secretsmanager.PutSecretValueInput{SecretId: &m.arn, SecretString: aws.String(text.Reveal())})
	return err
}

// byHand gives a principal an OAuth secret as a person makes one.
func (e *Estate) byHand(m *member, age, lifetime time.Duration) (databrickstest.OAuthSecret, error) {
	return e.clouds.Databricks.AddSecret(m.ID, databrickstest.SecretSpec{Scopes: m.scopes, CreateTime: e.now.Add(-age), Lifetime: lifetime, NoExpiry: lifetime == 0})
}

// fill brings the estate to its size with what is as it should be.
func (e *Estate) fill() error {
	for e.principal < principals {
		if _, err := e.add(fmt.Sprintf("worker%02d", e.principal), nil); err != nil {
			return err
		}
	}
	if e.principal > principals {
		return fmt.Errorf("%d principals are more than %d", e.principal, principals)
	}
	for e.token < tokens {
		i := e.token
		_, err := e.pat(e.people[1+i%(len(e.people)-1)].ID, databrickstest.TokenSpec{
			Comment: fmt.Sprintf("notebook %d", i), CreateTime: e.now.Add(-time.Duration(10+i%50) * day), LastUsed: e.now.Add(-time.Duration(1+i%9) * day),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// pat adds a personal access token; what is not said is as it should be.
func (e *Estate) pat(owner int64, spec databrickstest.TokenSpec) (string, error) {
	w := e.clouds.Workspaces[e.token%len(e.clouds.Workspaces)]
	e.token++
	if spec.CreateTime.IsZero() {
		spec.CreateTime = e.now.Add(-20 * day)
	}
	if spec.Lifetime == 0 {
		spec.Lifetime = 90 * day
	}
	if spec.Scopes == nil {
		spec.Scopes = []string{"sql"}
	} else if len(spec.Scopes) == 0 {
		spec.Scopes = nil
	}
	if spec.Autoscope == "" {
		spec.Autoscope = databrickstest.AutoscopeRunning
	}
	t, err := e.clouds.Databricks.AddToken(w, owner, spec)
	return t.ID, err
}

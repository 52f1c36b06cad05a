// Package estatetest is a small company in memory: a Databricks account and an
// AWS account, service principals with managed secrets, and the people who
// make secrets by hand. It knows the whole truth about both clouds and holds
// the product's invariants against it at any instant.
package estatetest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/secret"
)

// Estate is the company.
type Estate struct {
	AWS        *awstest.Server
	Databricks *databrickstest.Server
	Workspace  *databrickstest.Workspace
	// Rotator is the rotator's own principal, an account admin and an admin of
	// the workspace.
	Rotator databrickstest.Principal
	// Now is the clock of both clouds.
	Now func() time.Time

	rotatorSecret databrickstest.OAuthSecret

	// mu guards what is known of the managed secrets' past.
	mu      sync.Mutex
	managed []*Managed
}

// Managed is one managed secret and its principal, with what the invariants
// need to know of its past.
type Managed struct {
	Name, ARN string
	Principal databrickstest.Principal
	Host      databricks.Host
	// Scopes are those that its OAuth secrets must have.
	Scopes []string

	// foreign are the secrets that people made, each with its value; mayGo tells
	// that somebody has asked for their end.
	foreign map[string]string
	mayGo   bool
	// registered is the one that a person made to begin with, and noted the id
	// of: it is the rotation's.
	registered databrickstest.OAuthSecret
	// seen is the value of AWSCURRENT when it was last looked at.
	seen string
	// history are the credentials that were current, oldest first.
	history []tenure
	// disturbed is set while something was done to the principal that the
	// rotation cannot prevent: its current secret deleted by hand, the
	// principal switched off.
	disturbed bool
	// killed are the values that a revocation has ended, and heldSince is when
	// one did that issues nothing, zero if none holds.
	killed    []string
	heldSince time.Time
	// replacing and revoking tell that what becomes current meanwhile is not
	// safe either.
	replacing, revoking bool
}

// tenure is the time in which a credential was current.
type tenure struct {
	clientSecret string
	from, until  time.Time
	// excused tells that it is not the rotation's fault if it does not work: a
	// person deleted it, or it died while its principal was switched off.
	excused bool
	// waived tells that a replacement has waived its grace.
	waived bool
}

// Config sets an estate up. The zero value is usable.
type Config struct {
	Seed uint64
	// Now is the clock of both clouds, nil for [time.Now].
	Now func() time.Time
	// MaxLag is the age from which every read of Secrets Manager sees a write,
	// zero for never.
	MaxLag time.Duration
	// PageSize is how many OAuth secrets Databricks lists in a page, zero for
	// the simulator's default.
	PageSize int
}

// New founds the company.
func New(cfg Config) *Estate {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	e := &Estate{
		AWS:        awstest.New(awstest.Config{Seed: cfg.Seed, Now: cfg.Now, MaxLag: cfg.MaxLag}),
		Databricks: databrickstest.New(databrickstest.Config{Seed: cfg.Seed, Now: cfg.Now, PageSize: cfg.PageSize}),
		Now:        cfg.Now,
	}
	e.AWS.SetAuthorizer(e.holdIsEnforced)
	e.Workspace = e.Databricks.AddWorkspace("analytics")
	e.Rotator = e.Databricks.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "rotator", AccountAdmin: true})
	e.Databricks.Assign(e.Rotator.ID, e.Workspace, true)
	e.rotatorSecret, _ = e.Databricks.AddSecret(e.Rotator.ID, databrickstest.SecretSpec{NoExpiry: true})
	return e
}

// Identity authenticates the rotator.
func (e *Estate) Identity() databricks.Identity {
	return databricks.Stored{Read: func(context.Context) (string, secret.Text, error) {
		return e.Rotator.ApplicationID, secret.New(e.rotatorSecret.Value), nil
	}}
}

// Client is a Databricks client for the engine, over the given transport.
func (e *Estate) Client(transport http.RoundTripper) *databricks.Client {
	if transport == nil {
		transport = e.Databricks.Transport()
	}
	return &databricks.Client{Allowed: Allowed(), Identity: e.Identity(), Transport: transport}
}

// Allowed are the hosts of an estate.
func Allowed() databricks.AllowedHosts {
	hosts, err := databricks.ParseAllowedHosts("https://*.cloud.databricks.com")
	if err != nil {
		panic(err)
	}
	return hosts
}

// Registration describes a managed secret to be.
type Registration struct {
	Name string
	// AccountLevel manages the principal through the account console.
	AccountLevel bool
	// Fresh registers without a credential; otherwise a person has issued one.
	Fresh  bool
	Scopes []string
	// Bare leaves out what a person would not know: the ids of the principal
	// and of the OAuth secret.
	Bare bool
	// Extra are keys of somebody else.
	Extra map[string]string
}

// Register adds a service principal and its managed secret.
func (e *Estate) Register(ctx context.Context, r Registration) (*Managed, error) {
	m := &Managed{
		Name: r.Name, Scopes: r.Scopes, foreign: map[string]string{},
		Principal: e.Databricks.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: r.Name}),
		Host:      databricks.Host{URL: e.Workspace.Host()},
	}
	e.Databricks.Assign(m.Principal.ID, e.Workspace, false)
	e.Databricks.GrantManager(e.Rotator.ID, m.Principal.ID)
	if r.AccountLevel {
		m.Host = databricks.Host{URL: e.Databricks.AccountHost(), AccountID: e.Databricks.AccountID()}
	}
	value := map[string]string{
		credential.KeyHost: m.Host.URL, credential.KeyAccountID: m.Host.AccountID,
		credential.KeyClientID: m.Principal.ApplicationID,
	}
	for key, v := range r.Extra {
		value[key] = v
	}
	if len(r.Scopes) > 0 {
		value[credential.KeyScopes] = fmt.Sprint(r.Scopes)
		value[credential.KeyScopes] = value[credential.KeyScopes][1 : len(value[credential.KeyScopes])-1]
	}
	if !r.Bare {
		value[credential.KeyServicePrincipalID] = strconv.FormatInt(m.Principal.ID, 10)
	}
	if !r.Fresh {
		s, err := e.Databricks.AddSecret(m.Principal.ID, databrickstest.SecretSpec{Scopes: r.Scopes, Lifetime: 365 * 24 * time.Hour})
		if err != nil {
			return nil, err
		}
		value[credential.KeyClientSecret] = s.Value
		if !r.Bare {
			value[credential.KeyOAuthSecretID], m.registered = s.ID, s
		}
		if r.Bare {
			m.foreign[s.ID] = s.Value
		}
	}
	for key, v := range value {
		if v == "" {
			delete(value, key)
		}
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	out, err := e.SecretsManager("operator").CreateSecret(ctx, &secretsmanager.CreateSecretInput{
		Name: &r.Name, SecretString: aws.String(string(text)),
		Tags: []types.Tag{{Key: aws.String(managedsecret.TagKey), Value: aws.String(managedsecret.TagValue)}},
	})
	if err != nil {
		return nil, err
	}
	m.ARN = *out.ARN
	e.mu.Lock()
	defer e.mu.Unlock()
	e.managed = append(e.managed, m)
	e.observe()
	return m, nil
}

// SecretsManager is the real SDK's client, calling as a role.
func (e *Estate) SecretsManager(role string, options ...func(*secretsmanager.Options)) *secretsmanager.Client {
	cfg := e.AWS.Config()
	cfg.Credentials = e.AWS.Role(role)
	return secretsmanager.NewFromConfig(cfg, options...)
}

// Managed returns the managed secrets in the order of their registration.
func (e *Estate) Managed() []*Managed { return e.managed }

// MakeByHand is a person who makes a secret in the console; false if the
// principal is full.
func (e *Estate) MakeByHand(m *Managed, lifetime time.Duration) (databrickstest.OAuthSecret, bool) {
	s, err := e.Databricks.AddSecret(m.Principal.ID, databrickstest.SecretSpec{Lifetime: lifetime, Scopes: m.Scopes})
	if err != nil {
		return s, false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	m.foreign[s.ID] = s.Value
	return s, true
}

// StoreByHand is a person who makes a secret in the console and puts its value
// into the managed secret, over the one that is there: its id, which clients do
// not need, is not written down, and what was noted of the other one goes.
func (e *Estate) StoreByHand(ctx context.Context, m *Managed, lifetime time.Duration) error {
	made, ok := e.MakeByHand(m, lifetime)
	if !ok {
		return nil // there is no room, and the person gives up
	}
	return e.rewrite(ctx, m, func(value map[string]string) {
		value[credential.KeyClientSecret] = made.Value
		unname(value)
	})
}

// PasteByHand is the same person in more of a hurry, who changes the client
// secret and leaves the id of the old one beside it.
func (e *Estate) PasteByHand(ctx context.Context, m *Managed, lifetime time.Duration) error {
	made, ok := e.MakeByHand(m, lifetime)
	if !ok || !e.Databricks.Authenticates(m.Principal.ApplicationID, made.Value) {
		return nil // nobody pastes what does not work
	}
	return e.rewrite(ctx, m, func(value map[string]string) { value[credential.KeyClientSecret] = made.Value })
}

// RollBackByHand is a person who undoes a rotation, by pasting the client secret
// that was there before. One whose grace is nearly over is not worth it: it may
// be retired at the same moment.
func (e *Estate) RollBackByHand(ctx context.Context, m *Managed, grace time.Duration) error {
	e.mu.Lock()
	previous, _ := e.AWS.Labelled(m.Name, managedsecret.Previous)
	c, err := credential.Parse(secret.New(previous.Value))
	works := err == nil && c.Issued() && e.Databricks.Authenticates(c.ClientID, c.ClientSecret.Reveal())
	if t := m.lastTenure(c.ClientSecret.Reveal()); works && t != nil && !t.until.IsZero() {
		works = e.Now().Sub(t.until) < grace/2
	}
	e.mu.Unlock()
	if !works {
		return nil
	}
	return e.rewrite(ctx, m, func(value map[string]string) { value[credential.KeyClientSecret] = c.ClientSecret.Reveal() })
}

// RewriteByHand is a person who puts the value that is there back without the id
// and the times of its OAuth secret.
func (e *Estate) RewriteByHand(ctx context.Context, m *Managed) error {
	return e.rewrite(ctx, m, unname)
}

// unname removes what says which OAuth secret a value is of.
func unname(value map[string]string) {
	for _, key := range []string{credential.KeyOAuthSecretID, credential.KeyIssuedAt, credential.KeyExpiresAt} {
		delete(value, key)
	}
}

func (e *Estate) rewrite(ctx context.Context, m *Managed, change func(map[string]string)) error {
	e.mu.Lock()
	v, _ := e.AWS.Current(m.Name)
	e.mu.Unlock()
	value := map[string]string{}
	if err := json.Unmarshal([]byte(v.Value), &value); err != nil {
		return err
	}
	if s := m.registered; value[credential.KeyOAuthSecretID] == s.ID && s.ID != "" {
		e.mu.Lock()
		m.foreign[s.ID] = s.Value // nothing says any more that it is not a person's
		e.mu.Unlock()
	}
	change(value)
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = e.SecretsManager("operator").PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &m.ARN, SecretString: aws.String(string(text))})
	e.mu.Lock()
	defer e.mu.Unlock()
	e.observe()
	return err
}

// DeleteByHand is a person who deletes one of a principal's secrets, whoever
// made it. If it was current, nothing works until the next run heals it.
func (e *Estate) DeleteByHand(m *Managed, id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.Databricks.Secrets(m.Principal.ID) {
		if s.ID != id {
			continue
		}
		e.Databricks.DeleteSecret(m.Principal.ID, id)
		delete(m.foreign, id)
		for i := range m.history {
			if m.history[i].clientSecret == s.Value {
				m.history[i].excused = true
			}
		}
		if current, ok := e.current(m); ok && current.ClientSecret.Reveal() == s.Value {
			m.disturbed = true
		}
	}
}

// SetActive is a person who switches a principal off or on.
func (e *Estate) SetActive(m *Managed, active bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.Databricks.SetActive(m.Principal.ID, active)
	m.disturbed = true
	if active {
		// A lockout leaves what may be somebody else's: it says so, and that it
		// works again as soon as the principal does.
		m.killed = slices.DeleteFunc(m.killed, func(value string) bool {
			s, live := e.secretOf(m, value)
			return live && m.madeByHand(s.ID)
		})
	}
	if current, ok := e.current(m); active && ok {
		// While it was off, its credential may have expired.
		m.disturbed = !e.Databricks.Authenticates(current.ClientID, current.ClientSecret.Reveal())
	}
}

func (e *Estate) current(m *Managed) (credential.Credential, bool) {
	v, ok := e.AWS.Current(m.Name)
	if !ok {
		return credential.Credential{}, false
	}
	c, err := credential.Parse(secret.New(v.Value))
	return c, err == nil && c.Issued()
}

// secretOf finds a live secret of the principal by its value.
func (e *Estate) secretOf(m *Managed, value string) (databrickstest.OAuthSecret, bool) {
	live := e.Databricks.Secrets(m.Principal.ID)
	i := slices.IndexFunc(live, func(s databrickstest.OAuthSecret) bool { return s.Value == value })
	if i < 0 {
		return databrickstest.OAuthSecret{}, false
	}
	return live[i], true
}

// IsForeign tells whether a person made an OAuth secret.
func (e *Estate) IsForeign(m *Managed, id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, foreign := m.foreign[id]
	return foreign
}

// Package fleet is the service principals and managed secrets that the sandbox
// begins with, and the whole truth about them at any time.
package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"databricks-credential-rotation/infra/sandbox/stage"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/secret"
)

// Member is one secret with its service principal.
type Member struct {
	Name string
	// Level is "account", or the name of the workspace.
	Level string
	// Story says in a few words what is special about it.
	Story  string
	Fate   Fate
	Scopes []string
	ByHand bool

	Principal databrickstest.Principal
	// Foreign are the OAuth secrets that other people made.
	Foreign []string
}

// Names are all by which a simulator's record may name the member.
func (m Member) Names() []string {
	return []string{m.Name, strconv.FormatInt(m.Principal.ID, 10), m.Principal.ApplicationID}
}

// Fleet is all members.
type Fleet struct {
	Managed   []Member
	Unmanaged Member

	clouds stage.Clouds
	client *secretsmanager.Client
}

// Seed makes the fleet, each part of it at the time when it came to be. It
// leaves the clock at the present.
func Seed(ctx context.Context, clouds stage.Clouds) (*Fleet, error) {
	defer clouds.Clock.SetBack(0)
	f := &Fleet{clouds: clouds, client: clouds.SecretsManager("operator")}
	for _, e := range roster {
		m, err := f.add(ctx, e, types.Tag{Key: aws.String(managedsecret.TagKey), Value: aws.String(managedsecret.TagValue)})
		if err != nil {
			return nil, fmt.Errorf("seed %s: %w", e.name, err)
		}
		f.Managed = append(f.Managed, m)
	}
	var err error
	if f.Unmanaged, err = f.add(ctx, unmanagedEntry); err != nil {
		return nil, fmt.Errorf("seed %s: %w", unmanaged, err)
	}
	return f, nil
}

func (f *Fleet) add(ctx context.Context, e entry, tags ...types.Tag) (Member, error) {
	m := Member{Name: e.name, Story: e.story, Fate: e.fate, Scopes: e.scopes, ByHand: e.byHand}
	m.Principal = f.clouds.Databricks.AddPrincipal(databrickstest.PrincipalSpec{
		DisplayName: e.name, Inactive: e.fate == Inactive, AccountAdmin: e.admin,
	})
	registration := credential.Credential{ClientID: m.Principal.ApplicationID, Scopes: e.scopes}
	if !e.byHand {
		registration.ServicePrincipalID = strconv.FormatInt(m.Principal.ID, 10)
	}
	m.Level, registration.Host, registration.AccountID = f.settle(e.at, m.Principal.ID)
	for range e.foreign {
		f.clouds.Clock.SetBack(400 * day)
		s, err := f.clouds.Databricks.AddSecret(m.Principal.ID, databrickstest.SecretSpec{})
		if err != nil {
			return m, err
		}
		m.Foreign = append(m.Foreign, s.ID)
	}
	if e.predecessor == 0 {
		return m, f.register(ctx, e, m, registration, tags)
	}
	first := e
	first.age = e.predecessor
	if err := f.register(ctx, first, m, registration, tags); err != nil {
		return m, err
	}
	return m, f.replace(ctx, e, m)
}

// settle makes a principal known where it is managed: at the account, or in a
// workspace whose admin also manages the principal.
func (f *Fleet) settle(at place, principal int64) (level, host, accountID string) {
	workspace := map[place]*databrickstest.Workspace{
		analytics: f.clouds.Analytics, production: f.clouds.Production,
	}[at]
	if workspace == nil {
		return "account", f.clouds.Databricks.AccountHost(), f.clouds.Databricks.AccountID()
	}
	f.clouds.Databricks.Assign(principal, workspace, false)
	f.clouds.Databricks.GrantManager(f.clouds.Rotator.ID, principal)
	return workspace.Name, workspace.Host(), ""
}

// register creates the secret in Secrets Manager, with the credential that is
// to be current first, if there is one.
func (f *Fleet) register(ctx context.Context, e entry, m Member, c credential.Credential, tags []types.Tag) error {
	f.clouds.Clock.SetBack(e.age)
	if e.fate != Issued {
		if err := f.issue(e, m, &c); err != nil {
			return err
		}
		if !e.byHand && len(c.Scopes) == 0 {
			c.Scopes = []string{credential.AllAPIs} // as a rotation states it
		}
	}
	value, err := c.Encode()
	if err != nil {
		return err
	}
	text := value.Reveal()
	if e.byHand {
		if text, err = byHand(c); err != nil {
			return err
		}
	}
	_, err = f.client.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &e.name, SecretString: &text, Tags: tags})
	return err
}

// replace makes a second version as a sweep does: current at once, and with
// the first one's OAuth secret as a predecessor.
func (f *Fleet) replace(ctx context.Context, e entry, m Member) error {
	v, _ := f.clouds.AWS.Current(m.Name)
	c, err := credential.Parse(secret.New(v.Value))
	if err != nil {
		return err
	}
	c = c.Successor(func(string) bool { return true })
	f.clouds.Clock.SetBack(e.age)
	if err := f.issue(e, m, &c); err != nil {
		return err
	}
	value, err := c.Encode()
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(v.ID))
	_, err = f.client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
		SecretId: &m.Name, SecretString: aws.String(value.Reveal()),
		ClientRequestToken: aws.String("rotation-" + hex.EncodeToString(sum[:24])),
	})
	return err
}

func (f *Fleet) issue(e entry, m Member, c *credential.Credential) error {
	lifetime := e.lifetime
	if lifetime == 0 {
		lifetime = 90 * day
	}
	s, err := f.clouds.Databricks.AddSecret(m.Principal.ID, databrickstest.SecretSpec{Lifetime: lifetime, Scopes: e.scopes})
	if err != nil {
		return err
	}
	c.ClientSecret, c.OAuthSecretID = secret.New(s.Value), s.ID
	c.IssuedAt, c.ExpiresAt = s.CreateTime.Truncate(time.Second), s.ExpireTime.Truncate(time.Second)
	return nil
}

// byHand is a value as a person writes it, who has the console in front of
// them and has not read about the rotation's bookkeeping.
func byHand(c credential.Credential) (string, error) {
	text, err := json.Marshal(map[string]string{
		credential.KeyHost: c.Host, credential.KeyClientID: c.ClientID,
		credential.KeyClientSecret: c.ClientSecret.Reveal(),
		TeamKey:                    teamValue,
	})
	return string(text), err
}

// Repair is what the people do whom a sweep's report asks for help: of a full
// principal they delete an OAuth secret that nobody uses, and one that is
// switched off they activate.
func (f *Fleet) Repair() {
	for i := range f.Managed {
		m := &f.Managed[i]
		switch m.Fate {
		case Full:
			f.clouds.Databricks.DeleteSecret(m.Principal.ID, m.Foreign[0])
			m.Foreign = m.Foreign[1:]
		case Inactive:
			f.clouds.Databricks.SetActive(m.Principal.ID, true)
		default:
		}
	}
}

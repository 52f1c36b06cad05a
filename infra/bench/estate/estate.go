// Package estate is a fleet of any size for measurements: service principals
// and their managed secrets in both simulated clouds, the compiled functions
// over them, and what the clouds saw.
package estate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"databricks-credential-rotation/infra/sandbox/stage"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/fingerprint"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/secret"
)

const day = 24 * time.Hour

// age is how old every credential is: past the default interval, far from its
// expiry.
const age = 40 * day

// lifetime is the policy's.
const lifetime = 90 * day

// Config sets an estate up.
type Config struct {
	// Binaries is the directory of the compiled functions.
	Binaries string
	// Principals is how many there are, each with a managed secret that is due.
	Principals int
	// Scoped is how many of them have a scoped OAuth secret.
	Scoped int
	// Environments is that of [stage.Config].
	Environments int
	// Parameters are the template's.
	Parameters map[string]string
}

// Member is a service principal with its managed secret.
type Member struct {
	Name      string
	Principal databrickstest.Principal
	Scoped    bool
}

// Estate is the fleet on a stage. Its clouds answer at once and without limits
// until they are told otherwise.
type Estate struct {
	*stage.Stage
	Members []Member
}

// Open makes an estate.
func Open(ctx context.Context, cfg Config) (*Estate, error) {
	s, err := stage.Open(ctx, stage.Config{
		Binaries: cfg.Binaries, Policy: policy.Default(), Seed: 1, Parameters: cfg.Parameters, Environments: cfg.Environments,
	})
	if err != nil {
		return nil, err
	}
	e := &Estate{Stage: s}
	if err := e.seed(ctx, cfg); err != nil {
		s.Close()
		return nil, fmt.Errorf("seed: %w", err)
	}
	e.Forget()
	return e, nil
}

func (e *Estate) seed(ctx context.Context, cfg Config) error {
	e.Clock.SetBack(age)
	defer e.Clock.SetBack(0)
	api := e.SecretsManager("operator")
	for i := range cfg.Principals {
		m := Member{Name: fmt.Sprintf("jobs/%05d", i), Scoped: i < cfg.Scoped}
		m.Principal = e.Databricks.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: m.Name})
		c := credential.Credential{
			Host: e.Databricks.AccountHost(), AccountID: e.Databricks.AccountID(),
			ClientID: m.Principal.ApplicationID, ServicePrincipalID: strconv.FormatInt(m.Principal.ID, 10),
		}
		if m.Scoped {
			c.Scopes = []string{"sql"}
		}
		if err := e.register(ctx, api, m, c); err != nil {
			return err
		}
		e.Members = append(e.Members, m)
	}
	return nil
}

// register makes a member's managed secret as a rotation has left it: what
// somebody else has put there is looked at more closely, once.
func (e *Estate) register(ctx context.Context, api *secretsmanager.Client, m Member, c credential.Credential) error {
	out, err := api.CreateSecret(ctx, &secretsmanager.CreateSecretInput{
		Name: &m.Name,
		Tags: []types.Tag{{Key: aws.String(managedsecret.TagKey), Value: aws.String(managedsecret.TagValue)}},
	})
	if err != nil {
		return err
	}
	issued, err := e.Databricks.AddSecret(m.Principal.ID, databrickstest.SecretSpec{Lifetime: fingerprint.Lifetime(*out.ARN, lifetime), Scopes: c.Scopes})
	if err != nil {
		return err
	}
	if len(c.Scopes) == 0 {
		c.Scopes = []string{credential.AllAPIs}
	}
	c.ClientSecret, c.OAuthSecretID = secret.New(issued.Value), issued.ID
	c.IssuedAt, c.ExpiresAt = issued.CreateTime.Truncate(time.Second), issued.ExpireTime.Truncate(time.Second)
	value, err := c.Encode()
	if err != nil {
		return err
	}
	_, err = api.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
		SecretId: out.ARN, SecretString: aws.String(value.Reveal()),
		ClientRequestToken: aws.String(fmt.Sprintf("rotation-%048d", m.Principal.ID)),
	})
	return err
}

// Delay has every call take that long before it is served.
func (e *Estate) Delay(databricks, aws time.Duration) {
	e.Databricks.Faults().Add(faulttest.Fault{Kind: faulttest.Slow, Delay: databricks, Times: faulttest.Forever})
	e.AWS.Faults().Add(faulttest.Fault{Kind: faulttest.Slow, Delay: aws, Times: faulttest.Forever})
}

// Secrets Manager's quotas, in requests a second of a region and an account:
// docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html.
const (
	// Writes is that of PutSecretValue and the other writes of values together.
	Writes = 50
	reads  = 10_000
	lists  = 100
	batch  = 100
	rotate = 50
)

// Limit puts the quotas of Secrets Manager into force, times a factor, and a
// limit on Databricks.
func (e *Estate) Limit(factor, requests, creates int) {
	e.AWS.WriteQuota(Writes * factor)
	e.AWS.ReadQuota(reads * factor)
	e.AWS.ListQuota(lists * factor)
	e.AWS.BatchQuota(batch * factor)
	e.AWS.RotateQuota(rotate * factor)
	e.Databricks.RateLimit(requests * factor)
	e.Databricks.RateLimitCreates(creates * factor)
}

// Run is what a run of the function rotate reports of itself.
type Run struct {
	Secrets int
	Counts  map[string]int
	Queued  int
	// Took is the time from the event to its answer.
	Took time.Duration
}

// Sweep has the function rotate look at everything once. An error is the
// function's own.
func (e *Estate) Sweep(ctx context.Context) (Run, error) { return e.run(ctx, `{"action":"sweep"}`) }

// Reconcile is [Estate.Sweep] with all that a sweep leaves out.
func (e *Estate) Reconcile(ctx context.Context) (Run, error) {
	return e.run(ctx, `{"action":"reconcile"}`)
}

func (e *Estate) run(ctx context.Context, event string) (Run, error) {
	began := time.Now()
	reply, err := e.Invoke(ctx, "rotate", []byte(event))
	run := Run{Took: time.Since(began)}
	if err != nil {
		return run, err
	}
	if err := json.Unmarshal(reply, &run); err != nil {
		return run, fmt.Errorf("read the report of a sweep: %w", err)
	}
	return run, nil
}

// Once tells for how many of some members exactly one OAuth secret was issued,
// and is current and works.
func (e *Estate) Once(members []Member) int {
	n := 0
	for _, m := range members {
		live := e.Databricks.Secrets(m.Principal.ID)
		if len(live) != 2 || len(e.AWS.Versions(m.Name)) != 2 {
			continue
		}
		current, _ := e.AWS.Current(m.Name)
		c, err := credential.Parse(secret.New(current.Value))
		if err == nil && c.OAuthSecretID == live[1].ID && e.Databricks.Authenticates(m.Principal.ApplicationID, live[1].Value) {
			n++
		}
	}
	return n
}

// Check returns an error if a simulator was asked for what it does not know:
// then what it answered proves nothing.
func (e *Estate) Check() error {
	if unknown := e.Unknown(); len(unknown) > 0 {
		return errors.New("the simulators do not know: " + unknown[0])
	}
	return nil
}

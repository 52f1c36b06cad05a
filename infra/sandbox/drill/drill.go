// Package drill rehearses a leak: a thief uses a credential without pause,
// applications read theirs and use it, and the compiled revoke function is
// invoked with nothing but the hash of what leaked.
package drill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"databricks-credential-rotation/functions/revoke/revocation"
	"databricks-credential-rotation/infra/sandbox/stage"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/secret"
)

// Limit is how long after the call the leaked credential may still be
// accepted, on simulators that add no delay of their own.
const Limit = time.Second

const (
	// applications is how many read each secret.
	applications = 4
	// settle is how long is waited for applications that recover, or do not.
	settle = 300 * time.Millisecond
	// patience ends a drill in which nothing happens.
	patience = 10 * time.Second

	operatorRole    = "operator"
	applicationRole = "application"
)

// Result is one drill.
type Result struct {
	Mode   revocation.Mode
	Secret string
	// Refused is how long after the call the thief was refused for the first
	// time, and for good; Call how long the call took.
	Refused, Call time.Duration
	// Refusals is the most that one application met by the end of the call.
	Refusals int
	// Recovered tells that applications work at the end.
	Recovered bool
	// Reply is what the function answered.
	Reply *revocation.Reply
	// Problems are what should have been otherwise.
	Problems []error
}

func (r *Result) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Errorf(format, args...))
}

// Drill is a stage with three applications' secrets on it.
type Drill struct {
	Stage *stage.Stage
}

// Open sets the stage: it is the drill's own.
func Open(ctx context.Context, binaries string, seed uint64) (*Drill, error) {
	s, err := stage.Open(ctx, stage.Config{Binaries: binaries, Seed: seed, Policy: policy.Default()})
	if err != nil {
		return nil, err
	}
	d := &Drill{Stage: s}
	for _, mode := range []revocation.Mode{revocation.Replace, revocation.Revoke, revocation.Lockout} {
		if err := d.register(ctx, name(mode)); err != nil {
			s.Close()
			return nil, err
		}
	}
	// The first sweep issues all three.
	if _, err := s.Invoke(ctx, "rotate", []byte(`{"action":"sweep"}`)); err != nil {
		s.Close()
		return nil, fmt.Errorf("the first sweep: %w", err)
	}
	return d, nil
}

// Close ends the stage.
func (d *Drill) Close() { d.Stage.Close() }

func name(mode revocation.Mode) string { return "drill/" + string(mode) }

func (d *Drill) register(ctx context.Context, name string) error {
	p := d.Stage.Databricks.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: name})
	value, err := credential.Credential{
		Host: d.Stage.Databricks.AccountHost(), AccountID: d.Stage.Databricks.AccountID(),
		ClientID: p.ApplicationID, ServicePrincipalID: strconv.FormatInt(p.ID, 10),
	}.Encode()
	if err != nil {
		return err
	}
	_, err = d.Stage.SecretsManager(operatorRole).CreateSecret(ctx, &secretsmanager.CreateSecretInput{
		Name: &name, SecretString: aws.String(value.Reveal()),
		Tags: []types.Tag{{Key: aws.String(managedsecret.TagKey), Value: aws.String(managedsecret.TagValue)}},
	})
	if err != nil {
		return fmt.Errorf("register %s: %w", name, err)
	}
	return nil
}

func (d *Drill) current(name string) (credential.Credential, error) {
	v, ok := d.Stage.AWS.Current(name)
	if !ok {
		return credential.Credential{}, fmt.Errorf("%s has no current version", name)
	}
	return credential.Parse(secret.New(v.Value))
}

// Play leaks the current credential of a mode's secret and ends it.
func (d *Drill) Play(ctx context.Context, mode revocation.Mode) (*Result, error) {
	r := &Result{Mode: mode, Secret: name(mode)}
	leaked, err := d.current(r.Secret)
	if err != nil {
		return nil, err
	}
	crew := newCrew(ctx, d.Stage.SecretsManager(applicationRole), r.Secret)
	defer crew.stop()
	thief := newThief(ctx, leaked)
	defer thief.stop()
	if err := thief.working(ctx); err != nil {
		return nil, err
	}

	event, err := json.Marshal(map[string]any{
		"mode": mode, "sha256": leaked.ClientSecret.SHA256(), "reason": "drill", "requested_by": "the sandbox",
	})
	if err != nil {
		return nil, err
	}
	called := time.Now()
	answer, err := d.Stage.Invoke(ctx, "revoke", event)
	r.Call = time.Since(called)
	if err != nil {
		r.problem("the invocation failed: %w", err)
		return r, nil
	}
	if err := json.Unmarshal(answer, &r.Reply); err != nil {
		return nil, fmt.Errorf("the reply: %w", err)
	}
	time.Sleep(settle)
	refused, again := thief.refused()
	switch r.Refused = refused.Sub(called); {
	case refused.IsZero():
		r.problem("the thief was never refused")
	case r.Refused > Limit:
		r.problem("the thief was refused after %v", r.Refused)
	case again:
		r.problem("the thief was accepted again after a refusal")
	}
	if !r.Reply.Complete || len(r.Reply.Proofs) != 1 || !r.Reply.Proofs[0].Refused {
		r.problem("the reply does not say that it is complete and proven:\n%s", r.Reply.Text())
	}
	if mode == revocation.Replace {
		r.Refusals, r.Recovered = crew.worst(), crew.works()
		if r.Refusals > 1 || !r.Recovered {
			r.problem("an application was refused %d times; all work at the end: %v", r.Refusals, r.Recovered)
		}
		return r, nil
	}
	d.release(ctx, r, crew, thief)
	return r, nil
}

// release holds that nothing comes back by itself, and that a release brings
// the applications back, and not the thief.
func (d *Drill) release(ctx context.Context, r *Result, crew *crew, thief *thief) {
	if crew.works() {
		r.problem("applications work though nothing was to replace the credential")
	}
	if r.Mode == revocation.Lockout && thief.tokenWorks(ctx, d.Stage.Databricks.AccountHost()+"/api/2.0/accounts/"+d.Stage.Databricks.AccountID()+"/scim/v2/ServicePrincipals") {
		r.problem("an access token from before still works")
	}
	for range 2 {
		_, err := d.Stage.Invoke(ctx, "rotate", []byte(`{"action":"reconcile"}`))
		if err == nil || !strings.Contains(err.Error(), r.Secret+": ") || !strings.Contains(err.Error(), "nothing is issued for it") {
			r.problem("a reconcile does not say that %s is held: %w", r.Secret, err)
		}
	}
	if crew.works() {
		r.problem("a sweep has undone the revocation")
	}
	event := fmt.Sprintf(`{"mode":"release","secret":%q,"reason":"end of the drill"}`, r.Secret)
	if _, err := d.Stage.Invoke(ctx, "revoke", []byte(event)); err != nil {
		r.problem("the release failed: %w", err)
	}
	time.Sleep(settle)
	if r.Recovered = crew.works(); !r.Recovered {
		r.problem("applications do not work after the release")
	}
	if _, again := thief.refused(); again {
		r.problem("the thief is accepted after the release")
	}
}

// Unknown lists what either simulator did not understand.
func (d *Drill) Unknown() error {
	if unknown := d.Stage.Unknown(); len(unknown) > 0 {
		return fmt.Errorf("calls that the simulators do not know: %v", unknown)
	}
	return nil
}

var errNoStart = errors.New("the thief cannot use the credential to begin with")

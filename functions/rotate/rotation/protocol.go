package rotation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/secret"
	"databricks-credential-rotation/shared/trail"
)

// Step is one step of Secrets Manager's rotation protocol.
type Step string

// The steps, in their order. Secrets Manager repeats all of them when one
// fails, so each is safe to repeat.
const (
	CreateSecret Step = "createSecret"
	SetSecret    Step = "setSecret"
	TestSecret   Step = "testSecret"
	FinishSecret Step = "finishSecret"
)

// StepRequest is what Secrets Manager asks for.
type StepRequest struct {
	Step Step
	// SecretID is the secret's ARN.
	SecretID string
	// Token is the id of the version that is to become current.
	Token string
	// RotationToken must be handed back with the new version.
	RotationToken secret.Text
}

// RunStep carries out one step of the rotation protocol. It leaves the same
// state behind as a sweep.
func (e *Engine) RunStep(ctx context.Context, req StepRequest) error {
	r, err := e.newRun(ctx, "protocol")
	if err != nil {
		return err
	}
	s, current, err := r.read(ctx, req.SecretID)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", req.Step, cmp.Or(s.Name, req.SecretID), err)
	}
	if block := r.confused(s, current.Credential); block != nil {
		return fmt.Errorf("%s of %s: %w", req.Step, s.Name, &blockedError{*block})
	}
	p := protocol{run: r, secret: s, current: current, token: req.Token, rotationToken: req.RotationToken}
	steps := map[Step]func(context.Context) error{
		CreateSecret: p.create, SetSecret: p.set, TestSecret: p.test, FinishSecret: p.finish,
	}
	if current.ID == req.Token && req.Step != TestSecret {
		return nil // finished by an earlier attempt
	}
	if s.Hold != nil && req.Step != TestSecret {
		return fmt.Errorf("%s of %s: %w", req.Step, s.Name, &blockedError{*heldBlock(s)})
	}
	if err := steps[req.Step](ctx); err != nil {
		return fmt.Errorf("%s of %s: %w; version %s was current and still authenticates if it did before", req.Step, s.Name, err, current.ID)
	}
	return nil
}

type protocol struct {
	*run
	secret        managedsecret.Secret
	current       Version
	token         string
	rotationToken secret.Text
}

// pending reads the version that the rotation is about. ErrNotFound means that
// it has no value yet.
func (p protocol) pending(ctx context.Context) (Version, error) {
	v, err := p.Store.Version(ctx, p.secret.ARN, p.token)
	if err != nil {
		return Version{}, err
	}
	if !slices.Contains(v.Labels, managedsecret.Pending) && !slices.Contains(v.Labels, managedsecret.Current) {
		return Version{}, fmt.Errorf("version %s is not %s: this rotation was given up; start another", p.token, managedsecret.Pending)
	}
	return p.parseCurrent(v)
}

// create issues a credential into the pending version.
func (p protocol) create(ctx context.Context) error {
	switch _, err := p.pending(ctx); {
	case err == nil:
		return nil // issued by an earlier attempt
	case !errors.Is(err, managedsecret.ErrNotFound):
		return err
	}
	o, plan, err := p.observe(ctx, Observation{Secret: p.secret, Current: p.current, Force: true, Token: p.token, CanAsk: p.Usage != nil})
	if err != nil {
		return err
	}
	if o.adopts(plan) {
		if o, plan, err = p.adopt(ctx, o); err != nil {
			return err
		}
	}
	if n := plan.needBudget(); n > 0 {
		others, err := p.survey()
		if err != nil {
			return err
		}
		o.heed(others)
		o.Withhold = !withinBudget(p.policy.Budgets.Rotate, n, len(o.Listed))
		if o, plan, err = p.complete(ctx, o); err != nil {
			return err
		}
	}
	if err := o.doubted(plan); err != nil {
		p.Log.WarnContext(ctx, "what is due to go stays", "secret", o.Secret.Name, "error", err.Error()) // sweeps see to it
	}
	for _, retirement := range plan.Retire {
		if err := p.retire(ctx, o, retirement); err != nil {
			return err
		}
	}
	if plan.Block != nil {
		return &blockedError{*plan.Block}
	}
	if plan.Issue == nil {
		return errors.New("there is nothing to issue") // a forced plan issues or is blocked
	}
	_, err = p.issue(ctx, o, *plan.Issue, managedsecret.Write{
		VersionID: p.token, Label: managedsecret.Pending, RotationToken: p.rotationToken,
	})
	if errors.Is(err, errTaken) {
		return nil // an attempt at the same time has filled the version
	}
	return err
}

// set has nothing to set: creating an OAuth secret makes it valid. What it
// must do is refuse a pending version that names another principal or host
// than the current one.
func (p protocol) set(ctx context.Context) error {
	pending, err := p.pending(ctx)
	if err != nil {
		return err
	}
	now, next := p.current.Credential, pending.Credential
	for _, field := range []struct{ key, now, next string }{
		{credential.KeyHost, now.Host, next.Host},
		{credential.KeyAccountID, now.AccountID, next.AccountID},
		{credential.KeyClientID, now.ClientID, next.ClientID},
		{credential.KeyServicePrincipalID, now.ServicePrincipalID, next.ServicePrincipalID},
	} {
		if field.now != field.next && (field.key != credential.KeyServicePrincipalID || field.now != "") {
			return fmt.Errorf("%s differs between the current and the pending version: a rotation must stay with one principal", field.key)
		}
	}
	return nil
}

// test proves that the pending credential works. Secrets Manager also runs
// this step alone, with no create before it, to try a new configuration: then
// the current credential is tried, or for a fresh registration, whether its
// principal can be managed.
func (p protocol) test(ctx context.Context) error {
	tested, err := p.pending(ctx)
	switch {
	case errors.Is(err, managedsecret.ErrNotFound):
		tested = p.current
	case err != nil:
		return err
	}
	c := tested.Credential
	if !c.Issued() {
		_, _, err := p.observe(ctx, Observation{Secret: p.secret, Current: p.current, Token: p.token})
		return err
	}
	return p.verify(ctx, c)
}

func (p protocol) verify(ctx context.Context, c credential.Credential) error {
	err := p.Databricks.Verify(ctx, hostOf(c), c.ClientID, c.ClientSecret, c.Scopes)
	if errors.Is(err, databricks.ErrRefused) {
		return p.diagnose(ctx, hostOf(c), c, err)
	}
	return err
}

// finish makes the pending version current, once more proven to work. The
// predecessor stays valid until a sweep retires it after the grace period.
func (p protocol) finish(ctx context.Context) error {
	pending, err := p.pending(ctx)
	if err != nil {
		return err
	}
	if p.now().Sub(pending.CreatedAt) > pendingWindow {
		return fmt.Errorf("version %s was made over %v ago and is too old to become current: cancel this rotation and start another", p.token, pendingWindow)
	}
	if err := p.verify(ctx, pending.Credential); err != nil {
		return err
	}
	o := Observation{Secret: p.secret, Current: p.current}
	entry := p.entry(o, "promote", "finishSecret")
	entry.OAuthSecretID, entry.VersionID = pending.Credential.OAuthSecretID, p.token
	err = trail.Change(ctx, p.Trail, &entry, func() error {
		return p.Store.MoveLabel(ctx, p.secret.ARN, managedsecret.Current, p.current.ID, p.token)
	})
	return p.heldOr(ctx, o, err)
}

package rotation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"databricks-credential-rotation/shared/managedsecret"
)

// OrphanAge is how old an OAuth secret of ours that no version records must be
// before no run can have it in hand any more.
const OrphanAge = orphanAge

// PendingAge is how old a pending version must be before it can become current no
// more.
const PendingAge = pendingStale

// heldPlan is the plan for a secret that was revoked or locked out: nothing is
// issued until somebody releases it, and every run says so.
//
// What a run had in hand while the hold was set, and what the revocation
// failed to delete, goes. Only what carries our fingerprint: somebody may have
// put a credential of their own there to mend things. Only what no other managed
// secret names: somebody may have copied it there. Only what is older than
// any stale read: the hold that was seen is then younger than the secret, so
// that one issued just after a release is safe. And only for a hold as a
// revocation writes it: whoever sets the tag by hand may want a pause.
func heldPlan(o Observation) Plan {
	plan := Plan{Block: heldBlock(o.Secret)}
	if o.Replacing || o.Secret.Hold.Since.IsZero() {
		return plan
	}
	for _, s := range o.Listed {
		if s.Expired(o.Now) || !isOurs(o.Secret.ARN, s) || o.Now.Sub(s.CreateTime) < orphanAge {
			continue
		}
		retirement := Retirement{ID: s.ID, Why: "its managed secret is held since a revocation", Kind: Held}
		switch {
		case o.Doubt != "":
			plan.Doubted = append(plan.Doubted, retirement)
		case o.Claims == nil:
			return Plan{Needs: []Need{NeedClaims}, Sparing: true}
		case !o.isAnothers(s.ID):
			plan.Retire = append(plan.Retire, retirement)
		}
	}
	return plan
}

func heldBlock(s managedsecret.Secret) *Block {
	kind, what := Revoked, "its credential was revoked"
	if s.Hold.Kind == managedsecret.LockedOut {
		kind, what = LockedOut, "it was locked out"
	}
	since := ""
	if !s.Hold.Since.IsZero() {
		since = " on " + s.Hold.Since.UTC().Format(time.RFC3339)
	}
	return &Block{kind, fmt.Sprintf(
		`%s%s, so nothing is issued for it; when it may live again, invoke the revoke function with {"mode":"release","secret":%q,"reason":"…"}, or take the tag %s off the secret`,
		what, since, s.Name, managedsecret.HoldKey)}
}

// isHeld tells that nothing is the matter but a hold.
func (o Outcome) isHeld() bool {
	return o.fault() == nil && o.Block != nil && (o.Block.Kind == Revoked || o.Block.Kind == LockedOut)
}

// heldOr explains a write that IAM refused: the role may not write a secret
// that is held. So a rotation that began before a revocation cannot end after
// it, and needs no look at the hold for that.
func (r *run) heldOr(ctx context.Context, o Observation, err error) error {
	if !errors.Is(err, managedsecret.ErrDenied) {
		return err
	}
	if held := r.checkHold(ctx, o); errors.As(held, new(*blockedError)) {
		return held
	}
	return err
}

// checkHold looks whether the secret has been revoked since it was read. A
// replacement must, for the role that revokes may write what is held. The other
// revocation sets its hold before it lists what to delete. So an OAuth secret
// that was created before this look is either in that list, or the hold is
// seen here.
func (r *run) checkHold(ctx context.Context, o Observation) error {
	s, err := r.Store.Describe(ctx, o.Secret.ARN)
	if err != nil {
		return fmt.Errorf("whether the secret was revoked meanwhile cannot be told: %w", err)
	}
	if s.Hold != nil {
		return &blockedError{*heldBlock(s)}
	}
	return nil
}

// readAgain reads until the answers agree: what another run is doing takes a
// moment, and there is no next run to wait for.
func (r *run) readAgain(ctx context.Context, id string) (managedsecret.Secret, Version, error) {
	for n := 0; ; n++ {
		s, current, err := r.read(ctx, id)
		if n == 3 || !errors.Is(err, errDisagree) {
			return s, current, err
		}
		select {
		case <-time.After(300 * time.Millisecond):
		case <-ctx.Done():
			return s, current, ctx.Err()
		}
	}
}

// Replace issues a new credential for one managed secret whatever the age of
// the current one, and makes it current, as every door does: proven first, by
// one write. It does not wait for a rotation by Secrets Manager that is under
// way; that one is given up. If the principal has no room, sacrifice says
// which of its OAuth secrets may go for it, the first that is live.
//
// The predecessor is left to the caller.
func (e *Engine) Replace(ctx context.Context, door, id string, sacrifice []string) (Outcome, error) {
	r, err := e.newRun(ctx, door)
	if err != nil {
		return Outcome{}, err
	}
	r.replacing = true
	s, current, err := r.readAgain(ctx, id)
	if err != nil {
		return Outcome{Secret: s.Name}, err
	}
	if pending, busy := pendingVersion(s, current.ID); busy {
		if err := r.clear(ctx, Observation{Secret: s, Current: current}, pending, "a revocation does not wait for the rotation by Secrets Manager"); err != nil {
			return newOutcome(s, current), err
		}
		r.givenUp, s.Labels = pending, maps.Clone(s.Labels)
		s.Labels[pending] = slices.DeleteFunc(slices.Clone(s.Labels[pending]), func(label string) bool { return label == managedsecret.Pending })
	}
	var out Outcome
	bring := func() error {
		out = r.bring(ctx, s, current, true)
		for n := 1; n < maxTries && errors.Is(out.Err, errDisagree); n++ {
			if s, current, err = r.readAgain(ctx, id); err != nil {
				return err
			}
			out = r.bring(ctx, s, current, true)
		}
		return nil
	}
	if err := bring(); err != nil {
		return out, err
	}
	for _, victim := range sacrifice {
		// With one that a run that died has left, it is said to be in progress.
		if out.Block == nil || out.Block.Kind != Full && out.Block.Kind != InProgress {
			break
		}
		if victim == current.Credential.OAuthSecretID {
			continue
		}
		o := Observation{Secret: s, Current: current}
		if o.Current.Credential.ServicePrincipalID == "" {
			principal, err := r.Databricks.FindPrincipal(ctx, hostOf(current.Credential), current.Credential.ClientID)
			if err != nil {
				return out, err
			}
			o.Principal = &principal
		}
		if err := r.retire(ctx, o, Retirement{ID: victim, Why: "it makes room for the new credential", Kind: Predecessor}); err != nil {
			return out, err
		}
		retired := append(slices.Clone(out.Retired), victim)
		err := bring()
		out.Retired = append(retired, out.Retired...)
		if err != nil {
			return out, err
		}
	}
	if out.Err == nil && out.Block != nil {
		return out, &blockedError{*out.Block}
	}
	return out, out.Err
}

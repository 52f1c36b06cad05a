package prune

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/functions/audit/auditing/rule"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/trail"
)

// Estate is what a plan is carried out on. An error that wraps
// [databricks.ErrNotFound] says that a credential is not there.
type Estate interface {
	// Token reads a token as it is now.
	Token(ctx context.Context, workspace int64, id string) (inventory.Token, error)
	// DeleteToken and DeleteSecret return nil for what is gone already.
	DeleteToken(ctx context.Context, workspace int64, id string) error
	SetTokenScopes(ctx context.Context, workspace int64, id string, scopes []string) error
	// Secrets lists a principal's OAuth secrets as they are now.
	Secrets(ctx context.Context, clientID string) ([]inventory.OAuthSecret, error)
	DeleteSecret(ctx context.Context, clientID, id string) error
	// Recorded are the OAuth secrets of a principal that versions of managed
	// secrets name now.
	Recorded(ctx context.Context, clientID string) ([]string, error)
	// LastUsed is when the usage log last saw a principal, zero if not since.
	LastUsed(ctx context.Context, clientID string, since time.Time) (time.Time, error)
	// Host is where a subject's credential lives, for the trail.
	Host(s finding.Subject) string
}

// Run is one audit's prune.
type Run struct {
	Estate Estate
	Trail  trail.Trail
	Policy policy.Policy
	// Door is the way the audit came in, RequestedBy who asked for it.
	Door, RequestedBy string
	// Now tells the time, nil for [time.Now].
	Now func() time.Time
	// Reserve is the part of the deadline that is left for publishing.
	Reserve time.Duration
}

// CarryOut does what is due as far as the policy's modes let it, one
// credential at a time, each looked at once more just before. It is safe to
// repeat: what is done is not there the next time. The error names each
// failure; the outcomes tell of all.
func (r Run) CarryOut(ctx context.Context, p Plan) (Done, error) {
	done := Done{Outcomes: []Outcome{}, Counts: map[Result]int{}}
	var errs []error
	record := func(item Item, result Result, why string) {
		done.Outcomes = append(done.Outcomes, Outcome{Key: item.Key, Result: result, Why: why, At: r.now()})
		done.Counts[result]++
	}
	var due []Item
	if p.Mode == policy.Enforce && p.Stopped == "" {
		due = p.Due(Remove)
	}
	if p.RightSize == policy.Enforce {
		due = append(due, p.Due(Narrow)...)
	}
	changed := map[Action]int{}
	for i, item := range due {
		// The plan's budget is on what it foresaw; this one is on what is done.
		budget := r.Policy.Budgets.Prune
		switch {
		case ctx.Err() != nil || r.timeOver(ctx):
			for _, left := range due[i:] {
				record(left, Left, "the run's time was over")
			}
			return done, errors.Join(append(errs, fmt.Errorf("%d credentials were left for the next audit, for time was over", len(due)-i))...)
		case !budget.Allows(changed[item.Action]+1, p.LookedAt):
			record(item, Left, "one audit changes at most "+budget.String())
			continue
		}
		result, why, err := r.one(ctx, item)
		if result == Removed || result == Narrowed || result == Failed {
			changed[item.Action]++
		}
		record(item, result, why)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", item.Subject.ID, err))
		}
		if errors.Is(err, trail.ErrUnwritten) {
			for _, left := range due[i+1:] {
				record(left, Left, trail.ErrUnwritten.Error())
			}
			break
		}
	}
	return done, errors.Join(errs...)
}

func (r Run) now() time.Time {
	if r.Now == nil {
		return time.Now().UTC()
	}
	return r.Now()
}

func (r Run) timeOver(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) < r.Reserve
}

// one looks at a credential once more and, if nothing has changed, does what
// the plan says.
func (r Run) one(ctx context.Context, item Item) (Result, string, error) {
	keep, why, err := r.recheck(ctx, item)
	switch {
	case err != nil:
		return Failed, "it could not be looked at again: " + err.Error(), fmt.Errorf("not %sd, for it could not be looked at again: %w", item.Action, err)
	case keep != "":
		return keep, why, nil
	}
	entry := trail.Entry{
		Action: "prune", Why: item.Why, Door: r.Door, RequestedBy: r.RequestedBy, ClientID: item.Subject.ClientID, Host: r.Estate.Host(item.Subject),
	}
	if item.Subject.Kind == finding.Token {
		entry.TokenID = item.Subject.ID
		if entry.ClientID == "" {
			entry.User = item.Owner
		}
	} else {
		entry.OAuthSecretID = item.Subject.ID
	}
	if item.Action == Narrow {
		entry.Action = "narrow"
	}
	changed := false
	err = trail.Change(ctx, r.Trail, &entry, func() error {
		err := r.change(ctx, item)
		changed = err == nil
		return err
	})
	switch {
	case !changed:
		return Failed, err.Error(), err
	case item.Action == Narrow:
		return Narrowed, "", err
	default:
		return Removed, "", err
	}
}

// change makes the change. When its outcome is not known, what is there now
// decides: a reply that got lost is not a failure, and not a second change.
func (r Run) change(ctx context.Context, item Item) error {
	s := item.Subject
	switch {
	case s.Kind == finding.OAuthSecret:
		err := r.Estate.DeleteSecret(ctx, s.ClientID, s.ID)
		if errors.Is(err, databricks.ErrUncertain) {
			secrets, look := r.Estate.Secrets(ctx, s.ClientID)
			if look == nil && !slices.ContainsFunc(secrets, func(o inventory.OAuthSecret) bool { return o.ID == s.ID }) {
				return nil
			}
		}
		return err
	case item.Action == Narrow:
		err := r.Estate.SetTokenScopes(ctx, s.Workspace, s.ID, item.To)
		if errors.Is(err, databricks.ErrUncertain) {
			if t, look := r.Estate.Token(ctx, s.Workspace, s.ID); look == nil && sameScopes(t.Scopes, item.To) {
				return nil
			}
		}
		return err
	default:
		err := r.Estate.DeleteToken(ctx, s.Workspace, s.ID)
		if errors.Is(err, databricks.ErrUncertain) {
			if _, look := r.Estate.Token(ctx, s.Workspace, s.ID); errors.Is(look, databricks.ErrNotFound) {
				return nil
			}
		}
		return err
	}
}

// recheck returns why a credential is to stay after all, empty if it is not.
func (r Run) recheck(ctx context.Context, item Item) (Result, string, error) {
	if item.Subject.Kind == finding.OAuthSecret {
		return r.recheckSecret(ctx, item)
	}
	t, err := r.Estate.Token(ctx, item.Subject.Workspace, item.Subject.ID)
	switch {
	case errors.Is(err, databricks.ErrNotFound):
		return Gone, "somebody else removed it", nil
	case err != nil:
		return "", "", err
	case item.Action == Remove && t.LastUsedAt.After(item.LastUsedAt):
		return InUse, "last used " + t.LastUsedAt.UTC().Format(time.DateOnly), nil
	case item.Action == Remove && unused(&t, r.Policy.Prune, r.now()) == "":
		return Changed, "the policy no longer removes it", nil
	case item.Action == Narrow:
		to, less := rule.Narrower(&t)
		if !less || !sameScopes(to, item.To) || !sameScopes(t.Scopes, item.From) {
			return Changed, "its scopes, or those that it was seen to use, have changed", nil
		}
	}
	return "", "", nil
}

func (r Run) recheckSecret(ctx context.Context, item Item) (Result, string, error) {
	client := item.Subject.ClientID
	secrets, err := r.Estate.Secrets(ctx, client)
	switch {
	case errors.Is(err, databricks.ErrNotFound):
		return Gone, "its service principal is gone", nil
	case err != nil:
		return "", "", err
	case !slices.ContainsFunc(secrets, func(s inventory.OAuthSecret) bool { return s.ID == item.Subject.ID }):
		return Gone, "somebody else removed it", nil
	}
	recorded, err := r.Estate.Recorded(ctx, client)
	if err != nil {
		return "", "", err
	}
	if slices.Contains(recorded, item.Subject.ID) {
		return Protected, "a managed secret names it now", nil
	}
	since := r.now().Add(-r.Policy.Prune.UnusedAfter)
	last, err := r.Estate.LastUsed(ctx, client, since)
	if err != nil {
		return "", "", err
	}
	if last.After(since) {
		return InUse, "its principal was last seen " + last.UTC().Format(time.DateOnly), nil
	}
	return "", "", nil
}

func sameScopes(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

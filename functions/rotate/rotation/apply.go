package rotation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/secret"
	"databricks-credential-rotation/shared/trail"
)

// errTaken means that the id of the new version belongs to another value: that
// of a run which was faster, and of which nothing is wrong, or of one that was
// current once, and behind which somebody has moved AWSCURRENT back.
var errTaken = errors.New("the id of the new version is taken")

// blockedError is a block that showed only while the plan was carried out.
type blockedError struct{ Block }

func (e *blockedError) Error() string { return e.Message }

// cleanupTimeout is how long is spent on deleting a secret that must not stay,
// even if the run's own time is over.
const cleanupTimeout = 10 * time.Second

// issue creates an OAuth secret, checks its scopes, proves that it works, and
// only then stores it. If it returns an error, the credential that was current
// still is; what it created it has deleted, unless it cannot know whether the
// secret was stored.
func (r *run) issue(ctx context.Context, o Observation, plan Issue, write managedsecret.Write) (credential.Credential, error) {
	next := plan.Next
	if err := storable(next); err != nil {
		return next, fmt.Errorf("no OAuth secret was created, for its value could not be stored: %w", err)
	}
	host, principal := hostOf(next), next.ServicePrincipalID
	entry := r.entry(o, "issue", string(plan.Reason))
	var created databricks.IssuedSecret
	err := trail.Change(ctx, r.Trail, &entry, func() (err error) {
		created, err = r.Databricks.CreateSecret(ctx, host, principal, fingerprint(o.Secret.ARN, r.policy.Lifetime), scopesToSend(next.Scopes))
		entry.OAuthSecretID = created.ID
		return err
	})
	switch {
	case err != nil && created.ID != "":
		// It exists, but its value is lost or the trail was not told.
		return next, r.discard(ctx, o, created.ID, err)
	case errors.Is(err, databricks.ErrUncertain) && !databricks.Unsent(err):
		return next, fmt.Errorf("%w; the current credential is untouched; if an OAuth secret was created, a later run finds and deletes it", err)
	case errors.Is(err, databricks.ErrRejected), errors.Is(err, databricks.ErrDenied), errors.Is(err, databricks.ErrBusy) && o.live() >= databricks.MaxSecrets-1:
		return next, r.rejected(ctx, o, err)
	case err != nil:
		return next, err
	}
	next.ClientSecret, next.OAuthSecretID = created.Value, created.ID
	if next.IssuedAt, next.ExpiresAt = created.CreateTime, created.ExpireTime; next.IssuedAt.IsZero() {
		next.IssuedAt = r.now()
	}
	if created.Lifetime() != fingerprint(o.Secret.ARN, r.policy.Lifetime) {
		r.Log.WarnContext(ctx, "Databricks did not keep the lifetime that was asked for: if a run dies, its OAuth secret will be taken for somebody else's",
			"secret", o.Secret.Name, "oauth_secret_id", created.ID)
	}
	if err := r.checkScopes(ctx, host, principal, created, next.Scopes); err != nil {
		return next, r.discard(ctx, o, created.ID, err)
	}
	if plan.Guess != "" {
		if next.Predecessors, err = r.guessed(ctx, host, principal, next); err != nil {
			return next, r.discard(ctx, o, created.ID, err)
		}
	}
	if err := r.verifyNew(ctx, host, next); err != nil {
		return next, r.discard(ctx, o, created.ID, r.diagnose(ctx, host, next, err))
	}
	if r.replacing {
		if err := r.checkHold(ctx, o); err != nil {
			return next, r.discard(ctx, o, created.ID, err)
		}
	}
	write.Value, err = next.Encode()
	if err != nil {
		return next, r.discard(ctx, o, created.ID, err)
	}
	return next, r.store(ctx, o, next, write)
}

// storable tries a value before there is a secret to put into it: whether it
// can be written, and read again by the next run. What Databricks lists of a
// secret goes into it, and somebody else's keys may have filled it.
func storable(next credential.Credential) error {
	next.ClientSecret, next.OAuthSecretID = secret.New(placeholder), placeholder
	next.IssuedAt, next.ExpiresAt = longestTime, longestTime
	value, err := next.Encode()
	if err == nil {
		_, err = credential.Parse(value)
	}
	return err
}

// placeholder is as long as an OAuth secret's id, and longer than its value, and
// no time is written longer than longestTime.
var (
	placeholder = strings.Repeat("0", 64)
	longestTime = time.Date(2000, 1, 1, 0, 0, 0, 1, time.UTC)
)

// rejected tells a full principal from a create that is refused for another
// reason. Databricks does not document the error of the sixth secret.
func (r *run) rejected(ctx context.Context, o Observation, err error) error {
	listed, listErr := r.Databricks.ListSecrets(ctx, hostOf(o.Current.Credential), o.principalID())
	if listErr != nil || len(listed) < databricks.MaxSecrets {
		return err
	}
	o.Listed = listed
	return &blockedError{Block{Full, fmt.Sprintf("%s (%v)", o.fullMessage(nil, nil), err)}}
}

// store writes the new version. What became of a write that failed decides
// whether its secret may be deleted.
func (r *run) store(ctx context.Context, o Observation, next credential.Credential, write managedsecret.Write) error {
	entry := r.entry(o, "store", "make it "+write.Label)
	entry.OAuthSecretID, entry.VersionID = next.OAuthSecretID, write.VersionID
	attempted := false
	err := trail.Change(ctx, r.Trail, &entry, func() error {
		attempted = true
		return r.Store.Put(ctx, o.Secret.ARN, write)
	})
	switch {
	case err == nil:
		return nil
	case attempted && entry.Err == nil:
		return &untoldError{fmt.Errorf("%w; version %s is %s all the same, with OAuth secret %s", err, write.VersionID, write.Label, next.OAuthSecretID)}
	case !attempted || errors.Is(err, managedsecret.ErrNotWritten):
		return r.discard(ctx, o, next.OAuthSecretID, r.heldOr(ctx, o, err))
	case errors.Is(err, managedsecret.ErrVersionExists):
		if cleanup := r.discard(ctx, o, next.OAuthSecretID, nil); cleanup != nil {
			return cleanup
		}
		return errTaken
	default:
		return fmt.Errorf("%w; whether version %s was stored is not known, so its OAuth secret %s is kept; the next run finds out",
			r.heldOr(ctx, o, err), write.VersionID, next.OAuthSecretID)
	}
}

// untoldError means that the version was stored, and that the trail has no
// entry after it.
type untoldError struct{ error }

func (e *untoldError) Unwrap() error { return e.error }

// checkScopes holds the scopes of a new secret against those asked for. A host
// that ignores them would hand out a wider credential than the one replaced.
func (r *run) checkScopes(ctx context.Context, host databricks.Host, principal string, created databricks.IssuedSecret, want []string) error {
	got := created.Scopes
	if !unrestricted(want) {
		listed, err := r.readBack(ctx, host, principal, created.ID)
		if err != nil {
			return fmt.Errorf("reading back the scopes of the new OAuth secret: %w", err)
		}
		got = listed.Scopes
	}
	if unrestricted(want) && unrestricted(got) || slices.Equal(credential.NormalizeScopes(got), credential.NormalizeScopes(want)) {
		return nil
	}
	return fmt.Errorf("Databricks gave the new OAuth secret the scopes %v instead of %v: the current credential stays", describeScopes(got), describeScopes(want))
}

// guessed lists once more before the only OAuth secret that was listed is taken
// for the credential that somebody put there. If the list lagged, it may be
// another one, and is left alone.
func (r *run) guessed(ctx context.Context, host databricks.Host, principal string, next credential.Credential) ([]credential.Predecessor, error) {
	listed, err := r.Databricks.ListSecrets(ctx, host, principal)
	if err != nil {
		return nil, err
	}
	for _, s := range listed {
		if s.ID != next.OAuthSecretID && s.ID != next.Predecessors[0].OAuthSecretID && !s.Expired(r.now()) {
			return nil, nil
		}
	}
	return next.Predecessors, nil
}

// readBack finds a secret just created in the list, which may lag.
func (r *run) readBack(ctx context.Context, host databricks.Host, principal, id string) (databricks.OAuthSecret, error) {
	return backoff.Retry(ctx, func() (databricks.OAuthSecret, error) {
		listed, err := r.Databricks.ListSecrets(ctx, host, principal)
		if err != nil {
			return databricks.OAuthSecret{}, backoff.Permanent(err)
		}
		i := slices.IndexFunc(listed, func(s databricks.OAuthSecret) bool { return s.ID == id })
		if i < 0 {
			return databricks.OAuthSecret{}, errors.New("it is not listed, so its scopes cannot be checked")
		}
		return listed[i], nil
	}, newSecretLag()...)
}

// newSecretLag is how long a secret just created may take to be known
// everywhere: four tries within some seconds.
func newSecretLag() []backoff.RetryOption {
	return []backoff.RetryOption{
		backoff.WithBackOff(&backoff.ExponentialBackOff{
			InitialInterval: 500 * time.Millisecond, RandomizationFactor: backoff.DefaultRandomizationFactor,
			Multiplier: 2, MaxInterval: 4 * time.Second,
		}),
		backoff.WithMaxTries(4),
	}
}

func unrestricted(scopes []string) bool {
	return len(scopes) == 0 || slices.Contains(scopes, credential.AllAPIs)
}

func describeScopes(scopes []string) []string {
	if unrestricted(scopes) {
		return []string{credential.AllAPIs}
	}
	return scopes
}

// scopesToSend leaves the scopes out for an unrestricted secret, as a client
// does that knows nothing of scopes.
func scopesToSend(scopes []string) []string {
	if unrestricted(scopes) {
		return nil
	}
	return scopes
}

// diagnose finds out why a secret just created does not authenticate.
func (r *run) diagnose(ctx context.Context, host databricks.Host, c credential.Credential, err error) error {
	if !errors.Is(err, databricks.ErrRefused) {
		return err
	}
	principal, lookup := r.Databricks.Principal(ctx, host, c.ServicePrincipalID)
	switch {
	case lookup != nil:
		return err
	case principal.ApplicationID != c.ClientID:
		return &blockedError{Block{Mismatch, fmt.Sprintf(
			"%s and %s disagree: service principal %s has the client id %s; correct the one that is wrong",
			credential.KeyClientID, credential.KeyServicePrincipalID, principal.ID, principal.ApplicationID)}}
	case !principal.Active:
		return &blockedError{Block{Inactive, fmt.Sprintf("service principal %s is switched off: %v", c.ClientID, err)}}
	}
	return fmt.Errorf("a new OAuth secret of service principal %s does not authenticate: %w", c.ClientID, err)
}

// discard deletes a secret that this run created and that no version holds. It
// returns why, and what went wrong on top.
func (r *run) discard(ctx context.Context, o Observation, id string, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	reason := "another run was first"
	if why != nil {
		reason = why.Error()
	}
	entry := r.entry(o, "discard", reason)
	entry.OAuthSecretID = id
	err := trail.Change(ctx, r.Trail, &entry, func() error {
		return r.Databricks.DeleteSecret(ctx, hostOf(o.Current.Credential), o.principalID(), id)
	})
	if err != nil {
		err = &leftError{fmt.Errorf("the new OAuth secret %s could not be deleted and is left to a later run: %w", id, err)}
	}
	return errors.Join(why, err)
}

// leftError means that an OAuth secret which must not stay could not be deleted.
// Whoever tries again at once may leave another one.
type leftError struct{ error }

func (e *leftError) Unwrap() error { return e.error }

// retire deletes an OAuth secret that has been replaced.
func (r *run) retire(ctx context.Context, o Observation, retirement Retirement) error {
	if retirement.ID == o.Current.Credential.OAuthSecretID && o.Secret.Hold == nil {
		return fmt.Errorf("refusing to delete OAuth secret %s: it is the current credential", retirement.ID)
	}
	entry := r.entry(o, "retire", retirement.Why)
	entry.OAuthSecretID = retirement.ID
	return trail.Change(ctx, r.Trail, &entry, func() error {
		return r.Databricks.DeleteSecret(ctx, hostOf(o.Current.Credential), o.principalID(), retirement.ID)
	})
}

// clear takes AWSPENDING off a version that will never become current.
func (r *run) clear(ctx context.Context, o Observation, versionID, why string) error {
	entry := r.entry(o, "clear", why)
	entry.VersionID = versionID
	err := trail.Change(ctx, r.Trail, &entry, func() error {
		return r.Store.MoveLabel(ctx, o.Secret.ARN, managedsecret.Pending, versionID, "")
	})
	return r.heldOr(ctx, o, err)
}

func (r *run) entry(o Observation, action, why string) trail.Entry {
	return trail.Entry{Action: action, Why: why, Door: r.door, Secret: o.Secret.Name, ClientID: o.Current.Credential.ClientID}
}

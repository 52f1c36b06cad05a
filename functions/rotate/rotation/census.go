package rotation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/secret"
)

// census is what the current versions of all managed secrets name. What is
// unknown to one of them may be current in another.
type census struct {
	// registered counts those that name each principal, by client id.
	registered map[string]int
	// claims are the OAuth secrets that they name, by the ARN of the managed
	// secret, and current those among them that are current there.
	claims, current map[string]string
	// holders are the managed secrets that hold a client secret, by its hash.
	holders map[string][]string
	// opaque are the values that are no credentials as they stand. They claim
	// whatever is in them.
	opaque map[string]secret.Text
	// denied tells that one could not be read. It claims nothing: it would keep
	// the whole fleet from being tidied, and what carries the fingerprint of one
	// secret is another's in one of 85,000 pairs.
	denied bool
	// failed is why one could not be read for now, nil if there is none.
	failed error
}

func newCensus() census {
	return census{registered: map[string]int{}, claims: map[string]string{}, current: map[string]string{}, holders: map[string][]string{}, opaque: map[string]secret.Text{}}
}

// count notes what a managed secret names. If another one names the same
// current OAuth secret, it returns that one's ARN. That something is current
// counts for more than that it has been elsewhere.
func (c census) count(arn string, cred credential.Credential) string {
	c.registered[cred.ClientID]++
	if !cred.Issued() {
		return ""
	}
	hash := cred.ClientSecret.SHA256()
	c.holders[hash] = append(c.holders[hash], arn)
	if cred.OAuthSecretID != "" {
		if other, taken := c.current[cred.OAuthSecretID]; taken && other != arn {
			return other
		}
		c.current[cred.OAuthSecretID], c.claims[cred.OAuthSecretID] = arn, arn
	}
	for _, pred := range cred.Predecessors {
		if _, taken := c.claims[pred.OAuthSecretID]; !taken {
			c.claims[pred.OAuthSecretID] = arn
		}
	}
	return ""
}

// enter takes down what was read of a managed secret, and returns its current
// version. It is an error if that cannot be had, or if another one names the same
// OAuth secret. One without a value holds nothing.
func (e *Engine) enter(found *census, arn string, v managedsecret.Version, err error) (Version, error) {
	if err != nil {
		switch {
		case errors.Is(err, managedsecret.ErrDenied):
			found.denied = true
		case !errors.Is(err, managedsecret.ErrNotFound):
			found.failed = err
		}
		return Version{}, err
	}
	current, err := e.parseCurrent(v)
	if err != nil {
		found.opaque[arn] = v.Value
		return Version{}, err
	}
	if other := found.count(arn, current.Credential); other != "" {
		return current, errShared(other)
	}
	return current, nil
}

// other is another managed secret that has the same credential, one that works:
// placeholders are the same in many.
func (c census) other(arn string, cred credential.Credential) string {
	if !cred.Issued() {
		return ""
	}
	for _, holder := range append(slices.Clone(c.holders[cred.ClientSecret.SHA256()]), c.claims[cred.OAuthSecretID]) {
		if holder != "" && holder != arn {
			return holder
		}
	}
	for holder, value := range c.opaque {
		if holder != arn && strings.Contains(value.Reveal(), cred.ClientSecret.Reveal()) {
			return holder
		}
	}
	return ""
}

// errShared tells that two managed secrets hold one credential.
func errShared(other string) error {
	return fmt.Errorf(
		"it holds the same OAuth secret as %s, and the rotation of one would end it for both: remove %s, %s and %s from one of them to have its own issued",
		other, credential.KeyClientSecret, credential.KeyOAuthSecretID, credential.KeyPredecessors)
}

// adopt makes the plan for a credential that was not issued for its managed
// secret, once it is known that no other holds it too.
func (r *run) adopt(ctx context.Context, o Observation) (Observation, Plan, error) {
	others, err := r.survey()
	if err != nil {
		return o, Plan{}, err
	}
	if other := others.other(o.Secret.ARN, o.Current.Credential); other != "" {
		return o, Plan{}, errShared(other)
	}
	o.heed(others)
	return r.complete(ctx, o)
}

// heed takes in what other managed secrets hold.
func (o *Observation) heed(others census) {
	o.Claims, o.Holders, o.Opaque, o.Denied = others.claims, others.holders, others.opaque, others.denied
}

// takeCensus is for a run that has not read every managed secret and
// is about to remove what may be another one's.
func (e *Engine) takeCensus(ctx context.Context) (census, error) {
	found := newCensus()
	var batch []string
	read := func() {
		versions, errs := e.Store.CurrentVersions(ctx, batch)
		for _, arn := range batch {
			_, _ = e.enter(&found, arn, versions[arn], errs[arn])
		}
		batch = nil
	}
	for s, err := range e.Store.List(ctx) {
		if err != nil {
			return census{}, unsure(err)
		}
		if s.PrimaryRegion != "" {
			continue
		}
		if batch = append(batch, s.ARN); len(batch) == sweepBatch {
			read()
		}
	}
	read()
	if found.failed != nil {
		return census{}, unsure(found.failed)
	}
	return found, nil
}

func unsure(err error) error {
	return fmt.Errorf("whether another managed secret holds what this one does not name: %w", err)
}

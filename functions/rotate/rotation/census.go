package rotation

import (
	"context"
	"fmt"
	"slices"

	"databricks-credential-rotation/shared/credential"
)

// census is what the current versions of all managed secrets name. What is
// unknown to one of them may be current in another.
type census struct {
	// registered counts those that name each principal, by client id.
	registered map[string]int
	// claims are the OAuth secrets that they name, by the ARN of the managed
	// secret.
	claims map[string]string
	// holders are the managed secrets that hold a client secret, by its hash.
	holders map[string][]string
	// incomplete tells that one of them could not be read. Such a one claims
	// nothing: it would keep the whole fleet from being tidied, and what carries
	// the fingerprint of one secret is another's in one of 85,000 pairs.
	incomplete bool
	// unlisted tells that there may be managed secrets that were not even seen.
	unlisted bool
}

func newCensus() census {
	return census{registered: map[string]int{}, claims: map[string]string{}, holders: map[string][]string{}}
}

// count notes what a managed secret names. If another one names the same
// current credential, it returns that one's ARN.
func (c census) count(arn string, cred credential.Credential) string {
	c.registered[cred.ClientID]++
	if !cred.Issued() {
		return ""
	}
	hash := cred.ClientSecret.SHA256()
	c.holders[hash] = append(c.holders[hash], arn)
	if other := c.other(arn, cred); other != "" {
		return other
	}
	if cred.OAuthSecretID != "" {
		c.claims[cred.OAuthSecretID] = arn
	}
	for _, pred := range cred.Predecessors {
		if _, taken := c.claims[pred.OAuthSecretID]; !taken {
			c.claims[pred.OAuthSecretID] = arn
		}
	}
	return ""
}

// other is another managed secret that has the same credential.
func (c census) other(arn string, cred credential.Credential) string {
	if !cred.Issued() {
		return ""
	}
	for _, holder := range append(slices.Clone(c.holders[cred.ClientSecret.SHA256()]), c.claims[cred.OAuthSecretID]) {
		if holder != "" && holder != arn {
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
func (r *run) adopt(o *Observation) (Plan, error) {
	others, err := r.survey()
	if err != nil {
		return Plan{}, err
	}
	if other := others.other(o.Secret.ARN, o.Current.Credential); other != "" {
		return Plan{}, errShared(other)
	}
	o.Claims, o.Incomplete = others.claims, others.incomplete
	return MakePlan(r.policy, *o), nil
}

// survey takes the census for a run that has not read every managed secret and
// is about to remove what may be another one's.
func (e *Engine) survey(ctx context.Context) (census, error) {
	found := newCensus()
	var batch []string
	read := func() {
		versions, _ := e.Store.CurrentVersions(ctx, batch)
		for _, arn := range batch {
			if current, err := e.parseCurrent(versions[arn]); err == nil {
				found.count(arn, current.Credential)
			} else {
				found.incomplete = true
			}
		}
		batch = nil
	}
	for s, err := range e.Store.List(ctx) {
		if err != nil {
			return census{}, fmt.Errorf("whether another managed secret holds what this one does not name: %w", err)
		}
		if s.PrimaryRegion != "" {
			continue
		}
		if batch = append(batch, s.ARN); len(batch) == sweepBatch {
			read()
		}
	}
	read()
	return found, nil
}

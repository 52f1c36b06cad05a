package rotation

import (
	"context"
	"fmt"

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
	// incomplete tells that one of them could not be read. Such a one claims
	// nothing: it would keep the whole fleet from being tidied, and what carries
	// the fingerprint of one secret is another's in one of 85,000 pairs.
	incomplete bool
	// unlisted tells that there may be managed secrets that were not even seen.
	unlisted bool
}

func newCensus() census {
	return census{registered: map[string]int{}, claims: map[string]string{}}
}

// count notes what a managed secret names. If its current OAuth secret is
// another's too, it returns that one's ARN.
func (c census) count(arn string, cred credential.Credential) string {
	c.registered[cred.ClientID]++
	if cred.OAuthSecretID == "" {
		return ""
	}
	if other, taken := c.claims[cred.OAuthSecretID]; taken && other != arn {
		return other
	}
	c.claims[cred.OAuthSecretID] = arn
	for _, pred := range cred.Predecessors {
		if _, taken := c.claims[pred.OAuthSecretID]; !taken {
			c.claims[pred.OAuthSecretID] = arn
		}
	}
	return ""
}

// survey takes the census in a run that has not read every managed secret and
// is about to remove what may be another one's.
func (r *run) survey(ctx context.Context) error {
	found := newCensus()
	var batch []string
	read := func() {
		versions, _ := r.Store.CurrentVersions(ctx, batch)
		for _, arn := range batch {
			if current, err := r.parseCurrent(versions[arn]); err == nil {
				found.count(arn, current.Credential)
			} else {
				found.incomplete = true
			}
		}
		batch = nil
	}
	for s, err := range r.Store.List(ctx) {
		if err != nil {
			return fmt.Errorf("whether another managed secret holds what this one does not name: %w", err)
		}
		if s.PrimaryRegion != "" {
			continue
		}
		if batch = append(batch, s.ARN); len(batch) == sweepBatch {
			read()
		}
	}
	read()
	r.census = found
	return nil
}

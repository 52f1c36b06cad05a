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
	// incomplete tells that one of them could not be read.
	incomplete bool
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

// survey takes the census in a run that was asked for some secrets and is
// about to remove what may be another one's.
func (r *run) survey(ctx context.Context) error {
	found := newCensus()
	var batch []string
	read := func() {
		versions, _ := r.Store.CurrentVersions(ctx, batch)
		for arn, v := range versions {
			if current, err := r.parseCurrent(v); err == nil {
				found.count(arn, current.Credential)
			}
		}
		batch = nil
	}
	for s, err := range r.Store.List(ctx) {
		if err != nil {
			return fmt.Errorf("whether another managed secret holds what this one does not name: %w", err)
		}
		if batch = append(batch, s.ARN); len(batch) == sweepBatch {
			read()
		}
	}
	read()
	r.census = found
	return nil
}

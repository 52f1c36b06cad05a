package rotation

import (
	"fmt"
	"time"

	"databricks-credential-rotation/shared/policy"
)

// overdueAfter is how long past its interval a credential may stay current
// before that alone is an error. Nothing that rightly holds a rotation up
// lasts longer: a pending version is given up after 25 hours, an OAuth secret
// of another run after half an hour.
const overdueAfter = 48 * time.Hour

// watch turns a credential that is left to grow old into an error, whatever
// the reason, long before it is an outage; and tells the person who reads an
// error how much time there is.
func (r *run) watch(out Outcome, current Version) Outcome {
	if out.Issued != "" || out.Overtaken {
		return out
	}
	c := current.Credential
	out.IssuedAt, out.ExpiresAt = c.IssuedAt, c.ExpiresAt
	now := r.now()
	if !c.Issued() || c.IssuedAt.IsZero() || due(now, r.policy, c.IssuedAt, c.ExpiresAt) == "" {
		return out
	}
	left := validity(now, c.ExpiresAt)
	switch {
	case out.Block != nil:
		block := *out.Block
		block.Message += "; " + left
		out.Block = &block
	case out.Err != nil:
		out.Err = fmt.Errorf("%w; %s", out.Err, left)
	case out.Planned:
	case now.Sub(c.IssuedAt) >= r.policy.Interval+overdueAfter,
		!c.ExpiresAt.IsZero() && now.Add(r.policy.Grace+policy.ExpiryMargin).After(c.ExpiresAt):
		out.Block = &Block{Overdue, fmt.Sprintf("the current credential should have been replaced by %s, and something holds it up (a rotation by Secrets Manager that does not finish, or another run); %s",
			c.IssuedAt.Add(r.policy.Interval).UTC().Format(time.RFC3339), left)}
	}
	return out
}

// validity says until when the current credential can work.
func validity(now, expiresAt time.Time) string {
	switch left := expiresAt.Sub(now); {
	case expiresAt.IsZero():
		return "the current credential does not expire by itself"
	case left <= 0:
		return fmt.Sprintf("the current credential has expired at %s", expiresAt.UTC().Format(time.RFC3339))
	case left < 48*time.Hour:
		return fmt.Sprintf("the current credential expires at %s, in %d hours", expiresAt.UTC().Format(time.RFC3339), int(left.Hours()))
	default:
		return fmt.Sprintf("the current credential expires at %s, in %d days", expiresAt.UTC().Format(time.RFC3339), int(left.Hours()/24))
	}
}

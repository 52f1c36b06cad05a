// Package policy is what the owner of a deployment decides: how old a
// credential may grow, how long its predecessor stays, how long it could live
// if nobody rotated it.
package policy

import (
	"errors"
	"fmt"
	"time"

	"databricks-credential-rotation/shared/databricks"
)

const day = 24 * time.Hour

// Policy holds for every managed secret of a deployment.
type Policy struct {
	// Interval is the age at which a credential is rotated.
	Interval time.Duration
	// Grace is how long a predecessor stays valid after its successor became
	// current. It must cover the slowest reader: whoever holds a credential
	// for longer than this without reading it again will be refused.
	Grace time.Duration
	// Lifetime is at most how long an OAuth secret lives if nothing else ends
	// it, in whole days. The secret's actual lifetime is shorter by less than
	// a day, by which the rotation knows its own.
	Lifetime time.Duration
}

// Default suits a fleet whose readers restart daily.
func Default() Policy {
	return Policy{
		// A month is what most standards ask for, and leaves two months of
		// lifetime to notice that rotation has stopped.
		Interval: 30 * day,
		// Tasks that read a secret only when they start are redeployed or
		// restarted within a day.
		Grace:    1 * day,
		Lifetime: 90 * day,
	}
}

// ExpiryMargin is how long before a credential's expiry, beyond the grace
// period, it is rotated whatever its age.
const ExpiryMargin = 1 * day

// Validate reports every fault of a policy.
func (p Policy) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if p.Interval <= 0 {
		fault("rotation interval %v must be positive", p.Interval)
	}
	if p.Grace <= 0 {
		fault("grace period %v must be positive", p.Grace)
	}
	switch {
	case p.Lifetime%day != 0 || p.Lifetime < 2*day:
		fault("secret lifetime %v must be whole days, at least two", p.Lifetime)
	case p.Lifetime > databricks.MaxLifetime:
		fault("secret lifetime %v is over Databricks' maximum of 730 days", p.Lifetime)
	// Subtracted from the lifetime, which is bounded: a sum could overflow.
	case p.Interval > 0 && p.Grace > 0 && p.Interval > p.Lifetime-ExpiryMargin-day-p.Grace:
		fault("secret lifetime %v must exceed rotation interval %v and grace period %v together by two days, or a credential could expire before its successor is in use",
			p.Lifetime, p.Interval, p.Grace)
	}
	return errors.Join(faults...)
}

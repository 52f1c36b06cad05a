package policy

import (
	"errors"
	"fmt"
	"strconv"

	"databricks-credential-rotation/shared/databricks"
)

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

func formatShare(share float64) string {
	return strconv.FormatFloat(share*100, 'f', -1, 64) + "%"
}

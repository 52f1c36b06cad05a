package policy

import (
	"fmt"
	"math"

	"databricks-credential-rotation/shared/databricks"
)

// ExpiryMargin is how long before a credential's expiry, beyond the grace
// period, it is rotated whatever its age.
const ExpiryMargin = 1 * day

// maxOverlap is how many intervals a grace period may be long. Just before a
// rotation there are then the current credential, two predecessors, and a third
// that the next sweep retires; the successor takes the last place.
const maxOverlap = 2

// minUnused is the least that may count as unused: Databricks knows a token's
// last use to the day, and updates it late.
const minUnused = 2 * day

// Validate reports every fault of a policy that was not read from a document.
func (p Policy) Validate() error {
	var faults []Fault
	p.check(func(paths []string, format string, args ...any) {
		faults = append(faults, Fault{Path: paths[0], Message: fmt.Sprintf(format, args...)})
	})
	return invalid(faults)
}

// faultFunc is told a fault: where it is, and after that what else it is made
// of.
type faultFunc func(paths []string, format string, args ...any)

// check finds what the schema cannot say.
func (p Policy) check(fault faultFunc) {
	p.checkRotation(fault)
	p.checkRoles(fault)
	p.checkPrincipals(fault)
	p.checkPrune(fault)
	if p.Audit.UnusedAfter > 0 && p.Audit.UnusedAfter < minUnused {
		fault([]string{"audit.unused_after"}, "must be at least %s: Databricks knows a token's last use to the day", FormatDuration(minUnused))
	}
}

func (p Policy) checkRotation(fault faultFunc) {
	if p.Interval <= 0 {
		fault([]string{"rotation.interval"}, "rotation interval %s must be positive", FormatDuration(p.Interval))
	}
	if p.Grace <= 0 {
		fault([]string{"rotation.grace"}, "grace period %s must be positive", FormatDuration(p.Grace))
	}
	if p.ExtendGrace < 0 {
		fault([]string{"rotation.extend_grace"}, "extension of the grace period %s must not be negative", FormatDuration(p.ExtendGrace))
	}
	// The sum must not overflow.
	whole, grace := p.Grace, "grace period "+FormatDuration(p.Grace)
	if p.ExtendGrace > 0 {
		whole += min(p.ExtendGrace, math.MaxInt64-max(p.Grace, 0))
		grace += " with its extension of " + FormatDuration(p.ExtendGrace)
	}
	if p.Interval > 0 && whole/maxOverlap > p.Interval {
		fault([]string{"rotation"}, "%s must be at most %d rotation intervals of %s, or the predecessors that it keeps alive fill a principal's %d places",
			grace, maxOverlap, FormatDuration(p.Interval), databricks.MaxSecrets)
	}
	switch {
	case p.Lifetime%day != 0 || p.Lifetime < 2*day:
		fault([]string{"rotation.lifetime"}, "secret lifetime %s must be whole days, at least two", FormatDuration(p.Lifetime))
	case p.Lifetime > databricks.MaxLifetime:
		fault([]string{"rotation.lifetime"}, "secret lifetime %s is over Databricks' maximum of 730 days", FormatDuration(p.Lifetime))
	// Subtracted from the lifetime, which is bounded: a sum could overflow.
	case p.Interval > 0 && p.Grace > 0 && p.Interval > p.Lifetime-ExpiryMargin-day-whole:
		fault([]string{"rotation"}, "secret lifetime %s must exceed rotation interval %s and %s together by two days, or a credential could expire before its successor is in use",
			FormatDuration(p.Lifetime), FormatDuration(p.Interval), grace)
	}
}

// checkRoles finds objects that a role has twice: nobody could tell which of
// the two is meant.
func (p Policy) checkRoles(fault faultFunc) {
	for name, role := range p.Roles {
		path := under("roles", name)
		seen := map[string]int{}
		for i, permission := range role.Permissions {
			once(fault, seen, under(path, "permissions"), i, "object", permission.Object.String())
		}
		seen = map[string]int{}
		for i, grant := range role.Grants {
			once(fault, seen, under(path, "grants"), i, "securable", grant.Securable.String())
		}
	}
}

// once tells of an item whose key one before it has.
func once(fault faultFunc, seen map[string]int, list string, i int, key, value string) {
	path := under(at(list, i), key)
	if first, twice := seen[value]; twice {
		fault([]string{path, under(at(list, first), key)}, "%s is here twice, first in %s", quote(value), at(list, first))
		return
	}
	seen[value] = i
}

func (p Policy) checkPrincipals(fault faultFunc) {
	seen := map[string]int{}
	for i, principal := range p.Principals {
		path := at("principals", i)
		once(fault, seen, "principals", i, "client_id", principal.ClientID)
		if _, known := p.Roles[principal.Role]; principal.Role != "" && !known {
			fault([]string{under(path, "role"), under("roles", principal.Role)}, "there is no role %s", quote(principal.Role))
		}
	}
}

func (p Policy) checkPrune(fault faultFunc) {
	if p.Prune.UnusedAfter > 0 && p.Prune.UnusedAfter < minUnused {
		fault([]string{"prune.unused_after"}, "must be at least %s: Databricks knows a token's last use to the day", FormatDuration(minUnused))
	}
	seen := map[string]int{}
	for i, e := range p.Prune.Exempt {
		for _, name := range []struct{ key, value string }{
			{"token_id", e.TokenID}, {"oauth_secret_id", e.OAuthSecretID}, {"client_id", e.ClientID}, {"user", e.User},
		} {
			if name.value != "" {
				once(fault, seen, "prune.exempt", i, name.key, name.value)
			}
		}
	}
}

package rotation

import (
	"time"

	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/policy"
)

// Settled tells, from the listing alone, that a managed secret needs nothing,
// so that an idle one costs no read of its value.
//
// Its current version must be one that a run has written: its id shows that.
// Then the value is complete, and was issued no more than [OrphanAge] before it
// was stored. When that was is not listed. It was no later than the secret last
// changed in any way. For as long after any change as a predecessor may wait
// for its retirement, the value is read. After that only the interval counts,
// from the last change. If that was a tag or a description, a rotation becomes
// due unseen, and the reconcile, which reads every value, sees it within a day.
func Settled(now time.Time, p policy.Policy, s managedsecret.Secret) bool {
	age := now.Sub(s.LastChanged)
	if s.Hold != nil || age < p.Grace+p.ExtendGrace+retireWindow || age >= p.Interval-orphanAge {
		return false
	}
	current := s.Holder(managedsecret.Current)
	_, busy := pendingVersion(s, current)
	return !busy && succeeds(s.ARN, s.Holder(managedsecret.Previous), current)
}

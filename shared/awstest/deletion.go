package awstest

import "time"

const (
	minRecoveryDays     = 7
	maxRecoveryDays     = 30
	defaultRecoveryDays = 30
)

type deleteSecret struct {
	secretRef
	RecoveryWindowInDays       *int
	ForceDeleteWithoutRecovery *bool
}

type deleteReply struct {
	named
	DeletionDate *epoch
}

func (d *deleteSecret) perform(c *secretCall) (any, error) {
	force := deref(d.ForceDeleteWithoutRecovery)
	days := defaultRecoveryDays
	if d.RecoveryWindowInDays != nil {
		days = *d.RecoveryWindowInDays
		if force {
			return nil, invalidParameter("You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")
		}
		if days < minRecoveryDays || days > maxRecoveryDays {
			return nil, invalidParameter("RecoveryWindowInDays value must be between %d and %d days (inclusive).", minRecoveryDays, maxRecoveryDays)
		}
	}
	sec, err := c.existing(d.secretID())
	if err != nil {
		// AWS lets a forced deletion be repeated, whether or not the secret
		// ever was.
		if force && d.secretID() != "" {
			return deleteReply{named{d.secretID(), d.secretID()}, at(c.now)}, nil
		}
		return nil, err
	}
	if force {
		sec.commit(nil, c.now)
		return deleteReply{named{sec.arn, sec.name}, at(c.now)}, nil
	}
	if !sec.state.deleteAt.IsZero() {
		return nil, invalidRequest("You can't perform this operation on the secret because it was already scheduled for deletion.")
	}
	next := sec.state.clone()
	next.deleteAt = c.now.Add(time.Duration(days) * 24 * time.Hour)
	sec.commit(next, c.now)
	return deleteReply{named{sec.arn, sec.name}, at(next.deleteAt)}, nil
}

type restoreSecret struct{ secretRef }

func (r *restoreSecret) perform(c *secretCall) (any, error) {
	sec, err := c.existing(r.secretID())
	if err != nil {
		return nil, err
	}
	if !sec.state.deleteAt.IsZero() {
		next := sec.state.clone()
		next.deleteAt = time.Time{}
		sec.commit(next, c.now)
	}
	return named{sec.arn, sec.name}, nil
}

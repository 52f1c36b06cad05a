package revocation

import (
	"context"
	"slices"
)

// protect refuses what would take away the means to mend it, unless the
// requester has said that this is understood.
func (i *invocation) protect(ctx context.Context, t *target, steps []step) error {
	// Deleting an earlier credential, or replacing the current one, leaves the
	// principal able to work. Deleting one that nobody has recorded may not.
	ends := slices.ContainsFunc(steps, func(p step) bool {
		unrecorded := len(t.secrets) == 0 || p.kind == kindForeign || p.kind == kindPerhaps
		return p.action == SwitchOff || p.action == Hold || p.action == Delete && unrecorded && len(p.after) == 0
	})
	if !ends {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	if !i.req.Acknowledges(OwnIdentity) {
		own, err := i.Rotator(ctx)
		if err != nil {
			return refusal(`whether %s is the identity by which this product works could not be told: %w; if it may be, add "acknowledge": [%q]`, t, err, OwnIdentity)
		}
		if own == t.clientID {
			return refusal(`%s is the identity by which this product works: without it nothing is rotated, audited, revoked or released any more, this included; use replace, or add "acknowledge": [%q]`, t, OwnIdentity)
		}
	}
	if i.req.Acknowledges(LastAdmin) || t.known && !t.admin {
		return nil
	}
	if !t.known {
		return refusal(`whether %s is the last admin of %s could not be told, for it could not be read; if it may be, add "acknowledge": [%q]`, t, t.host, LastAdmin)
	}
	other, err := i.Databricks.OtherAdmin(ctx, t.host, t.clientID)
	switch {
	case err != nil:
		return refusal(`%s is an admin of %s, and whether there is another could not be told: %w; if it may be the last, add "acknowledge": [%q]`, t, t.host, err, LastAdmin)
	case other == "":
		return refusal(`%s is the last admin of %s: without it nobody can administer that any more; make another admin first, or add "acknowledge": [%q]`, t, t.host, LastAdmin)
	}
	return nil
}

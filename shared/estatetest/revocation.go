package estatetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/secret"
)

// What a revocation does is not the rotation's fault: grace is waived, and
// AWSCURRENT may stop working. In return, what it has killed stays dead.

// Replacing is the beginning of a replacement: grace is waived for all that is
// there, and AWSCURRENT must work all the same.
func (e *Estate) Replacing(m *Managed) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.observe()
	for i := range m.history {
		m.history[i].waived = true
	}
	m.replacing = true
}

// Revoking is the beginning of a revocation or a lockout: from here on
// AWSCURRENT may be dead.
func (e *Estate) Revoking(m *Managed) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.observe()
	for i := range m.history {
		m.history[i].excused = true
	}
	m.disturbed, m.revoking = true, true
}

// Killed is the end of a revocation that says that it is complete: these
// values never work again. With held, nothing may be issued either, until
// [Estate.Releasing].
func (e *Estate) Killed(m *Managed, held bool, values ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.observe()
	m.killed = append(m.killed, values...)
	m.replacing = false
	if held {
		m.heldSince = e.Now()
	}
}

// Releasing is the beginning of a release.
func (e *Estate) Releasing(m *Managed) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m.heldSince, m.revoking = time.Time{}, false
	if current, ok := e.current(m); ok {
		m.disturbed = !e.Databricks.Authenticates(current.ClientID, current.ClientSecret.Reveal())
	}
}

// Held tells whether a revocation holds the managed secret.
func (e *Estate) Held(m *Managed) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !m.heldSince.IsZero()
}

// MayGo tells that what people made may be deleted from here on: somebody has
// asked for it.
func (e *Estate) MayGo(m *Managed) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m.mayGo = true
}

// Values are the live OAuth secrets of a principal that somebody may have read
// in the managed secret: not what people made for other uses, nor what a run
// has just issued and not stored yet.
func (e *Estate) Values(m *Managed) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	recorded := map[string]bool{}
	for _, v := range e.AWS.Versions(m.Name) {
		if c, err := credential.Parse(secret.New(v.Value)); err == nil {
			recorded[c.ClientSecret.Reveal()] = true
		}
	}
	var values []string
	for _, s := range e.Databricks.Secrets(m.Principal.ID) {
		inHand := !recorded[s.Value] && e.Now().Sub(s.CreateTime) < 31*time.Minute
		if !inHand && (!m.madeByHand(s.ID) || m.adopted(e, s.ID)) {
			values = append(values, s.Value)
		}
	}
	return values
}

// holdIsEnforced is the one condition of the stack's policies that a rotation
// counts on: its role may not write a secret that is held.
func (e *Estate) holdIsEnforced(_ context.Context, a awstest.Access) error {
	held := false
	for key := range a.Conditions {
		held = held || strings.EqualFold(key, "aws:ResourceTag/"+managedsecret.HoldKey) // as IAM compares keys
	}
	writes := a.Action == "secretsmanager:PutSecretValue" || a.Action == "secretsmanager:UpdateSecretVersionStage"
	if held && writes && a.Caller == e.AWS.RoleARN("rotate") {
		return errors.New("because no identity-based policy allows the " + a.Action + " action")
	}
	return nil
}

// revived finds what must have stayed dead.
func (e *Estate) revived(m *Managed) []Violation {
	var found []Violation
	for _, value := range m.killed {
		if e.Databricks.Authenticates(m.Principal.ApplicationID, value) {
			found = append(found, Violation{1, m.Name, "a revoked credential authenticates again"})
		}
	}
	return found
}

// Undone finds what was issued under a hold, at a moment of rest.
func (e *Estate) Undone(m *Managed) []Violation {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.undone(m)
}

// undone finds what was issued under a hold. What a run had in hand as the
// hold was set is gone once it cannot be in a run's hand any more.
func (e *Estate) undone(m *Managed) []Violation {
	if m.heldSince.IsZero() {
		return nil
	}
	var found []Violation
	for _, s := range e.Databricks.Secrets(m.Principal.ID) {
		if !m.madeByHand(s.ID) {
			found = append(found, Violation{1, m.Name, fmt.Sprintf("OAuth secret %.8s lives though the principal is held since a revocation", s.ID)})
		}
	}
	return found
}

// Secret is a live OAuth secret of a principal by its id.
func (e *Estate) Secret(m *Managed, id string) (databrickstest.OAuthSecret, bool) {
	for _, s := range e.Databricks.Secrets(m.Principal.ID) {
		if s.ID == id {
			return s, true
		}
	}
	return databrickstest.OAuthSecret{}, false
}

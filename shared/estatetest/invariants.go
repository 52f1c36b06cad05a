package estatetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/secret"
)

// Violation is a broken invariant, by its number in docs/architecture.md.
type Violation struct {
	Invariant int
	Secret    string
	What      string
}

func (v Violation) String() string {
	return fmt.Sprintf("invariant %d: %s: %s", v.Invariant, v.Secret, v.What)
}

// observe notes which credential is current of each managed secret.
func (e *Estate) observe() {
	now := e.Now()
	for _, m := range e.managed {
		v, _ := e.AWS.Current(m.Name)
		if v.Value == m.seen {
			continue
		}
		m.seen = v.Value
		current, ok := e.current(m)
		if !ok {
			continue
		}
		value := current.ClientSecret.Reveal()
		if n := len(m.history); n > 0 {
			if m.history[n-1].clientSecret == value {
				continue
			}
			m.history[n-1].until = now
			// What was dead already has no grace.
			m.history[n-1].excused = m.history[n-1].excused || m.disturbed
		}
		m.history = append(m.history, tenure{clientSecret: value, from: now, excused: m.revoking, waived: m.replacing})
		m.disturbed = m.revoking
	}
}

// Sample checks what must hold at every instant: a reader of AWSCURRENT gets a
// credential that works, and so does whoever read its predecessor less than
// the grace period ago. Call it between any two calls, so that no change of
// AWSCURRENT is missed.
func (e *Estate) Sample(grace time.Duration) []Violation {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sample(grace)
}

func (e *Estate) sample(grace time.Duration) []Violation {
	e.observe()
	now := e.Now()
	var found []Violation
	for _, m := range e.managed {
		found = append(found, e.revived(m)...)
		if m.disturbed || len(m.history) == 0 {
			continue
		}
		for i, t := range m.history {
			s, live := e.secretOf(m, t.clientSecret)
			switch current := i == len(m.history)-1; {
			case t.excused:
			case current && !live:
				found = append(found, Violation{1, m.Name, "AWSCURRENT does not authenticate"})
			case !current && !live && !t.waived && now.Sub(t.until) < grace:
				found = append(found, Violation{2, m.Name, fmt.Sprintf("a predecessor is gone %v after its successor became current", now.Sub(t.until))})
			case live && !sameScopes(s.Scopes, m.Scopes):
				found = append(found, Violation{5, m.Name, fmt.Sprintf("the scopes are %v, not %v", s.Scopes, m.Scopes)})
			}
		}
		if n := len(e.Databricks.Secrets(m.Principal.ID)); n > databricks.MaxSecrets {
			found = append(found, Violation{4, m.Name, fmt.Sprintf("%d OAuth secrets", n)})
		}
	}
	return found
}

// Settled checks what must hold once runs have become quiet: besides what
// holds always, every live secret is recorded, in grace, or somebody else's.
func (e *Estate) Settled(grace time.Duration) []Violation {
	e.mu.Lock()
	defer e.mu.Unlock()
	found := e.sample(grace)
	now := e.Now()
	for _, m := range e.managed {
		found = append(found, e.undone(m)...)
		recorded := map[string]bool{}
		for _, v := range e.AWS.Versions(m.Name) {
			if c, err := credential.Parse(secret.New(v.Value)); err == nil {
				recorded[c.ClientSecret.Reveal()] = true
			}
		}
		for _, s := range e.Databricks.Secrets(m.Principal.ID) {
			last := m.lastTenure(s.Value)
			switch {
			case last != nil && !last.until.IsZero() && now.Sub(last.until) > grace && !m.madeByHand(s.ID):
				found = append(found, Violation{2, m.Name, fmt.Sprintf("predecessor %.8s is still alive %v after its successor became current", s.ID, now.Sub(last.until))})
			case !recorded[s.Value] && !m.madeByHand(s.ID):
				found = append(found, Violation{3, m.Name, fmt.Sprintf("OAuth secret %.8s is recorded nowhere", s.ID)})
			}
		}
		for id := range m.foreign {
			if !m.mayGo && !slices.ContainsFunc(e.Databricks.Secrets(m.Principal.ID), func(s databrickstest.OAuthSecret) bool { return s.ID == id }) && !m.adopted(e, id) {
				found = append(found, Violation{3, m.Name, fmt.Sprintf("somebody else's OAuth secret %.8s is gone", id)})
			}
		}
	}
	return found
}

// lastTenure is the last time that a credential was current, nil if it never
// was. A person may have made it current again.
func (m *Managed) lastTenure(clientSecret string) *tenure {
	for i := len(m.history) - 1; i >= 0; i-- {
		if m.history[i].clientSecret == clientSecret {
			return &m.history[i]
		}
	}
	return nil
}

// adopted tells whether a person's secret was current once, and so became the
// rotation's to retire.
func (m *Managed) adopted(e *Estate, id string) bool {
	for _, v := range e.AWS.Versions(m.Name) {
		if value := m.foreign[id]; strings.Contains(v.Value, id) || value != "" && strings.Contains(v.Value, value) {
			return true
		}
	}
	return false
}

func (m *Managed) madeByHand(id string) bool {
	_, byHand := m.foreign[id]
	return byHand
}

// Leaks searches a text for every secret value and token that Databricks ever
// issued, and returns how many of them it holds.
func (e *Estate) Leaks(text string) int {
	n := 0
	for _, value := range e.Databricks.Issued() {
		if strings.Contains(text, value) {
			n++
		}
	}
	return n
}

func sameScopes(a, b []string) bool {
	return slices.Equal(credential.NormalizeScopes(a), credential.NormalizeScopes(b))
}

package credential

import "databricks-credential-rotation/shared/secret"

// Ledger tells which OAuth secret a client secret is of, by the values that
// recorded both. Databricks tells no values, so nothing else does.
//
// Whoever pastes a new client secret may leave the old one's id beside it. An
// id is therefore that of the client secret which was noted with it first: note
// values in the order in which they were stored.
type Ledger struct {
	ids     map[string]string // by the client secret's hash
	claimed map[string]bool
}

// Note takes down what a value records.
func (l *Ledger) Note(c Credential) {
	id := c.OAuthSecretID
	if !c.Issued() || id == "" || l.claimed[id] || l.ID(c.ClientSecret) != "" {
		return
	}
	if l.ids == nil {
		l.ids, l.claimed = map[string]string{}, map[string]bool{}
	}
	l.ids[c.ClientSecret.SHA256()], l.claimed[id] = id, true
}

// Claimed tells that an id is that of some client secret.
func (l *Ledger) Claimed(id string) bool { return l.claimed[id] }

// ID is the OAuth secret of a client secret, empty if no value recorded it.
func (l *Ledger) ID(clientSecret secret.Text) string { return l.ids[clientSecret.SHA256()] }

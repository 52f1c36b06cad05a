package credential

import "databricks-credential-rotation/shared/secret"

// Ledger tells which OAuth secret a client secret is of, by the values that
// recorded both. Databricks tells no values, so nothing else does.
//
// Whoever pastes a new client secret may leave the old one's id beside it. An
// id is therefore that of the client secret which was noted with it first: note
// values in the order in which they were stored.
type Ledger struct {
	first   map[string]Credential // by the client secret's hash
	claimed map[string]bool
}

// Note takes down what a value records.
func (l *Ledger) Note(c Credential) {
	id := c.OAuthSecretID
	if !c.Issued() || id == "" || l.claimed[id] || l.Of(c.ClientSecret).Issued() {
		return
	}
	if l.first == nil {
		l.first, l.claimed = map[string]Credential{}, map[string]bool{}
	}
	l.first[c.ClientSecret.SHA256()], l.claimed[id] = c, true
}

// Claimed tells that an id is that of some client secret.
func (l *Ledger) Claimed(id string) bool { return l.claimed[id] }

// Of is the value that tells which OAuth secret a client secret is of, with what
// else that one recorded. It is zero if none was noted.
func (l *Ledger) Of(clientSecret secret.Text) Credential { return l.first[clientSecret.SHA256()] }

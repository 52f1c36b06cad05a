package revocation

import (
	"context"
	"errors"
	"slices"
	"time"

	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
)

// Databricks does not say which value an OAuth secret has. That is known where
// some version records the OAuth secret's id beside the value, and not where a
// person has stored one. It is never guessed: that only one is listed proves
// nothing, for a list may lag, and a revocation shortens it itself. What may be
// such a value goes only with include_foreign, and if readers may hold it, only
// after its successor is there. That it is dead is proven by a trial alone.

// clockSkew is how far the clocks of two services may be apart.
const clockSkew = 5 * time.Minute

// value is a client secret of the principal that versions hold.
type value struct {
	credential credential.Credential
	// id is its OAuth secret, empty if nobody recorded it.
	id string
	// since is when the first version was made that holds it.
	since time.Time
	// where is that version, and whose it is.
	where string
	owner *managed
	// refused tells that a trial at the first look proved it dead.
	refused bool
	// untried is why a trial said nothing, nil if it did.
	untried error
}

// unclear tells that it may be alive under an id that nobody recorded.
func (v *value) unclear() bool { return v != nil && v.id == "" && !v.refused }

// learn notes what the versions hold that were read. What was known before
// stays.
func (s *situation) learn() {
	if s.values == nil {
		s.values = map[string]*value{}
	}
	type held struct {
		m *managed
		v version
	}
	var all []held
	for _, m := range slices.Concat(s.managed(), s.target.former) {
		for _, v := range m.known() {
			if c := v.credential; c.Issued() && c.ClientID == s.target.clientID {
				all = append(all, held{m, v})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b held) int { return a.v.createdAt.Compare(b.v.createdAt) })
	for _, h := range all {
		c := h.v.credential
		key := c.ClientSecret.SHA256()
		v := s.values[key]
		if v == nil {
			v = &value{credential: c, since: h.v.createdAt, where: h.v.id, owner: h.m}
			s.values[key] = v
		}
		s.ledger.Note(c)
		v.id = s.ledger.Of(c.ClientSecret).OAuthSecretID
	}
	l := s.target.leak
	if l == nil {
		return
	}
	if s.req.OAuthSecretID == "" && !l.value.IsZero() {
		if v := s.values[l.value.SHA256()]; v != nil {
			l.id = v.id
		}
		return
	}
	for _, v := range s.values {
		if v.id != "" && v.id == l.id {
			l.value, l.scopes = v.credential.ClientSecret, v.credential.Scopes
		}
	}
}

// managed are all managed secrets of the principal that are known.
func (s *situation) managed() []*managed { return slices.Concat(s.target.secrets, s.target.others) }

// known are the versions that were read, the current one first.
func (m *managed) known() []version {
	all := []version{m.current}
	for _, v := range m.versions {
		if v.id != m.current.id {
			all = append(all, v)
		}
	}
	return all
}

// valueOf is what is known of a version's value, nil if it has none of this
// principal.
func (s *situation) valueOf(c credential.Credential) *value {
	if !c.Issued() {
		return nil
	}
	return s.values[c.ClientSecret.SHA256()]
}

// idOf is the OAuth secret of a version's value, empty if that is not known.
func (s *situation) idOf(c credential.Credential) string {
	if v := s.valueOf(c); v != nil {
		return v.id
	}
	return c.OAuthSecretID
}

// unclear are the values whose OAuth secret is not known and that may be alive,
// the oldest first.
func (s *situation) unclear() []*value {
	var all []*value
	for _, v := range s.values {
		if v.unclear() {
			all = append(all, v)
		}
	}
	slices.SortFunc(all, func(a, b *value) int {
		if d := a.since.Compare(b.since); d != 0 {
			return d
		}
		return slices.Compare([]byte(a.where), []byte(b.where))
	})
	return all
}

// mayBe tells whether an OAuth secret may be that of a value: it is no other
// value's, and was there when the value was stored.
func (s *situation) mayBe(v *value, o databricks.OAuthSecret) bool {
	if !v.unclear() || s.gone[o.ID] || o.Expired(s.now) {
		return false
	}
	for _, id := range s.issued {
		if id == o.ID {
			return false
		}
	}
	for _, other := range s.values {
		if other.id == o.ID {
			return false
		}
	}
	return v.since.IsZero() || o.CreateTime.IsZero() || !o.CreateTime.After(v.since.Add(clockSkew))
}

// candidates are the ids of the listed OAuth secrets that may be a value's.
func (s *situation) candidates(v *value) []string {
	var ids []string
	for _, o := range s.listed {
		if s.mayBe(v, o) {
			ids = append(ids, o.ID)
		}
	}
	return ids
}

// try uses the values whose OAuth secret is not known. One that is refused is
// dead, if its principal is on; none of the OAuth secrets is it.
func (i *invocation) try(ctx context.Context, s *situation) {
	t := s.target
	if !t.known || !t.active {
		return
	}
	limit := stepTimeout
	if i.req.Mode == Lockout {
		limit = lockoutTrial // nothing is protected yet
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var unanswered error // nor will the others be
	for _, v := range s.unclear() {
		if v.untried = unanswered; unanswered != nil {
			continue
		}
		err := i.Databricks.Verify(ctx, t.host, t.clientID, v.credential.ClientSecret, v.credential.Scopes)
		if v.refused = errors.Is(err, databricks.ErrRefused); err != nil && !v.refused {
			v.untried, unanswered = err, err
		}
	}
}

// takeIn extends the request to the other managed secrets of the principal
// whose current credential is, or may be, among what is to die: to delete it
// would leave their readers with nothing, and the next sweep would heal them.
func (s *situation) takeIn() []*managed {
	t := s.target
	var taken []*managed
	take := func(m *managed) {
		t.others = slices.DeleteFunc(slices.Clone(t.others), func(o *managed) bool { return o == m })
		t.secrets = append(t.secrets, m)
		taken = append(taken, m)
	}
	for _, m := range t.others {
		if v := s.valueOf(m.current.credential); t.leak == nil && v.unclear() && m.secret.Hold == nil && slices.ContainsFunc(t.secrets, func(o *managed) bool { return s.holds(o, v) }) {
			take(m)
		}
	}
	for _, l := range s.sort() {
		if !s.condemned(l) {
			continue
		}
		for _, m := range slices.Concat(l.current, []*managed{l.owner}) {
			// Whose the named one is, is the managed secret that is meant.
			isOwner := s.names(l.ID) && l.kind != kindPerhaps && m == l.owner && len(t.secrets) == 0
			if m != nil && slices.Contains(t.others, m) && (isOwner || slices.Contains(l.current, m)) {
				take(m)
			}
		}
	}
	return taken
}

// holds tells whether a version of a managed secret holds a value.
func (s *situation) holds(m *managed, v *value) bool {
	return slices.ContainsFunc(m.known(), func(k version) bool { return s.valueOf(k.credential) == v })
}

// condemned tells whether the request is for an OAuth secret's death, whatever
// else it may be.
func (s *situation) condemned(l live) bool {
	if s.target.leak != nil {
		return s.names(l.ID) || s.mayBeLeak(l) && s.req.IncludeForeign
	}
	return slices.ContainsFunc(s.target.secrets, func(m *managed) bool {
		return s.classify(m, l.OAuthSecret).ours()
	})
}

// mayBeLeak tells whether an OAuth secret may be the value that is named.
func (s *situation) mayBeLeak(l live) bool {
	leak := s.target.leak
	if leak == nil || leak.id != "" || leak.value.IsZero() {
		return false
	}
	return s.mayBe(s.values[leak.value.SHA256()], l.OAuthSecret)
}

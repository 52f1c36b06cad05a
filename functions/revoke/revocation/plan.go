package revocation

import (
	"slices"
	"time"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/fingerprint"
	"databricks-credential-rotation/shared/managedsecret"
)

// kind says what an OAuth secret is.
type kind string

const (
	kindCurrent     kind = "current credential"
	kindPending     kind = "pending credential"
	kindPredecessor kind = "earlier credential"
	kindOrphan      kind = "OAuth secret of ours that no version records"
	kindOther       kind = "credential of another managed secret"
	// kindPerhaps is somebody else's, or what a person has stored without its
	// id.
	kindPerhaps kind = "OAuth secret that may be what somebody stored by hand"
	kindForeign kind = "OAuth secret of somebody else"
)

func (k kind) ours() bool { return k != kindOther && k != kindPerhaps && k != kindForeign }

// live is an OAuth secret of the principal.
type live struct {
	databricks.OAuthSecret
	kind  kind
	owner *managed
	// current are the managed secrets of which it is, or may be, current, or is
	// about to become it.
	current []*managed
}

// situation is all that a plan is made from.
type situation struct {
	now    time.Time
	req    Request
	target *target
	listed []databricks.OAuthSecret

	// What this invocation has done so far: the OAuth secrets that it issued,
	// by managed secret, those that it deleted, and those that were live when
	// it began.
	issued   map[string]string
	gone     map[string]bool
	suspects map[string]bool

	// strangers are the OAuth secrets that were not known to be ours when it
	// began. A rotation that finds a value without an id takes the only one
	// that is listed for its predecessor; here that is no knowledge.
	strangers map[string]bool
	// values is what is known of each value, by its hash.
	values map[string]*value
	// ledger tells which OAuth secret each is of.
	ledger credential.Ledger
}

// step is a change to be made.
type step struct {
	action Action
	// m is the managed secret that it is done to.
	m *managed
	// id is the OAuth secret or token that is deleted.
	id   string
	kind kind
	why  string
	// after are the managed secrets that must have a new credential before.
	after []*managed
	// essential tells that nothing that follows makes sense without it.
	essential bool
	// sacrifice are the OAuth secrets that may make room for a new one, and inHand
	// those that may not yet.
	sacrifice []string
	inHand    []live
}

// classify says what an OAuth secret is to a managed secret, by what is known
// for certain.
func (s *situation) classify(m *managed, o databricks.OAuthSecret) kind {
	if o.ID == s.idOf(m.current.credential) {
		return kindCurrent
	}
	for _, p := range m.current.credential.Predecessors {
		if p.OAuthSecretID == o.ID && !s.strangers[o.ID] {
			return kindPredecessor
		}
	}
	for _, v := range m.known() {
		if o.ID != v.credential.OAuthSecretID && o.ID != s.idOf(v.credential) {
			continue
		}
		if s.isPending(m, v) {
			return kindPending
		}
		return kindPredecessor
	}
	if fingerprint.Matches(m.secret.ARN, o.Lifetime()) {
		return kindOrphan
	}
	return kindForeign
}

// isPending tells that a rotation by Secrets Manager may be about to make a
// version current. What was current already it only left its label on.
func (s *situation) isPending(m *managed, v version) bool {
	return v.id == m.secret.Holder(managedsecret.Pending) && v.id != m.current.id &&
		!slices.Contains(m.secret.Labels[v.id], managedsecret.Previous) && s.now.Sub(v.createdAt) < rotation.PendingAge
}

// isServed tells that an OAuth secret is, or is about to be, current of another
// managed secret, listed or not.
func (s *situation) isServed(id string) bool {
	return slices.ContainsFunc(s.target.others, func(m *managed) bool {
		return m.secret.Hold == nil && slices.ContainsFunc(m.known(), func(v version) bool {
			return (v.id == m.current.id || s.isPending(m, v)) && s.idOf(v.credential) == id
		})
	})
}

// assess says what an OAuth secret is. That readers hold it matters more than
// that somebody else has held it once, and a record more than a fingerprint.
func (s *situation) assess(o databricks.OAuthSecret) live {
	l := live{OAuthSecret: o, kind: kindForeign}
	var served []*managed // others whose readers are to have something
	for _, m := range s.managed() {
		if slices.Contains(s.target.others, m) {
			if m.secret.Hold != nil {
				continue
			}
			served = append(served, m)
		}
		k, v := s.classify(m, o), s.valueOf(m.current.credential)
		if k == kindCurrent || k == kindPending || v != nil && s.mayBe(v, o) {
			l.current = append(l.current, m)
		}
	}
	t := s.target
	for _, look := range []struct {
		in    []*managed
		kinds []kind
		as    kind
	}{
		{t.secrets, []kind{kindCurrent}, ""},
		{served, []kind{kindCurrent}, kindOther},
		{t.secrets, []kind{kindPending, kindPredecessor}, ""},
		{t.others, []kind{kindCurrent, kindPending, kindPredecessor}, kindOther},
		{t.secrets, []kind{kindOrphan}, ""},
		{t.others, []kind{kindOrphan}, kindOther},
	} {
		for _, m := range look.in {
			if k := s.classify(m, o); slices.Contains(look.kinds, k) {
				if look.as != "" {
					k = look.as
				}
				l.kind, l.owner = k, m
				return l
			}
		}
	}
	for _, v := range s.unclear() {
		// One of the request's own, if it may be of several.
		if s.mayBe(v, o) && (l.owner == nil || slices.Contains(t.secrets, v.owner)) {
			l.kind, l.owner = kindPerhaps, v.owner
		}
	}
	return l
}

// sort says what each live OAuth secret is, the named one first, then the
// current ones, then from the youngest to the oldest.
func (s *situation) sort() []live {
	var all []live
	for _, o := range s.listed {
		if !o.Expired(s.now) && !s.gone[o.ID] {
			all = append(all, s.assess(o))
		}
	}
	slices.SortStableFunc(all, func(a, b live) int {
		if d := s.rank(a) - s.rank(b); d != 0 {
			return d
		}
		return b.CreateTime.Compare(a.CreateTime)
	})
	return all
}

func (s *situation) rank(l live) int {
	switch {
	case s.names(l.ID):
		return 0
	case l.kind == kindCurrent:
		return 1
	case l.kind.ours():
		return 2
	case l.kind == kindPerhaps:
		return 3
	default:
		return 4
	}
}

func (s *situation) names(id string) bool {
	return s.target.leak != nil && s.target.leak.id != "" && s.target.leak.id == id
}

// currentLeaked tells whether the request names what is current, or what may
// be, or is about to be.
func (s *situation) currentLeaked(m *managed, all []live) bool {
	l := s.target.leak
	if l == nil {
		return false
	}
	c := m.current.credential
	if s.names(s.idOf(c)) || c.Issued() && !l.value.IsZero() && c.ClientSecret.Equal(l.value) {
		return true
	}
	return slices.ContainsFunc(all, func(l live) bool { return s.condemned(l) && slices.Contains(l.current, m) })
}

// plan says what is to be done, in this order. It is a pure function: a run
// that died is, to the next one, just another situation.
func (s *situation) plan() ([]step, error) {
	s.learn()
	all := s.sort()
	if err := s.refuse(all); err != nil {
		return nil, err
	}
	switch s.req.Mode {
	case Replace:
		return s.planReplace(all), nil
	case Revoke, Lockout:
		return s.planRevoke(all), nil
	default:
		return s.planRelease(all), nil
	}
}

// refuse is for what a request must not be begun with.
func (s *situation) refuse(all []live) error {
	if s.issued != nil {
		return nil // it has begun
	}
	if s.req.Mode == Replace {
		for _, m := range s.target.secrets {
			if h := m.secret.Hold; h != nil && h.Kind == managedsecret.LockedOut {
				return refusal(`%s is locked out: release it first, which also issues a new credential: {"mode":"release","secret":%q,"reason":"…"}`, m.secret.Name, m.secret.Name)
			}
		}
	}
	if s.req.Mode == Release && s.target.known && !s.target.active && len(s.target.secrets) > 0 && !s.lockedOut() {
		return refusal("%s is switched off, and none of its managed secrets is locked out: somebody else did that; switch it on in Databricks if it may work; if it was locked out a moment ago, try again in a minute", s.target)
	}
	for _, l := range all {
		if !s.names(l.ID) || s.req.IncludeForeign || s.req.Mode == Lockout {
			continue
		}
		switch l.kind {
		case kindForeign:
			return refusal("oauth_secret_id: %s of %s is somebody else's: set include_foreign to delete it all the same", l.ID, s.target)
		case kindPerhaps:
			return refusal("oauth_secret_id: %s of %s may be what somebody stored by hand in %s, or somebody else's: set include_foreign to delete it all the same", l.ID, s.target, l.owner.secret.Name)
		default:
		}
	}
	if l := s.target.leak; l != nil && s.req.Mode != Lockout && !s.req.IncludeForeign && s.values[l.value.SHA256()].unclear() &&
		!slices.ContainsFunc(s.target.secrets, func(m *managed) bool { return s.currentLeaked(m, all) }) {
		return refusal("sha256: the value was stored by hand, in version %s, and which OAuth secret of %s it is was not recorded: use lockout, or set include_foreign, which deletes each that it may be", l.versionID, s.target)
	}
	if s.req.Mode == Release && !s.req.IncludeForeign {
		for _, l := range all {
			if v := s.outlived(l); v != nil {
				return refusal("%s was revoked, and version %s of it holds a value that somebody stored by hand: it would be alive again if it is OAuth secret %s, which was not recorded; delete that in Databricks, or set include_foreign to have each deleted that it may be", v.owner.secret.Name, v.where, l.ID)
			}
		}
	}
	return nil
}

// outlived is the value without a record of its OAuth secret that a revocation
// was to end and that an OAuth secret may be, nil if there is none.
func (s *situation) outlived(l live) *value {
	for _, v := range s.unclear() {
		if l.kind == kindPerhaps && s.mayBe(v, l.OAuthSecret) && s.revoked(v) {
			return v
		}
	}
	return nil
}

// revoked tells whether the hold of a value's managed secret was meant for it:
// a person may have stored it to mend things.
func (s *situation) revoked(v *value) bool {
	h := v.owner.secret.Hold
	return h != nil && (h.Since.IsZero() || !v.since.After(h.Since))
}

func (s *situation) lockedOut() bool {
	return slices.ContainsFunc(s.target.secrets, func(m *managed) bool {
		return m.secret.Hold != nil && m.secret.Hold.Kind == managedsecret.LockedOut
	})
}

// planReplace issues first, so that a reader that is refused finds a working
// credential when it reads again, and then deletes all that was there before.
func (s *situation) planReplace(all []live) []step {
	var steps []step
	issuing := map[*managed]bool{}
	for _, m := range s.target.secrets {
		if m.secret.Hold != nil {
			steps = append(steps, step{action: Unhold, m: m, why: "a replacement ends the revocation"})
		}
		if why := s.needsNew(m, all); why != "" {
			issuing[m] = true
			steps = append(steps, step{action: Issue, m: m, why: why, sacrifice: s.sacrifices(m, all), inHand: s.inHand(m, all)})
		}
	}
	for _, l := range all {
		p := step{action: Delete, id: l.ID, kind: l.kind, why: "grace is waived"}
		// Whatever readers may hold goes once they can read another.
		kept := false
		for _, m := range l.current {
			p.after, kept = append(p.after, m), kept || !issuing[m]
		}
		switch {
		case kept || l.owner != nil && l.ID == s.issued[l.owner.secret.ARN]:
			continue
		case l.kind == kindForeign || l.kind == kindPerhaps:
			if !s.takes(l, all) {
				continue
			}
			p.why = "include_foreign"
			if !s.names(l.ID) {
				// What nobody knows may be what somebody relies on.
				p.after = slices.DeleteFunc(slices.Clone(s.target.secrets), func(m *managed) bool { return !issuing[m] })
			}
		case !l.kind.ours():
			continue
		case l.kind == kindCurrent:
			p.why = "it is replaced, and grace is waived"
		case s.mayBeInHand(l):
			// Who holds one that no version records cannot be told; nobody has ever
			// read it.
			if !issuing[l.owner] || l.kind == kindOrphan {
				continue
			}
			if len(p.after) == 0 {
				p.after = []*managed{l.owner}
			}
		default:
		}
		steps = append(steps, p)
	}
	for _, m := range s.target.secrets {
		if issuing[m] {
			steps = append(steps, s.unlisted(m)...)
		}
	}
	return steps
}

// unlisted deletes what versions name and Databricks does not list. A list may
// lag, and what readers hold, or are about to, is known without it, as is what
// was issued a moment ago.
func (s *situation) unlisted(m *managed) (steps []step) {
	h := m.secret.Hold
	for _, v := range m.known() {
		p := step{action: Delete, id: s.idOf(v.credential)}
		switch {
		case h != nil && (h.Since.IsZero() || v.createdAt.Before(h.Since.Add(-clockSkew))): // it has been deleted before
			continue
		case v.credential.ClientID != s.target.clientID: // it was another principal's once
			continue
		case v.id == m.current.id:
			p.kind, p.why = kindCurrent, "the current version names it, though it is not listed"
		case s.isPending(m, v):
			p.kind, p.why = kindPending, "the pending version names it, though it is not listed"
		case s.now.Sub(v.credential.IssuedAt) < rotation.OrphanAge:
			p.kind, p.why = kindPredecessor, "a version names it that is new, though it is not listed"
		default:
			continue
		}
		if s.req.Mode == Replace {
			p.after = []*managed{m}
		}
		listed := func(o databricks.OAuthSecret) bool { return o.ID == p.id }
		if p.id != "" && !s.gone[p.id] && p.id != s.issued[m.secret.ARN] && !s.isServed(p.id) && !slices.ContainsFunc(s.listed, listed) &&
			!slices.ContainsFunc(steps, func(other step) bool { return other.id == p.id }) {
			steps = append(steps, p)
		}
	}
	return steps
}

// takes tells whether an OAuth secret that is not known to be ours goes too. If
// one is named, others are only with it where everything is suspect.
func (s *situation) takes(l live, all []live) bool {
	switch {
	case l.kind != kindForeign && l.kind != kindPerhaps:
		return false
	case s.names(l.ID):
		return true
	case !s.req.IncludeForeign:
		return false
	case s.target.leak == nil || s.req.Mode == Lockout || s.mayBeLeak(l):
		return true
	default:
		return s.req.Mode == Replace && s.req.OAuthSecretID == "" && slices.ContainsFunc(s.target.secrets, func(m *managed) bool { return s.currentLeaked(m, all) })
	}
}

// needsNew says why a managed secret needs a new credential, empty if it does
// not.
func (s *situation) needsNew(m *managed, all []live) string {
	if id := s.issued[m.secret.ARN]; id != "" {
		// To reads that lag a rotation by Secrets Manager may show only now. It is
		// given up like any other, or it would bring back what was there before.
		issued := slices.IndexFunc(all, func(l live) bool { return l.ID == id })
		if issued >= 0 && slices.ContainsFunc(all, func(l live) bool {
			return l.kind == kindPending && l.owner == m && l.CreateTime.Before(all[issued].CreateTime)
		}) {
			return "a rotation by Secrets Manager was under way, and showed late"
		}
		return ""
	}
	c := m.current.credential
	id := s.idOf(c)
	isLive := slices.ContainsFunc(all, func(l live) bool { return l.ID == id && l.kind == kindCurrent })
	// What nobody has recorded may be what readers hold, whatever stands beside
	// their value.
	mayGo := func(l live) bool {
		return s.takes(l, all) && !s.names(l.ID) ||
			slices.Contains(l.current, m) && l.kind != kindCurrent && (s.takes(l, all) || l.kind.ours() && !s.mayBeInHand(l))
	}
	switch {
	case !c.Issued():
		return "it has none yet"
	case s.currentLeaked(m, all):
		return "the current one is, or may be, the one named"
	case s.target.leak == nil && (s.suspects == nil || s.suspects[id] || id == ""):
		return "all that it had is suspect"
	case id != "" && !isLive, id == "" && !s.valueOf(c).unclear():
		return "the current one is dead"
	case slices.ContainsFunc(all, mayGo):
		return "the current one may be among what is deleted"
	default:
		return ""
	}
}

// sacrifices are the OAuth secrets that may go before the new one is there, if
// the principal has no room: all but what is or may be current, or what another
// run may be about to make that, the named one first.
func (s *situation) sacrifices(m *managed, all []live) []string {
	var ids []string
	for _, l := range all {
		if len(l.current) == 0 && (l.kind.ours() && l.owner == m && !s.mayBeInHand(l) || s.req.IncludeForeign && s.takes(l, all)) {
			ids = append(ids, l.ID)
		}
	}
	return ids
}

// inHand are OAuth secrets of a managed secret that may be about to become current.
func (s *situation) inHand(m *managed, all []live) []live {
	return slices.DeleteFunc(slices.Clone(all), func(l live) bool {
		return l.owner != m || !l.kind.ours() || l.kind == kindCurrent || l.kind != kindPending && !s.mayBeInHand(l)
	})
}

// mayBeInHand tells whether an OAuth secret was issued so recently that
// another run may be about to make it current, or just has. Without it that
// run would leave a dead credential.
func (s *situation) mayBeInHand(l live) bool {
	if s.names(l.ID) || s.now.Sub(l.CreateTime) >= rotation.OrphanAge {
		return false
	}
	switch l.kind {
	case kindOrphan, kindPending:
		return true
	default:
		return !l.CreateTime.Before(l.owner.current.credential.IssuedAt)
	}
}

// planRevoke deletes and issues nothing. If what is named is not current,
// nothing else is touched, unless the secret is held already: then an earlier
// attempt was after the current one.
func (s *situation) planRevoke(all []live) []step {
	var steps []step
	if s.req.Mode == Lockout && (!s.target.known || s.target.active) {
		steps = append(steps, step{action: SwitchOff, why: "it ends access tokens too"})
	}
	whole := s.wholeSecrets(all)
	for _, m := range whole {
		want := managedsecret.Revoked
		if s.req.Mode == Lockout {
			want = managedsecret.LockedOut
		}
		// What was stored under a hold is not what that is about; now it is.
		later := slices.ContainsFunc(s.unclear(), func(v *value) bool { return v.owner == m && !s.revoked(v) })
		switch h := m.secret.Hold; {
		case h == nil || h.Kind != want && h.Kind != managedsecret.LockedOut:
			steps = append(steps, step{action: Hold, m: m, why: "no sweep issues another until it is released"})
		case later:
			steps = append(steps, step{action: Hold, m: m, why: "a value was stored under the hold, and nobody knows which OAuth secret it is"})
		}
	}
	for _, l := range all {
		// What readers may hold goes only where no sweep heals them.
		if slices.ContainsFunc(l.current, func(m *managed) bool { return !slices.Contains(whole, m) }) {
			continue
		}
		switch {
		case s.names(l.ID):
			steps = append(steps, step{action: Delete, id: l.ID, kind: l.kind, why: "it is the one named"})
		case s.mayBeLeak(l) && s.req.IncludeForeign:
			steps = append(steps, step{action: Delete, id: l.ID, kind: l.kind, why: "it may be the one named"})
		case s.takes(l, all):
			steps = append(steps, step{action: Delete, id: l.ID, kind: l.kind, why: "include_foreign"})
		case l.kind.ours() && slices.Contains(whole, l.owner):
			steps = append(steps, step{action: Delete, id: l.ID, kind: l.kind, why: "nothing of ours stays"})
		}
	}
	for _, m := range whole {
		steps = append(steps, s.unlisted(m)...)
	}
	return steps
}

// wholeSecrets are the managed secrets of which nothing may stay.
func (s *situation) wholeSecrets(all []live) []*managed {
	if s.target.leak == nil || s.req.Mode == Lockout {
		return s.target.secrets
	}
	var whole []*managed
	for _, m := range s.target.secrets {
		if s.currentLeaked(m, all) || m.secret.Hold != nil && m.secret.Hold.Kind == managedsecret.Revoked {
			whole = append(whole, m)
		}
	}
	return whole
}

// planRelease makes sure first that nothing which was revoked comes back: with
// a switched-off principal it would be alive again.
func (s *situation) planRelease(all []live) []step {
	var steps []step
	locked := len(s.target.secrets) == 0 || s.lockedOut()
	for _, l := range all {
		if l.kind.ours() && l.owner.secret.Hold != nil && s.issued[l.owner.secret.ARN] == "" {
			steps = append(steps, step{action: Delete, id: l.ID, kind: l.kind, essential: true, why: "the revocation has left it"})
		}
		if s.outlived(l) != nil && s.req.IncludeForeign {
			steps = append(steps, step{action: Delete, id: l.ID, kind: l.kind, essential: true, why: "it may be what was revoked"})
		}
	}
	if s.target.known && !s.target.active && locked {
		steps = append(steps, step{action: SwitchOn, essential: true, why: "the lockout is over"})
	}
	for _, m := range s.target.secrets {
		why := s.dead(m, all)
		if m.secret.Hold == nil && why == "" {
			continue
		}
		// Also without a hold that shows: a read may lag behind it.
		steps = append(steps, step{action: Unhold, m: m, essential: true, why: "sweeps rotate it again"})
		if s.issued[m.secret.ARN] == "" {
			steps = append(steps, step{action: Issue, m: m, why: "it has none that works"})
		}
	}
	return steps
}

// dead says why a current credential cannot work, empty if it may.
func (s *situation) dead(m *managed, all []live) string {
	c := m.current.credential
	id := s.idOf(c)
	switch {
	case s.issued[m.secret.ARN] != "":
		return ""
	case !c.Issued():
		return "it was never issued"
	case id == "" && !s.valueOf(c).unclear():
		return "it is refused"
	case !slices.ContainsFunc(all, func(l live) bool {
		return l.ID == id || id == "" && l.kind != kindPending && slices.Contains(l.current, m)
	}):
		return "it is not listed"
	default:
		return ""
	}
}

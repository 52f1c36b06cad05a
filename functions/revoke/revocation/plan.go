package revocation

import (
	"slices"
	"time"

	"databricks-credential-rotation/functions/rotate/rotation"
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
	kindForeign     kind = "OAuth secret of somebody else"
)

func (k kind) ours() bool { return k != kindOther && k != kindForeign }

// live is an OAuth secret of the principal.
type live struct {
	databricks.OAuthSecret
	kind  kind
	owner *managed
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
	// after is the managed secret that must have a new credential before.
	after *managed
	// essential tells that nothing that follows makes sense without it.
	essential bool
	// sacrifice are the OAuth secrets that may make room for a new one.
	sacrifice []string
}

// isOurs tells whether an OAuth secret belongs to a managed secret: by a
// version that records it, or by its fingerprint.
func isOurs(m *managed, listed []databricks.OAuthSecret, id string) bool {
	for _, s := range listed {
		if s.ID == id {
			k := classify(m, s, currentID(m, listed))
			return k != kindForeign
		}
	}
	return false
}

// currentID is the OAuth secret of the current version. Where nobody recorded
// it, it is known if the principal has just one.
func currentID(m *managed, listed []databricks.OAuthSecret) string {
	c := m.current.credential
	if c.OAuthSecretID == "" && c.Issued() && len(listed) == 1 {
		return listed[0].ID
	}
	return c.OAuthSecretID
}

func classify(m *managed, s databricks.OAuthSecret, current string) kind {
	if s.ID == current {
		return kindCurrent
	}
	for _, p := range m.current.credential.Predecessors {
		if p.OAuthSecretID == s.ID {
			return kindPredecessor
		}
	}
	if v, ok := m.recorded(s.ID); ok {
		if v.id == m.secret.Holder(managedsecret.Pending) && v.id != m.current.id {
			return kindPending
		}
		return kindPredecessor
	}
	if fingerprint.Matches(m.secret.ARN, s.Lifetime()) {
		return kindOrphan
	}
	return kindForeign
}

// sort says what each live OAuth secret is, the named one first, then the
// current ones, then from the youngest to the oldest.
func (s *situation) sort() []live {
	var valid []databricks.OAuthSecret
	for _, o := range s.listed {
		if !o.Expired(s.now) && !s.gone[o.ID] {
			valid = append(valid, o)
		}
	}
	all := make([]live, 0, len(valid))
	for _, o := range valid {
		l := live{o, kindForeign, nil}
		for _, m := range s.target.others {
			if classify(m, o, currentID(m, valid)) != kindForeign {
				l.kind, l.owner = kindOther, m
			}
		}
		for _, m := range s.target.secrets {
			if k := classify(m, o, currentID(m, valid)); k != kindForeign {
				l.kind, l.owner = k, m
				break
			}
		}
		all = append(all, l)
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
	default:
		return 3
	}
}

func (s *situation) names(id string) bool {
	return s.target.leak != nil && s.target.leak.id != "" && s.target.leak.id == id
}

// currentLeaked tells whether the request names what is current.
func (s *situation) currentLeaked(m *managed) bool {
	l := s.target.leak
	return l != nil && l.arn == m.secret.ARN && l.versionID == m.current.id || s.names(m.current.credential.OAuthSecretID)
}

// plan says what is to be done, in this order. It is a pure function: a run
// that died is, to the next one, just another situation.
func (s *situation) plan() ([]step, error) {
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
		if s.names(l.ID) && l.kind == kindForeign && !s.req.IncludeForeign && s.req.Mode != Lockout {
			return refusal("oauth_secret_id: %s of %s is somebody else's: set include_foreign to delete it all the same", l.ID, s.target)
		}
	}
	if l := s.target.leak; l != nil && l.id == "" && s.req.Mode != Lockout && !slices.ContainsFunc(s.target.secrets, s.currentLeaked) {
		return refusal("sha256: the value was stored by hand, in version %s, and which OAuth secret of %s it is was not recorded: use lockout, or name the service_principal, with include_foreign", l.versionID, s.target)
	}
	return nil
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
			steps = append(steps, step{action: Issue, m: m, why: why, sacrifice: s.sacrifices(m, all)})
		}
	}
	// Of one credential that is named and is gone, nothing else is suspect.
	if s.target.leak != nil && len(steps) == 0 && !slices.ContainsFunc(all, func(l live) bool { return s.names(l.ID) }) && s.suspects == nil {
		return nil
	}
	for _, l := range all {
		switch {
		case l.kind == kindForeign && s.req.IncludeForeign, l.kind == kindForeign && s.names(l.ID):
			steps = append(steps, step{action: Delete, id: l.ID, kind: l.kind, why: "include_foreign"})
		case !l.kind.ours():
		case l.ID == s.issued[l.owner.secret.ARN]:
		case l.kind == kindCurrent && !issuing[l.owner]:
		case l.kind == kindCurrent:
			steps = append(steps, step{action: Delete, id: l.ID, kind: l.kind, after: l.owner, why: "it is replaced, and grace is waived"})
		case s.mayBeInHand(l):
			// The rotation that made a pending one is given up before the new
			// one is stored. Who holds one that no version records cannot be
			// told; nobody has ever read it.
			if issuing[l.owner] && l.kind != kindOrphan {
				steps = append(steps, step{action: Delete, id: l.ID, kind: l.kind, after: l.owner, why: "grace is waived"})
			}
		default:
			steps = append(steps, step{action: Delete, id: l.ID, kind: l.kind, why: "grace is waived"})
		}
	}
	return steps
}

// needsNew says why a managed secret needs a new credential, empty if it does
// not.
func (s *situation) needsNew(m *managed, all []live) string {
	if s.issued[m.secret.ARN] != "" {
		return ""
	}
	c := m.current.credential
	id := c.OAuthSecretID
	isLive := slices.ContainsFunc(all, func(l live) bool { return l.ID == id && l.kind == kindCurrent })
	switch {
	case !c.Issued():
		return "it has none yet"
	case s.currentLeaked(m):
		return "the current one is the one named"
	case s.target.leak == nil && (s.suspects == nil || s.suspects[id] || id == ""):
		return "all that it had is suspect"
	case id != "" && !isLive:
		return "the current one is dead"
	default:
		return ""
	}
}

// sacrifices are the OAuth secrets that may go before the new one is there, if
// the principal has no room: all but the current, the named one first.
func (s *situation) sacrifices(m *managed, all []live) []string {
	var ids []string
	for _, l := range all {
		if l.kind != kindCurrent && (l.kind.ours() && l.owner == m || l.kind == kindForeign && s.req.IncludeForeign) {
			ids = append(ids, l.ID)
		}
	}
	return ids
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
	whole := s.wholeSecrets()
	for _, m := range whole {
		want := managedsecret.Revoked
		if s.req.Mode == Lockout {
			want = managedsecret.LockedOut
		}
		if h := m.secret.Hold; h == nil || h.Kind != want && h.Kind != managedsecret.LockedOut {
			steps = append(steps, step{action: Hold, m: m, why: "no sweep issues another until it is released"})
		}
	}
	for _, l := range all {
		switch {
		case s.names(l.ID):
			steps = append(steps, step{action: Delete, id: l.ID, kind: l.kind, why: "it is the one named"})
		case l.kind == kindForeign && s.req.IncludeForeign && (s.target.leak == nil || s.req.Mode == Lockout):
			steps = append(steps, step{action: Delete, id: l.ID, kind: l.kind, why: "include_foreign"})
		case l.kind.ours() && slices.Contains(whole, l.owner):
			steps = append(steps, step{action: Delete, id: l.ID, kind: l.kind, why: "nothing of ours stays"})
		}
	}
	for _, m := range whole {
		// A list may lag, and what readers hold is known without it. Held, it
		// has been deleted before.
		id := m.current.credential.OAuthSecretID
		if id != "" && m.secret.Hold == nil && !s.gone[id] && !slices.ContainsFunc(all, func(l live) bool { return l.ID == id }) {
			steps = append(steps, step{action: Delete, id: id, kind: kindCurrent, why: "the current version names it, though it is not listed"})
		}
	}
	return steps
}

// wholeSecrets are the managed secrets of which nothing may stay.
func (s *situation) wholeSecrets() []*managed {
	if s.target.leak == nil || s.req.Mode == Lockout {
		return s.target.secrets
	}
	var whole []*managed
	for _, m := range s.target.secrets {
		if s.currentLeaked(m) || m.secret.Hold != nil && m.secret.Hold.Kind == managedsecret.Revoked {
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
	id := m.current.credential.OAuthSecretID
	switch {
	case s.issued[m.secret.ARN] != "":
		return ""
	case !m.current.credential.Issued():
		return "it was never issued"
	case id != "" && !slices.ContainsFunc(all, func(l live) bool { return l.ID == id }):
		return "it is not listed"
	default:
		return ""
	}
}

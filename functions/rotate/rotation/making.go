package rotation

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/policy"
)

// MakePlan decides what a managed secret needs. It is a pure function: a run
// that died at any point is, to the next one, just another observation.
func MakePlan(p policy.Policy, o Observation) Plan {
	if o.Secret.Hold != nil {
		return heldPlan(o)
	}
	plan := makePlan(p, o)
	if needs := o.unvouched(plan.Retire); needs != nil {
		return Plan{Needs: needs, Sparing: true}
	}
	return plan
}

// unvouched says what must be known before something is removed of which nothing
// but a value, which somebody may have written, says that it is ours: that the id
// under which it is listed is the one of the principal that the value names, and
// that no other managed secret has it.
func (o Observation) unvouched(retire []Retirement) []Need {
	for _, r := range retire {
		if r.Kind == Expired || o.isOurs(r.ID) {
			continue
		}
		if o.Principal == nil {
			return []Need{NeedPrincipal}
		}
		switch {
		case r.Kind != Predecessor: // the budget has the others looked for
		case o.Recorded == nil:
			return []Need{NeedVersions}
		case o.Claims == nil:
			return []Need{NeedClaims}
		}
	}
	return nil
}

// doubts tells that what only a value says is ours may be another one's, for
// somebody could not be asked.
func (o Observation) doubts(id string) bool { return (o.Doubt != "" || o.Denied) && !o.isOurs(id) }

// isOurs tells whether a listed OAuth secret carries the managed secret's
// fingerprint.
func (o Observation) isOurs(id string) bool {
	return slices.ContainsFunc(o.Listed, func(s databricks.OAuthSecret) bool { return s.ID == id && isOurs(o.Secret.ARN, s) })
}

func makePlan(p policy.Policy, o Observation) Plan {
	m := newMaking(p, o)
	if block := o.mismatch(); block != nil {
		return Plan{Block: block}
	}
	if m.look(); len(m.Needs) > 0 {
		return m.Plan
	}
	if needs := m.sort(); needs != nil {
		return Plan{Needs: needs}
	}
	reason := o.reason(p, m.live)
	if m.mustIdentify(reason) {
		return Plan{Needs: []Need{NeedVersions}}
	}
	m.spare(reason)
	if reason == "" || m.isHeldUp(reason) || !m.findRoom(reason) {
		return m.Plan
	}
	if m.alive && !o.Tried && m.scopesUnnamed() {
		// A host that lists no scopes does not make a secret unrestricted: only
		// a token for all-apis shows that (invariant 5).
		return Plan{Needs: []Need{NeedTrial}}
	}
	m.issue(reason)
	return m.Plan
}

// making is a plan that is being made.
type making struct {
	Plan
	policy       policy.Policy
	o            Observation
	c            credential.Credential
	live         map[string]databricks.OAuthSecret
	predecessors map[string]credential.Predecessor
	// alive tells that the current credential works, and unknown that it does
	// under an id that is not listed: it may be any of them.
	alive, unknown bool
	// pending is the version that Secrets Manager is about to make current, and
	// busy tells that it is waited for.
	pending string
	busy    bool
	// inGrace are OAuth secrets that are kept for a while, with why, and inFlight
	// is when one was issued that a run may still hold.
	inGrace  []string
	inFlight time.Time
}

func newMaking(p policy.Policy, o Observation) *making {
	m := &making{
		policy: p, o: o, c: o.Current.Credential, alive: o.alive(),
		live: map[string]databricks.OAuthSecret{}, predecessors: map[string]credential.Predecessor{},
	}
	for _, s := range o.Listed {
		if !s.Expired(o.Now) {
			m.live[s.ID] = s
		}
	}
	_, listed := m.live[m.c.OAuthSecretID]
	m.unknown = m.alive && !listed
	for _, pred := range m.c.Predecessors {
		m.predecessors[pred.OAuthSecretID] = pred
	}
	return m
}

// mismatch tells that the value names another principal than its id does.
func (o Observation) mismatch() *Block {
	c := o.Current.Credential
	if o.Principal == nil || o.Principal.ApplicationID == c.ClientID {
		return nil
	}
	return &Block{Mismatch, fmt.Sprintf(
		"%s and %s disagree: service principal %s has the client id %s; correct the one that is wrong",
		credential.KeyClientID, credential.KeyServicePrincipalID, o.Principal.ID, o.Principal.ApplicationID)}
}

// look says what must be known of the current credential, and what becomes of a
// pending version.
func (m *making) look() {
	o := m.o
	switch _, listed := m.live[m.c.OAuthSecretID]; {
	case !m.c.Issued():
		m.needs(NeedPrincipal, o.Principal != nil)
	case o.Recorded == nil && (m.c.OAuthSecretID == "" || o.mayBeMisnamed() && (!listed || m.looksAtNew())):
		// Somebody has put it there. Another version may know its id, and its
		// scopes, which it is tried with.
		m.needs(NeedVersions, false)
	case !listed:
		// Listed it would be alive. Not listed it may still be: the list may
		// lag, or the credential is somebody else's whose id is not known.
		m.needs(NeedTrial, o.Tried)
		m.needs(NeedPrincipal, o.Principal != nil)
	case o.Check && !o.Tried:
		m.needs(NeedTrial, false)
	case !m.alive:
		// Listed and refused: the directory may know why.
		m.needs(NeedPrincipal, o.Principal != nil)
	}
	m.pending, m.busy = pendingVersion(o.Secret, o.Current.ID)
	switch {
	case !m.busy:
	case m.pending == o.Token, m.pending == o.GivenUp:
		m.busy = false
	case slices.Contains(o.Secret.Labels[m.pending], managedsecret.Previous):
		// It was current: what a finished rotation left behind. It holds
		// nothing up but the next rotation by Secrets Manager.
		m.Clear, m.busy = m.pending, false
	case o.Versions == nil:
		m.needs(NeedVersions, slices.Contains(m.Needs, NeedVersions))
	case o.Now.Sub(o.createdAt(m.pending)) >= pendingStale:
		m.Clear, m.busy = m.pending, false
	}
	if len(m.Needs) > 0 {
		m.Clear = "" // an incomplete plan decides nothing
	}
}

func (m *making) needs(n Need, known bool) {
	if !known {
		m.Needs = append(m.Needs, n)
	}
}

// sort says what every OAuth secret beside the current one is, or what must be
// known for that.
func (m *making) sort() []Need {
	p, o := m.policy, m.o
	for _, s := range o.Listed {
		pred, isPredecessor := m.predecessors[s.ID]
		versionID, isRecorded := o.Recorded[s.ID]
		ours := isOurs(o.Secret.ARN, s)
		switch {
		case s.ID == m.c.OAuthSecretID || s.Expired(o.Now):
		case o.isAnothers(s.ID) && (!isPredecessor || !ours), isPredecessor && !ours && o.mayBeAnothers(s.ID):
			// What was issued for this managed secret and replaced goes all the same,
			// wherever somebody has copied it.
			m.Foreign = append(m.Foreign, s.ID)
		case isPredecessor:
			if over := m.replaced(p, o, s, supersededAt(pred, o.Secret, o.Current)); !over.IsZero() {
				m.keep(s, " until "+over.UTC().Format(time.RFC3339))
			}
		case isRecorded:
			m.recorded(s, versionID)
		case !ours && (!o.Alone || !p.Exclusive(m.c.ClientID)):
			m.Foreign = append(m.Foreign, s.ID)
		case o.Recorded == nil:
			// The current version does not know it. Every version is read
			// before it may be called an orphan, or foreign and removed.
			return []Need{NeedVersions}
		case !ours && !o.Partial && o.Now.Sub(later(s.CreateTime, o.Secret.LastChanged)) >= max(p.Grace, orphanAge):
			// It may have been stored for a while, by somebody who knew its value.
			m.retire(o, Retirement{s.ID, "it is somebody else's, and the policy declares the principal exclusive", Foreign})
		case !ours:
			m.Foreign = append(m.Foreign, s.ID)
		case o.Partial:
			m.keep(s, ", which a version that cannot be read may record")
		case o.Now.Sub(s.CreateTime) >= orphanAge:
			m.retire(o, Retirement{s.ID, "a run that died issued it and no version records it", Orphan})
		default:
			m.inFlight = s.CreateTime
			m.keep(s, ", just issued")
		}
	}
	return nil
}

// isAnothers tells that another managed secret names an OAuth secret, or holds its
// value.
func (o Observation) isAnothers(id string) bool {
	if claimant, claimed := o.Claims[id]; claimed && claimant != o.Secret.ARN {
		return true
	}
	if o.heldElsewhere(o.Hashes[id]) {
		return true
	}
	for arn, value := range o.Opaque {
		if arn != o.Secret.ARN && strings.Contains(value.Reveal(), id) {
			return true
		}
	}
	return false
}

// mayBeAnothers tells that another managed secret holds a value of which nobody has
// recorded the OAuth secret, so that it may be this one.
func (o Observation) mayBeAnothers(id string) bool {
	return o.Hashes[id] == "" && slices.ContainsFunc(o.Unnamed, o.heldElsewhere)
}

// heldElsewhere tells that another managed secret holds a value, by its hash.
func (o Observation) heldElsewhere(hash string) bool {
	return slices.ContainsFunc(o.Holders[hash], func(arn string) bool { return arn != o.Secret.ARN })
}

// recorded decides about one that a version has and the current one does not
// know of: somebody moved labels or wrote a version by hand, or another run has
// just stored it. When its successor took over is not known better than by the
// last change of the secret or of the version.
func (m *making) recorded(s databricks.OAuthSecret, versionID string) {
	over := later(m.o.Secret.LastChanged, m.o.createdAt(versionID)).Add(m.policy.Grace)
	switch {
	case m.isPending(versionID):
	case m.o.Now.Before(over):
		m.keep(s, " until "+over.UTC().Format(time.RFC3339))
	case m.o.Denied:
		m.keep(s, ", which a managed secret that cannot be read may hold")
	default:
		m.retire(m.o, Retirement{s.ID, "it was replaced, and its grace period is over", Recorded})
	}
}

// isPending tells that a version may be about to become current.
func (m *making) isPending(versionID string) bool {
	return versionID == m.pending || versionID == m.o.Token
}

func (m *making) keep(s databricks.OAuthSecret, why string) {
	m.inGrace = append(m.inGrace, s.ID+why)
}

// looksAtNew tells that whose a value is is found out although nothing is to be
// done: by a reconcile, while the version is new, and if it may be another one's.
func (m *making) looksAtNew() bool {
	return m.o.Check && len(m.live) > 1 && m.o.Now.Sub(m.o.Current.CreatedAt) < newVersion
}

// mustIdentify tells that the versions must say which OAuth secret the current
// value is of, before anything is done for which that counts.
func (m *making) mustIdentify(reason Reason) bool {
	return m.o.Recorded == nil && m.o.mayBeMisnamed() && (reason != "" || len(m.Retire) > 0)
}

// spare takes back removals that may hit what somebody uses.
func (m *making) spare(reason Reason) {
	if m.unknown {
		m.Retire, m.Withheld, m.Doubted, m.Ask, m.Extended = nil, nil, nil, nil, nil
	}
	if reason != Dead {
		return
	}
	// While nothing current works, a predecessor may be all that somebody has.
	// Beyond orphans, only the room that the new credential needs is made.
	slices.SortStableFunc(m.Retire, func(a, b Retirement) int { return int(a.Kind - b.Kind) })
	room := len(m.live) - (databricks.MaxSecrets - 1)
	for len(m.Retire) > max(0, room) && m.Retire[len(m.Retire)-1].Kind > Orphan {
		m.Retire = m.Retire[:len(m.Retire)-1]
	}
}

// isHeldUp tells that no credential can be issued now, whatever room there is.
func (m *making) isHeldUp(reason Reason) bool {
	switch {
	case m.busy && reason != Dead && !m.expiresFirst():
		if reason == Forced {
			m.Block = &Block{InProgress, fmt.Sprintf(
				"Secrets Manager is rotating it already (version %s is %s); it is left to finish, and given up after %v",
				m.pending, managedsecret.Pending, pendingStale)}
		}
		return true
	case m.o.Inactive || m.o.Principal != nil && !m.o.Principal.Active:
		m.Block = &Block{Inactive, fmt.Sprintf(
			"service principal %s is switched off, so no credential of it can authenticate; activate it, or take the tag %s off the secret",
			m.c.ClientID, managedsecret.TagKey)}
		return true
	default:
		return false
	}
}

// expiresFirst tells that the current credential may be dead before a pending
// version is given up.
func (m *making) expiresFirst() bool {
	expires := m.c.ExpiresAt
	if listed, ok := m.live[m.c.OAuthSecretID]; ok {
		expires = listed.ExpireTime
	}
	return !expires.IsZero() && expires.Before(m.o.createdAt(m.pending).Add(pendingStale+policy.ExpiryMargin))
}

// findRoom makes room for a new credential. Where there is none and nobody is
// told, a later sweep finds it.
func (m *making) findRoom(reason Reason) bool {
	m.makeRoom()
	if len(m.live)-len(m.Retire) >= databricks.MaxSecrets {
		full := m.o.fullMessage(m.inGrace, m.Foreign)
		switch {
		case len(m.Doubted) > 0:
			m.Block = &Block{Full, fmt.Sprintf("%s; %s could go once it is known that nobody else holds it", full, strings.Join(idsOf(m.Doubted), ", "))}
		case len(m.Withheld) > 0:
			m.Block = &Block{OverBudget, fmt.Sprintf("%s; %s could go, but for the run's budget", full, strings.Join(idsOf(m.Withheld), ", "))}
		case m.inFlight.IsZero():
			m.Block = &Block{Full, full}
		case reason == Dead || reason == Forced:
			m.Block = &Block{InProgress, fmt.Sprintf("%s; the one just issued is stored or deleted by %s, so try again after that",
				full, m.inFlight.Add(orphanAge).UTC().Format(time.RFC3339))}
		}
		return false
	}
	if len(m.o.Listed)-len(m.Retire) < databricks.MaxSecrets {
		return true
	}
	for _, s := range m.o.Listed {
		_, isPredecessor := m.predecessors[s.ID]
		if s.Expired(m.o.Now) && s.ID != m.c.OAuthSecretID && (isPredecessor || isOurs(m.o.Secret.ARN, s)) {
			m.retire(m.o, Retirement{s.ID, "it has expired, and its place is needed", Expired})
		}
	}
	return true
}

// issue plans the credential that takes the current one's place.
func (m *making) issue(reason Reason) {
	next := m.c.Successor(func(id string) bool { _, ok := m.live[id]; return ok && !retires(m.Retire, id) })
	if m.o.Principal != nil {
		next.ServicePrincipalID = m.o.Principal.ID
	}
	var ok bool
	if next.Scopes, ok = m.o.scopes(m.policy, m.live); !ok {
		m.Block = &Block{Scopes, fmt.Sprintf(
			"the scopes of the current credential are not known, and a new one must not be wider: set %s to its scopes, or to %s if it was unrestricted, and remove %s if it is another value's",
			credential.KeyScopes, credential.AllAPIs, credential.KeyOAuthSecretID)}
		return
	}
	m.Issue = &Issue{Reason: reason, Guess: m.guess()}
	if m.Issue.Guess != "" {
		next.Predecessors, m.Foreign = []credential.Predecessor{{OAuthSecretID: m.Issue.Guess}}, nil
	}
	for i, pred := range next.Predecessors {
		switch {
		case m.c.OAuthSecretID == "":
			// It may be the current one, of which that is not known.
			next.Predecessors[i].SupersededAt = time.Time{}
		case pred.OAuthSecretID != m.c.OAuthSecretID && pred.SupersededAt.IsZero():
			// What is known exactly now is written down: the next version cannot
			// tell any more when this one became current.
			next.Predecessors[i].SupersededAt = supersededAt(pred, m.o.Secret, m.o.Current)
		}
	}
	m.Issue.Next = next
}

// guess is the OAuth secret of a credential that somebody has put there, that
// works and of which no version knows the id: the principal's only one, unless a
// version has it beside another value, or another managed secret.
func (m *making) guess() string {
	if !m.unknown || m.c.OAuthSecretID != "" || len(m.live) != 1 {
		return ""
	}
	for id := range m.live {
		if _, another := m.o.Recorded[id]; !another && !m.o.isAnothers(id) {
			return id
		}
	}
	return ""
}

// reason says why a credential has to be issued, empty if it need not be.
func (o Observation) reason(p policy.Policy, live map[string]databricks.OAuthSecret) Reason {
	c := o.Current.Credential
	listed, isListed := live[c.OAuthSecretID]
	switch {
	case !c.Issued():
		return Fresh
	case !o.alive():
		return Dead
	case o.Force:
		return Forced
	case o.Misnamed || c.OAuthSecretID == "":
		return Adopted // so that the next version says what this one does not
	}
	issuedAt, expiresAt := c.IssuedAt, c.ExpiresAt
	if isListed {
		// Databricks knows better than what somebody may have edited.
		if expiresAt = listed.ExpireTime; !listed.CreateTime.IsZero() {
			issuedAt = listed.CreateTime
		}
	}
	if issuedAt.IsZero() {
		return Adopted
	}
	return due(o.Now, p, issuedAt, expiresAt)
}

// due tells whether a credential of that age has to be replaced.
func due(now time.Time, p policy.Policy, issuedAt, expiresAt time.Time) Reason {
	switch {
	case now.Sub(issuedAt) >= p.Interval:
		return Due
	case !expiresAt.IsZero() && now.Add(p.Grace+policy.ExpiryMargin).After(expiresAt):
		return Expiring
	default:
		return ""
	}
}

// alive tells whether the current credential works, by what was seen so far.
func (o Observation) alive() bool {
	if o.Tried {
		return o.Authenticates
	}
	id := o.Current.Credential.OAuthSecretID
	return id != "" && slices.ContainsFunc(o.Listed, func(s databricks.OAuthSecret) bool {
		return s.ID == id && !s.Expired(o.Now)
	})
}

// scopes are those of the credential that is to be replaced, and false if
// nobody can tell.
func (o Observation) scopes(p policy.Policy, live map[string]databricks.OAuthSecret) ([]string, bool) {
	c := o.Current.Credential
	listed, isListed := live[c.OAuthSecretID]
	switch {
	case isListed && len(listed.Scopes) > 0:
		return credential.NormalizeScopes(listed.Scopes), true
	case len(c.Scopes) > 0:
		return c.Scopes, true
	case len(o.Granted) > 0 && !unrestricted(o.Granted):
		return credential.NormalizeScopes(o.Granted), true
	case !c.Issued():
		if role, ok := p.RoleOf(c.ClientID); ok {
			return credential.NormalizeScopes(role.Scopes), true
		}
		return []string{credential.AllAPIs}, true
	case isListed && (o.alive() || o.listsScopes()):
		return []string{credential.AllAPIs}, true
	case !o.alive() && len(o.Beside) > 0:
		// Readers had these until somebody damaged the value.
		return o.Beside, true
	}
	// Somebody else's credential, under an id that is not known or gone. If
	// every live secret has the same scopes, so had this one.
	if !o.alive() || len(live) == 0 {
		return nil, false
	}
	var common []string
	first := true
	for _, s := range live {
		scopes := credential.NormalizeScopes(s.Scopes)
		if !first && !slices.Equal(scopes, common) {
			return nil, false
		}
		common, first = scopes, false
	}
	if len(common) == 0 {
		common = []string{credential.AllAPIs}
	}
	return common, true
}

// listsScopes tells that the host names scopes where there are some, so that one
// listed without any has none. What is dead cannot be tried for that.
func (o Observation) listsScopes() bool {
	return slices.ContainsFunc(o.Listed, func(s databricks.OAuthSecret) bool { return len(s.Scopes) > 0 })
}

// scopesUnnamed tells that neither the list nor the value names the scopes of
// the current credential.
func (m *making) scopesUnnamed() bool {
	return len(m.live[m.c.OAuthSecretID].Scopes) == 0 && len(m.c.Scopes) == 0
}

func (o Observation) createdAt(versionID string) time.Time {
	for _, v := range o.Versions {
		if v.ID == versionID {
			return v.CreatedAt
		}
	}
	// A label on a version that is not listed yet was set just now.
	return o.Now
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (o Observation) fullMessage(inGrace, foreign []string) string {
	parts := []string{"1 current"}
	if !o.alive() {
		parts[0] = "the current credential is not among them"
	}
	if len(inGrace) > 0 {
		parts = append(parts, fmt.Sprintf("%d of the rotation's (%s)", len(inGrace), strings.Join(inGrace, ", ")))
	}
	if len(foreign) > 0 {
		parts = append(parts, fmt.Sprintf("%d of somebody else's (%s)", len(foreign), strings.Join(foreign, ", ")))
	}
	return fmt.Sprintf("service principal %s has %d of %d OAuth secrets: %s; delete one that nobody uses",
		o.Current.Credential.ClientID, databricks.MaxSecrets, databricks.MaxSecrets, strings.Join(parts, ", "))
}

// pendingVersion returns the version that a rotation by protocol is working
// on. A label left on the current version says nothing.
func pendingVersion(s managedsecret.Secret, currentID string) (string, bool) {
	id := s.Holder(managedsecret.Pending)
	return id, id != "" && id != currentID
}

// supersededAt is when a predecessor's successor became current: at the latest
// that it can have been, so that grace is never cut short.
func supersededAt(pred credential.Predecessor, s managedsecret.Secret, current Version) time.Time {
	if !pred.SupersededAt.IsZero() {
		return pred.SupersededAt
	}
	switch {
	case strings.HasPrefix(current.ID, versionPrefix):
		// Written as AWSCURRENT in one step.
		return current.CreatedAt
	case !s.LastRotated.Before(current.CreatedAt):
		return s.LastRotated
	default:
		// Promoted by a protocol rotation that was never reported finished, or
		// written by hand.
		return current.CreatedAt.Add(pendingWindow)
	}
}

// retire adds a removal, or withholds it.
func (p *Plan) retire(o Observation, r Retirement) {
	switch {
	case o.Replacing && r.Kind != Expired:
	case r.Kind != Expired && o.doubts(r.ID):
		p.Doubted = append(p.Doubted, r)
	case o.Withhold && r.Kind.needsBudget():
		p.Withheld = append(p.Withheld, r)
	default:
		p.Retire = append(p.Retire, r)
	}
}

func idsOf(list []Retirement) []string {
	var ids []string
	for _, r := range list {
		ids = append(ids, r.ID)
	}
	return ids
}

func retires(list []Retirement, id string) bool {
	return slices.ContainsFunc(list, func(r Retirement) bool { return r.ID == id })
}

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
	"databricks-credential-rotation/shared/usagelog"
)

const (
	// pendingWindow is how long after its creation a version of the rotation
	// protocol may still become current. It bounds how far a version's
	// creation can lie before its promotion.
	pendingWindow = 24 * time.Hour
	// pendingStale is when a pending version is given up. The hour on top
	// covers clocks that differ.
	pendingStale = pendingWindow + time.Hour
	// orphanAge is how old a secret of ours that no version records must be
	// before it is deleted. No run lasts longer than a Lambda function can, a
	// quarter of an hour; until then its secret may be about to be stored.
	orphanAge = 30 * time.Minute
	// retireWindow is how long after the end of its grace period a predecessor
	// is looked for by ordinary sweeps. What outlives it, because sweeps had
	// stopped, is left to the daily reconcile, so that idle secrets cost no
	// calls to Databricks for ever after.
	retireWindow = 48 * time.Hour
)

// Reason says why a credential is issued.
type Reason string

// Reasons to issue a credential.
const (
	Fresh    Reason = "first issue of a new registration"
	Dead     Reason = "the current credential does not authenticate"
	Adopted  Reason = "somebody else has put the current credential there"
	Due      Reason = "the current credential has reached the rotation interval"
	Expiring Reason = "the current credential is about to expire"
	Forced   Reason = "asked for"
)

// Version is a version of a managed secret with its value read.
type Version struct {
	ID         string
	CreatedAt  time.Time
	Credential credential.Credential
}

// Observation is all that a plan is made from: what the two clouds said, and
// the time.
type Observation struct {
	Now     time.Time
	Secret  managedsecret.Secret
	Current Version
	// Listed are the principal's OAuth secrets.
	Listed []databricks.OAuthSecret
	// Inactive tells that the principal is switched off.
	Inactive bool
	// Force asks for a rotation whatever the age.
	Force bool
	// Token is the version that a running step of the rotation protocol is to
	// fill; empty at the other doors.
	Token string
	// Alone tells that no other managed secret names the principal, as far as
	// the run has seen. Without it, what is foreign here may be current there.
	Alone bool
	// Withhold forbids removals that need the budget.
	Withhold bool
	// Claims are the OAuth secrets that current versions name, each with the
	// ARN of its managed secret, as far as the run has seen. Two managed
	// secrets of one principal can have the same fingerprint.
	Claims map[string]string
	// Incomplete tells that a managed secret could not be read: it may claim any.
	Incomplete bool
	// CanAsk tells that the usage log is there to be asked about predecessors.
	// False also if it was asked and did not answer.
	CanAsk bool
	// Unseen are, by predecessor, the readers that have not come back since its
	// successor became current. What the log was not asked about is missing.
	Unseen map[string][]usagelog.Reader

	// The rest is read only when a plan needs it.

	// Versions are all versions that Secrets Manager has, nil if not read.
	Versions []managedsecret.Version
	// Recorded maps the ids of OAuth secrets to the version that records each,
	// nil if not read.
	Recorded map[string]string
	// Partial tells that a version other than the current one could not be read.
	// It may record any of what no other version does.
	Partial bool
	// Misnamed tells that the current version lacks the id of its OAuth secret, or
	// has that of another value. Current then has what the others record.
	Misnamed bool
	// Tried tells that the current credential was tried, Authenticates how
	// that went.
	Tried, Authenticates bool
	// Granted are the scopes that it was given then: of all-apis, if nothing
	// names its own.
	Granted []string
	// Principal is the principal in the host's directory, nil if not read.
	Principal *databricks.ServicePrincipal
}

// Need is something that a plan cannot be made without.
type Need int

// What a plan may need beyond the first look.
const (
	NeedTrial Need = iota + 1
	NeedPrincipal
	NeedVersions
)

// Retirement is an OAuth secret that has to go.
type Retirement struct {
	ID, Why string
	Kind    RetirementKind
}

// RetirementKind is what a secret is that has to go.
type RetirementKind int

// Kinds of retirements, in the order in which they make room.
const (
	// Expired is one of ours that works no more. It goes only where its place
	// is needed, in case Databricks counts it.
	Expired RetirementKind = iota + 1
	// Orphan is one of ours that no version records: nobody ever had it.
	Orphan
	// Foreign is somebody else's, of a principal that the policy declares ours
	// alone.
	Foreign
	// Recorded is one that an older version names and the current does not.
	Recorded
	// Predecessor is one that the current version names as replaced.
	Predecessor
	// Held is what is left of a managed secret that was revoked.
	Held
)

// needsBudget tells whether a removal rests on a judgment that could be wrong
// for a whole fleet at once. That a predecessor may go was decided, and its
// successor proven, when the credential was replaced; as many of them go as
// were rotated. What a person has revoked was decided by that person.
func (k RetirementKind) needsBudget() bool { return k > Expired && k < Predecessor }

// Issue is a credential that has to come.
type Issue struct {
	Reason Reason
	// Next is the credential to be issued, all but its secret.
	Next credential.Credential
	// Guess is the predecessor of which nothing says that it is one but that no
	// other OAuth secret is listed.
	Guess string
}

// Block is a reason why what should be done cannot be.
type Block struct {
	Kind BlockKind `json:"kind"`
	// Message is for the person on call: what is the matter and what to do.
	Message string `json:"message"`
}

// BlockKind names a block for metrics and tables.
type BlockKind string

// Kinds of blocks.
const (
	Full       BlockKind = "full"
	Inactive   BlockKind = "inactive"
	Overdue    BlockKind = "overdue"
	OverBudget BlockKind = "over budget"
	Mismatch   BlockKind = "mismatch"
	Scopes     BlockKind = "scopes unknown"
	InProgress BlockKind = "in progress"
	Revoked    BlockKind = "revoked"
	LockedOut  BlockKind = "locked out"
)

// Plan is what one managed secret needs. Its parts are carried out in the
// order of the fields.
type Plan struct {
	// Needs is not empty if the plan is incomplete: the observation must be
	// completed and the plan made again.
	Needs []Need
	// Clear is a stale pending version, whose label has to go.
	Clear string
	// Retire frees slots before Issue takes one.
	Retire []Retirement
	Issue  *Issue
	Block  *Block
	// Foreign are OAuth secrets of somebody else. They are left alone.
	Foreign []string
	// Withheld are removals that the budget does not allow.
	Withheld []Retirement
	// Ask are predecessors past their grace about which the usage log is asked
	// before they go, and Extended those that are left a while for readers that
	// have not come back. Neither is kept where its place is needed.
	Ask      []Question
	Extended []Extension
}

// Glance tells, from what Secrets Manager says alone, whether a secret may
// need anything, so that an idle one costs no call to Databricks.
func Glance(now time.Time, p policy.Policy, s managedsecret.Secret, current Version) bool {
	c := current.Credential
	if s.Hold != nil {
		return true
	}
	if !c.Issued() || c.OAuthSecretID == "" || c.IssuedAt.IsZero() || c.ExpiresAt.IsZero() {
		return true
	}
	if _, busy := pendingVersion(s, current.ID); busy {
		return true
	}
	if due(now, p, c.IssuedAt, c.ExpiresAt) != "" {
		return true
	}
	for _, pred := range c.Predecessors {
		over := supersededAt(pred, s, current).Add(p.Grace)
		if !now.Before(over) && now.Before(over.Add(p.ExtendGrace+retireWindow)) {
			return true
		}
	}
	return false
}

// MakePlan decides what a managed secret needs. It is a pure function: a run
// that died at any point is, to the next one, just another observation.
func MakePlan(p policy.Policy, o Observation) Plan {
	if o.Secret.Hold != nil {
		return heldPlan(o)
	}
	var plan Plan
	c := o.Current.Credential

	alive := o.alive()
	live := make(map[string]databricks.OAuthSecret, len(o.Listed))
	for _, s := range o.Listed {
		if !s.Expired(o.Now) {
			live[s.ID] = s
		}
	}

	// Whether the current credential works, as far as it must be known.
	switch _, listed := live[c.OAuthSecretID]; {
	case !c.Issued():
		if o.Principal == nil {
			plan.Needs = append(plan.Needs, NeedPrincipal)
		}
	case c.OAuthSecretID == "" && o.Recorded == nil:
		// Somebody has put it there. Another version may know its id.
		plan.Needs = append(plan.Needs, NeedVersions)
	case !listed:
		// Listed it would be alive. Not listed it may still be: the list may
		// lag, or the credential is somebody else's whose id is not known.
		if !o.Tried {
			plan.Needs = append(plan.Needs, NeedTrial)
		}
		if o.Principal == nil {
			plan.Needs = append(plan.Needs, NeedPrincipal)
		}
	case !alive && o.Principal == nil:
		// Listed and refused: the directory may know why.
		plan.Needs = append(plan.Needs, NeedPrincipal)
	}
	if o.Principal != nil && o.Principal.ApplicationID != c.ClientID {
		return Plan{Block: &Block{Mismatch, fmt.Sprintf(
			"%s and %s disagree: service principal %s has the client id %s; correct the one that is wrong",
			credential.KeyClientID, credential.KeyServicePrincipalID, o.Principal.ID, o.Principal.ApplicationID)}}
	}

	pending, busy := pendingVersion(o.Secret, o.Current.ID)
	if busy && pending == o.Token {
		busy = false
	}
	if busy && slices.Contains(o.Secret.Labels[pending], managedsecret.Previous) {
		// It was current: what a finished rotation left behind. It holds
		// nothing up but the next rotation by Secrets Manager.
		plan.Clear, busy = pending, false
	}
	if busy && o.Versions == nil && !slices.Contains(plan.Needs, NeedVersions) {
		plan.Needs = append(plan.Needs, NeedVersions)
	}
	if len(plan.Needs) > 0 {
		return plan
	}
	if busy && o.Now.Sub(o.createdAt(pending)) >= pendingStale {
		plan.Clear, busy = pending, false
	}

	// What every other live secret is.
	predecessors := make(map[string]credential.Predecessor, len(c.Predecessors))
	for _, pred := range c.Predecessors {
		predecessors[pred.OAuthSecretID] = pred
	}
	var inGrace []string
	var inFlight time.Time // when a secret that a run may still hold was issued
	for _, s := range o.Listed {
		pred, isPredecessor := predecessors[s.ID]
		versionID, isRecorded := o.Recorded[s.ID]
		ours := isOurs(o.Secret.ARN, s)
		claimant, claimed := o.Claims[s.ID]
		switch {
		case s.ID == c.OAuthSecretID || s.Expired(o.Now):
		case isPredecessor:
			if over := plan.replaced(p, o, s, supersededAt(pred, o.Secret, o.Current)); !over.IsZero() {
				inGrace = append(inGrace, s.ID+" until "+over.UTC().Format(time.RFC3339))
			}
		case claimed && claimant != o.Secret.ARN:
			plan.Foreign = append(plan.Foreign, s.ID)
		case isRecorded:
			// A version has it that the current one does not know of: somebody
			// moved labels or wrote a version by hand, or another run has just
			// stored it. When its successor took over is not known better than
			// by the last change of the secret or of the version.
			over := later(o.Secret.LastChanged, o.createdAt(versionID)).Add(p.Grace)
			switch {
			case versionID == pending || versionID == o.Token:
			case o.Now.Before(over):
				inGrace = append(inGrace, s.ID+" until "+over.UTC().Format(time.RFC3339))
			case o.Incomplete:
				inGrace = append(inGrace, s.ID+", which a managed secret that cannot be read may hold")
			default:
				plan.retire(o, Retirement{s.ID, "it was replaced, and its grace period is over", Recorded})
			}
		case !ours && (!o.Alone || !p.Exclusive(c.ClientID)):
			plan.Foreign = append(plan.Foreign, s.ID)
		case o.Recorded == nil:
			// The current version does not know it. Every version is read
			// before it may be called an orphan, or foreign and removed.
			return Plan{Needs: []Need{NeedVersions}}
		case !ours && !o.Partial && o.Now.Sub(later(s.CreateTime, o.Secret.LastChanged)) >= max(p.Grace, orphanAge):
			// It may have been stored for a while, by somebody who knew its value.
			plan.retire(o, Retirement{s.ID, "it is somebody else's, and the policy declares the principal exclusive", Foreign})
		case !ours:
			plan.Foreign = append(plan.Foreign, s.ID)
		case o.Partial:
			inGrace = append(inGrace, s.ID+", which a version that cannot be read may record")
		case o.Now.Sub(s.CreateTime) >= orphanAge:
			plan.retire(o, Retirement{s.ID, "a run that died issued it and no version records it", Orphan})
		default:
			inFlight = s.CreateTime
			inGrace = append(inGrace, s.ID+", just issued")
		}
	}

	reason := o.reason(p, live)
	if o.Recorded == nil && o.mayBeMisnamed() && (reason != "" || len(plan.Retire) > 0 || o.Tried && alive && len(live) > 1) {
		// A reconcile, which has tried it, looks even if nothing is to be done.
		return Plan{Needs: []Need{NeedVersions}}
	}
	if _, listed := live[c.OAuthSecretID]; alive && !listed {
		// It works, and nobody knows which of the listed secrets it is.
		plan.Retire, plan.Withheld, plan.Ask, plan.Extended = nil, nil, nil, nil
	}
	if reason == Dead {
		// While nothing current works, a predecessor may be all that somebody
		// has. Beyond orphans, only the room that the new credential needs is
		// made.
		slices.SortStableFunc(plan.Retire, func(a, b Retirement) int { return int(a.Kind - b.Kind) })
		room := len(live) - (databricks.MaxSecrets - 1)
		for len(plan.Retire) > max(0, room) && plan.Retire[len(plan.Retire)-1].Kind > Orphan {
			plan.Retire = plan.Retire[:len(plan.Retire)-1]
		}
	}
	if reason == "" {
		return plan
	}
	if busy && reason != Dead {
		if reason == Forced {
			plan.Block = &Block{InProgress, fmt.Sprintf(
				"Secrets Manager is rotating it already (version %s is %s); it is left to finish, and given up after %v",
				pending, managedsecret.Pending, pendingStale)}
		}
		return plan
	}

	if o.Inactive || o.Principal != nil && !o.Principal.Active {
		plan.Block = &Block{Inactive, fmt.Sprintf(
			"service principal %s is switched off, so no credential of it can authenticate; activate it, or take the tag %s off the secret",
			c.ClientID, managedsecret.TagKey)}
		return plan
	}
	plan.makeRoom(len(live))
	if len(live)-len(plan.Retire) >= databricks.MaxSecrets {
		switch {
		case len(plan.Withheld) > 0:
			plan.Block = &Block{OverBudget, fmt.Sprintf("%s; %s could go, but for the run's budget",
				o.fullMessage(inGrace, plan.Foreign), strings.Join(idsOf(plan.Withheld), ", "))}
		case inFlight.IsZero():
			plan.Block = &Block{Full, o.fullMessage(inGrace, plan.Foreign)}
		case reason == Dead || reason == Forced:
			plan.Block = &Block{InProgress, fmt.Sprintf("%s; the one just issued is stored or deleted by %s, so try again after that",
				o.fullMessage(inGrace, plan.Foreign), inFlight.Add(orphanAge).UTC().Format(time.RFC3339))}
		}
		// Otherwise a later sweep finds room.
		return plan
	}
	if len(o.Listed)-len(plan.Retire) >= databricks.MaxSecrets {
		for _, s := range o.Listed {
			_, isPredecessor := predecessors[s.ID]
			if s.Expired(o.Now) && s.ID != c.OAuthSecretID && (isPredecessor || isOurs(o.Secret.ARN, s)) {
				plan.retire(o, Retirement{s.ID, "it has expired, and its place is needed", Expired})
			}
		}
	}
	next := c.Successor(func(id string) bool { _, ok := live[id]; return ok && !retires(plan.Retire, id) })
	if o.Principal != nil {
		next.ServicePrincipalID = o.Principal.ID
	}
	if alive && !o.Tried && o.scopesUnnamed(live) {
		// A host that lists no scopes does not make a secret unrestricted: only
		// a token for all-apis shows that (invariant 5).
		return Plan{Needs: []Need{NeedTrial}}
	}
	var ok bool
	if next.Scopes, ok = o.scopes(p, live); !ok {
		plan.Block = &Block{Scopes, fmt.Sprintf(
			"the scopes of the current credential are not known, and a new one must not be wider: set %s to its scopes, or to %s if it was unrestricted, and remove %s if it is another value's",
			credential.KeyScopes, credential.AllAPIs, credential.KeyOAuthSecretID)}
		return plan
	}
	guess := ""
	if alive && c.OAuthSecretID == "" && len(live) == 1 {
		// Somebody else's credential that works. If the principal has just one
		// secret, that is it, and it can be retired like one of ours; unless a
		// version has it beside another value, or another managed secret.
		for id := range live {
			_, another := o.Recorded[id]
			if _, claimed := o.Claims[id]; !another && !claimed {
				guess = id
				next.Predecessors, plan.Foreign = []credential.Predecessor{{OAuthSecretID: id}}, nil
			}
		}
	}
	for i, pred := range next.Predecessors {
		switch {
		case c.OAuthSecretID == "":
			// It may be the current one, of which that is not known.
			next.Predecessors[i].SupersededAt = time.Time{}
		case pred.OAuthSecretID != c.OAuthSecretID && pred.SupersededAt.IsZero():
			// What is known exactly now is written down: the next version cannot
			// tell any more when this one became current.
			next.Predecessors[i].SupersededAt = supersededAt(pred, o.Secret, o.Current)
		}
	}
	// Nor can it tell what only older versions record, without reading them.
	for _, s := range o.Listed {
		versionID, isRecorded := o.Recorded[s.ID]
		_, isPredecessor := predecessors[s.ID]
		claimant, known := o.Claims[s.ID]
		if !isRecorded || isPredecessor || s.ID == c.OAuthSecretID || s.Expired(o.Now) || retires(plan.Retire, s.ID) ||
			versionID == pending || versionID == o.Token || o.Claims == nil || known && claimant != o.Secret.ARN {
			continue
		}
		next.Predecessors = append(next.Predecessors, credential.Predecessor{OAuthSecretID: s.ID})
	}
	plan.Issue = &Issue{Reason: reason, Next: next, Guess: guess}
	return plan
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

// mayBeMisnamed tells that somebody else than a run may have written the current
// version over another one, and left that one's id beside its value.
func (o Observation) mayBeMisnamed() bool {
	return o.Current.Credential.Issued() && !strings.HasPrefix(o.Current.ID, versionPrefix) && o.Secret.Holder(managedsecret.Previous) != ""
}

// adopts tells that the plan replaces a credential that works and that somebody
// has put there, or that was not issued for this managed secret. Another one may
// hold it too.
func (o Observation) adopts(plan Plan) bool {
	if plan.Issue == nil || !o.Current.Credential.Issued() || !o.alive() {
		return false
	}
	return o.Misnamed || !slices.ContainsFunc(o.Listed, func(s databricks.OAuthSecret) bool {
		return s.ID == o.Current.Credential.OAuthSecretID && isOurs(o.Secret.ARN, s)
	})
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
		if role, ok := p.RoleOf(c.ClientID); ok && len(role.Scopes) > 0 {
			return credential.NormalizeScopes(role.Scopes), true
		}
		return []string{credential.AllAPIs}, true
	case isListed && o.alive():
		return []string{credential.AllAPIs}, true
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

// scopesUnnamed tells that neither the list nor the value names the scopes of
// the current credential.
func (o Observation) scopesUnnamed(live map[string]databricks.OAuthSecret) bool {
	c := o.Current.Credential
	listed, isListed := live[c.OAuthSecretID]
	return c.Issued() && isListed && len(listed.Scopes) == 0 && len(c.Scopes) == 0
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
	if o.Withhold && r.Kind.needsBudget() {
		p.Withheld = append(p.Withheld, r)
		return
	}
	p.Retire = append(p.Retire, r)
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

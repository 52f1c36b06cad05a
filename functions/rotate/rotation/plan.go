package rotation

import (
	"time"

	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/secret"
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
	// newVersion is for how long after somebody has written a version reconciles
	// look whether its id is its own: the daily one does so twice.
	newVersion = 48 * time.Hour
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
	// Check asks whether the current credential works, listed or not.
	Check bool
	// Token is the version that a running step of the rotation protocol is to
	// fill; empty at the other doors.
	Token string
	// Alone tells that no other managed secret names the principal, as far as
	// the run has seen. Without it, what is foreign here may be current there.
	Alone bool
	// Withhold forbids removals that need the budget.
	Withhold bool
	// Replacing tells that a revocation has asked for a new credential. It
	// deletes itself what is to go, once readers have another.
	Replacing bool
	// Claims are the OAuth secrets that current versions name, each with the
	// ARN of its managed secret, as far as the run has seen, nil if it has not
	// looked. Two managed secrets of one principal can have the same fingerprint.
	Claims map[string]string
	// Holders are the ARNs of the managed secrets whose current versions hold a
	// client secret, by its hash.
	Holders map[string][]string
	// Opaque are values of managed secrets, by ARN, that are no credentials as
	// they stand, and Denied tells that one could not be read: it may claim any.
	Opaque map[string]secret.Text
	Denied bool
	// CanAsk tells that the usage log is there to be asked about predecessors.
	// False also if it was asked and did not answer.
	CanAsk bool
	// Doubt is why it could not be found out whether what only a value says is ours
	// is another one's, empty if it could. It stays then.
	Doubt string
	// GivenUp is a pending version whose label was taken off, though a read may not
	// show that yet.
	GivenUp string
	// Unseen are, by predecessor, the readers that have not come back since its
	// successor became current. What the log was not asked about is missing.
	Unseen map[string][]usagelog.Reader

	// The rest is read only when a plan needs it.

	// Versions are all versions that Secrets Manager has, nil if not read.
	Versions []managedsecret.Version
	// Recorded maps the ids of OAuth secrets to the version that records each,
	// nil if not read.
	Recorded map[string]string
	// Hashes are those of their client secrets, as far as versions hold them, and
	// Unnamed those of which no version records the OAuth secret.
	Hashes  map[string]string
	Unnamed []string
	// Partial tells that a version other than the current one could not be read.
	// It may record any of what no other version does.
	Partial bool
	// Misnamed tells that the current version lacks the id of its OAuth secret, or
	// has that of another value. Current then has what the others record.
	Misnamed bool
	// Beside are the scopes that the current version says its OAuth secret has, if
	// the id beside them is another value's.
	Beside []string
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
	// NeedClaims is for what other managed secrets hold.
	NeedClaims
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
	// Sparing tells that they are for removals only. Without them the rest can be
	// planned all the same.
	Sparing bool
	// Clear is a stale pending version, whose label has to go.
	Clear string
	// Retire frees slots before Issue takes one.
	Retire []Retirement
	Issue  *Issue
	Block  *Block
	// Foreign are OAuth secrets of somebody else. They are left alone.
	Foreign []string
	// Withheld are removals that the budget does not allow, and Doubted those that
	// wait until it is known whether they hit another one.
	Withheld, Doubted []Retirement
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

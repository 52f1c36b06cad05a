// Package prune removes credentials that nobody uses and narrows those that
// may do more than they were seen to do, within what the policy allows.
//
// A plan is a pure function of an inventory, a policy and the notices that
// earlier plans gave. Carrying it out looks at each credential once more
// before it is touched.
package prune

import (
	"strconv"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/shared/policy"
)

// Action is what is to be done with a credential.
type Action string

// Actions.
const (
	Remove Action = "remove"
	Narrow Action = "narrow"
)

// State is how far an item is.
type State string

// States.
const (
	// Notice: found, and its notice period runs.
	Notice State = "notice"
	// Due: the notice period is over.
	Due State = "due"
	// Exempt: the policy keeps it.
	Exempt State = "exempt"
)

// Item is one credential that the policy would remove or narrow.
type Item struct {
	// Key is the same from audit to audit.
	Key     string          `json:"key"`
	Action  Action          `json:"action"`
	Subject finding.Subject `json:"subject"`
	Owner   string          `json:"owner,omitempty"`
	Why     string          `json:"why"`
	// LastUsedAt is zero for a credential that was never seen in use.
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
	// From and To are scopes, of an item that is to be narrowed.
	From []string `json:"from,omitempty"`
	To   []string `json:"to,omitempty"`
	// NoticedAt is when an audit first found it, DueAt when its notice ends.
	NoticedAt time.Time `json:"noticed_at"`
	DueAt     time.Time `json:"due_at"`
	State     State     `json:"state"`
	// Exemption is the policy's reason to keep it.
	Exemption string `json:"exemption,omitempty"`
}

// Plan is what one audit would do.
type Plan struct {
	Mode      policy.Mode `json:"mode"`
	RightSize policy.Mode `json:"right_size"`
	// LookedAt counts the live credentials of which the share in the budget is
	// a share.
	LookedAt int    `json:"looked_at"`
	Budget   string `json:"budget"`
	// Stopped says why nothing is removed although something is due, empty if
	// nothing stands in the way.
	Stopped string `json:"stopped,omitempty"`
	Items   []Item `json:"items"`
}

// Notices are when each item of a plan was first noticed, for the next plan.
func (p Plan) Notices() map[string]time.Time {
	noticed := make(map[string]time.Time, len(p.Items))
	for _, item := range p.Items {
		noticed[item.Key] = item.NoticedAt
	}
	return noticed
}

// Key is an item's key. It names the action too: who was told that a token
// would be narrowed was not told that it would be removed.
func Key(a Action, s finding.Subject) string {
	return string(a) + " " + string(s.Kind) + " " + strconv.FormatInt(s.Workspace, 10) + " " + s.ID
}

// Result is what became of an item that was due.
type Result string

// Results.
const (
	Removed  Result = "removed"
	Narrowed Result = "narrowed"
	// Gone: somebody else had removed it.
	Gone Result = "gone"
	// InUse: it was used since the plan was made, and stays.
	InUse Result = "in use"
	// Changed: it is no longer what the plan was about, and stays.
	Changed Result = "changed"
	// Protected: a managed secret names it now, and it stays.
	Protected Result = "protected"
	Failed    Result = "failed"
	// Left: for a later run, because this one's budget or time was over.
	Left Result = "left"
)

// Outcome is what became of one item.
type Outcome struct {
	Key    string    `json:"key"`
	Result Result    `json:"result"`
	Why    string    `json:"why,omitempty"`
	At     time.Time `json:"at"`
}

// Done is what carrying out a plan has done.
type Done struct {
	Outcomes []Outcome      `json:"outcomes"`
	Counts   map[Result]int `json:"counts"`
}

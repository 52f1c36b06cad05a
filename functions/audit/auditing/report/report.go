// Package report is what an audit publishes: one value that holds everything
// that a reader, the next audit or an auditor of the auditors may ask for. How
// it looks in a medium is the business of the packages page, table and
// summary.
//
// The value's JSON is the evidence that is kept, and the state that the next
// audit starts from. Its layout is versioned by [Version] and described by
// schema.json.
package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/blast"
	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/prune"
)

// Version is the layout's. It changes when a reader of the old one would go
// wrong; a new field that may be left out does not change it.
const Version = "databricks-credential-audit/1"

// Report is one audit. Times are UTC; sections that were not made are empty.
type Report struct {
	Version string `json:"version"`
	// ID names the audit; it sorts by time. See [NewID].
	ID      string    `json:"id"`
	TakenAt time.Time `json:"taken_at"`
	// Deployment is the stack's name, AccountID Databricks' account.
	Deployment string `json:"deployment"`
	AccountID  string `json:"account_id,omitempty"`
	// AskedBy is the way the audit came in: a schedule or whoever invoked it.
	AskedBy string `json:"asked_by,omitempty"`
	// DryRun tells that nothing was to be changed, whatever the policy says.
	DryRun bool `json:"dry_run,omitempty"`
	// Previous is the id of the audit that this one was compared with.
	Previous string `json:"previous,omitempty"`

	// Findings are open, the most severe first.
	Findings []*Finding `json:"findings"`
	// Resolved are the findings that are open no more, the latest first. They
	// are remembered for a while, so that one that returns is known.
	Resolved []Resolved `json:"resolved"`
	// Gaps are what could not be read or checked.
	Gaps []Gap `json:"gaps"`
	// Exposures rank credentials by what a thief could do with them: the worst
	// [MaxExposures] of ExposureCount.
	Exposures     []blast.Reach `json:"exposures"`
	ExposureCount int           `json:"exposure_count"`
	Prune         Prune         `json:"prune"`
	Measures      Measures      `json:"measures"`
	// Trend has a point for each past audit and this one, the oldest first.
	Trend []Point `json:"trend"`
}

// Status is what a comparison with the last audit tells of a finding.
type Status string

// Statuses of findings.
const (
	// New was not there in the last audit.
	New Status = "new"
	// Open was there.
	Open Status = "open"
	// Reopened had been resolved and is back.
	Reopened Status = "reopened"
	// Unchecked was there, and the part of the estate that would show whether
	// it still is could not be read.
	Unchecked Status = "unchecked"
)

// Finding is an open finding.
type Finding struct {
	finding.Finding
	Status Status `json:"status"`
	// HiddenBy names the gaps behind which an unchecked finding may still be.
	HiddenBy []string `json:"hidden_by,omitempty"`
}

// Resolved is a finding that an audit no longer found.
type Resolved struct {
	finding.Finding
	ResolvedAt time.Time `json:"resolved_at"`
}

// Gap is what could not be read or checked.
type Gap struct {
	Part Part `json:"part"`
	// Where is a workspace's host, the account, AWS, or the audit itself.
	Where string `json:"where"`
	What  string `json:"what"`
	Why   string `json:"why"`
	// Workspace is the workspace's id, zero for none.
	Workspace int64 `json:"workspace,omitempty"`
}

// Name is the same for the same gap in another audit.
func (g Gap) Name() string { return g.Where + ": " + g.What }

// Part is the part of the estate that a gap is in.
type Part string

// Parts of an estate.
const (
	PartWorkspace Part = "workspace"
	PartAccount   Part = "account"
	PartAWS       Part = "aws"
	PartUsage     Part = "usage"
	// PartAudit is the audit itself: its past, or a rule.
	PartAudit Part = "audit"
)

// Prune is the plan of removals and narrowings, and what became of it.
type Prune struct {
	Plan prune.Plan `json:"plan"`
	// Done is what carrying the plan out has done; nil if that was not tried.
	Done *prune.Done `json:"done,omitempty"`
}

// Action is an item of the plan with what became of it.
type Action struct {
	prune.Item
	// Result is empty for an item that was not due, or not tried.
	Result prune.Result
	// Detail is why the result is what it is.
	Detail string
}

// Actions joins the plan with what became of it: first what went wrong, then
// what was done, then what may come.
func (p Prune) Actions() []Action {
	results := map[string]prune.Outcome{}
	if p.Done != nil {
		for _, o := range p.Done.Outcomes {
			results[o.Key] = o
		}
	}
	actions := make([]Action, 0, len(p.Plan.Items))
	for _, item := range p.Plan.Items {
		o := results[item.Key]
		actions = append(actions, Action{Item: item, Result: o.Result, Detail: o.Why})
	}
	slices.SortStableFunc(actions, func(a, b Action) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Action, b.Action), bySubject(a.Subject, b.Subject))
	})
	return actions
}

func rank(a Action) int {
	results := []prune.Result{prune.Failed, prune.Left, prune.Removed, prune.Narrowed, prune.Gone, prune.InUse, prune.Changed, prune.Protected}
	if i := slices.Index(results, a.Result); i >= 0 {
		return i
	}
	return len(results) + slices.Index([]prune.State{prune.Due, prune.Notice, prune.Exempt}, a.State)
}

// Count counts the actions with one of the results.
func (p Prune) Count(results ...prune.Result) int {
	if p.Done == nil {
		return 0
	}
	n := 0
	for _, o := range p.Done.Outcomes {
		if slices.Contains(results, o.Result) {
			n++
		}
	}
	return n
}

// InState counts the plan's items in a state.
func (p Prune) InState(state prune.State) int {
	n := 0
	for _, item := range p.Plan.Items {
		if item.State == state {
			n++
		}
	}
	return n
}

// Point is one audit in the trend.
type Point struct {
	ID      string    `json:"id"`
	TakenAt time.Time `json:"taken_at"`
	// Open are the open findings by severity.
	Open Counts `json:"open"`
	// New and Resolved are what changed in that audit.
	New         int `json:"new"`
	Resolved    int `json:"resolved"`
	Credentials int `json:"credentials"`
}

// Counts are numbers of findings by severity.
type Counts struct {
	Critical int `json:"critical"`
	High     int `json:"high"`
	Medium   int `json:"medium"`
	Low      int `json:"low"`
	Info     int `json:"info"`
}

// Of is the number of one severity.
func (c Counts) Of(s finding.Severity) int {
	switch s {
	case finding.Critical:
		return c.Critical
	case finding.High:
		return c.High
	case finding.Medium:
		return c.Medium
	case finding.Low:
		return c.Low
	case finding.Info:
		return c.Info
	default:
		return 0
	}
}

// Total is the number of all.
func (c Counts) Total() int { return c.Critical + c.High + c.Medium + c.Low + c.Info }

func (c *Counts) add(s finding.Severity) {
	switch s {
	case finding.Critical:
		c.Critical++
	case finding.High:
		c.High++
	case finding.Medium:
		c.Medium++
	case finding.Low:
		c.Low++
	case finding.Info:
		c.Info++
	default:
	}
}

// Severities are all of them, the worst first.
func Severities() []finding.Severity {
	return []finding.Severity{finding.Critical, finding.High, finding.Medium, finding.Low, finding.Info}
}

// NewID is the id of the audit that was begun at a time in an invocation.
// The invocation's request id makes it unique; of an empty or long one only
// what fits is used.
func NewID(takenAt time.Time, requestID string) string {
	suffix := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(requestID))
	if len(suffix) > 12 {
		suffix = suffix[:12]
	}
	id := takenAt.UTC().Format("20060102T150405Z")
	if suffix == "" {
		return id
	}
	return id + "-" + suffix
}

// Counts counts the open findings.
func (r *Report) Counts() Counts {
	var c Counts
	for _, f := range r.Findings {
		c.add(f.Severity)
	}
	return c
}

// WithStatus counts the findings of a status.
func (r *Report) WithStatus(s Status) int {
	n := 0
	for _, f := range r.Findings {
		if f.Status == s {
			n++
		}
	}
	return n
}

// JustResolved are the findings that this audit resolved, which in a sorted
// report are the first ones.
func (r *Report) JustResolved() []Resolved {
	from := 0
	for from < len(r.Resolved) && r.Resolved[from].ResolvedAt.After(r.TakenAt) {
		from++ // by a clock that was ahead
	}
	to := from
	for to < len(r.Resolved) && r.Resolved[to].ResolvedAt.Equal(r.TakenAt) {
		to++
	}
	return r.Resolved[from:to:to]
}

// Worst is the greatest severity of an open finding, zero if there is none.
func (r *Report) Worst() finding.Severity {
	var worst finding.Severity
	for _, f := range r.Findings {
		worst = max(worst, f.Severity)
	}
	return worst
}

// MaxExposures is how many exposures a report keeps.
const MaxExposures = 1000

// Sort puts everything into the order in which people should read it, the
// same for the same content.
func (r *Report) Sort() {
	slices.SortFunc(r.Findings, func(a, b *Finding) int { return byUrgency(&a.Finding, &b.Finding) })
	slices.SortFunc(r.Resolved, func(a, b Resolved) int {
		return cmp.Or(b.ResolvedAt.Compare(a.ResolvedAt), byUrgency(&a.Finding, &b.Finding))
	})
	slices.SortFunc(r.Exposures, func(a, b blast.Reach) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), bySubject(a.Subject, b.Subject))
	})
	slices.SortFunc(r.Gaps, func(a, b Gap) int {
		return cmp.Or(cmp.Compare(a.Where, b.Where), cmp.Compare(a.What, b.What), cmp.Compare(a.Why, b.Why))
	})
	slices.SortFunc(r.Trend, func(a, b Point) int {
		return cmp.Or(a.TakenAt.Compare(b.TakenAt), cmp.Compare(a.ID, b.ID))
	})
}

func byUrgency(a, b *finding.Finding) int {
	return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(a.Rule, b.Rule), bySubject(a.Subject, b.Subject), cmp.Compare(a.ID, b.ID))
}

func bySubject(a, b finding.Subject) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Workspace, b.Workspace),
		cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
}

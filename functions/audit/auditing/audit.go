// Package auditing is an audit from the event to the answer: what the estate
// holds is collected, judged by the policy and by the usage log, pruned as far
// as the policy lets it, compared with the audit before, and published.
package auditing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"databricks-credential-rotation/functions/audit/auditing/blast"
	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/history"
	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/functions/audit/auditing/prune"
	"databricks-credential-rotation/functions/audit/auditing/report"
	"databricks-credential-rotation/functions/audit/auditing/rule"
	"databricks-credential-rotation/functions/audit/auditing/usage"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/trail"
)

// Collector reads an estate; [collect.Collector] does.
type Collector interface {
	Collect(ctx context.Context, p policy.Policy) *inventory.Inventory
}

// Publisher keeps a report and tells people of it. It returns where the report
// is, and an error that names each medium that failed.
type Publisher interface {
	Publish(ctx context.Context, r *report.Report) (location string, err error)
}

// Auditor audits. It keeps nothing between two audits.
type Auditor struct {
	// Policy reads the policy as it is now.
	Policy    func(context.Context) (policy.Policy, error)
	Collector Collector
	// UsageLog answers statements on Warehouse. Without a warehouse the audit
	// says which checks it could not make.
	UsageLog  usage.Log
	Warehouse databricks.Warehouse
	// UsageTable is the audit log's table, empty for Databricks' own.
	UsageTable string
	// Rotator is the application id by which this product itself works, in the
	// usage log.
	Rotator   func(context.Context) (string, error)
	History   history.Source
	Publisher Publisher
	Trail     trail.Trail
	// Live is what prune works on.
	Live Live
	// Place is where remedies are run.
	Place rule.Place
	// Deployment is the stack's name.
	Deployment string
	Log        *slog.Logger
	// Now is the clock, nil for [time.Now].
	Now func() time.Time
	// Reserve is the part of an invocation's time that is kept for publishing,
	// zero for a minute.
	Reserve time.Duration
}

// Answer is what an invocation returns. The report has the details.
type Answer struct {
	ID     string `json:"id"`
	DryRun bool   `json:"dry_run,omitempty"`
	// Report is where the report is, empty for a dry run.
	Report string        `json:"report,omitempty"`
	Open   report.Counts `json:"open"`
	New    int           `json:"new"`
	// Resolved are the findings that this audit found mended.
	Resolved    int         `json:"resolved"`
	Gaps        int         `json:"gaps"`
	Credentials int         `json:"credentials"`
	Prune       PruneAnswer `json:"prune"`
}

// PruneAnswer is what became of prune's plan.
type PruneAnswer struct {
	Mode      policy.Mode          `json:"mode"`
	RightSize policy.Mode          `json:"right_size"`
	Notice    int                  `json:"notice"`
	Due       int                  `json:"due"`
	Exempt    int                  `json:"exempt"`
	Stopped   string               `json:"stopped,omitempty"`
	Results   map[prune.Result]int `json:"results,omitempty"`
}

// Handle is the Lambda handler. The invocation fails if something that should
// have been changed or published was not; findings do not make it fail, they
// are what it is for.
func (a *Auditor) Handle(ctx context.Context, payload json.RawMessage) (*Answer, error) {
	request, err := ParseRequest(payload)
	if err != nil {
		return nil, err
	}
	return a.Audit(ctx, request)
}

// Audit makes one audit.
func (a *Auditor) Audit(ctx context.Context, request Request) (*Answer, error) {
	p, err := a.Policy(ctx)
	if err != nil {
		return nil, fmt.Errorf("nothing was audited, and nothing changed: %w", err)
	}
	own := a.own(ctx)
	past, forgotten := history.Load(ctx, a.History)
	r, errs := a.examine(ctx, p, past, own, request)
	if forgotten != nil {
		r.Gaps = append(r.Gaps, *forgotten)
	}
	past.Compare(r)
	_ = past.Close() // it was only read
	a.tell(ctx, r)
	answer := answerOf(r)
	if !request.DryRun {
		answer.Report, err = a.Publisher.Publish(ctx, r)
		if err != nil {
			errs = append(errs, fmt.Errorf("publish: %w", err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("audit %s has %d open findings, and not all of it was done:\n%w", r.ID, r.Counts().Total(), err)
	}
	return answer, nil
}

// examine reads the estate, judges and prunes it. The report that it returns
// has nothing of the past yet. The inventory ends here: what follows needs the
// memory.
func (a *Auditor) examine(ctx context.Context, p policy.Policy, past history.Past, own string, request Request) (*report.Report, []error) {
	inv, seen := a.look(ctx, p, own)
	if seen.Complete() {
		inv.Usage, inv.UsageSince = seen.Usage(), seen.Since()
	}
	r := &report.Report{
		Version: report.Version, ID: report.NewID(inv.TakenAt, requestID(ctx)), TakenAt: inv.TakenAt,
		Deployment: a.Deployment, AccountID: inv.AccountID, AskedBy: request.AskedBy, DryRun: request.DryRun,
		Measures: report.Measure(inv, p),
	}
	place := a.Place
	place.Own = own
	estate := rule.NewEstate(inv, p, place)
	say := func(f finding.Finding) { r.Findings = append(r.Findings, &report.Finding{Finding: f}) }
	inv.Gaps = append(inv.Gaps, rule.Judge(estate, say)...)
	for _, f := range seen.Findings(*inv, p, place) {
		say(f)
	}
	r.Gaps = a.gaps(inv, seen)
	r.Exposures, r.ExposureCount = blast.Rank(inv, estate.Owner, report.MaxExposures)

	r.Prune.Plan = prune.Make(inv, p, past.Notices(), own)
	if request.DryRun {
		return r, nil
	}
	done, err := a.prune(ctx, p, r.Prune.Plan, inv, request)
	r.Prune.Done = done
	if err != nil {
		return r, []error{fmt.Errorf("prune: %w", err)}
	}
	return r, nil
}

// look collects and asks the usage log at the same time: either may take
// minutes.
func (a *Auditor) look(ctx context.Context, p policy.Policy, own string) (*inventory.Inventory, usage.Observation) {
	question := a.question(ctx, p, own)
	var (
		seen    usage.Observation
		running sync.WaitGroup
	)
	running.Go(func() { seen = usage.Ask(ctx, a.UsageLog, a.Warehouse, question) })
	inv := a.Collector.Collect(ctx, p)
	running.Wait()
	return inv, seen
}

// usageMargin is how much further back than its rules need the log is asked,
// so that the first event of a quiet estate is not taken for the log's
// beginning.
const usageMargin = 7 * 24 * time.Hour

// own is the application id by which this product works, empty if it cannot be
// told.
func (a *Auditor) own(ctx context.Context) string {
	own, err := a.Rotator(ctx)
	if err != nil {
		a.Log.WarnContext(ctx, "what the rotator makes will look made by somebody else", "error", err.Error())
		return ""
	}
	return own
}

func (a *Auditor) question(ctx context.Context, p policy.Policy, own string) usage.Question {
	q := usage.Question{
		Table: a.UsageTable, Now: a.now(), Policy: p,
		History: max(usage.DefaultHistory, p.Audit.UnusedAfter, p.Prune.UnusedAfter) + usageMargin,
	}
	held, err := a.Live.Held(ctx)
	if err != nil {
		// The collector meets the same error and makes a gap of it.
		a.Log.WarnContext(ctx, "revocations could not be read", "error", err.Error())
	}
	q.Revoked = held
	if own != "" {
		q.Ours = []string{own}
	}
	return q
}

func (a *Auditor) prune(ctx context.Context, p policy.Policy, plan prune.Plan, inv *inventory.Inventory, request Request) (*prune.Done, error) {
	reserve := a.Reserve
	if reserve <= 0 {
		reserve = time.Minute
	}
	question := usage.Question{Table: a.UsageTable, Now: a.now(), Policy: p, History: max(usage.DefaultHistory, p.Prune.UnusedAfter)}
	run := prune.Run{
		Estate: a.Live.over(inv, func(ctx context.Context) (map[string]time.Time, error) {
			return usage.LastUses(ctx, a.UsageLog, a.Warehouse, question)
		}),
		Trail: a.Trail, Policy: p, Door: "audit", RequestedBy: request.AskedBy, Now: a.now, Reserve: reserve,
	}
	done, err := run.CarryOut(ctx, plan)
	return &done, err
}

func (a *Auditor) now() time.Time {
	if a.Now == nil {
		return time.Now().UTC()
	}
	return a.Now().UTC()
}

func requestID(ctx context.Context) string {
	if invocation, ok := lambdacontext.FromContext(ctx); ok {
		return invocation.AwsRequestID
	}
	return ""
}

// usageLog is where the checks that the usage log serves are missing.
const usageLog = "the usage log"

// gaps says of each gap what part of the estate it is in.
func (a *Auditor) gaps(inv *inventory.Inventory, seen usage.Observation) []report.Gap {
	workspaces := map[string]int64{}
	for _, w := range inv.Workspaces {
		workspaces[w.Host] = w.ID
	}
	gaps := []report.Gap{}
	for _, g := range inv.Gaps {
		one := report.Gap{Part: report.PartAccount, Where: g.Where, What: g.What, Why: g.Why}
		if id, ok := workspaces[g.Where]; ok {
			one.Part, one.Workspace = report.PartWorkspace, id
		} else if strings.HasPrefix(g.Where, "AWS") {
			one.Part = report.PartAWS
		} else if g.Where == "the audit" {
			one.Part = report.PartAudit
		}
		gaps = append(gaps, one)
	}
	for _, m := range seen.Missing {
		gaps = append(gaps, report.Gap{Part: report.PartUsage, Where: usageLog, What: m.Check, Why: m.Why})
	}
	return gaps
}

// tell logs the audit in one line.
func (a *Auditor) tell(ctx context.Context, r *report.Report) {
	counts := r.Counts()
	a.Log.InfoContext(ctx, "audited", "id", r.ID, "dry_run", r.DryRun, "credentials", r.Measures.Totals.Credentials(),
		"critical", counts.Critical, "high", counts.High, "medium", counts.Medium, "low", counts.Low, "info", counts.Info,
		"new", r.WithStatus(report.New)+r.WithStatus(report.Reopened), "resolved", len(r.JustResolved()), "gaps", len(r.Gaps))
}

func answerOf(r *report.Report) *Answer {
	a := &Answer{
		ID: r.ID, DryRun: r.DryRun, Open: r.Counts(), New: r.WithStatus(report.New) + r.WithStatus(report.Reopened),
		Resolved: len(r.JustResolved()), Gaps: len(r.Gaps), Credentials: r.Measures.Totals.Credentials(),
		Prune: PruneAnswer{
			Mode: r.Prune.Plan.Mode, RightSize: r.Prune.Plan.RightSize, Stopped: r.Prune.Plan.Stopped,
			Notice: r.Prune.InState(prune.Notice), Due: r.Prune.InState(prune.Due), Exempt: r.Prune.InState(prune.Exempt),
		},
	}
	if r.Prune.Done != nil && len(r.Prune.Done.Counts) > 0 {
		a.Prune.Results = r.Prune.Done.Counts
	}
	return a
}

// Rules are all rules that an audit goes by.
func Rules() []rule.Rule { return slices.Concat(rule.Rules(), usage.Rules()) }

// Package history compares an audit with the one before: which findings are
// new, which are still there and since when, which are resolved, and how the
// estate has fared.
//
// A finding counts as resolved only if the audit could have found it again.
// What lies behind a gap is carried over, marked as unchecked: a workspace
// that does not answer today must not close its findings, to open them as new
// ones tomorrow.
package history

import (
	"slices"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/report"
)

const (
	// Memory is how long a resolved finding is remembered. One that returns
	// within it keeps the day on which it was first seen.
	Memory = 90 * 24 * time.Hour
	// maxTrend is how many audits a trend goes back: a year of daily ones.
	maxTrend = 400
	// maxResolved bounds the memory of an estate whose findings come and go.
	maxResolved = 20_000
)

// Past is what is known of earlier audits. The zero value is that of the
// first audit.
type Past struct {
	// Report is the last audit, nil if there is none.
	Report *report.Report
}

// Notices are when the last audit first noticed what it would remove or
// narrow, by the plan's keys.
func (p Past) Notices() map[string]time.Time {
	if p.Report == nil {
		return map[string]time.Time{}
	}
	return p.Report.Prune.Plan.Notices()
}

// Compare completes a report by what went before it: the findings' status and
// the day on which each was first seen, those carried over, those resolved,
// and the trend. The report's findings, gaps, measures and time must be there,
// found being what this audit found.
func (p Past) Compare(r *report.Report, found []finding.Finding) {
	open, closed := p.index()
	now := map[string]bool{}
	r.Findings = make([]report.Finding, 0, len(found))
	for _, f := range found {
		if now[f.ID] {
			continue // one rule, one subject: once
		}
		now[f.ID] = true
		entry := report.Finding{Finding: f, Status: report.New}
		entry.FirstSeen = r.TakenAt
		if before, ok := open[f.ID]; ok {
			entry.Status, entry.FirstSeen = report.Open, before.FirstSeen
		} else if before, ok := closed[f.ID]; ok {
			entry.Status, entry.FirstSeen = report.Reopened, before.FirstSeen
		}
		r.Findings = append(r.Findings, entry)
	}
	r.Resolved = nil
	if p.Report != nil {
		r.Previous = p.Report.ID
		p.carry(r, now)
	}
	r.Sort()
	if len(r.Resolved) > maxResolved {
		r.Resolved = r.Resolved[:maxResolved]
	}
	p.draw(r)
}

func (p Past) index() (open map[string]report.Finding, closed map[string]report.Resolved) {
	open, closed = map[string]report.Finding{}, map[string]report.Resolved{}
	if p.Report == nil {
		return open, closed
	}
	for _, f := range p.Report.Findings {
		open[f.ID] = f
	}
	for _, f := range p.Report.Resolved {
		closed[f.ID] = f
	}
	return open, closed
}

// carry takes over what the last audit knew and this one did not find.
func (p Past) carry(r *report.Report, found map[string]bool) {
	gaps := newView(p.Report.Gaps, r.Gaps)
	for _, f := range p.Report.Findings {
		if found[f.ID] {
			continue
		}
		if hiding := gaps.hiding(f); len(hiding) > 0 {
			f.Status, f.HiddenBy = report.Unchecked, hiding
			r.Findings = append(r.Findings, f)
			continue
		}
		r.Resolved = append(r.Resolved, report.Resolved{Finding: f.Finding, ResolvedAt: r.TakenAt})
	}
	for _, f := range p.Report.Resolved {
		if !found[f.ID] && r.TakenAt.Sub(f.ResolvedAt) <= Memory {
			r.Resolved = append(r.Resolved, f)
		}
	}
}

// draw adds this audit's point to the trend. An audit that is repeated under
// its id has one point.
func (p Past) draw(r *report.Report) {
	var trend []report.Point
	if p.Report != nil {
		trend = slices.DeleteFunc(slices.Clone(p.Report.Trend), func(x report.Point) bool { return x.ID == r.ID })
	}
	trend = append(trend, report.Point{
		ID:          r.ID,
		TakenAt:     r.TakenAt,
		Open:        r.Counts(),
		New:         r.WithStatus(report.New) + r.WithStatus(report.Reopened),
		Resolved:    len(r.JustResolved()),
		Credentials: r.Measures.Totals.Credentials(),
	})
	if more := len(trend) - maxTrend; more > 0 {
		trend = trend[more:]
	}
	r.Trend = trend
}

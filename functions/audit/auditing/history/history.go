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
	"fmt"
	"io"
	"slices"
	"time"

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
	// ID is the last audit's, empty if there is none.
	ID string

	gaps    []report.Gap
	trend   []report.Point
	notices map[string]time.Time
	// document has the findings. They are read where they are compared, and
	// not kept: there may be a hundred thousand.
	document Document
}

// Close gives up what the past is read from.
func (p Past) Close() error {
	if p.document == nil {
		return nil
	}
	return p.document.Close()
}

// Notices are when the last audit first noticed what it would remove or
// narrow, by the plan's keys.
func (p Past) Notices() map[string]time.Time { return p.notices }

// Compare completes a report by what went before it: the findings' status and
// the day on which each was first seen, those carried over, those resolved,
// and the trend. The report's findings must be what this audit found, and its
// gaps, measures and time must be there.
func (p Past) Compare(r *report.Report) {
	found := make(map[string]*report.Finding, len(r.Findings))
	r.Findings = slices.DeleteFunc(r.Findings, func(f *report.Finding) bool {
		if found[f.ID] != nil {
			return true // one rule, one subject: once
		}
		found[f.ID] = f
		f.Status, f.FirstSeen, f.HiddenBy = report.New, r.TakenAt, nil
		return false
	})
	r.Resolved = nil
	r.Previous = p.ID
	if p.document != nil {
		if err := p.carry(r, found); err != nil {
			r.Gaps = append(r.Gaps, *gap(fmt.Sprintf("it could not be read a second time: %v", err)))
		}
	}
	r.Sort()
	if len(r.Resolved) > maxResolved {
		clear(r.Resolved[maxResolved:])
		r.Resolved = r.Resolved[:maxResolved]
	}
	p.draw(r)
}

// carry takes over what the last audit knew: of what this one found again, the
// day on which it was first seen, and the rest as it is.
func (p Past) carry(r *report.Report, found map[string]*report.Finding) error {
	if _, err := p.document.Seek(0, io.SeekStart); err != nil {
		return err
	}
	gaps := newView(p.gaps, r.Gaps)
	return report.Walk(p.document, func(f *report.Finding) {
		if now := found[f.ID]; now != nil {
			now.Status, now.FirstSeen = report.Open, f.FirstSeen
			return
		}
		if hiding := gaps.hiding(f); len(hiding) > 0 {
			f.Status, f.HiddenBy = report.Unchecked, hiding
			r.Findings = append(r.Findings, f)
			return
		}
		r.Resolved = append(r.Resolved, report.Resolved{Finding: f.Finding, ResolvedAt: r.TakenAt})
	}, func(f *report.Resolved) {
		if now := found[f.ID]; now != nil {
			now.Status, now.FirstSeen = report.Reopened, f.FirstSeen
		} else if r.TakenAt.Sub(f.ResolvedAt) <= Memory {
			r.Resolved = append(r.Resolved, *f)
		}
	})
}

// draw adds this audit's point to the trend. An audit that is repeated under
// its id has one point.
func (p Past) draw(r *report.Report) {
	trend := slices.DeleteFunc(slices.Clone(p.trend), func(x report.Point) bool { return x.ID == r.ID })
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

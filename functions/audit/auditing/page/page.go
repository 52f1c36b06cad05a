// Package page writes an audit as one HTML file that needs nothing else: no
// network, no script to be readable, no server. The file says so itself: its
// content security policy lets nothing in but its own style and one script,
// by the script's digest.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"strings"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/blast"
	"databricks-credential-rotation/functions/audit/auditing/escape"
	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/report"
)

var (
	//go:embed page.html
	layout string
	//go:embed page.css
	style string
	//go:embed filter.js
	script string
)

const (
	// maxRows is how many findings the page lists, so that a browser on a
	// phone can show it. JSON and CSV have all.
	maxRows = 2000
	// maxExposures, maxActions and maxResolved are the same for other lists.
	maxExposures = 25
	maxActions   = 500
	maxResolved  = 500
	// firstThings is how many rules the page begins with.
	firstThings = 5
)

// view is what the layout shows.
type view struct {
	*report.Report
	CSP    template.HTMLAttr
	Style  template.CSS
	Script template.JS

	Counts    report.Counts
	First     []report.Group
	Rows      []report.Finding
	Hidden    int
	Just      []report.Resolved
	JustMore  int
	Charts    []chart
	Worst     []blast.Reach
	Actions   []report.Action
	MoreActs  int
	NewCount  int
	Reopened  int
	Unchecked int
	Rules     []string
}

// Render writes the page. Findings must be sorted.
func Render(r *report.Report) ([]byte, error) {
	v := view{
		Report:    r,
		CSP:       policy(),
		Style:     template.CSS(style), //nolint:gosec // our own file
		Script:    template.JS(script), //nolint:gosec // our own file
		Counts:    r.Counts(),
		Rows:      r.Findings[:min(len(r.Findings), maxRows)],
		Hidden:    max(0, len(r.Findings)-maxRows),
		Worst:     r.Exposures[:min(len(r.Exposures), maxExposures)],
		NewCount:  r.WithStatus(report.New),
		Reopened:  r.WithStatus(report.Reopened),
		Unchecked: r.WithStatus(report.Unchecked),
	}
	groups := r.Groups()
	v.First = groups[:min(len(groups), firstThings)]
	seen := map[string]bool{}
	for _, g := range groups {
		if !seen[g.Rule] {
			seen[g.Rule] = true
			v.Rules = append(v.Rules, g.Rule)
		}
	}
	just := r.JustResolved()
	v.Just, v.JustMore = just[:min(len(just), maxResolved)], max(0, len(just)-maxResolved)
	actions := r.Prune.Actions()
	v.Actions, v.MoreActs = actions[:min(len(actions), maxActions)], max(0, len(actions)-maxActions)
	if err := v.draw(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := page.Execute(&b, v); err != nil {
		return nil, fmt.Errorf("write the HTML report: %w", err)
	}
	return b.Bytes(), nil
}

func (v *view) draw() error {
	type drawing struct {
		wanted bool
		draw   func() (chart, error)
	}
	for _, d := range []drawing{
		{len(v.Trend) > 1, func() (chart, error) { return trend(v.Trend) }},
		{len(v.Measures.Ages) > 0, func() (chart, error) { return ages(v.Measures) }},
		{len(v.Measures.LastUse) > 0, func() (chart, error) { return lastUse(v.Measures) }},
		{len(v.Measures.Scopes) > 0, func() (chart, error) { return scopes(v.Measures) }},
	} {
		if !d.wanted {
			continue
		}
		c, err := d.draw()
		if err != nil {
			return err
		}
		v.Charts = append(v.Charts, c)
	}
	return nil
}

// policy is the page's content security policy.
func policy() template.HTMLAttr {
	digest := sha256.Sum256([]byte(script))
	return template.HTMLAttr(fmt.Sprintf( //nolint:gosec // made of a digest
		`content="default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-%s'; base-uri 'none'; form-action 'none'"`,
		base64.StdEncoding.EncodeToString(digest[:])))
}

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"line":  escape.Line,
	"clip":  func(s string) string { return escape.Clip(s, 300) },
	"stamp": stamp,
	"date":  func(t time.Time) string { return t.UTC().Format(time.DateOnly) },
	"word":  report.Word,
	"plural": func(n int, one, many string) string {
		if n == 1 {
			return "1 " + one
		}
		return fmt.Sprintf("%d %s", n, many)
	},
	"words":      func(list []string) string { return strings.Join(list, " ") },
	"commas":     func(list []string) string { return strings.Join(list, ", ") },
	"severities": report.Severities,
	"of":         func(c report.Counts, s finding.Severity) int { return c.Of(s) },
	"score":      func(f float64) string { return fmt.Sprintf("%.1f", f) },
	"command":    command,
	"name": func(s finding.Subject) string {
		if s.Name != "" {
			return s.Name
		}
		return s.ID
	},
	"more": func(n int) int { return n - 1 },
	"zero": func(t time.Time) bool { return t.IsZero() },
}).Parse(layout))

// command tells a command from a sentence, to set it in a face for copying.
func command(remedy string) bool {
	return strings.HasPrefix(remedy, "databricks ") || strings.HasPrefix(remedy, "aws ")
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

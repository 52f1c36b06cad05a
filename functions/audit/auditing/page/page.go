// Package page writes an audit as one HTML file that needs nothing else: no
// network, no script to be readable, no server. The file says so itself: its
// content security policy lets nothing in but its own style and one script,
// by the script's digest.
//
// The page is put together in Go and not by html/template, whose use of
// reflection makes the linker keep every method of every SDK in the function:
// 10 MB of it.
package page

import (
	"bufio"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"time"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"databricks-credential-rotation/functions/audit/auditing/escape"
	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/report"
	"databricks-credential-rotation/shared/pattern"
)

var (
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
	// maxText is the longest text in characters that is shown, maxCommand the
	// longest that is there to be copied.
	maxText    = 300
	maxCommand = 4000
	// maxBrief is the longest remedy among the first things to do, in bytes.
	maxBrief = 400
)

// Write writes the page. Findings must be sorted.
func Write(w io.Writer, r *report.Report) error {
	pictures, err := draw(r)
	if err != nil {
		return err
	}
	title := "Databricks credentials, " + date(r.TakenAt)
	document := h.Doctype(h.HTML(h.Lang("en"),
		h.Head(
			h.Meta(h.Charset("utf-8")),
			h.Meta(g.Attr("http-equiv", "Content-Security-Policy"), h.Content(contentPolicy())),
			h.Meta(h.Name("viewport"), h.Content("width=device-width, initial-scale=1")),
			h.Meta(h.Name("referrer"), h.Content("no-referrer")),
			h.Meta(h.Name("robots"), h.Content("noindex")),
			h.TitleEl(g.Text(title)),
			h.StyleEl(g.Raw(style)),
		),
		h.Body(
			h.A(h.Class("skip"), h.Href("#findings-title"), g.Text("To the findings")),
			header(r, title),
			h.Main(
				todo(r),
				estate(r, pictures),
				findings(r),
				resolved(r),
				exposures(r),
				pruned(r),
				gaps(r),
			),
			h.Script(g.Raw(script)),
		),
	))
	buffered := bufio.NewWriter(w)
	if err := errors.Join(document.Render(buffered), buffered.Flush()); err != nil {
		return fmt.Errorf("write the HTML report: %w", err)
	}
	return nil
}

// contentPolicy is the page's content security policy.
func contentPolicy() string {
	digest := sha256.Sum256([]byte(script))
	return "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" +
		base64.StdEncoding.EncodeToString(digest[:]) + "'; base-uri 'none'; form-action 'none'"
}

// text is somebody else's text: whatever it says, it is shown, and only
// shown. Its direction does not turn what stands beside it.
func text(s string) g.Node { return g.El("bdi", g.Text(escape.Clip(s, maxText))) }

// code is somebody else's text that people may have to type again.
func code(s string) g.Node { return h.Code(g.Text(escape.Clip(s, maxText))) }

// quiet is a remark of ours.
func quiet(s string) g.Node { return h.Span(h.Class("quiet"), g.Text(s)) }

func quietly(children ...g.Node) g.Node { return h.Span(h.Class("quiet"), g.Group(children)) }

// remedy sets a command in a face and a block for copying. A command that is
// too long to be shown whole is not shown at all.
func remedy(s string) g.Node {
	if s = escape.Line(s); len(s) > maxCommand {
		return quiet("The remedy is too long for this page; it is in the JSON of this audit.")
	}
	if command.MatchString(s) {
		return h.Code(h.Class("command"), g.Text(s))
	}
	return g.El("bdi", g.Text(s))
}

// command is how a command begins, after what it takes from the environment.
var command = pattern.New(`^([A-Z][A-Z0-9_]*=\S+ )*(databricks|aws) `)

func name(s finding.Subject) string {
	if s.Name != "" {
		return s.Name
	}
	return s.ID
}

// what names a subject.
func what(s finding.Subject) g.Node {
	return g.Group{g.Text(report.Word(s.Kind) + " "), text(name(s))}
}

func severity(s finding.Severity) g.Node { return h.Strong(h.Class(s.String()), g.Text(s.String())) }

func br() g.Node { return h.Br() }

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// section is a part of the page with a heading that names it.
func section(id, heading string, children ...g.Node) g.Node {
	return h.Section(g.Attr("aria-labelledby", id), h.H2(h.ID(id), g.Text(heading)), g.Group(children))
}

// column is one of a table's.
type column struct{ label, class string }

// cells is a table whose rows become cards where it is narrow. The roles tell
// a reader of the screen that it is a table all the same.
func cells(id, caption string, columns []column, rows []g.Node) g.Node {
	var head []g.Node
	for _, c := range columns {
		head = append(head, h.Th(h.Scope("col"), h.Role("columnheader"), class(c.class), g.Text(c.label)))
	}
	return h.Table(g.If(id != "", h.ID(id)), h.Class("cards"), h.Role("table"),
		g.If(caption != "", h.Caption(g.Text(caption))),
		h.THead(h.Role("rowgroup"), h.Tr(h.Role("row"), g.Group(head))),
		h.TBody(h.Role("rowgroup"), g.Group(rows)),
	)
}

func class(name string) g.Node { return g.If(name != "", h.Class(name)) }

// cell is a field of a row; on a phone its label stands above it.
func cell(c column, children ...g.Node) g.Node {
	return h.Td(h.Role("cell"), g.Attr("data-label", c.label), class(c.class), g.Group(children))
}

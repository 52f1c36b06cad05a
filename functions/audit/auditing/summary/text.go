package summary

import (
	"fmt"
	"strings"

	"databricks-credential-rotation/functions/audit/auditing/escape"
	"databricks-credential-rotation/functions/audit/auditing/prune"
	"databricks-credential-rotation/functions/audit/auditing/report"
)

const (
	// lines are how many entries its other lists have.
	lines = 10
	// maxName and maxRemedy are in characters. A longer remedy is left to the
	// report: a command must not be cut.
	maxName   = 120
	maxRemedy = 1500
	// detailed is how many rules a mail spells out with examples; of the
	// others it has a line each.
	detailed = 10
)

// Text is the audit for a mail, at most so many bytes long. What does not fit
// is left out from the end of the list of findings, and counted.
func Text(r *report.Report, w Where, most int) string {
	tail := rest(r, w)
	head := fmt.Sprintf("%s\nAudit of %s, %s.\n%s\n",
		Subject(r), clock(r.TakenAt), escape.Mail(escape.Clip(r.Deployment, maxName)), changes(r))
	if w.Missing != "" {
		head += "\nTHE FULL REPORT COULD NOT BE STORED\n   " + escape.Mail(escape.Clip(w.Missing, 400)) + "\n"
	}
	if r.DryRun {
		head += "\nThis was a dry run: nothing was changed.\n"
	}
	var b strings.Builder
	b.WriteString(head)
	groups := r.Groups()
	if len(groups) > 0 {
		b.WriteString("\nWHAT TO DO, THE WORST FIRST\n")
	}
	left := len(r.Findings)
	for i, g := range groups {
		var entry string
		switch {
		case i < detailed:
			entry = group(i+1, g)
		case i == detailed:
			entry = "\nMORE, IN THE REPORT\n" + oneLine(g)
		default:
			entry = oneLine(g)
		}
		// The sentence on what is left out must fit as well.
		const reserve = 200
		if b.Len()+len(entry)+len(tail)+reserve > most {
			fmt.Fprintf(&b, "\n%s more, in the report.\n", plural(left, "finding"))
			break
		}
		b.WriteString(entry)
		left -= g.Count
	}
	b.WriteString(tail)
	text := b.String()
	if len(text) > most { // the tail alone is too long
		text = text[:strings.LastIndexByte(text[:most], '\n')+1]
	}
	return text
}

func oneLine(g report.Group) string {
	return fmt.Sprintf("   [%s] %s (%s): %d\n", g.Severity, escape.Mail(escape.Clip(g.Title, maxName)), escape.Mail(escape.Clip(g.Rule, maxName)), g.Count)
}

func group(n int, g report.Group) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%d. [%s] %s (%s)\n", n, g.Severity, escape.Mail(escape.Clip(g.Title, maxName)), escape.Mail(escape.Clip(g.Rule, maxName)))
	for _, f := range g.Examples {
		fmt.Fprintf(&b, "   %s\n", subject(f))
		for _, e := range f.Evidence[:min(len(f.Evidence), 4)] {
			if e.Value == "" {
				continue
			}
			fmt.Fprintf(&b, "     %s: %s\n", escape.Mail(escape.Clip(e.Name, maxName)), escape.Mail(escape.Clip(e.Value, maxName)))
		}
		fmt.Fprintf(&b, "     do: %s\n", remedy(f.Remedy))
	}
	if n := g.Count - len(g.Examples); n > 0 {
		fmt.Fprintf(&b, "   … and %d more with the same fault, in the report\n", n)
	}
	return b.String()
}

// remedy is shown to be copied, so addresses in it stay.
func remedy(s string) string {
	line := escape.Line(s)
	if len(line) > maxRemedy {
		return "see the report: the command is too long for a mail"
	}
	return line
}

func subject(f report.Finding) string {
	parts := []string{report.Word(f.Subject.Kind) + " " + escape.Mail(escape.Clip(name(f.Subject), maxName))}
	if f.Subject.ID != name(f.Subject) {
		parts[0] += " (" + escape.Mail(escape.Clip(f.Subject.ID, maxName)) + ")"
	}
	if f.Subject.Workspace != 0 {
		parts = append(parts, fmt.Sprintf("workspace %d", f.Subject.Workspace))
	}
	if f.Owner != "" {
		parts = append(parts, "owner "+escape.Mail(escape.Clip(f.Owner, maxName)))
	}
	parts = append(parts, since(f))
	return strings.Join(parts, "; ")
}

// since tells how long a finding is known.
func since(f report.Finding) string {
	switch f.Status {
	case report.New:
		return "new"
	case report.Reopened:
		return "back, first seen " + date(f.FirstSeen)
	case report.Unchecked:
		return "could not be checked this time, first seen " + date(f.FirstSeen)
	case report.Open:
		return "since " + date(f.FirstSeen)
	default:
		return string(f.Status)
	}
}

// rest is everything after the findings.
func rest(r *report.Report, w Where) string {
	var b strings.Builder
	if just := r.JustResolved(); len(just) > 0 {
		b.WriteString("\nRESOLVED\n")
		for i, f := range just {
			if more(&b, i, len(just)) {
				break
			}
			fmt.Fprintf(&b, "   %s: %s %s\n", escape.Mail(escape.Clip(f.Title, maxName)), report.Word(f.Subject.Kind), escape.Mail(escape.Clip(name(f.Subject), maxName)))
		}
	}
	pruned(&b, r)
	if len(r.Gaps) > 0 {
		b.WriteString("\nNOT READ, SO NOT JUDGED\n")
		for i, g := range r.Gaps {
			if more(&b, i, len(r.Gaps)) {
				break
			}
			fmt.Fprintf(&b, "   %s: %s: %s\n", escape.Mail(escape.Clip(g.Where, maxName)), escape.Mail(escape.Clip(g.What, maxName)), escape.Mail(escape.Clip(g.Why, 300)))
		}
	}
	if len(r.Exposures) > 0 {
		b.WriteString("\nGREATEST BLAST RADIUS\n")
		for i, x := range r.Exposures[:min(len(r.Exposures), 5)] {
			until := "never ends by itself"
			if !x.Until.IsZero() {
				until = "until " + date(x.Until)
			}
			fmt.Fprintf(&b, "   %d. %s of %s: score %.1f, scopes %s, admin: %s, %s\n", i+1, report.Word(x.Subject.Kind),
				escape.Mail(escape.Clip(x.Holder, maxName)), x.Score, escape.Mail(escape.Clip(strings.Join(x.Scopes, " "), maxName)), escape.Mail(escape.Clip(x.Admin, maxName)), until)
		}
	}
	b.WriteString("\nTHE ESTATE\n   " + estate(r.Measures.Totals) + "\n")
	if w.Missing == "" {
		b.WriteString("\nTHE REPORT\n")
		if w.Link != "" {
			b.WriteString("   " + escape.Line(w.Link) + "\n")
		}
		fmt.Fprintf(&b, "   aws s3 cp %s .\n", escape.Line(w.URI))
	}
	return b.String()
}

func pruned(b *strings.Builder, r *report.Report) {
	actions := r.Prune.Actions()
	if len(actions) == 0 && r.Prune.Plan.Stopped == "" {
		return
	}
	fmt.Fprintf(b, "\nPRUNE (mode %s, right-size %s)\n", r.Prune.Plan.Mode, r.Prune.Plan.RightSize)
	if s := r.Prune.Plan.Stopped; s != "" {
		fmt.Fprintf(b, "   Stopped, nothing was removed: %s\n", escape.Mail(escape.Clip(s, 400)))
	}
	for i, a := range actions {
		if more(b, i, len(actions)) {
			break
		}
		fmt.Fprintf(b, "   %s %s %s: %s; %s", a.Action, report.Word(a.Subject.Kind), escape.Mail(escape.Clip(name(a.Subject), maxName)),
			escape.Mail(escape.Clip(outcome(a), maxName)), escape.Mail(escape.Clip(a.Why, maxName)))
		if a.Action == prune.Narrow {
			fmt.Fprintf(b, "; to %s", escape.Mail(escape.Clip(strings.Join(a.To, " "), maxName)))
		}
		for _, why := range []string{a.Detail, a.Exemption} {
			if why != "" {
				fmt.Fprintf(b, "; %s", escape.Mail(escape.Clip(why, maxName)))
			}
		}
		b.WriteString("\n")
	}
}

// more ends a list that is too long.
func more(b *strings.Builder, i, n int) bool {
	if i < lines {
		return false
	}
	fmt.Fprintf(b, "   … and %d more, in the report\n", n-i)
	return true
}

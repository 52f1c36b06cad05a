package summary

import (
	"encoding/json"
	"fmt"
	"strings"

	"databricks-credential-rotation/functions/audit/auditing/escape"
	"databricks-credential-rotation/functions/audit/auditing/report"
)

// notification is the one form of message that Amazon Q Developer passes on to
// a chat; it drops everything else without a word.
type notification struct {
	Version  string   `json:"version"`
	Source   string   `json:"source"`
	ID       string   `json:"id"`
	Content  content  `json:"content"`
	Metadata metadata `json:"metadata"`
}

type content struct {
	TextType    string   `json:"textType"`
	Title       string   `json:"title"`
	Description string   `json:"description"`
	NextSteps   []string `json:"nextSteps,omitempty"`
	Keywords    []string `json:"keywords,omitempty"`
}

type metadata struct {
	// ThreadID puts the audits of a deployment into one thread.
	ThreadID  string `json:"threadId"`
	Summary   string `json:"summary"`
	EventType string `json:"eventType"`
}

// The limits of a notification are not published. Slack cuts a section at
// 3,000 characters, so that is not exceeded.
const (
	maxDescription = 2800
	maxSteps       = 5
	maxStep        = 250
	maxChatName    = 60
)

// Chat is the audit as a notification for Amazon Q Developer in chat
// applications.
func Chat(r *report.Report, w Where) ([]byte, error) {
	n := notification{
		Version: "1.0",
		Source:  "custom",
		ID:      r.ID,
		Content: content{
			TextType:    "client-markdown",
			Title:       Subject(r),
			Description: describe(r, w),
			NextSteps:   steps(r),
		},
		Metadata: metadata{
			ThreadID:  escape.Clip(r.Deployment, maxName) + "-audit",
			Summary:   Subject(r),
			EventType: "databricks-credential-audit",
		},
	}
	for _, s := range report.Severities() {
		if r.Counts().Of(s) > 0 {
			n.Content.Keywords = append(n.Content.Keywords, s.String())
		}
	}
	document, err := json.Marshal(n)
	if err != nil {
		return nil, fmt.Errorf("encode the chat notification: %w", err)
	}
	return escape.JSON(document), nil
}

func code(s string) string { return escape.Code(escape.Clip(s, maxChatName)) }

func describe(r *report.Report, w Where) string {
	head := changes(r) + "\n"
	if r.DryRun {
		head += "This was a dry run: nothing was changed.\n"
	}
	var tail strings.Builder
	if s := r.Prune.Plan.Stopped; s != "" {
		fmt.Fprintf(&tail, "*Prune stopped*: %s\n", escape.Code(escape.Clip(s, 200)))
	}
	if n := len(r.Gaps); n > 0 {
		fmt.Fprintf(&tail, "*Not read, so not judged*: %s\n", plural(n, "part"))
		for _, g := range r.Gaps[:min(n, 3)] {
			fmt.Fprintf(&tail, "• %s %s\n", code(g.Where), code(g.What))
		}
	}
	switch {
	case w.Missing != "":
		fmt.Fprintf(&tail, "*The full report could not be stored*: %s\n", escape.Code(escape.Clip(w.Missing, 200)))
	case w.Link != "":
		fmt.Fprintf(&tail, "Report: %s\n", w.Link)
	default:
		fmt.Fprintf(&tail, "Report: %s\n", escape.Code(w.URI))
	}
	var b strings.Builder
	b.WriteString(head)
	left := len(r.Findings)
	for _, g := range r.Groups() {
		var entry strings.Builder
		fmt.Fprintf(&entry, "*%s* %s: %d\n", g.Severity, code(g.Title), g.Count)
		for _, f := range g.Examples {
			fmt.Fprintf(&entry, "• %s %s", report.Word(f.Subject.Kind), code(name(f.Subject)))
			if f.Owner != "" {
				fmt.Fprintf(&entry, ", owner %s", code(f.Owner))
			}
			entry.WriteString("\n")
		}
		const reserve = 40
		if len([]rune(b.String()+entry.String()+tail.String()))+reserve > maxDescription {
			fmt.Fprintf(&b, "%s more, in the report\n", plural(left, "finding"))
			break
		}
		b.WriteString(entry.String())
		left -= g.Count
	}
	b.WriteString(tail.String())
	return b.String()
}

// steps are the remedies of the worst rules' first findings.
func steps(r *report.Report) []string {
	var out []string
	for _, g := range r.Groups() {
		if len(out) == maxSteps {
			break
		}
		if s := escape.Code(g.Examples[0].Remedy); len([]rune(s)) <= maxStep {
			out = append(out, s)
		}
	}
	return out
}

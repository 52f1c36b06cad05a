// Package summary says an audit in a few words: a text for e-mail and a
// notification for chats. Both say what to do first and where the rest is.
package summary

import (
	"fmt"
	"strings"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/report"
)

// Where is where the full report is.
type Where struct {
	// Link opens the report in a browser, for people who may read the bucket.
	Link string
	// URI is the report's for the AWS CLI.
	URI string
	// Missing says why there is no full report; empty if there is one.
	Missing string
}

// Subject is the line that stands for the whole audit: at most 100 printable
// ASCII characters, which is what a mail's subject holds in SNS.
func Subject(r *report.Report) string {
	line := "Databricks credentials: " + counts(r.Counts())
	if n := len(r.Gaps); n > 0 {
		line += fmt.Sprintf("; %s not read", plural(n, "part"))
	}
	if r.Prune.Plan.Stopped != "" {
		line += "; prune stopped"
	}
	if len(line) > 100 {
		line = line[:99] + "."
	}
	return line
}

// counts are the open findings in words, the worst first.
func counts(c report.Counts) string {
	var parts []string
	for _, s := range report.Severities() {
		if n := c.Of(s); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	if parts == nil {
		return "no findings"
	}
	return strings.Join(parts, ", ")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// changes tells what is different from the last audit.
func changes(r *report.Report) string {
	if r.Previous == "" {
		return "There is no earlier audit to compare with."
	}
	parts := []string{
		fmt.Sprintf("%d new", r.WithStatus(report.New)),
		fmt.Sprintf("%d resolved", len(r.JustResolved())),
	}
	if n := r.WithStatus(report.Reopened); n > 0 {
		parts = append(parts, fmt.Sprintf("%d back after having been resolved", n))
	}
	if n := r.WithStatus(report.Unchecked); n > 0 {
		parts = append(parts, fmt.Sprintf("%d carried over unchecked", n))
	}
	return "Since the last audit: " + strings.Join(parts, ", ") + "."
}

// estate says what was looked at.
func estate(t report.Totals) string {
	return fmt.Sprintf("%s with %s, %s, %s, %s; %s, %s, %s.",
		plural(t.ServicePrincipals, "service principal"), plural(t.OAuthSecrets, "OAuth secret"), plural(t.Tokens, "token"),
		plural(t.Apps, "OAuth app"), policies(t.FederationPolicies), plural(t.People, "user"), plural(t.Workspaces, "workspace"),
		plural(t.ManagedSecrets, "managed secret"))
}

func policies(n int) string {
	if n == 1 {
		return "1 federation policy"
	}
	return fmt.Sprintf("%d federation policies", n)
}

// name is what to call a subject: its name, or else its id.
func name(s finding.Subject) string {
	if s.Name != "" {
		return s.Name
	}
	return s.ID
}

// outcome is what became of an action, in words.
func outcome(a report.Action) string {
	switch {
	case a.Result != "":
		return string(a.Result)
	case a.State == "due":
		return "due, not done"
	case a.State == "notice":
		return "from " + date(a.DueAt)
	default:
		return string(a.State)
	}
}

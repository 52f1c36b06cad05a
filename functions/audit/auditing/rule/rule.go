// Package rule is what an audit finds fault with. A rule is data, which the
// reference in docs/rules.md is made of, and a small function over the
// inventory and the policy.
package rule

import (
	"databricks-credential-rotation/functions/audit/auditing/finding"
)

// Rule is one kind of fault.
type Rule struct {
	// ID names the rule for good: findings are compared by it from audit to
	// audit.
	ID string
	// Title is the fault in one line.
	Title    string
	Severity finding.Severity
	// Practice is what good practice the rule serves.
	Practice Practice
	// What tells when the rule applies, Why what is wrong with that, Remedy
	// what to do. Each is one or more sentences.
	What, Why, Remedy string
	// Command is what to run, where a command will do: words, in single quotes
	// where they have blanks, in which <name> stands for a value. A word that
	// begins with a brace is JSON.
	Command string
}

// Practice is a good practice that rules serve.
type Practice string

// Practices.
const (
	RemoveUnused     Practice = "Audit all tokens and remove unused ones"
	ServicePrincipal Practice = "Let automation be service principals, with scoped permissions"
	NarrowScopes     Practice = "Map scopes to what a job or a query needs"
	Rotate           Practice = "Rotate on a fixed schedule"
	WatchUse         Practice = "Watch usage logs for patterns that nobody authorized"
	TwoLayers        Practice = "Use OAuth scopes and access-control lists together, as layers"
	SmallBlastRadius Practice = "Keep the blast radius of a leaked credential small"
	SeeEverything    Practice = "Know what you could not see"
)

// Values fill a rule's command or remedy. A value is text, a number, or a list
// of texts.
type Values map[string]any

// Finding is what the rule says about a subject. Detail tells apart several
// findings about one subject, and is usually empty.
func (r Rule) Finding(s finding.Subject, detail, owner string, v Values, evidence ...finding.Evidence) finding.Finding {
	f := finding.Finding{
		ID: finding.StableID(r.ID, s, detail), Rule: r.ID, Severity: r.Severity,
		Subject: s, Title: r.Title, Evidence: evidence, Owner: owner,
	}
	if r.Command != "" {
		if command, ok := render(r.Command, v); ok {
			f.Remedy = command
			return f
		}
	}
	f.Remedy = fill(r.Remedy, v)
	return f
}

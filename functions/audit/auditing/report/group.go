package report

import (
	"cmp"
	"slices"
	"strings"

	"databricks-credential-rotation/functions/audit/auditing/finding"
)

// Word is a kind of subject in a sentence.
func Word(k finding.Kind) string {
	switch k {
	case finding.OAuthSecret:
		return "OAuth secret"
	case finding.App:
		return "OAuth app"
	case finding.Source:
		return "not read"
	case finding.Token, finding.FederationPolicy, finding.ServicePrincipal, finding.ManagedSecret, finding.Person:
		return strings.ReplaceAll(string(k), "-", " ")
	default:
		return string(k)
	}
}

// Group are the findings of one rule.
type Group struct {
	Rule     string
	Title    string
	Severity finding.Severity
	// Count is how many there are.
	Count int
	// Examples are the first of them, by subject.
	Examples []Finding
}

// maxExamples is how many findings a group keeps.
const maxExamples = 3

// Groups are the report's findings by rule, the most severe rule first and
// the one with more findings first among equals. Two hundred tokens with one
// fault are one thing to do.
func (r *Report) Groups() []Group {
	type key struct {
		rule     string
		severity finding.Severity
	}
	at := map[key]int{}
	var groups []Group
	for i := range r.Findings {
		f := r.Findings[i]
		k := key{f.Rule, f.Severity}
		n, ok := at[k]
		if !ok {
			n = len(groups)
			at[k] = n
			groups = append(groups, Group{Rule: f.Rule, Title: f.Title, Severity: f.Severity})
		}
		if groups[n].Count++; groups[n].Count <= maxExamples {
			groups[n].Examples = append(groups[n].Examples, *f)
		}
	}
	slices.SortStableFunc(groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Rule, b.Rule))
	})
	return groups
}

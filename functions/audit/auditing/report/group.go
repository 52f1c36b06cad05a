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
	// Findings are sorted as in the report: by subject.
	Findings []Finding
}

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
	for _, f := range r.Findings {
		k := key{f.Rule, f.Severity}
		i, ok := at[k]
		if !ok {
			i = len(groups)
			at[k] = i
			groups = append(groups, Group{Rule: f.Rule, Title: f.Title, Severity: f.Severity})
		}
		groups[i].Findings = append(groups[i].Findings, f)
	}
	slices.SortStableFunc(groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(len(b.Findings), len(a.Findings)), cmp.Compare(a.Rule, b.Rule))
	})
	return groups
}

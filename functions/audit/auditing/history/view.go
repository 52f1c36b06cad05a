package history

import (
	"slices"

	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/report"
)

// view is what this audit could not see.
type view struct {
	// now are all gaps by name; news are those that the last audit had not.
	now  map[string]bool
	news []report.Gap
}

func newView(last, now []report.Gap) view {
	v := view{now: map[string]bool{}}
	before := map[string]bool{}
	for _, g := range last {
		before[g.Name()] = true
	}
	for _, g := range now {
		if !before[g.Name()] && !v.now[g.Name()] {
			v.news = append(v.news, g)
		}
		v.now[g.Name()] = true
	}
	return v
}

// hiding names the gaps behind which a finding may still be. A gap that was
// there when the finding was last seen does not hide it: it was seen all the
// same. So a workspace that can never be read does not keep findings of the
// account open for ever.
func (v view) hiding(f *report.Finding) []string {
	var names []string
	for _, name := range f.HiddenBy {
		if v.now[name] {
			names = append(names, name)
		}
	}
	for _, g := range v.news {
		if mayHide(g, f.Finding) && !slices.Contains(names, g.Name()) {
			names = append(names, g.Name())
		}
	}
	return names
}

// mayHide errs on the side of hiding: a finding that is carried over for a day
// too long harms less than one that is closed and was not mended.
func mayHide(g report.Gap, f finding.Finding) bool {
	if f.Subject.Kind == finding.Source {
		return false // it is the gap, and is there or is not
	}
	switch g.Part {
	case report.PartWorkspace:
		// What is known of an identity of the account comes from its workspaces.
		return f.Subject.Workspace == 0 || f.Subject.Workspace == g.Workspace
	case report.PartAWS:
		// Which OAuth secrets are ours, only Secrets Manager tells.
		return f.Subject.Kind == finding.ManagedSecret || f.Subject.Kind == finding.OAuthSecret || f.Subject.Kind == finding.ServicePrincipal
	case report.PartUsage, report.PartAccount, report.PartAudit:
		return true
	default:
		return true
	}
}

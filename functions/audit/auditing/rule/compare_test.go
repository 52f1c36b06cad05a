package rule_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/functions/audit/auditing/rule"
)

// judge collects what is found.
func judge(e *rule.Estate, by func(*rule.Estate, func(finding.Finding)) []inventory.Gap) (found []finding.Finding, gaps []inventory.Gap) {
	gaps = by(e, func(f finding.Finding) { found = append(found, f) })
	return found, gaps
}

func compare(t *testing.T, found []finding.Finding, want []string) {
	t.Helper()
	var got []string
	for _, f := range found {
		got = append(got, f.Rule+" "+f.Subject.ID)
		if f.ID == "" || f.Title == "" || f.Remedy == "" || len(f.Evidence) == 0 {
			t.Errorf("finding %s %s leaves something out: %+v", f.Rule, f.Subject.ID, f)
		}
		for _, e := range f.Evidence {
			if e.Name == "" {
				t.Errorf("finding %s %s has evidence without a name", f.Rule, f.Subject.ID)
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

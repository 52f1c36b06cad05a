package auditing_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/audit/auditing"
	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/rule"
)

//go:generate go test -run ^TestReference$ -update

var update = flag.Bool("update", false, "write what the tests compare with")

// The reference in docs is made of the rules and must say what they say.
func TestReference(t *testing.T) {
	const path = "../../../docs/rules.md"
	got := reference(auditing.Rules())
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("docs/rules.md has drifted from the rules; go generate ./functions/audit/... writes it anew (-is +should be):\n%s", diff)
	}
	seen := map[string]bool{}
	for _, r := range auditing.Rules() {
		if seen[r.ID] {
			t.Errorf("two rules have the id %s", r.ID)
		}
		seen[r.ID] = true
	}
}

func reference(rules []rule.Rule) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# What an audit finds fault with

%d rules. This page is made of the rules themselves (`+"`go generate ./functions/audit/...`"+`);
a test fails when it differs from them. Names such as `+"`audit.unused_after`"+` are
fields of the [policy](policy.md). In a finding, what stands in angle brackets
here is filled in and quoted for a shell.

| rule | severity | |
|---|---|---|
`, len(rules))
	for _, r := range rules {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s |\n", r.ID, r.ID, r.Severity, r.Title)
	}
	var practices []rule.Practice
	for _, r := range rules {
		if !slices.Contains(practices, r.Practice) {
			practices = append(practices, r.Practice)
		}
	}
	b.WriteString("\n## By practice\n\n")
	for _, p := range practices {
		var ids []string
		for _, r := range rules {
			if r.Practice == p {
				ids = append(ids, fmt.Sprintf("[%s](#%s)", r.ID, r.ID))
			}
		}
		fmt.Fprintf(&b, "- **%s:** %s\n", p, strings.Join(ids, ", "))
	}
	for _, s := range []finding.Severity{finding.Critical, finding.High, finding.Medium, finding.Low, finding.Info} {
		heading := false
		for _, r := range rules {
			if r.Severity != s {
				continue
			}
			if !heading {
				heading = true
				name := s.String()
				fmt.Fprintf(&b, "\n## %s\n", strings.ToUpper(name[:1])+name[1:])
			}
			// The heading is the id, so that a link to it is stable.
			fmt.Fprintf(&b, "\n### %s\n\n**%s.** %s\n\n*Why:* %s\n\n*Remedy:* %s\n", r.ID, r.Title, markdown(r.What), markdown(r.Why), markdown(r.Remedy))
			if r.Command != "" {
				fmt.Fprintf(&b, "\n```sh\n%s\n```\n", r.Command)
			}
		}
	}
	return b.String()
}

// markdown keeps placeholders from being taken for HTML.
func markdown(s string) string {
	return strings.NewReplacer("<", "‹", ">", "›").Replace(s)
}

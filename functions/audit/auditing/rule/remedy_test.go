package rule_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/audit/auditing/rule"
)

var update = flag.Bool("update", false, "write what the tests compare with")

// Each remedy as it reads with real ids. A command that could not be written
// would show as a sentence here.
func TestRemedies(t *testing.T) {
	lines := map[string]string{}
	for _, c := range cases() {
		w := healthy()
		c.spoil(w)
		found, _ := judge(rule.NewEstate(w.Inventory, w.policy, place), rule.Judge)
		for _, f := range found {
			if old, ok := lines[f.Rule]; !ok || f.Remedy < old {
				lines[f.Rule] = f.Remedy
			}
		}
	}
	var b strings.Builder
	for _, r := range rule.Rules() {
		fmt.Fprintf(&b, "%s\n\t%s\n", r.ID, lines[r.ID])
	}
	golden(t, "testdata/remedies.txt", b.String())
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; run with -update if that is right (-is +should be):\n%s", path, diff)
	}
}

package policy_test

import (
	"errors"
	"flag"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v4"

	"databricks-credential-rotation/shared/policy"
)

var update = flag.Bool("update", false, "write the messages of testdata/broken anew")

// same compares policies, for which an empty list is no list.
func same(want, got policy.Policy) string {
	return cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Prefix{}))
}

// Each document of testdata/broken gets exactly the message beside it.
func TestBrokenDocuments(t *testing.T) {
	documents, err := filepath.Glob(filepath.Join("testdata", "broken", "*.yaml"))
	if err != nil || len(documents) < 20 {
		t.Fatalf("%d documents, %v", len(documents), err)
	}
	for _, path := range documents {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			document, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := policy.Parse(document)
			var invalid *policy.InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("error %v, want faults", err)
			}
			if diff := same(policy.Policy{}, got); diff != "" {
				t.Errorf("a policy came with the error: %s", diff)
			}
			golden := strings.TrimSuffix(path, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, readErr := os.ReadFile(golden)
			if readErr != nil {
				t.Fatal(readErr)
			}
			if diff := cmp.Diff(string(want), err.Error()+"\n"); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The documents of testdata/valid, the default and the example in the manual
// are policies, and remain the same when they are written and read again.
func TestValidDocuments(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("testdata", "valid", "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d documents, %v", len(paths), err)
	}
	documents := map[string][]byte{"default": policy.DefaultDocument, "manual": manualExample(t)}
	for _, path := range paths {
		if documents[path], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	for name, document := range documents {
		t.Run(name, func(t *testing.T) {
			p, err := policy.Parse(document)
			if err != nil {
				t.Fatal(err)
			}
			roundTrip(t, p)
		})
	}
}

func roundTrip(t *testing.T, p policy.Policy) {
	t.Helper()
	if err := p.Validate(); err != nil {
		t.Errorf("what was read does not hold: %v", err)
	}
	encoded, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := policy.Parse(encoded)
	if err != nil {
		t.Fatalf("%v in\n%s", err, encoded)
	}
	if diff := same(p, again); diff != "" {
		t.Errorf("(-first +second):\n%s", diff)
	}
}

// manualExample is the example in docs/policy.md.
func manualExample(t *testing.T) []byte {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "policy.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(page), "## A full example")
	_, after, _ = strings.Cut(after, "```yaml\n")
	example, _, found := strings.Cut(after, "```")
	if !found {
		t.Fatal("the manual has no example")
	}
	return []byte(example)
}

// What a document leaves out is the default, and the default document leaves
// nothing out.
func TestDefaultDocument(t *testing.T) {
	for name, document := range map[string][]byte{"default.yaml": policy.DefaultDocument, "least": []byte("version: 1")} {
		p, err := policy.Parse(document)
		if err != nil {
			t.Fatal(err)
		}
		if diff := same(policy.Default(), p); diff != "" {
			t.Errorf("%s (-Default() +read):\n%s", name, diff)
		}
	}
	encoded, err := policy.Default().Encode()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(keys(t, encoded), keys(t, policy.DefaultDocument)); diff != "" {
		t.Errorf("fields (-Default() +default.yaml):\n%s", diff)
	}
}

// keys lists the paths of a document's mappings.
func keys(t *testing.T, document []byte) []string {
	t.Helper()
	var root map[string]any
	if err := yaml.Load(document, &root); err != nil {
		t.Fatal(err)
	}
	paths := map[string]bool{}
	var walk func(node any, path string)
	walk = func(node any, path string) {
		if inner, ok := node.(map[string]any); ok {
			for key, value := range inner {
				paths[path+"."+key] = true
				walk(value, path+"."+key)
			}
		}
	}
	walk(root, "")
	return slices.Sorted(maps.Keys(paths))
}

// A part of a mapping does not take the defaults of the rest away, and a list
// replaces the default's.
func TestPartsOfSections(t *testing.T) {
	p, err := policy.Parse([]byte("version: 1\nbudgets: {rotate: {count: 7}}\naudit: {broad_scopes: [apps], workspaces: all}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := policy.Default()
	want.Budgets.Rotate.Count, want.Audit.BroadScopes = 7, []string{"apps"}
	if diff := same(want, p); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSizeLimit(t *testing.T) {
	fill := func(size int) []byte {
		const document = "version: 1\n#"
		return []byte(document + strings.Repeat("x", size-len(document)))
	}
	if _, err := policy.Parse(fill(policy.MaxSize)); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	_, err := policy.Parse(fill(policy.MaxSize + 1))
	if err == nil || err.Error() != "invalid: it is over 256 KiB" {
		t.Errorf("over the limit: %v", err)
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]string{
		"30d": "720h0m0s", "1d": "24h0m0s", "24h": "24h0m0s", "36h": "36h0m0s", "90m": "1h30m0s", "45s": "45s", "3650d": "87600h0m0s",
	} {
		d, err := policy.ParseDuration(text)
		if err != nil || d.String() != want {
			t.Errorf("%s is %v, %v; want %s", text, d, err, want)
		}
		again, err := policy.ParseDuration(policy.FormatDuration(d))
		if err != nil || again != d {
			t.Errorf("%s is shown as %s, which is %v, %v", text, policy.FormatDuration(d), again, err)
		}
	}
	for _, text := range []string{"", "d", "30", "0d", "-1d", "+1d", "1.5h", "1h30m", "30 d", "3651d", "315360001s", "99999999999999999999d", "1w", "１d"} {
		if d, err := policy.ParseDuration(text); err == nil {
			t.Errorf("%q is taken for %v", text, d)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(policy.DefaultDocument)
	paths, err := filepath.Glob(filepath.Join("testdata", "*", "*.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		document, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(document)
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		p, err := policy.Parse(document)
		if err == nil {
			roundTrip(t, p)
			return
		}
		var invalid *policy.InvalidError
		if !errors.As(err, &invalid) || len(invalid.Faults) == 0 {
			t.Fatalf("error %v, want faults", err)
		}
		// YAML breaks lines at these, too.
		lines := 1
		for _, br := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
			lines += strings.Count(string(document), br)
		}
		for _, fault := range invalid.Faults {
			if fault.Message == "" || fault.Line < 0 || fault.Line > lines+1 {
				t.Errorf("%+v in a document of %d lines", fault, lines)
			}
		}
	})
}

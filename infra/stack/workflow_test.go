package stack_test

import (
	"path/filepath"
	"regexp"
	"testing"
)

// A tag can be moved to another commit, a digest cannot.
func TestActionsArePinnedByDigest(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, ".github", "workflows", "*.yml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d workflows, %v", len(files), err)
	}
	pinned := regexp.MustCompile(`^[A-Za-z0-9_./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	for _, file := range files {
		path, err := filepath.Rel(root, file)
		if err != nil {
			t.Fatal(err)
		}
		for _, use := range regexp.MustCompile(`(?m)^\s*(?:- )?uses:\s*(.+?)\s*$`).FindAllStringSubmatch(read(t, path), -1) {
			if !pinned.MatchString(use[1]) {
				t.Errorf("%s: %s is not pinned by a digest, with its version beside it", path, use[1])
			}
		}
	}
}

package policy

import (
	_ "embed"
	"fmt"
	"reflect"
	"slices"
)

// MaxSize is the largest document that is read, in bytes: some two thousand
// principals with their roles.
const MaxSize = 256 << 10

// DefaultDocument is the policy of a deployment that has none of its own, with
// the reason for each default. [Default] returns the same.
//
//go:embed default.yaml
var DefaultDocument []byte

// Parse reads a document. Its error is an [*InvalidError] with every fault.
func Parse(document []byte) (Policy, error) {
	if len(document) > MaxSize {
		return Policy{}, invalid([]Fault{{Message: fmt.Sprintf("it is over %d KiB", MaxSize>>10)}})
	}
	schema, err := loadSchema()
	if err != nil {
		return Policy{}, err
	}
	t := readTree(document)
	if t.root == nil {
		return Policy{}, invalid(t.faults)
	}
	// What has a fault is looked at no further, so that one mistake is one
	// fault; everything else is.
	faults := t.faults
	for _, f := range t.misfits(schema) {
		if !slices.ContainsFunc(t.faults, func(g Fault) bool { return g.Path != "" && within(f.Path, g.Path) }) {
			faults = append(faults, f)
		}
	}
	root, ok := t.root.(map[string]any)
	if !ok {
		return Policy{}, invalid(faults)
	}
	p := Default()
	decoder{
		broken: func(path string) bool {
			return slices.ContainsFunc(faults, func(f Fault) bool { return f.Path == path })
		},
		fault: func(path, format string, args ...any) {
			faults = append(faults, Fault{t.line(path), path, fmt.Sprintf(format, args...)})
		},
	}.structure(root, "", reflect.ValueOf(&p).Elem())
	p.check(func(paths []string, format string, args ...any) {
		for _, path := range paths {
			if slices.ContainsFunc(faults, func(f Fault) bool { return f.Path != "" && (within(path, f.Path) || within(f.Path, path)) }) {
				return
			}
		}
		faults = append(faults, Fault{t.line(paths[0]), paths[0], fmt.Sprintf(format, args...)})
	})
	if len(faults) > 0 {
		return Policy{}, invalid(faults)
	}
	return p, nil
}

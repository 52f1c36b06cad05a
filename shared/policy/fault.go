package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong with a policy.
type Fault struct {
	// Line is where, counted from 1, zero if the policy is no document.
	Line int
	// Path is the field, such as roles.etl.scopes[1], empty for the document.
	Path string
	// Message says what is wrong, and what would be right.
	Message string
}

// String is the fault in one line.
func (f Fault) String() string {
	var b strings.Builder
	if f.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", f.Line)
	}
	if f.Path != "" {
		b.WriteString(f.Path + ": ")
	}
	b.WriteString(f.Message)
	return b.String()
}

// InvalidError is every fault of a policy, in the order of the document.
type InvalidError struct{ Faults []Fault }

// Error is one line for each fault, if there are several.
func (e *InvalidError) Error() string {
	if len(e.Faults) == 1 {
		return "invalid: " + e.Faults[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "invalid, with %d faults:", len(e.Faults))
	for _, f := range e.Faults {
		b.WriteString("\n" + f.String())
	}
	return b.String()
}

// invalid is nil if there are no faults.
func invalid(faults []Fault) error {
	if len(faults) == 0 {
		return nil
	}
	// A fault that two checks find is one fault.
	slices.SortFunc(faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
	})
	return &InvalidError{Faults: slices.Compact(faults)}
}

package show

import (
	"errors"
	"fmt"
	"time"

	"databricks-credential-rotation/infra/sandbox/consumer"
	"databricks-credential-rotation/infra/sandbox/fleet"
	"databricks-credential-rotation/infra/sandbox/leak"
	"databricks-credential-rotation/infra/sandbox/ledger"
	"databricks-credential-rotation/infra/sandbox/terminal"
)

const (
	// minReads is how many reads without a failure count as evidence.
	minReads = 1000
	// maxElapsed is how long the show may take after the functions are built.
	maxElapsed = 75 * time.Second
)

// Result is what the show came to.
type Result struct {
	// Expectations are all that was checked, in order.
	Expectations []Expectation
	// Rotations are the credentials that the first sweep replaced.
	Rotations []Rotation
	// Shared are the calls of the first sweep that no single secret caused.
	Shared ledger.Count
	// Readers is what the applications did in the whole show.
	Readers consumer.Count
	// Leak is the search for secrets in logs, errors and output.
	Leak leak.Search
	// Elapsed is the time from the start of the clouds to the end.
	Elapsed time.Duration
}

// Rotation is one replaced credential and what it cost.
type Rotation struct {
	Secret string
	Fate   fleet.Fate
	Scoped bool
	Calls  ledger.Calls
}

// Expectation is one thing that must hold, and nil if it does.
type Expectation struct {
	What string
	Err  error
}

// Failed are the expectations that do not hold.
func (r Result) Failed() []Expectation {
	var failed []Expectation
	for _, e := range r.Expectations {
		if e.Err != nil {
			failed = append(failed, e)
		}
	}
	return failed
}

// expect records an expectation, and shows one that does not hold at once.
func (s *Show) expect(what string, err error) {
	s.result.Expectations = append(s.result.Expectations, Expectation{what, err})
	if err == nil {
		s.screen.Line("  %s %s", s.screen.Paint(terminal.Green, "✓"), what)
		return
	}
	s.screen.Line("  %s", s.screen.Paint(terminal.Red, "✗ "+what+":"))
	s.screen.Line("%s", s.screen.Paint(terminal.Red, terminal.Indent("      ", err.Error())))
}

// members checks something of each member and joins what is wrong.
func members(list []fleet.Member, check func(fleet.Member) error) error {
	var faults []error
	for _, m := range list {
		if err := check(m); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", m.Name, err))
		}
	}
	return errors.Join(faults...)
}

package show

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"databricks-credential-rotation/infra/sandbox/consumer"
	"databricks-credential-rotation/infra/sandbox/fleet"
	"databricks-credential-rotation/infra/sandbox/leak"
	"databricks-credential-rotation/infra/sandbox/stage"
	"databricks-credential-rotation/infra/sandbox/terminal"
)

// reckon sums the show up and checks what holds for all of it.
func (s *Show) reckon() {
	s.result.Readers = s.readers.Count()
	s.result.Elapsed = time.Since(s.began)
	s.tellEnd()
	s.tellCost()

	s.screen.Heading("What must hold at every moment")
	readers := s.result.Readers
	s.screen.Line("  readers of %d secrets, all along: %s", readers.Secrets, describe(readers))
	s.expect(fmt.Sprintf("no reader was ever refused, in at least %d reads", minReads), judgeReaders(readers))
	s.expect("the secret without the tag was never touched", func() error {
		if !s.untouched() {
			return errors.New(s.fleet.Unmanaged.Name + " is not what it was")
		}
		return nil
	}())
	s.expect("neither simulator was asked for anything that it does not know", func() error {
		if unknown := s.stage.Unknown(); len(unknown) > 0 {
			return fmt.Errorf("it was asked for %v", unknown)
		}
		return nil
	}())
	history, err := s.history()
	if err == nil {
		err = judgeTrail(history)
	}
	s.screen.Line("  %d entries of the trail in s3://%s", len(history.entries), stage.DataBucket)
	s.expect("the trail tells of every OAuth secret created and deleted, before and after", err)
	s.result.Leak = s.search(history.text())
	s.screen.Line("  %d secret values and tokens were given out; searched %d KB of logs at level DEBUG, the trail, errors and this output",
		s.result.Leak.Values, (s.result.Leak.Bytes+1023)/1024)
	s.expect("none of them is in there", judgeLeak(s.result.Leak))
	s.expect(fmt.Sprintf("the show is over within %v", maxElapsed), func() error {
		if s.result.Elapsed > maxElapsed {
			return fmt.Errorf("it took %v", s.result.Elapsed.Round(time.Second))
		}
		return nil
	}())
}

func judgeReaders(c consumer.Count) error {
	switch {
	case c.Failures > 0:
		return fmt.Errorf("%d of %d reads and %d authentications failed", c.Failures, c.Reads, c.Authentications)
	case c.Reads < minReads:
		return fmt.Errorf("there were only %d reads", c.Reads)
	}
	return nil
}

// judgeLeak also wants that there was something to find, and something to find
// it in.
func judgeLeak(l leak.Search) error {
	switch {
	case len(l.Found) > 0:
		return fmt.Errorf("found in %v", l.Found)
	case l.Values == 0 || l.Bytes == 0:
		return fmt.Errorf("%d values were looked for in %d bytes", l.Values, l.Bytes)
	}
	return nil
}

// tellEnd shows the fleet as it is at the end.
func (s *Show) tellEnd() {
	s.screen.Heading("The fleet at the end, after %v", s.result.Elapsed.Round(100*time.Millisecond))
	var rows [][]terminal.Cell
	for _, m := range s.fleet.Managed {
		c := s.fleet.Condition(m)
		verdict := terminal.Cell{Text: "works", Style: terminal.Green}
		if !c.Works {
			verdict = terminal.Cell{Text: "does not work", Style: terminal.Yellow}
		}
		rows = append(rows, []terminal.Cell{
			{Text: m.Name}, {Text: m.Level}, {Text: short(c.Current)}, {Text: age(c.Age)}, {Text: strconv.Itoa(len(c.Live))}, verdict,
		})
	}
	s.screen.Table([]string{"secret", "level", "OAuth secret", "age", "live", "AWSCURRENT"}, rows)
}

func (s *Show) untouched() bool {
	c := s.fleet.Condition(s.fleet.Unmanaged)
	return c.Works && len(c.Live) == 1 && len(s.stage.AWS.Versions(s.fleet.Unmanaged.Name)) == 1
}

// Limits of what one rotation by a sweep may cost.
const (
	writesPerRotation = 1
	callsPerRotation  = 3
	// One more reads the new secret's scopes back.
	callsPerScopedRotation = 4
	// An orphan is looked at once more before it is removed, when the run
	// knows how many it would remove in all.
	callsPerOrphan = 1
)

// tellCost shows what the first sweep's rotations cost in calls.
func (s *Show) tellCost() {
	s.screen.Heading("What a rotation costs, in calls")
	groups := []struct {
		name string
		in   func(Rotation) bool
	}{
		{"rotated, unrestricted", func(r Rotation) bool { return r.Fate == fleet.Rotated && !r.Scoped && r.Calls.Deletes == 0 }},
		{"the same, and an orphan removed", func(r Rotation) bool { return r.Fate == fleet.Rotated && r.Calls.Deletes > 0 }},
		{"rotated, scoped", func(r Rotation) bool { return r.Fate == fleet.Rotated && r.Scoped }},
		{"first issue", func(r Rotation) bool { return r.Fate == fleet.Issued }},
		{"filled by hand, adopted", func(r Rotation) bool { return r.Fate == fleet.Adopted }},
	}
	var rows [][]terminal.Cell
	for _, group := range groups {
		var lists, creates, proofs, directory, calls, writes, n int
		for _, r := range s.result.Rotations {
			if group.in(r) {
				n++
				lists, creates, proofs, directory = lists+r.Calls.Lists, creates+r.Calls.Creates, proofs+r.Calls.Proofs, directory+r.Calls.Directory
				calls, writes = calls+r.Calls.BeforeRetirement(), writes+r.Calls.Writes
			}
		}
		row := []terminal.Cell{{Text: group.name}, {Text: strconv.Itoa(n)}, {Text: per(writes, n)}, {Text: per(calls, n)}}
		row = append(row, terminal.Cell{Text: fmt.Sprintf("list %s, create %s, token %s, directory %s",
			per(lists, n), per(creates, n), per(proofs, n), per(directory, n)), Style: terminal.Dim})
		rows = append(rows, row)
	}
	s.screen.Table([]string{"each rotation by the first sweep", "n", "Secrets Manager writes", "Databricks calls", "of which"}, rows)
	shared := s.result.Shared
	s.screen.Line("  Not in the table: what the sweep's %d secrets share. Secrets Manager, list and batch reads: %d (%.2f a secret);",
		len(s.fleet.Managed), shared.SharedReads, float64(shared.SharedReads)/float64(len(s.fleet.Managed)))
	s.screen.Line("  the rotator's own tokens, STS and Databricks: %d; directory listings, one for each host and each secret filled by hand: %d.",
		shared.Exchanges, shared.Directory)
	s.expect("a rotation is one write to Secrets Manager and three calls to Databricks, one more if it is scoped, one more if an orphan goes", s.judgeCost())
}

// judgeCost leaves first issues and adoptions out but for the write: they
// look up what is not known yet.
func (s *Show) judgeCost() error {
	var faults []error
	for _, r := range s.result.Rotations {
		limit := callsPerRotation
		if r.Scoped {
			limit = callsPerScopedRotation
		}
		if r.Calls.Deletes > 0 {
			limit += callsPerOrphan
		}
		// Without a token request the new credential was never proven to work.
		if r.Calls.Writes != writesPerRotation || r.Calls.Creates != 1 || r.Calls.Proofs < 1 || r.Fate == fleet.Rotated && r.Calls.BeforeRetirement() > limit {
			faults = append(faults, fmt.Errorf("%s took %d writes and %d calls: %+v", r.Secret, r.Calls.Writes, r.Calls.BeforeRetirement(), r.Calls))
		}
	}
	if !slices.ContainsFunc(s.result.Rotations, func(r Rotation) bool { return r.Scoped }) {
		faults = append(faults, errors.New("there was no scoped rotation"))
	}
	return errors.Join(faults...)
}

func per(sum, n int) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f", float64(sum)/float64(n))
}

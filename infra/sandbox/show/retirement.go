package show

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"databricks-credential-rotation/infra/sandbox/fleet"
)

// playPatience sweeps again at once, while every predecessor is in its grace.
func (s *Show) playPatience(ctx context.Context) error {
	s.screen.Heading("A sweep within the grace period")
	i, err := s.invoke(ctx, sweepEvent, "sweeping")
	if err != nil {
		return err
	}
	s.screen.Line("  in %v", i.took.Round(time.Millisecond))
	s.expect("it changes nothing: nobody's predecessor is deleted early", judgeUnchanged(i))
	return nil
}

// playRetirement is the first sweep after the grace period.
func (s *Show) playRetirement(ctx context.Context) error {
	s.screen.Heading("The grace period passes")
	// Times on the wire are rounded to the millisecond.
	over := time.Now().Add(s.config.Grace + 100*time.Millisecond)
	stop := s.watch(func() string {
		return fmt.Sprintf("grace ends in %v", max(time.Until(over), 0).Round(100*time.Millisecond))
	})
	select {
	case <-time.After(time.Until(over)):
	case <-ctx.Done():
	}
	stop()
	if err := ctx.Err(); err != nil {
		return err
	}
	s.screen.Line("  %v later; the readers so far: %s", s.config.Grace, describe(s.readers.Count()))
	i, err := s.invoke(ctx, sweepEvent, "sweeping")
	if err != nil {
		return err
	}
	deleted := 0
	for _, outcome := range i.outcomes {
		deleted += len(outcome.Retired)
	}
	s.screen.Line("  The next sweep, in %v, deletes %d predecessors", i.took.Round(time.Millisecond), deleted)
	s.expect("one sweep after its grace period no predecessor is left", s.judgeSettled(i))
	return nil
}

// judgeSettled wants nothing alive but what is current, and what belongs to
// others.
func (s *Show) judgeSettled(i invocation) error {
	return members(s.fleet.Managed, func(m fleet.Member) error {
		after := i.after[m.Name]
		for _, id := range after.Live {
			if id != after.Current && !slices.Contains(m.Foreign, id) {
				return fmt.Errorf("OAuth secret %s is still there", short(id))
			}
		}
		if len(after.Live) != len(m.Foreign)+1 {
			return fmt.Errorf("%d OAuth secrets are left, want %d", len(after.Live), len(m.Foreign)+1)
		}
		return nil
	})
}

// playQuiet sweeps once more: there is nothing left to do.
func (s *Show) playQuiet(ctx context.Context) error {
	s.screen.Heading("Every sweep after that")
	i, err := s.invoke(ctx, sweepEvent, "sweeping")
	if err != nil {
		return err
	}
	s.screen.Line("  in %v; the two secrets that wait for a person are reported again", i.took.Round(time.Millisecond))
	s.expect("a sweep with nothing to do changes nothing in either cloud", judgeUnchanged(i))
	s.expect("and it still reports the two, and nothing else", s.judgeBlocks(i))
	return nil
}

// playReconcile is the daily run that takes nothing for granted.
func (s *Show) playReconcile(ctx context.Context) error {
	s.screen.Heading("The daily reconcile")
	i, err := s.invoke(ctx, reconcileEvent, "reconciling")
	if err != nil {
		return err
	}
	s.screen.Line("  in %v: every principal's OAuth secrets listed, every current credential tried", i.took.Round(time.Millisecond))
	s.expect("a reconcile finds nothing to mend", errors.Join(judgeUnchanged(i), s.judgeBlocks(i), s.judgeSettled(i)))
	return nil
}

func judgeUnchanged(i invocation) error {
	var faults []error
	for _, call := range i.calls.Mutations {
		faults = append(faults, fmt.Errorf("it made the call %s", call))
	}
	for name, before := range i.before {
		if after := i.after[name]; before.Version != after.Version || !slices.Equal(before.Live, after.Live) {
			faults = append(faults, fmt.Errorf("%s is not what it was", name))
		}
	}
	return errors.Join(faults...)
}

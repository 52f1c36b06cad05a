package show

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"databricks-credential-rotation/infra/sandbox/fleet"
)

// playSweep is the hourly schedule, after a month in which nothing ran.
func (s *Show) playSweep(ctx context.Context) error {
	s.screen.Heading("The hourly sweep")
	for _, m := range s.fleet.Managed {
		// What was never issued has no reader yet, and what is switched off
		// works for nobody.
		if m.Fate != fleet.Issued && m.Fate != fleet.Inactive {
			s.readers.Add(m.Name)
		}
	}
	s.screen.Line("  %d secrets are read from now on, each by an application that reads before every use and one that caches for %v;",
		s.readers.Count().Secrets, s.config.Grace/2)
	s.screen.Line("  not the one that was never issued, nor the one whose principal is switched off")
	s.settle(ctx)

	i, err := s.invoke(ctx, sweepEvent, "sweeping")
	if err != nil {
		return err
	}
	s.screen.Line("  %d secrets in %v\n", len(s.fleet.Managed), i.took.Round(time.Millisecond))
	s.table(i)
	s.screen.Line("")
	s.tellFailure(i)
	s.screen.Line("")
	s.judgeSweep(i)
	for _, m := range s.fleet.Managed {
		if m.Fate == fleet.Issued {
			s.readers.Add(m.Name)
		}
	}
	return nil
}

// settle gives the readers time to have read once before anything changes.
func (s *Show) settle(ctx context.Context) {
	select {
	case <-time.After(s.config.Grace / 10):
	case <-ctx.Done():
	}
}

func (s *Show) judgeSweep(i invocation) {
	s.expect("every credential that is due is replaced, and the new one works", members(s.fleet.Managed, func(m fleet.Member) error {
		before, after := i.before[m.Name], i.after[m.Name]
		switch {
		case !m.Fate.Replaces():
			return nil
		case after.Current == "" || after.Current == before.Current || after.Version == before.Version:
			return errors.New("its credential is the old one")
		case !after.Works:
			return errors.New("its credential does not authenticate")
		}
		return nil
	}))
	s.expect("predecessors still work: whoever holds one has the grace period to read again", members(s.fleet.Managed, func(m fleet.Member) error {
		if before := i.before[m.Name].Current; m.Fate.Replaces() && before != "" && !slices.Contains(i.after[m.Name].Live, before) {
			return errors.New("its predecessor is gone")
		}
		return nil
	}))
	s.expect("what is young, blocked or not managed keeps its credential", errors.Join(
		members(s.fleet.Managed, func(m fleet.Member) error {
			if !m.Fate.Replaces() && i.after[m.Name].Version != i.before[m.Name].Version {
				return errors.New("its credential changed")
			}
			return nil
		}),
		s.judgeForeign(i),
	))
	s.expect("scopes are never wider, and keys of others are kept", members(s.fleet.Managed, func(m fleet.Member) error {
		before, after := i.before[m.Name], i.after[m.Name]
		if m.Fate.Replaces() && (!slices.Equal(after.Scopes, m.Scopes) || after.Team != before.Team) {
			return fmt.Errorf("its scopes are %v and its team %q, want %v and %q", after.Scopes, after.Team, m.Scopes, before.Team)
		}
		return nil
	}))
	s.expect("the dead run's OAuth secret and the predecessor past its grace are deleted", s.judgeRemoval(i))
	s.expect("the full and the switched-off principal are reported, each as what it is", s.judgeBlocks(i))
	s.record(i)
}

// judgeForeign checks what belongs to somebody else.
func (s *Show) judgeForeign(i invocation) error {
	return members(s.fleet.Managed, func(m fleet.Member) error {
		for _, id := range m.Foreign {
			if !slices.Contains(i.after[m.Name].Live, id) {
				return fmt.Errorf("somebody else's OAuth secret %s is gone", short(id))
			}
		}
		return nil
	})
}

func (s *Show) judgeRemoval(i invocation) error {
	return members(s.fleet.Managed, func(m fleet.Member) error {
		live := i.after[m.Name].Live
		switch {
		case m.Name == fleet.Interrupted && slices.Contains(live, s.orphan):
			return fmt.Errorf("OAuth secret %s is still there", short(s.orphan))
		case m.Fate == fleet.Retired && len(live) != 1:
			return fmt.Errorf("it has %d OAuth secrets, want 1", len(live))
		}
		return nil
	})
}

// judgeBlocks wants the failure to name the blocked secrets, and no other.
func (s *Show) judgeBlocks(i invocation) error {
	if i.failure == nil {
		return errors.New("the invocation did not fail")
	}
	return members(s.fleet.Managed, func(m fleet.Member) error {
		reported := strings.Contains(i.failure.Message, m.Name+": ")
		switch {
		case !m.Fate.Blocked() && reported:
			return errors.New("it is reported, and nothing is the matter")
		case m.Fate.Blocked() && !strings.Contains(i.failure.Message, fmt.Sprintf("%s: %s: ", m.Name, m.Fate)):
			return fmt.Errorf("it is not reported as %s", m.Fate)
		case m.Fate.Blocked() && i.outcomes[m.Name].Block != string(m.Fate):
			return fmt.Errorf("the log says %q of it, want %q", i.outcomes[m.Name].Block, m.Fate)
		}
		return nil
	})
}

// record keeps what the rotations cost.
func (s *Show) record(i invocation) {
	s.result.Shared = i.calls
	for _, m := range s.fleet.Managed {
		if m.Fate.Replaces() {
			s.result.Rotations = append(s.result.Rotations, Rotation{
				Secret: m.Name, Fate: m.Fate, Scoped: len(m.Scopes) > 0, Calls: i.calls.Of(m.Names()...),
			})
		}
	}
}

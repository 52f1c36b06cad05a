package show

import (
	"context"
	"errors"
	"fmt"
	"time"

	"databricks-credential-rotation/infra/sandbox/fleet"
)

// playRepair has people do what the report asked for.
func (s *Show) playRepair(ctx context.Context) error {
	s.screen.Heading("The people on call do what the report says")
	s.fleet.Repair()
	s.screen.Line("  One of the four OAuth secrets is deleted by its owner, the principal is switched on.")
	i, err := s.invoke(ctx, sweepEvent, "sweeping")
	if err != nil {
		return err
	}
	for _, m := range s.fleet.Managed {
		if m.Fate.Blocked() {
			s.screen.Line("  %s: %s, %s", m.Name, i.outcomes[m.Name].Status, became(i.before[m.Name], i.after[m.Name]))
		}
	}
	s.screen.Line("  in %v", i.took.Round(time.Millisecond))
	s.expect("the next sweep rotates both, and the invocation succeeds", func() error {
		if i.failure != nil {
			return fmt.Errorf("it failed: %w", i.failure)
		}
		return members(s.fleet.Managed, func(m fleet.Member) error {
			before, after := i.before[m.Name], i.after[m.Name]
			if m.Fate.Blocked() == (before.Version == after.Version) {
				return errors.New("its version is not what it should be")
			}
			if !after.Works {
				return errors.New("its credential does not authenticate")
			}
			return nil
		})
	}())
	return nil
}

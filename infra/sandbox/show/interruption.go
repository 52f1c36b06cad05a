package show

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"databricks-credential-rotation/infra/sandbox/fleet"
	"databricks-credential-rotation/infra/sandbox/lambdahost"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/faulttest"
)

// interruptedAgo is long enough for no run to be still at work, so that the
// next sweep knows an orphan when it sees one.
const interruptedAgo = time.Hour

// playInterruption kills the function in mid-rotation, in the past: Databricks
// has created an OAuth secret, and the process that was to store it is dead.
func (s *Show) playInterruption(ctx context.Context) error {
	s.screen.Heading("An hour ago: a rotation dies")
	member := s.member(fleet.Interrupted)
	before := s.fleet.Condition(member)

	s.stage.Clock.SetBack(interruptedAgo)
	defer s.stage.Clock.SetBack(0)
	faults := s.stage.Databricks.Faults()
	faults.Add(faulttest.Fault{
		Op: databrickstest.OpWorkspaceCreateSecret, Target: strconv.FormatInt(member.Principal.ID, 10), Kind: faulttest.KillAfter,
	})
	faults.OnKill(func(context.Context, faulttest.Call) { s.stage.Kill("rotate") })
	defer faults.OnKill(nil)

	_, err := s.stage.Invoke(ctx, "rotate", fmt.Appendf(nil, `{"action":"rotate","secrets":[%q]}`, member.Name))
	var failure *lambdahost.FunctionError
	if !errors.As(err, &failure) || failure.Type != lambdahost.ExitError {
		return fmt.Errorf("the function was to be killed in mid-rotation: %w", errors.Join(err, errors.New("it was not")))
	}
	after := s.fleet.Condition(member)
	if len(after.Live) != len(before.Live)+1 || after.Version != before.Version {
		return errors.New("the function was killed, and not between creating and storing")
	}
	s.orphan = after.Live[slices.IndexFunc(after.Live, func(id string) bool { return !slices.Contains(before.Live, id) })]
	s.screen.Line("  %s: the function is killed right after Databricks created OAuth secret %s", member.Name, short(s.orphan))
	s.screen.Line("  Nobody knows that secret's value, and no version records it. What was current still is.")
	// From here on the clouds are as slow as a network is, so that there is
	// time for something to go wrong in.
	faults.Clear()
	s.stage.SlowDown(s.config.Latency)
	return nil
}

func (s *Show) member(name string) fleet.Member {
	i := slices.IndexFunc(s.fleet.Managed, func(m fleet.Member) bool { return m.Name == name })
	return s.fleet.Managed[i] // names are the roster's own constants
}

// short is enough of an id to tell it from the others.
func short(id string) string { return id[:min(len(id), 6)] }

package show

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"databricks-credential-rotation/infra/sandbox/fleet"
	"databricks-credential-rotation/infra/sandbox/lambdahost"
	"databricks-credential-rotation/infra/sandbox/ledger"
	"databricks-credential-rotation/infra/sandbox/stage"
	"databricks-credential-rotation/infra/sandbox/terminal"
)

// Events, as the schedules of the template send them.
const (
	sweepEvent     = `{"action":"sweep"}`
	reconcileEvent = `{"action":"reconcile"}`
)

// lastLine is what the function logs at the end of a run, and logPatience how
// long that may take to arrive after the reply.
const (
	lastLine    = `"message":"run finished`
	logPatience = 5 * time.Second
)

// invocation is one run of the rotate function, with what it changed.
type invocation struct {
	before, after map[string]fleet.Condition
	outcomes      map[string]stage.Outcome
	calls         ledger.Count
	// failure is why it failed, nil if it did not.
	failure *lambdahost.FunctionError
	took    time.Duration
}

// observe has f change something, and looks at everything before and after,
// while no reader is in the middle of a call.
func (s *Show) observe(f func() error) (invocation, error) {
	var (
		i    invocation
		page ledger.Page
	)
	from := s.stage.Logs.Size("rotate")
	s.readers.Still(func() { page, i.before = s.book.Open(), s.fleet.Conditions() })
	begin := time.Now()
	err := f()
	i.took = time.Since(begin)
	s.readers.Still(func() { i.calls, i.after = page.Close(), s.fleet.Conditions() })
	if errors.As(err, &i.failure) {
		err = nil
	}
	i.outcomes = s.stage.Logs.Outcomes("rotate", from)
	return i, err
}

// invoke runs the rotate function with an event.
func (s *Show) invoke(ctx context.Context, event, activity string) (invocation, error) {
	before := s.fleet.Conditions()
	defer s.watch(func() string {
		replaced := 0
		for name, now := range s.fleet.Conditions() {
			if now.Version != before[name].Version {
				replaced++
			}
		}
		return fmt.Sprintf("%s: %d credentials replaced", activity, replaced)
	})()
	from := s.stage.Logs.Size("rotate")
	return s.observe(func() error {
		_, err := s.stage.Invoke(ctx, "rotate", []byte(event))
		s.stage.Logs.Await("rotate", from, lastLine, logPatience)
		return err
	})
}

// tellFailure shows a failed invocation as the engineer on call would see it.
func (s *Show) tellFailure(i invocation) {
	if i.failure == nil {
		return
	}
	s.screen.Line("  The invocation fails, so that the alarm sees it. The engineer on call reads:")
	for line := range strings.Lines(i.failure.Message) {
		s.screen.Line("    %s", s.screen.Paint(terminal.Yellow, strings.TrimRight(line, "\n")))
	}
}

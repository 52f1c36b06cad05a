package rotation

import (
	"context"
	"encoding/json"
)

// Handle is the Lambda handler: one engine behind all doors. An invocation
// fails if any secret needs attention.
func (e *Engine) Handle(ctx context.Context, payload json.RawMessage) (any, error) {
	event, err := ParseEvent(payload)
	if err != nil {
		return nil, err
	}
	switch {
	case event.Step != nil:
		// The protocol takes any answer; an error fails the rotation.
		return nil, e.RunStep(ctx, *event.Step)
	case event.Sweep != nil:
		return reply(e.Sweep(ctx, event.Sweep.Reconcile, event.Sweep.DryRun))
	case event.Rotate != nil:
		return reply(e.Rotate(ctx, "direct", *event.Rotate))
	default:
		return e.drainQueue(ctx, event.Queue)
	}
}

// maxOutcomes keeps an answer well below the 6 MB that Lambda passes on. The
// log has them all.
const maxOutcomes = 2000

// reply keeps a typed nil out of the answer, and the answer within bounds.
func reply(report *Report, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	if len(report.Outcomes) > maxOutcomes {
		report.Outcomes = report.Outcomes[:maxOutcomes]
	}
	return report, nil
}

package rotation

import (
	"context"
	"encoding/json"

	"github.com/aws/aws-lambda-go/events"
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
		return reply(e.Rotate(ctx, "direct", event.Rotate.Secrets, event.Rotate.Force, event.Rotate.DryRun))
	default:
		return e.drain(ctx, event.Queue), nil
	}
}

// reply keeps a typed nil out of the answer.
func reply(report *Report, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return report, nil
}

// drain works through a queue batch. A message whose secrets need attention is
// returned to the queue, and in the end to its dead-letter queue; the others
// are done with.
func (e *Engine) drain(ctx context.Context, batch []Message) events.SQSEventResponse {
	response := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	for _, m := range batch {
		err := m.Err
		if err == nil {
			_, err = e.Rotate(ctx, "queue", m.Request.Secrets, m.Request.Force, m.Request.DryRun)
		}
		if err != nil {
			e.Log.ErrorContext(ctx, "message failed", "message_id", m.ID, "error", err.Error())
			response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: m.ID})
		}
	}
	return response
}

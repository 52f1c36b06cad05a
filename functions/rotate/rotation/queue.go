package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/aws/aws-lambda-go/events"
)

// Queue is how a run hands secrets to other invocations of the function.
type Queue interface {
	// Send queues messages, as many of them as it can, and returns the bodies
	// of those that it could not.
	Send(ctx context.Context, bodies []string) (unsent []string, err error)
	// GiveUp puts a message where a person finds it, with the reason.
	GiveUp(ctx context.Context, body, reason string) error
}

// maxReceives is how often a message is worked on before it is given up. The
// queue's own redrive, one later, is for messages that end the function.
const maxReceives = 4

// queue hands what a run has left to other invocations, each secret in a
// message of its own: a message that fails then takes no other with it.
func (r *run) queue(ctx context.Context, report *Report) {
	if r.Queue == nil || r.dry || r.door == doorQueue || len(report.Left) == 0 {
		return
	}
	action := "rotate"
	if r.check {
		action = "reconcile"
	}
	bodies := make([]string, 0, len(report.Left))
	secretOf := make(map[string]string, len(report.Left))
	for _, name := range report.Left {
		message := map[string]any{"action": action, "secrets": []string{name}}
		if r.removals == withheld {
			message["withhold"] = true
		}
		body, err := json.Marshal(message)
		if err != nil {
			continue // a map of strings can be marshalled
		}
		bodies = append(bodies, string(body))
		secretOf[string(body)] = name
	}
	unsent, err := r.Queue.Send(ctx, bodies)
	report.Queued = len(bodies) - len(unsent)
	if err != nil {
		r.Log.ErrorContext(ctx, "queueing failed", "queued", report.Queued, "left", len(unsent), "error", err.Error())
	}
	report.Left = nil
	for _, body := range unsent {
		report.Left = append(report.Left, secretOf[body])
	}
}

// doorQueue is the door of queue batches.
const doorQueue = "queue"

// drainQueue works through a queue batch. A message whose secrets need
// attention is returned to the queue; one that cannot be mended by trying
// again, or was tried often enough, is given up with its reason. The others
// are done with.
func (e *Engine) drainQueue(ctx context.Context, batch []Message) (events.SQSEventResponse, error) {
	response := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	// Whether a run only plans, reconciles, or withholds, holds for all of it.
	groups := map[[3]bool][]Message{}
	for _, m := range batch {
		kind := [3]bool{m.Request.Reconcile, m.Request.DryRun, m.Request.Withhold}
		groups[kind] = append(groups[kind], m)
	}
	failed := map[string]failure{}
	for _, group := range groups {
		r, err := e.newRun(ctx, doorQueue)
		if err != nil {
			return response, err // all messages stay in the queue
		}
		r.follow(group[0].Request)
		maps.Copy(failed, r.messages(ctx, group))
	}
	for _, m := range batch {
		why, bad := failed[m.ID]
		if !bad {
			continue
		}
		e.Log.ErrorContext(ctx, "message failed", "message_id", m.ID, "receives", m.Receives, "error", why.Error())
		if e.Queue != nil && (m.Err != nil || why.final || m.Receives >= maxReceives) {
			err := e.Queue.GiveUp(ctx, m.Body, why.Error())
			if err == nil {
				continue
			}
			e.Log.ErrorContext(ctx, "message cannot be given up and stays in the queue", "message_id", m.ID, "error", err.Error())
		}
		response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: m.ID})
	}
	return response, nil
}

// failure is why a message failed. What is final is not mended by trying again:
// its secrets are held, and only a person releases them.
type failure struct {
	error
	final bool
}

// messages does what a batch asks for and returns why messages failed, by
// their ids.
func (r *run) messages(ctx context.Context, batch []Message) map[string]failure {
	pool := newPool(r, r.Workers)
	outcomes := make([][]Outcome, len(batch))
	for i, m := range batch {
		outcomes[i] = make([]Outcome, len(m.Request.Secrets))
		for j, id := range m.Request.Secrets {
			outcome := &outcomes[i][j]
			*outcome = Outcome{Secret: id}.fail(errors.New("no time was left for it"))
			do := func() Outcome { return r.readAndRotate(ctx, id, m.Request) }
			pool.work(ctx, task{name: id, do: do, redo: do, result: outcome})
		}
	}
	report := pool.finish(ctx)
	r.log(ctx, report)
	failed := map[string]failure{}
	for i, m := range batch {
		errs, final := []error{m.Err}, true
		for _, o := range outcomes[i] {
			if problem := o.problem(); problem != "" {
				errs = append(errs, errors.New(problem))
				final = final && o.isHeld()
			}
			if len(o.Withheld) > 0 && !m.Request.Withhold { // or the sweep has said so
				final = false
				errs = append(errs, fmt.Errorf("%s: %s", o.Secret, report.OverBudget))
			}
		}
		if err := errors.Join(errs...); err != nil {
			failed[m.ID] = failure{err, final}
		}
	}
	return failed
}

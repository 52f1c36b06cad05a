package stage

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"databricks-credential-rotation/infra/sandbox/lambdahost"
)

const (
	// pollEvery is how long a message waits for the event source at most. The
	// simulators have no time of their own, so there is nothing to wait on.
	pollEvery = 50 * time.Millisecond
	batchSize = 10
)

// eventSource is Lambda's poller of the queue: it receives as the function's
// role, invokes the function with a batch, and deletes what was not returned.
type eventSource struct {
	stage *Stage
	api   *sqs.Client
	stop  context.CancelFunc
	done  sync.WaitGroup
	// hosts are the execution environments that only the queue invokes.
	hosts []*lambdahost.Host

	mu        sync.Mutex
	working   int
	delivered map[string]int
}

// Deliveries counts how often each message, by its body, was passed to the
// function, and how many batches the function has in hand.
func (s *Stage) Deliveries() (delivered map[string]int, working int) {
	e := s.source
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.delivered), e.working
}

// begin notes a batch, end that it is done with.
func (e *eventSource) begin(messages []types.Message) (end func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.working++
	for _, m := range messages {
		e.delivered[*m.Body]++
	}
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.working--
	}
}

// invoke passes a batch to the function.
type invoke func(ctx context.Context, payload []byte) ([]byte, error)

func (s *Stage) pollQueue(ctx context.Context) (*eventSource, error) {
	ctx, stop := context.WithCancel(ctx)
	cfg := s.AWS.Config()
	cfg.Credentials = s.AWS.Role(s.deployment("rotate").role)
	e := &eventSource{stage: s, api: sqs.NewFromConfig(cfg), stop: stop, delivered: map[string]int{}}
	// Lambda reads a queue's timeouts before it polls it.
	if _, err := e.api.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &s.queueURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameVisibilityTimeout},
	}); err != nil {
		stop()
		return nil, fmt.Errorf("the event source of the function rotate: %w", err)
	}
	if s.config.Environments == 0 {
		e.start(ctx, func(ctx context.Context, payload []byte) ([]byte, error) { return s.Invoke(ctx, "rotate", payload) })
	}
	for range s.config.Environments {
		host, err := lambdahost.Start(ctx, s.deployment("rotate").Function)
		if err != nil {
			e.close()
			return nil, fmt.Errorf("the event source of the function rotate: %w", err)
		}
		e.hosts = append(e.hosts, host)
		e.start(ctx, host.Invoke)
	}
	return e, nil
}

func (e *eventSource) start(ctx context.Context, invoke invoke) {
	e.done.Go(func() { e.run(ctx, invoke) })
}

func (e *eventSource) close() {
	e.stop()
	e.done.Wait()
	for _, host := range e.hosts {
		_ = host.Close() // it returns nothing but nil
	}
}

func (e *eventSource) run(ctx context.Context, invoke invoke) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// A receive is a call in the records of the simulator, so none is made
		// in vain.
		now := e.stage.Clock.Now()
		for e.stage.visible(now) && ctx.Err() == nil {
			if err := e.batch(ctx, invoke); err != nil {
				break // what was not deleted comes again when its time is over
			}
		}
	}
}

// visible tells whether the queue has a message that can be received.
func (s *Stage) visible(now time.Time) bool {
	for _, m := range s.AWS.QueueMessages(RotateQueue) {
		if !m.VisibleAt.After(now) {
			return true
		}
	}
	return false
}

func (e *eventSource) batch(ctx context.Context, invoke invoke) error {
	received, err := e.api.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &e.stage.queueURL, MaxNumberOfMessages: batchSize, MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil {
		return fmt.Errorf("receive from the queue: %w", err)
	}
	if len(received.Messages) == 0 {
		return nil
	}
	defer e.begin(received.Messages)()
	var batch events.SQSEvent
	for _, m := range received.Messages {
		batch.Records = append(batch.Records, events.SQSMessage{
			MessageId: *m.MessageId, ReceiptHandle: *m.ReceiptHandle, Body: *m.Body, EventSource: "aws:sqs",
			EventSourceARN: e.stage.AWS.QueueARN(RotateQueue), Attributes: m.Attributes,
		})
	}
	payload, err := json.Marshal(batch)
	if err != nil {
		return fmt.Errorf("encode the batch: %w", err)
	}
	reply, err := invoke(ctx, payload)
	if err != nil {
		return err // all of them stay
	}
	var response events.SQSEventResponse
	if err := json.Unmarshal(reply, &response); err != nil {
		return fmt.Errorf("read the function's answer to a batch: %w", err)
	}
	done := slices.DeleteFunc(received.Messages, func(m types.Message) bool {
		return slices.ContainsFunc(response.BatchItemFailures, func(f events.SQSBatchItemFailure) bool { return f.ItemIdentifier == *m.MessageId })
	})
	for _, m := range done {
		if _, err := e.api.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &e.stage.queueURL, ReceiptHandle: m.ReceiptHandle}); err != nil {
			return fmt.Errorf("delete from the queue: %w", err)
		}
	}
	return nil
}

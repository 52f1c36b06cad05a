package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"databricks-credential-rotation/functions/rotate/queue"
	"databricks-credential-rotation/infra/bench/estate"
	"databricks-credential-rotation/infra/sandbox/stage"
	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/secret"
)

const (
	// environments is the template's QueueConcurrency.
	environments = 5
	// visibility is past the queue's timeout, after which what was returned is
	// delivered again.
	visibility = 91 * time.Minute
	// mostPasses is far more than a message is tried.
	mostPasses = 10
	// fullBatch is what one call of SQS takes or gives.
	fullBatch = 10
	// quietFor is how long nothing must go on at the queue for it to be worked
	// off, looked at that often.
	quietFor, lookEvery = time.Second, 100 * time.Millisecond
)

// queue has the function work off a queue, of which it cannot do three messages
// in a hundred.
func (b *bench) queue(ctx context.Context) error {
	const scenario = "queue"
	e, err := estate.Open(ctx, estate.Config{Binaries: b.binaries, Principals: b.queued, Environments: environments})
	if err != nil {
		return err
	}
	defer e.Close()
	good, bad, err := poison(ctx, e)
	if err != nil {
		return err
	}
	client, err := openQueues(ctx, e)
	if err != nil {
		return err
	}
	e.Limit(b.factor, bounds[0].requests, 0)
	e.Delay(b.databricks, b.aws)
	e.Forget()
	began := time.Now()
	if err := client.send(ctx, e.Members); err != nil {
		return err
	}
	var first time.Duration
	for pass := 0; len(e.AWS.QueueMessages(stage.RotateQueue)) > 0; pass++ {
		if pass == mostPasses {
			return errors.New("the queue does not become empty")
		}
		e.Clock.SetBack(-time.Duration(pass) * visibility)
		if err := workedOff(ctx, e); err != nil {
			return err
		}
		if pass == 0 {
			first = time.Since(began) - quietFor
		}
	}
	calls := e.Seen()
	throttled := e.Databricks.Throttled() + e.AWS.Throttled()
	dead, err := client.dead(ctx)
	if err != nil {
		return err
	}
	if err := e.Check(); err != nil {
		return err
	}

	delivered, _ := e.Deliveries()
	again, missing := 0, 0
	for _, m := range good {
		if delivered[message(m)] != 1 {
			again++
		}
	}
	tries := 0
	for _, m := range bad {
		tries += delivered[message(m)]
		if dead[message(m)] == "" {
			missing++
		}
	}
	s := &b.sheet
	s.Add(scenario, "messages", float64(len(e.Members)), "messages")
	s.Add(scenario, "poisoned", float64(len(bad)), "messages")
	s.AtMost(scenario, "others not rotated once", float64(len(good)-e.Once(good)), "principals", 0)
	s.AtMost(scenario, "others delivered more than once", float64(again), "messages", 0)
	s.AtMost(scenario, "poisoned without a dead letter that says why", float64(missing), "messages", 0)
	s.AtMost(scenario, "other dead letters", float64(len(dead)-(len(bad)-missing)), "messages", 0)
	s.Add(scenario, "deliveries of a poisoned one", float64(tries)/float64(len(bad)), "deliveries")
	s.Add(scenario, "time of the first pass", first.Seconds(), "s")
	s.Add(scenario, "throughput of the first pass", float64(len(good))/first.Seconds(), "rotations/s")
	s.Add(scenario, "throttled requests", 100*float64(throttled)/float64(calls.Of("databricks")+calls.Of("secretsmanager")), "%")
	return nil
}

// poison makes three of each hundred members impossible: one is at a host that
// refuses connections, one's principal is gone, one's value is no credential.
func poison(ctx context.Context, e *estate.Estate) (good, bad []estate.Member, err error) {
	refusing, err := closedPort(ctx)
	if err != nil {
		return nil, nil, err
	}
	api := e.SecretsManager("operator")
	put := func(m estate.Member, value string) error {
		_, err := api.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &m.Name, SecretString: &value})
		return err
	}
	for i, m := range e.Members {
		switch i % 100 {
		case 17:
			current, _ := e.AWS.Current(m.Name)
			c, err := credential.Parse(secret.New(current.Value))
			if err != nil {
				return nil, nil, err
			}
			c.Host = refusing
			value, err := c.Encode()
			if err != nil {
				return nil, nil, err
			}
			if err := put(m, value.Reveal()); err != nil {
				return nil, nil, err
			}
		case 48:
			e.Databricks.DeletePrincipal(m.Principal.ID)
		case 83:
			if err := put(m, "see the wiki"); err != nil {
				return nil, nil, err
			}
		default:
			good = append(good, m)
			continue
		}
		bad = append(bad, m)
	}
	return good, bad, nil
}

// closedPort is a host on loopback where nobody listens.
func closedPort(ctx context.Context) (string, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return "http://" + l.Addr().String(), l.Close()
}

// message is what a sweep queues for a member.
func message(m estate.Member) string {
	body, _ := json.Marshal(map[string]any{"action": "rotate", "secrets": []string{m.Name}}) // texts always marshal
	return string(body)
}

// workedOff waits until the queue has nothing that can be received, and the
// function no batch in hand. A receive takes a message before it is counted as
// in hand, so both must hold for longer than a call takes.
func workedOff(ctx context.Context, e *estate.Estate) error {
	for quiet := time.Duration(0); quiet < quietFor; quiet += lookEvery {
		now := e.Clock.Now()
		_, working := e.Deliveries()
		if working > 0 || slices.ContainsFunc(e.AWS.QueueMessages(stage.RotateQueue), func(m awstest.QueueMessage) bool { return !m.VisibleAt.After(now) }) {
			quiet = -lookEvery
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookEvery):
		}
	}
	return nil
}

// queues sends to and receives from the function's queues, as a person may.
type queues struct {
	api          *sqs.Client
	rotate, lost string
}

func openQueues(ctx context.Context, e *estate.Estate) (queues, error) {
	cfg := e.AWS.Config()
	cfg.Credentials = e.AWS.Role("operator")
	q := queues{api: sqs.NewFromConfig(cfg)}
	for name, url := range map[string]*string{stage.RotateQueue: &q.rotate, stage.DeadLetterQueue: &q.lost} {
		out, err := q.api.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(name)})
		if err != nil {
			return q, err
		}
		*url = *out.QueueUrl
	}
	return q, nil
}

func (q queues) send(ctx context.Context, members []estate.Member) error {
	for batch := range slices.Chunk(members, fullBatch) {
		var entries []types.SendMessageBatchRequestEntry
		for i, m := range batch {
			entries = append(entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(message(m))})
		}
		out, err := q.api.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &q.rotate, Entries: entries})
		if err != nil {
			return err
		}
		if len(out.Failed) > 0 {
			return fmt.Errorf("%d messages were not taken", len(out.Failed))
		}
	}
	return nil
}

// dead reads the dead letters: the reasons by the messages' bodies.
func (q queues) dead(ctx context.Context) (map[string]string, error) {
	reasons := map[string]string{}
	for {
		out, err := q.api.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &q.lost, MaxNumberOfMessages: fullBatch, MessageAttributeNames: []string{"All"},
		})
		if err != nil {
			return nil, err
		}
		if len(out.Messages) == 0 {
			return reasons, nil
		}
		for _, m := range out.Messages {
			reasons[*m.Body] = aws.ToString(m.MessageAttributes[queue.ReasonAttribute].StringValue)
			if _, err := q.api.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &q.lost, ReceiptHandle: m.ReceiptHandle}); err != nil {
				return nil, err
			}
		}
	}
}

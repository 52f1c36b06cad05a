package rotation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"databricks-credential-rotation/functions/rotate/queue"
	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/faulttest"
)

// queued is a world whose engine has a queue.
type queued struct {
	*world
	sqs *sqs.Client
	queue.Queue
	// redelivered counts the receives of each body after its first.
	redelivered map[string]int
}

const visibility = time.Hour

func (w *world) withQueue() *queued {
	w.t.Helper()
	q := &queued{world: w, sqs: sqs.NewFromConfig(w.AWS.Config()), redelivered: map[string]int{}}
	q.API = q.sqs
	for name, url := range map[string]*string{"rotate": &q.URL, "rotate-dead": &q.DeadLetterURL} {
		out, err := q.sqs.CreateQueue(w.t.Context(), &sqs.CreateQueueInput{
			QueueName: &name, Attributes: map[string]string{"VisibilityTimeout": fmt.Sprint(int(visibility.Seconds()))},
		})
		w.must(err)
		*url = *out.QueueUrl
	}
	w.engine.Queue = q.Queue
	return q
}

func (q *queued) receive(url string) []types.Message {
	q.t.Helper()
	out, err := q.sqs.ReceiveMessage(q.t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	q.must(err)
	return out.Messages
}

// work is Lambda's event source: batches of ten, until nothing is visible. It
// returns how many messages were done with.
func (q *queued) work() int {
	q.t.Helper()
	done := 0
	for {
		batch := q.receive(q.URL)
		if len(batch) == 0 {
			return done
		}
		var event events.SQSEvent
		for _, m := range batch {
			event.Records = append(event.Records, events.SQSMessage{
				MessageId: *m.MessageId, ReceiptHandle: *m.ReceiptHandle, Body: *m.Body, EventSource: "aws:sqs", Attributes: m.Attributes,
			})
			if m.Attributes["ApproximateReceiveCount"] != "1" {
				q.redelivered[*m.Body]++
			}
		}
		payload, err := json.Marshal(event)
		q.must(err)
		answer, err := q.invoke(q.t.Context(), payload)
		q.must(err)
		var response events.SQSEventResponse
		q.must(json.Unmarshal(answer, &response))
		failed := map[string]bool{}
		for _, f := range response.BatchItemFailures {
			failed[f.ItemIdentifier] = true
		}
		for _, m := range batch {
			if failed[*m.MessageId] {
				continue
			}
			_, err := q.sqs.DeleteMessage(q.t.Context(), &sqs.DeleteMessageInput{QueueUrl: &q.URL, ReceiptHandle: m.ReceiptHandle})
			q.must(err)
			done++
		}
	}
}

func (w *world) fleet(n int) {
	for i := range n {
		w.register(estatetest.Registration{Name: fmt.Sprintf("etl-%02d", i)})
	}
	time.Sleep(w.policy.Interval)
}

// A sweep works on so many secrets itself and queues the rest; in the end each
// is rotated once, and only those that cannot be are delivered again, until
// they are given up with their reason.
func TestQueue(t *testing.T) {
	inWorld(t, func(w *world) {
		q := w.withQueue()
		w.fleet(40)
		poisoned := w.Managed()[30:32]
		for _, m := range poisoned {
			w.SetActive(m, false)
		}
		w.engine.QueueAbove = 15
		w.ResetCalls()
		report := w.sweep("")
		if report.Counts[rotation.Rotated] != 15 || report.Queued != 25 || len(report.Left) > 0 {
			t.Fatalf("counts %v, %d queued, left %v", report.Counts, report.Queued, report.Left)
		}
		if done := q.work(); done != 23 {
			t.Errorf("%d messages are done with, want all but the poisoned two", done)
		}
		for range 5 {
			time.Sleep(visibility)
			q.work()
		}
		if writes := w.calls()["PutSecretValue"]; writes != 38 {
			t.Errorf("%d writes for 38 rotations", writes)
		}
		if len(q.redelivered) != len(poisoned) {
			t.Errorf("delivered again: %v, want the poisoned only", q.redelivered)
		}
		dead := q.receive(q.DeadLetterURL)
		if len(dead) != len(poisoned) {
			t.Fatalf("%d messages were given up, want %d", len(dead), len(poisoned))
		}
		for _, m := range dead {
			if reason := aws.ToString(m.MessageAttributes[queue.ReasonAttribute].StringValue); !strings.Contains(reason, "inactive: service principal") {
				t.Errorf("%s was given up with the reason %q", *m.Body, reason)
			}
			if n := q.redelivered[*m.Body]; n != 3 {
				t.Errorf("%s was given up after %d deliveries more than the first, want 3", *m.Body, n)
			}
		}
		for _, m := range poisoned {
			w.SetActive(m, true)
		}
		w.engine.QueueAbove = 0
		w.sweep("")
		time.Sleep(w.policy.Grace)
		w.sweep("")
		w.settled()
	})
}

// What nothing has to be done for takes nobody's place, and where there is no
// queue, or nothing may be done, the sweep looks at all itself.
func TestQueueTakesWork(t *testing.T) {
	for name, test := range map[string]struct {
		due, queue, dry bool
		want, queued    int
	}{
		"idle":               {false, true, false, 0, 0},
		"due":                {true, true, false, 2, 8},
		"due, without queue": {true, false, false, 10, 0},
		"due, dry":           {true, true, true, 10, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				if test.queue {
					w.withQueue()
				}
				w.fleet(10)
				if !test.due {
					w.sweep("") // what has just been written, the next sweep reads again
				}
				w.engine.QueueAbove = 2
				report, err := w.engine.Sweep(w.t.Context(), false, test.dry)
				if w.must(err); report.Counts[rotation.Rotated] != test.want || report.Queued != test.queued || len(report.Left) > 0 {
					t.Errorf("counts %v, %d queued, left %v", report.Counts, report.Queued, report.Left)
				}
			})
		})
	}
}

// A message that makes no sense is given up at once: no repetition mends it.
func TestQueueGarbage(t *testing.T) {
	inWorld(t, func(w *world) {
		q := w.withQueue()
		if _, err := q.Send(w.t.Context(), []string{`{"action":"sweep"}`}); err != nil {
			t.Fatal(err)
		}
		if done := q.work(); done != 1 || len(q.redelivered) > 0 {
			t.Errorf("%d done, delivered again: %v", done, q.redelivered)
		}
		if dead := q.receive(q.DeadLetterURL); len(dead) != 1 {
			t.Errorf("%d messages were given up", len(dead))
		}
	})
}

// What a revocation holds is not rotated by a message either, whoever sent it
// and when. It is given up at once with the reason, for only a person ends the
// hold; the other secrets of the batch are rotated.
func TestQueueHeld(t *testing.T) {
	for _, body := range []string{`{"action":"rotate","secrets":["etl-00"],"force":true}`, `{"action":"reconcile","secrets":["etl-00"]}`} {
		inWorld(t, func(w *world) {
			q := w.withQueue()
			w.fleet(2)
			held := w.Managed()[0]
			w.must(w.hold(held))
			w.Revoking(held)
			for _, id := range w.ids(held) {
				w.DeleteByHand(held, id)
			}
			if _, err := q.Send(w.t.Context(), []string{body, `{"action":"rotate","secrets":["etl-01"]}`}); err != nil {
				t.Fatal(err)
			}
			w.ResetCalls()
			if done := q.work(); done != 2 || len(q.redelivered) > 0 {
				t.Errorf("%d done, delivered again: %v", done, q.redelivered)
			}
			if calls := w.calls(); calls["PutSecretValue"] != 1 || len(w.ids(held)) > 0 {
				t.Errorf("%d writes, live of the one held: %v", calls["PutSecretValue"], w.ids(held))
			}
			dead := q.receive(q.DeadLetterURL)
			if len(dead) != 1 {
				t.Fatalf("%d messages were given up", len(dead))
			}
			if reason := aws.ToString(dead[0].MessageAttributes[queue.ReasonAttribute].StringValue); !strings.Contains(reason, `etl-00: revoked: its credential was revoked`) {
				t.Errorf("it was given up with the reason %q", reason)
			}
		})
	}
}

// What a run has no time for is queued, and is no error; if the queue cannot
// be had, it is one.
func TestQueueBeforeDeadline(t *testing.T) {
	for _, down := range []bool{false, true} {
		inWorld(t, func(w *world) {
			q := w.withQueue()
			w.fleet(12)
			w.engine.Workers = 1
			w.engine.Databricks = w.Client(slowly{3 * time.Second, w.Databricks.Transport()})
			want := ""
			if down {
				w.AWS.Faults().Add(faulttest.Fault{Kind: faulttest.ServerError, Op: "SendMessageBatch", Times: faulttest.Forever})
				want = "were left for the next run, for time was over"
			}
			ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
			defer cancel()
			report, err := w.engine.Sweep(ctx, false, false)
			w.checkErr(err, want)
			if left := 12 - report.Secrets; left == 0 || !down && report.Queued != left || down && len(report.Left) != left {
				t.Errorf("%d looked at, %d queued, left %v", report.Secrets, report.Queued, report.Left)
			}
			w.AWS.Faults().Clear()
			w.engine.Databricks = w.Client(nil)
			q.work()
			w.sweep("")
			w.settled()
		})
	}
}

// A reconcile that is queued is still a reconcile.
func TestQueuedReconcile(t *testing.T) {
	inWorld(t, func(w *world) {
		q := w.withQueue()
		w.fleet(3)
		w.sweep("")
		for _, m := range w.Managed() {
			w.DeleteByHand(m, w.current(m).OAuthSecretID)
		}
		w.engine.QueueAbove = 1
		report, err := w.engine.Sweep(w.t.Context(), true, false)
		w.checkErr(err, "")
		if report.Queued != 2 || q.work() != 2 {
			t.Errorf("%d queued", report.Queued)
		}
		for _, m := range w.Managed() {
			if !w.Databricks.Authenticates(w.current(m).ClientID, w.current(m).ClientSecret.Reveal()) {
				t.Errorf("%s: AWSCURRENT is still dead", m.Name)
			}
		}
	})
}

// A cloud that is too busy for a while costs no rotation: the run comes back
// to the secret, from a fresh look, and sends no create twice.
func TestComesBackToWhatWasTooBusy(t *testing.T) {
	inWorld(t, func(w *world) {
		w.fleet(4)
		w.Databricks.Faults().Add(faulttest.Fault{Kind: faulttest.Throttled, Op: databrickstest.OpWorkspaceCreateSecret, Times: 3})
		if report := w.sweep(""); report.Counts[rotation.Rotated] != 4 {
			t.Errorf("counts %v", report.Counts)
		}
	})
	inWorld(t, func(w *world) {
		w.fleet(2)
		w.Databricks.Faults().Add(faulttest.Fault{Kind: faulttest.Throttled, Op: databrickstest.OpWorkspaceCreateSecret, Times: faulttest.Forever})
		w.sweep("too many requests")
		w.Databricks.Faults().Clear()
		w.sweep("")
	})
}

// What the queue does not take is left, and told apart from what it took.
func TestQueueTakesSome(t *testing.T) {
	inWorld(t, func(w *world) {
		for _, name := range []string{"a", "b", "c"} {
			w.register(estatetest.Registration{Name: name})
		}
		w.engine.QueueAbove, w.engine.Queue = 1, grudging{}
		time.Sleep(w.policy.Interval)
		report := w.sweep("1 secrets were left")
		if report.Queued != 1 || len(report.Left) != 1 {
			t.Errorf("%d queued, left %v, want one each", report.Queued, report.Left)
		}
	})
}

// grudging takes all messages but the first.
type grudging struct{}

func (grudging) Send(_ context.Context, bodies []string) ([]string, error) {
	return bodies[:1], errors.New("it is full")
}

func (grudging) GiveUp(context.Context, string, string) error { return nil }

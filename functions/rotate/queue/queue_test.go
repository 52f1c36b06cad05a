package queue_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/rotate/queue"
	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/faulttest"
)

func open(t *testing.T) (queue.Queue, *awstest.Server, *sqs.Client) {
	t.Helper()
	s := awstest.New(awstest.Config{})
	t.Cleanup(s.Close)
	client := sqs.NewFromConfig(s.Config())
	q := queue.Queue{API: client}
	for name, url := range map[string]*string{"rotate": &q.URL, "rotate-dead": &q.DeadLetterURL} {
		out, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name})
		if err != nil {
			t.Fatal(err)
		}
		*url = *out.QueueUrl
	}
	return q, s, client
}

func receive(t *testing.T, client *sqs.Client, url string) []types.Message {
	t.Helper()
	var all []types.Message
	for {
		out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"}})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			return all
		}
		all = append(all, out.Messages...)
	}
}

func TestSend(t *testing.T) {
	q, s, client := open(t)
	var bodies []string
	for i := range 23 {
		bodies = append(bodies, fmt.Sprintf(`{"n":%d}`, i))
	}
	s.Faults().Reset()
	if unsent, err := q.Send(t.Context(), bodies); err != nil || len(unsent) > 0 {
		t.Fatalf("unsent %v: %v", unsent, err)
	}
	if n := len(s.Faults().Calls()); n != 3 {
		t.Errorf("%d calls for 23 messages, want 3", n)
	}
	var got []string
	for _, m := range receive(t, client, q.URL) {
		got = append(got, aws.ToString(m.Body))
	}
	if diff := cmp.Diff(bodies, got); diff != "" {
		t.Errorf("messages (-sent +received):\n%s", diff)
	}
}

// partial fails some entries of each batch, a given number of times.
type partial struct {
	queue.API
	times int
}

func (p *partial) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, opts ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	if p.times == 0 {
		return p.API.SendMessageBatch(ctx, in, opts...)
	}
	p.times--
	last := in.Entries[len(in.Entries)-1]
	in.Entries = in.Entries[:len(in.Entries)-1]
	out := &sqs.SendMessageBatchOutput{}
	if len(in.Entries) > 0 {
		var err error
		if out, err = p.API.SendMessageBatch(ctx, in, opts...); err != nil {
			return nil, err
		}
	}
	out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: last.Id, Code: aws.String("InternalError")})
	return out, nil
}

// SQS may take some messages of a batch and not others.
func TestSendInParts(t *testing.T) {
	for times, wantUnsent := range map[int]int{1: 0, 2: 0, 3: 1} {
		q, _, client := open(t)
		q.API = &partial{API: q.API, times: times}
		unsent, err := q.Send(t.Context(), []string{"a", "b", "c"})
		if len(unsent) != wantUnsent || (err != nil) != (wantUnsent > 0) {
			t.Errorf("failing %d times: unsent %v, error %v", times, unsent, err)
		}
		if n := len(receive(t, client, q.URL)); n != 3-wantUnsent {
			t.Errorf("failing %d times: %d messages are queued", times, n)
		}
	}
}

func TestSendFails(t *testing.T) {
	q, s, _ := open(t)
	s.Faults().Add(faulttest.Fault{Kind: faulttest.ServerError, Times: faulttest.Forever})
	unsent, err := q.Send(t.Context(), []string{"a", "b"})
	if len(unsent) != 2 || err == nil || strings.Contains(err.Error(), "http") {
		t.Errorf("unsent %v, error %v", unsent, err)
	}
	if err := q.GiveUp(t.Context(), "a", "why"); err == nil {
		t.Error("giving up reports no error")
	}
}

// A message that was given up carries its reason, whatever the reason holds.
func TestGiveUp(t *testing.T) {
	for reason, want := range map[string]string{
		"etl: full: five OAuth secrets":  "etl: full: five OAuth secrets",
		"bell\a and escape\x1b[31m\nred": "bell and escape[31m\nred",
		"":                               "unknown",
		strings.Repeat("é", 2000):        strings.Repeat("é", 1024) + "…",
	} {
		q, _, client := open(t)
		if err := q.GiveUp(t.Context(), `{"action":"rotate"}`, reason); err != nil {
			t.Fatal(err)
		}
		got := receive(t, client, q.DeadLetterURL)
		if len(got) != 1 || aws.ToString(got[0].Body) != `{"action":"rotate"}` || aws.ToString(got[0].MessageAttributes[queue.ReasonAttribute].StringValue) != want {
			t.Errorf("%.40q: the dead-letter queue holds %+v", reason, got)
		}
	}
}

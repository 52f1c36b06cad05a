package awstest_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/awstest"
)

func TestVisibilityFollowsTheClock(t *testing.T) {
	f := newFleet(t)
	url, err := f.CreateQueue("jobs", map[string]string{"VisibilityTimeout": "60"})
	if err != nil {
		t.Fatal(err)
	}
	client, ctx := sqs.NewFromConfig(f.config()), t.Context()
	receive := func() []types.Message {
		t.Helper()
		out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: 20,
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		})
		if err != nil {
			t.Fatal(err)
		}
		return out.Messages
	}
	if _, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("body"), DelaySeconds: 10}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		after time.Duration
		count string // ApproximateReceiveCount, "" for no message
	}{{0, ""}, {10 * time.Second, "1"}, {59 * time.Second, ""}, {time.Second, "2"}} {
		f.now = f.now.Add(step.after)
		got := ""
		for _, m := range receive() {
			got += m.Attributes["ApproximateReceiveCount"]
		}
		if got != step.count {
			t.Errorf("after %s more: receive count %q, want %q", step.after, got, step.count)
		}
	}
	f.now = f.now.AddDate(0, 0, 4)
	if left := f.QueueMessages("jobs"); len(left) > 0 {
		t.Errorf("after the retention period there is %+v", left)
	}
}

func TestRedrive(t *testing.T) {
	f := newFleet(t)
	if _, err := f.CreateQueue("dead", nil); err != nil {
		t.Fatal(err)
	}
	url, err := f.CreateQueue("jobs", map[string]string{
		"RedrivePolicy": `{"deadLetterTargetArn":"` + f.QueueARN("dead") + `","maxReceiveCount":"2"}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	client, ctx := sqs.NewFromConfig(f.config()), t.Context()
	if _, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("body")}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url}); err != nil {
			t.Fatal(err)
		}
		f.now = f.now.Add(31 * time.Second)
	}
	if n := len(f.QueueMessages("jobs")); n != 0 {
		t.Errorf("%d messages in the queue, want 0", n)
	}
	if dead := f.QueueMessages("dead"); len(dead) != 1 || dead[0].Body != "body" {
		t.Errorf("the dead-letter queue has %+v", dead)
	}
}

func TestBatches(t *testing.T) {
	f := newFleet(t)
	url, err := f.CreateQueue("jobs", nil)
	if err != nil {
		t.Fatal(err)
	}
	client, ctx := sqs.NewFromConfig(f.config()), t.Context()
	entry := func(id, body string) types.SendMessageBatchRequestEntry {
		return types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &body, MessageAttributes: map[string]types.MessageAttributeValue{
			"kind": {DataType: aws.String("String"), StringValue: aws.String("k")},
		}}
	}
	sent, err := client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: []types.SendMessageBatchRequestEntry{entry("a", "1"), entry("b", "")}})
	if err != nil {
		t.Fatal(err)
	}
	if len(sent.Successful) != 1 || aws.ToString(sent.Successful[0].Id) != "a" || len(sent.Failed) != 1 || aws.ToString(sent.Failed[0].Id) != "b" {
		t.Errorf("a good and an empty message: sent %v, failed %v", sent.Successful, sent.Failed)
	}
	_, err = client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: []types.SendMessageBatchRequestEntry{entry("a", "1"), entry("a", "2")}})
	wantCode(t, "the same id twice", err, "AWS.SimpleQueueService.BatchEntryIdsNotDistinct")
	got, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"}})
	if err != nil || len(got.Messages) != 1 {
		t.Fatalf("received %v, %v", got, err)
	}
	if v := aws.ToString(got.Messages[0].MessageAttributes["kind"].StringValue); v != "k" {
		t.Errorf("the attribute is %q, want k", v)
	}
	deleted, err := client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: []types.DeleteMessageBatchRequestEntry{
		{Id: aws.String("a"), ReceiptHandle: got.Messages[0].ReceiptHandle}, {Id: aws.String("b"), ReceiptHandle: aws.String("nonsense")},
	}})
	if err != nil || len(deleted.Successful) != 1 || len(deleted.Failed) != 1 {
		t.Errorf("deleted %+v, %v; want one done and one failed", deleted, err)
	}
}

func TestQueueRefusals(t *testing.T) {
	f := newFleet(t)
	url, err := f.CreateQueue("jobs", nil)
	if err != nil {
		t.Fatal(err)
	}
	client, ctx := sqs.NewFromConfig(f.config()), t.Context()
	_, err = client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String(strings.Repeat("x", 262145))})
	wantCode(t, "a large message", err, "InvalidParameterValue")
	_, err = client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 11})
	wantCode(t, "eleven messages", err, "InvalidParameterValue")
	_, err = client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("jobs.fifo")})
	wantCode(t, "a FIFO queue", err, "InvalidParameterValue")
	_, err = client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("jobs"), Attributes: map[string]string{"VisibilityTimeout": "1"}})
	wantCode(t, "the same name with other attributes", err, "QueueAlreadyExists")
	_, err = client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("other"), Attributes: map[string]string{"Colour": "red"}})
	wantCode(t, "an unknown attribute", err, "InvalidAttributeName")
}

func TestPublish(t *testing.T) {
	f := newFleet(t)
	client, ctx := sns.NewFromConfig(f.config()), t.Context()
	arn := f.CreateTopic("news")
	if _, err := f.CreateQueue("inbox", nil); err != nil {
		t.Fatal(err)
	}
	for protocol, endpoint := range map[string]string{"sqs": f.QueueARN("inbox"), "email": "someone@example.com"} {
		if _, err := client.Subscribe(ctx, &sns.SubscribeInput{TopicArn: &arn, Protocol: &protocol, Endpoint: &endpoint}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(f.Subscriptions(arn)); n != 2 {
		t.Errorf("%d subscriptions, want 2", n)
	}
	out, err := client.Publish(ctx, &sns.PublishInput{TopicArn: &arn, Subject: aws.String("hello"), Message: aws.String("a <b> & c")})
	if err != nil {
		t.Fatal(err)
	}
	want := []awstest.Message{{ID: aws.ToString(out.MessageId), Subject: "hello", Body: "a <b> & c", At: f.now}}
	if diff := cmp.Diff(want, f.Published(arn)); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
	var note struct{ Subject, Message string }
	inbox := f.QueueMessages("inbox")
	if len(inbox) != 1 {
		t.Fatalf("the queue has %+v, want one message", inbox)
	}
	if err := json.Unmarshal([]byte(inbox[0].Body), &note); err != nil || note.Subject != "hello" || note.Message != "a <b> & c" {
		t.Errorf("the queue got %s, %v", inbox[0].Body, err)
	}
}

func TestPublishRefusals(t *testing.T) {
	f := newFleet(t)
	client, arn := sns.NewFromConfig(f.config()), f.CreateTopic("news")
	for name, in := range map[string]*sns.PublishInput{
		"no text":           {Message: aws.String("")},
		"a line break":      {Message: aws.String("m"), Subject: aws.String("a\nb")},
		"no default":        {Message: aws.String(`{"email":"m"}`), MessageStructure: aws.String("json")},
		"a large message":   {Message: aws.String(strings.Repeat("x", 262145))},
		"a subject in UTF8": {Message: aws.String("m"), Subject: aws.String("é")},
	} {
		in.TopicArn = &arn
		_, err := client.Publish(t.Context(), in)
		wantCode(t, name, err, "InvalidParameter")
	}
	if got := f.Published(arn); len(got) > 0 {
		t.Errorf("published %+v", got)
	}
}

func TestTopicsAreListedInPages(t *testing.T) {
	f := newFleet(t)
	for i := range 101 {
		f.CreateTopic(strings.Repeat("t", i+1))
	}
	n := 0
	pages := sns.NewListTopicsPaginator(sns.NewFromConfig(f.config()), &sns.ListTopicsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n += len(page.Topics)
	}
	if n != 101 {
		t.Errorf("listed %d topics, want 101", n)
	}
}

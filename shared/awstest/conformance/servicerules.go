package conformance

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

var identityRules = []Rule{
	{Name: "GetCallerIdentity names the account", check: func(t *trial) {
		out, err := t.sts.GetCallerIdentity(t.ctx, &sts.GetCallerIdentityInput{})
		t.must("GetCallerIdentity", err)
		t.equal("length of the account id", len(aws.ToString(out.Account)), 12)
		t.equal("ARN has it", strings.Contains(aws.ToString(out.Arn), ":"+aws.ToString(out.Account)+":"), true)
	}},
	{Name: "GetWebIdentityToken returns a JWT for the audience", check: func(t *trial) {
		out, err := t.sts.GetWebIdentityToken(t.ctx, &sts.GetWebIdentityTokenInput{
			Audience: []string{"someone"}, SigningAlgorithm: aws.String("RS256"), DurationSeconds: aws.Int32(60),
		})
		t.must("GetWebIdentityToken", err)
		parts := strings.Split(aws.ToString(out.WebIdentityToken), ".")
		t.equal("parts", len(parts), 3)
		if len(parts) != 3 {
			return
		}
		payload, err := base64.RawURLEncoding.DecodeString(parts[1])
		t.must("decode", err)
		var claims struct {
			Iss, Sub string
			Aud      any
			Iat, Exp int64
		}
		t.must("claims", json.Unmarshal(payload, &claims))
		t.equal("audience", claims.Aud, any("someone"))
		t.equal("lifetime in seconds", claims.Exp-claims.Iat, int64(60))
		t.equal("subject is a role", strings.HasPrefix(claims.Sub, "arn:aws:iam::"), true)
		t.equal("issuer is a URL", strings.HasPrefix(claims.Iss, "https://"), true)
	}},
	{Name: "GetWebIdentityToken refuses a lifetime under 60 seconds", check: func(t *trial) {
		_, err := t.sts.GetWebIdentityToken(t.ctx, &sts.GetWebIdentityTokenInput{
			Audience: []string{"someone"}, SigningAlgorithm: aws.String("RS256"), DurationSeconds: aws.Int32(59),
		})
		t.refused("GetWebIdentityToken", err, "ValidationError", validation)
	}},
}

// queue makes a queue and returns its URL.
func (t *trial) queue(suffix string, attributes map[string]string) *string {
	out, err := t.queues.CreateQueue(t.ctx, &sqs.CreateQueueInput{QueueName: aws.String(t.prefix + suffix), Attributes: attributes})
	t.must("CreateQueue", err)
	return out.QueueUrl
}

func (t *trial) receive(url *string) []sqstypes.Message {
	out, err := t.queues.ReceiveMessage(t.ctx, &sqs.ReceiveMessageInput{QueueUrl: url, MaxNumberOfMessages: 10})
	t.must("ReceiveMessage", err)
	return out.Messages
}

var queueRules = []Rule{
	{Name: "a queue that does not exist is QueueDoesNotExist", check: func(t *trial) {
		_, err := t.queues.GetQueueUrl(t.ctx, &sqs.GetQueueUrlInput{QueueName: &t.prefix})
		t.refused("GetQueueUrl", err, "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")
	}},
	{Name: "a received message is invisible until it is deleted or its time is over", check: func(t *trial) {
		url := t.queue("", nil)
		_, err := t.queues.SendMessage(t.ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("body")})
		t.must("SendMessage", err)
		first := t.receive(url)
		t.equal("messages", len(first), 1)
		t.equal("messages while in flight", len(t.receive(url)), 0)
		_, err = t.queues.ChangeMessageVisibility(t.ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: url, ReceiptHandle: first[0].ReceiptHandle})
		t.must("ChangeMessageVisibility", err)
		again := t.receive(url)
		t.equal("messages after that", len(again), 1)
		_, err = t.queues.DeleteMessage(t.ctx, &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: again[0].ReceiptHandle})
		t.must("DeleteMessage", err)
		out, err := t.queues.GetQueueAttributes(t.ctx, &sqs.GetQueueAttributesInput{QueueUrl: url, AttributeNames: []sqstypes.QueueAttributeName{"All"}})
		t.must("GetQueueAttributes", err)
		t.equal("left", out.Attributes["ApproximateNumberOfMessages"]+out.Attributes["ApproximateNumberOfMessagesNotVisible"], "00")
	}},
	{Name: "a message received too often goes to the dead-letter queue", check: func(t *trial) {
		dead := t.queue("-dead", nil)
		out, err := t.queues.GetQueueAttributes(t.ctx, &sqs.GetQueueAttributesInput{QueueUrl: dead, AttributeNames: []sqstypes.QueueAttributeName{"QueueArn"}})
		t.must("GetQueueAttributes", err)
		url := t.queue("", map[string]string{
			"VisibilityTimeout": "0",
			"RedrivePolicy":     `{"deadLetterTargetArn":"` + out.Attributes["QueueArn"] + `","maxReceiveCount":2}`,
		})
		_, err = t.queues.SendMessage(t.ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("body")})
		t.must("SendMessage", err)
		for i, want := range []int{1, 1, 0} {
			t.equal("messages received, try "+string(rune('1'+i)), len(t.receive(url)), want)
		}
		t.equal("messages in the dead-letter queue", len(t.receive(dead)), 1)
	}},
	{Name: "a batch has at most 10 entries", check: func(t *trial) {
		url := t.queue("", nil)
		var entries []sqstypes.SendMessageBatchRequestEntry
		for _, id := range strings.Split("a b c d e f g h i j k", " ") {
			entries = append(entries, sqstypes.SendMessageBatchRequestEntry{Id: aws.String(id), MessageBody: aws.String(id)})
		}
		_, err := t.queues.SendMessageBatch(t.ctx, &sqs.SendMessageBatchInput{QueueUrl: url, Entries: entries})
		t.refused("eleven", err, "AWS.SimpleQueueService.TooManyEntriesInBatchRequest", "TooManyEntriesInBatchRequest", "TooManyEntriesInBatch")
		out, err := t.queues.SendMessageBatch(t.ctx, &sqs.SendMessageBatchInput{QueueUrl: url, Entries: entries[:10]})
		t.must("ten", err)
		t.equal("successful", len(out.Successful), 10)
	}},
}

func (t *trial) topic() *string {
	out, err := t.topics.CreateTopic(t.ctx, &sns.CreateTopicInput{Name: &t.prefix})
	t.must("CreateTopic", err)
	return out.TopicArn
}

const maxMessage = 262144

var topicRules = []Rule{
	{Name: "a topic that does not exist is NotFound", check: func(t *trial) {
		arn := strings.Replace(*t.topic(), t.prefix, t.prefix+"-none", 1)
		_, err := t.topics.Publish(t.ctx, &sns.PublishInput{TopicArn: &arn, Message: aws.String("m")})
		t.refused("Publish", err, "NotFound", "NotFoundException")
	}},
	{Name: "a message of 262,144 bytes is published, one more is refused", check: func(t *trial) {
		arn := t.topic()
		_, err := t.topics.Publish(t.ctx, &sns.PublishInput{TopicArn: arn, Message: aws.String(strings.Repeat("m", maxMessage))})
		t.must("Publish", err)
		_, err = t.topics.Publish(t.ctx, &sns.PublishInput{TopicArn: arn, Message: aws.String(strings.Repeat("m", maxMessage+1))})
		t.refused("Publish", err, "InvalidParameter", "InvalidParameterException")
	}},
	{Name: "a subject of 101 characters is refused", check: func(t *trial) {
		_, err := t.topics.Publish(t.ctx, &sns.PublishInput{TopicArn: t.topic(), Message: aws.String("m"), Subject: aws.String(strings.Repeat("s", 101))})
		t.refused("Publish", err, "InvalidParameter", "InvalidParameterException")
	}},
}

func (t *trial) bucket() *string {
	in := &s3.CreateBucketInput{Bucket: &t.prefix}
	in.CreateBucketConfiguration = &s3types.CreateBucketConfiguration{LocationConstraint: s3types.BucketLocationConstraint(t.account.Config.Region)}
	_, err := t.buckets.CreateBucket(t.ctx, in)
	t.must("CreateBucket", err)
	return &t.prefix
}

func (t *trial) object(bucket *string, key, body string, onlyNew bool) error {
	in := &s3.PutObjectInput{Bucket: bucket, Key: &key, Body: strings.NewReader(body)}
	if onlyNew {
		in.IfNoneMatch = aws.String("*")
	}
	_, err := t.buckets.PutObject(t.ctx, in)
	return err
}

func (t *trial) body(bucket *string, key string, version *string) string {
	out, err := t.buckets.GetObject(t.ctx, &s3.GetObjectInput{Bucket: bucket, Key: &key, VersionId: version})
	t.must("GetObject", err)
	b, err := io.ReadAll(out.Body)
	t.must("read the object", err)
	_ = out.Body.Close()
	return string(b)
}

var bucketRules = []Rule{
	{Name: "an object comes back as it was put", check: func(t *trial) {
		b := t.bucket()
		t.must("PutObject", t.object(b, "a/key with space.txt", "body", false))
		t.equal("body", t.body(b, "a/key with space.txt", nil), "body")
	}},
	{Name: "an object that does not exist is NoSuchKey", check: func(t *trial) {
		_, err := t.buckets.GetObject(t.ctx, &s3.GetObjectInput{Bucket: t.bucket(), Key: aws.String("none")})
		t.refused("GetObject", err, "NoSuchKey")
		_, err = t.buckets.HeadObject(t.ctx, &s3.HeadObjectInput{Bucket: &t.prefix, Key: aws.String("none")})
		t.refused("HeadObject", err, "NotFound")
	}},
	{Name: "a bucket that does not exist is NoSuchBucket", check: func(t *trial) {
		t.refused("PutObject", t.object(&t.prefix, "key", "body", false), "NoSuchBucket")
	}},
	{Name: "If-None-Match refuses to overwrite", check: func(t *trial) {
		b := t.bucket()
		t.must("first", t.object(b, "key", "one", true))
		t.refused("second", t.object(b, "key", "two", true), "PreconditionFailed")
		t.equal("body", t.body(b, "key", nil), "one")
	}},
	{Name: "a versioned bucket keeps what was overwritten", check: func(t *trial) {
		b := t.bucket()
		_, err := t.buckets.PutBucketVersioning(t.ctx, &s3.PutBucketVersioningInput{
			Bucket: b, VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled},
		})
		t.must("PutBucketVersioning", err)
		t.must("first", t.object(b, "key", "one", false))
		first, err := t.buckets.HeadObject(t.ctx, &s3.HeadObjectInput{Bucket: b, Key: aws.String("key")})
		t.must("HeadObject", err)
		t.must("second", t.object(b, "key", "two", false))
		t.equal("latest", t.body(b, "key", nil), "two")
		t.equal("first", t.body(b, "key", first.VersionId), "one")
	}},
	{Name: "objects are listed by prefix, in order", check: func(t *trial) {
		b := t.bucket()
		for _, key := range []string{"b/2", "a/1", "b/1"} {
			t.must("PutObject", t.object(b, key, "body", false))
		}
		out, err := t.buckets.ListObjectsV2(t.ctx, &s3.ListObjectsV2Input{Bucket: b, Prefix: aws.String("b/")})
		t.must("ListObjectsV2", err)
		var keys []string
		for _, o := range out.Contents {
			keys = append(keys, aws.ToString(o.Key))
		}
		t.equal("keys", keys, []string{"b/1", "b/2"})
	}},
}

package awstest_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/faulttest"
)

func TestCallsAreRecordedByTarget(t *testing.T) {
	f := newFleet(t)
	arn, err := f.CreateSecret("a/b", "one", nil)
	if err != nil {
		t.Fatal(err)
	}
	topic := f.CreateTopic("news")
	url, err := f.CreateQueue("jobs", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.CreateBucket("evidence", false); err != nil {
		t.Fatal(err)
	}
	cfg := f.config()
	ctx := t.Context()
	for what, call := range map[string]func() error{
		"describe": func() error {
			_, err := f.sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &arn})
			return err
		},
		"put": func() error {
			_, err := f.sm.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &arn, SecretString: aws.String("two")})
			return err
		},
		"list": func() error { _, err := f.sm.ListSecrets(ctx, nil); return err },
		"sts": func() error {
			_, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
			return err
		},
		"sns": func() error {
			_, err := sns.NewFromConfig(cfg).Publish(ctx, &sns.PublishInput{TopicArn: &topic, Message: aws.String("m")})
			return err
		},
		"sqs": func() error {
			_, err := sqs.NewFromConfig(cfg).SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("m")})
			return err
		},
		"s3": func() error {
			_, err := s3.NewFromConfig(cfg).PutObject(ctx, &s3.PutObjectInput{
				Bucket: aws.String("evidence"), Key: aws.String("2026/report.json"), Body: strings.NewReader("{}"),
			})
			return err
		},
	} {
		f.Faults().Reset()
		if err := call(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		want := map[string]faulttest.Call{
			"describe": {Service: "secretsmanager", Op: "DescribeSecret", Target: "a/b", Read: true},
			"put":      {Service: "secretsmanager", Op: "PutSecretValue", Target: "a/b"},
			"list":     {Service: "secretsmanager", Op: "ListSecrets", Read: true},
			"sts":      {Service: "sts", Op: "GetCallerIdentity", Read: true},
			"sns":      {Service: "sns", Op: "Publish", Target: "news"},
			"sqs":      {Service: "sqs", Op: "SendMessage", Target: "jobs"},
			"s3":       {Service: "s3", Op: "PutObject", Target: "evidence/2026/report.json"},
		}[what]
		want.Seq, want.Caller = 1, "arn:aws:iam::123456789012:role/test"
		if diff := cmp.Diff([]faulttest.Call{want}, f.Faults().Calls()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}

func TestReplyLostKeepsTheChange(t *testing.T) {
	f := newFleet(t)
	f.create(t, "a", "one")
	f.Faults().Add(faulttest.Fault{Op: "PutSecretValue", Target: "a", Kind: faulttest.ReplyLost})
	in := &secretsmanager.PutSecretValueInput{SecretId: aws.String("a"), SecretString: aws.String("two")}
	if _, err := f.sm.PutSecretValue(t.Context(), in); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got error %v, want a closed connection", err)
	}
	if v, _ := f.Current("a"); v.Value != "two" {
		t.Errorf("the value is %q, want two", v.Value)
	}
}

func TestRequestLostChangesNothing(t *testing.T) {
	f := newFleet(t)
	f.create(t, "a", "one")
	f.Faults().Add(faulttest.Fault{Op: "PutSecretValue", Kind: faulttest.RequestLost})
	in := &secretsmanager.PutSecretValueInput{SecretId: aws.String("a"), SecretString: aws.String("two")}
	if _, err := f.sm.PutSecretValue(t.Context(), in); err == nil {
		t.Error("the put went through")
	}
	if v, _ := f.Current("a"); v.Value != "one" {
		t.Errorf("the value is %q, want one", v.Value)
	}
}

func TestThrottledIsTheServicesOwnError(t *testing.T) {
	f := newFleet(t)
	f.create(t, "a", "one")
	cfg := f.config()
	ctx := t.Context()
	f.Faults().Add(faulttest.Fault{Kind: faulttest.Throttled, Times: faulttest.Forever})
	_, err := f.sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: aws.String("a")})
	wantCode(t, "Secrets Manager", err, "ThrottlingException")
	_, err = sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
	wantCode(t, "STS", err, "Throttling")
	_, err = sns.NewFromConfig(cfg).ListTopics(ctx, nil)
	wantCode(t, "SNS", err, "Throttling")
	_, err = sqs.NewFromConfig(cfg).GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("q")})
	wantCode(t, "SQS", err, "RequestThrottled")
	_, err = s3.NewFromConfig(cfg).ListBuckets(ctx, nil)
	wantCode(t, "S3", err, "SlowDown")
}

// The SDK's own retryer has to recognise each service's throttle.
func TestThrottledIsRetried(t *testing.T) {
	f := newFleet(t)
	f.create(t, "a", "one")
	cfg := f.config()
	cfg.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = 2
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		})
	}
	ctx := t.Context()
	for service, call := range map[string]func() error{
		"secretsmanager": func() error {
			_, err := secretsmanager.NewFromConfig(cfg).ListSecrets(ctx, nil)
			return err
		},
		"sts": func() error { _, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil); return err },
		"sqs": func() error {
			_, err := sqs.NewFromConfig(cfg).CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("q")})
			return err
		},
	} {
		f.Faults().Add(faulttest.Fault{Kind: faulttest.Throttled})
		if err := call(); err != nil {
			t.Errorf("%s: %v", service, err)
		}
	}
}

func (f *fleet) value(t *testing.T, name string) string {
	t.Helper()
	out, err := f.sm.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &name})
	if err != nil {
		return code(err)
	}
	return aws.ToString(out.SecretString)
}

func TestStaleRead(t *testing.T) {
	f := newFleet(t)
	f.create(t, "a", "one")
	stale := faulttest.Fault{Op: "GetSecretValue", Kind: faulttest.StaleRead}
	f.Faults().Add(stale)
	if got := f.value(t, "a"); got != "ResourceNotFoundException" {
		t.Errorf("a stale read of a new secret: %q", got)
	}
	f.put(t, "a", "two")
	f.Faults().Add(stale)
	if got := f.value(t, "a"); got != "one" {
		t.Errorf("a stale read: got %q, want one", got)
	}
	if got := f.value(t, "a"); got != "two" {
		t.Errorf("the next read: got %q, want two", got)
	}
}

func TestLagReads(t *testing.T) {
	f := newFleet(t)
	f.create(t, "a", "one")
	f.LagReads(true)
	if got := f.value(t, "a"); got != "one" {
		t.Errorf("what was written before is visible: got %q, want one", got)
	}
	f.put(t, "a", "two")
	f.create(t, "b", "one")
	for _, want := range []string{"one", "two", "two"} {
		if got := f.value(t, "a"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if names := f.list(t, &secretsmanager.ListSecretsInput{}); !cmp.Equal(names, []string{"a"}) {
		t.Errorf("the first listing has %q, want a alone", names)
	}
	if names := f.list(t, &secretsmanager.ListSecretsInput{}); !cmp.Equal(names, []string{"a", "b"}) {
		t.Errorf("the second listing has %q, want a and b", names)
	}
	// A write is judged by what is, not by what a read would show.
	f.put(t, "a", "three", "AWSPENDING")
	v, _ := f.Labelled("a", "AWSPENDING")
	f.put(t, "a", "four")
	_, err := f.sm.UpdateSecretVersionStage(t.Context(), &secretsmanager.UpdateSecretVersionStageInput{
		SecretId: aws.String("a"), VersionStage: aws.String("AWSPENDING"), RemoveFromVersionId: &v.ID,
	})
	wantCode(t, "removal of a label that reads do not show yet", err, "")
}

func TestMaxLagBoundsStaleReads(t *testing.T) {
	now := time.Unix(0, 0)
	s := awstest.New(awstest.Config{Now: func() time.Time { return now }, MaxLag: time.Second})
	f := &fleet{Server: s}
	f.sm = secretsmanager.NewFromConfig(f.config())
	f.create(t, "a", "one")
	f.put(t, "a", "two")
	f.Faults().Add(faulttest.Fault{Op: "GetSecretValue", Kind: faulttest.StaleRead, Times: faulttest.Forever})
	for _, step := range []struct {
		after time.Duration
		want  string
	}{{0, "one"}, {999 * time.Millisecond, "one"}, {time.Millisecond, "two"}} {
		now = now.Add(step.after)
		if got := f.value(t, "a"); got != step.want {
			t.Errorf("%s later: got %q, want %q", step.after, got, step.want)
		}
	}
}

func (f *fleet) list(t *testing.T, in *secretsmanager.ListSecretsInput) []string {
	t.Helper()
	var names []string
	pages := secretsmanager.NewListSecretsPaginator(f.sm, in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range page.SecretList {
			names = append(names, aws.ToString(s.Name))
		}
	}
	return names
}

func TestWriteQuota(t *testing.T) {
	f := newFleet(t)
	f.create(t, "a", "one")
	f.WriteQuota(2)
	put := func() error {
		_, err := f.sm.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: aws.String("a"), SecretString: aws.String("two")})
		return err
	}
	wantCode(t, "first put", put(), "")
	_, err := f.sm.UpdateSecret(t.Context(), &secretsmanager.UpdateSecretInput{SecretId: aws.String("a"), Description: aws.String("d")})
	wantCode(t, "an update", err, "")
	wantCode(t, "third write in the same second", put(), "ThrottlingException")
	if got := f.value(t, "a"); got != "two" {
		t.Errorf("a read counts against the write quota: %q", got)
	}
	f.now = f.now.Add(time.Second)
	wantCode(t, "a second later", put(), "")
	f.WriteQuota(0)
	for range 5 {
		wantCode(t, "without a quota", put(), "")
	}
}

func TestOtherQuotas(t *testing.T) {
	f := newFleet(t)
	f.create(t, "a", "one")
	f.ReadQuota(1)
	f.BatchQuota(1)
	f.RotateQuota(1)
	f.ListQuota(1)
	for i, want := range []string{"", "ThrottlingException"} {
		_, err := f.sm.DescribeSecret(t.Context(), &secretsmanager.DescribeSecretInput{SecretId: aws.String("a")})
		wantCode(t, "describe", err, want)
		_, err = f.sm.BatchGetSecretValue(t.Context(), &secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{"a"}})
		wantCode(t, "batch", err, want)
		_, err = f.sm.ListSecrets(t.Context(), &secretsmanager.ListSecretsInput{})
		wantCode(t, "list", err, want)
		_, err = f.sm.CancelRotateSecret(t.Context(), &secretsmanager.CancelRotateSecretInput{SecretId: aws.String("a")})
		wantCode(t, "cancel", err, []string{"InvalidRequestException", "ThrottlingException"}[i])
	}
	// The fleet's client does not try again.
	if n := f.Throttled(); n != 4 {
		t.Errorf("%d requests were over a quota, want 4", n)
	}
}

func TestTimeoutEndsWithTheCaller(t *testing.T) {
	f := newFleet(t)
	f.create(t, "a", "one")
	f.Faults().Add(faulttest.Fault{Kind: faulttest.Timeout})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	_, err := f.sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: aws.String("a")})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

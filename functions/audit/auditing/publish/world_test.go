package publish_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/securityhub"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"databricks-credential-rotation/functions/audit/auditing/publish"
	"databricks-credential-rotation/functions/audit/auditing/reporttest"
	"databricks-credential-rotation/shared/awstest"
)

const (
	account = "123456789012"
	bucket  = "evidence"
	folder  = "audits/2026/11/24/20261124T060000Z-5f1c9a277d4e/"
	pointer = "audits/latest.json"
)

// world is an AWS account, and a publisher to all media in it.
type world struct {
	*awstest.Server
	publish.Publisher
	s3  *s3.Client
	log bytes.Buffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Server: awstest.New(awstest.Config{AccountID: account, Seed: 1, Now: func() time.Time { return reporttest.TakenAt }})}
	t.Cleanup(func() {
		w.Close()
		if unknown := w.Unknown(); len(unknown) > 0 {
			t.Errorf("the server did not understand: %q", unknown)
		}
	})
	if err := w.CreateBucket(bucket, true); err != nil {
		t.Fatal(err)
	}
	cfg := w.Config()
	cfg.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		})
	}
	w.s3 = s3.NewFromConfig(cfg)
	w.Bucket = &publish.Bucket{API: w.s3, Name: bucket, Prefix: "audits/", Region: "eu-west-1", Owner: account}
	w.Topic = &publish.Topic{API: sns.NewFromConfig(cfg), ARN: w.CreateTopic("audits")}
	w.Hub = &publish.Hub{API: securityhub.NewFromConfig(cfg), Partition: "aws", Region: "eu-west-1", Account: account}
	w.Metrics = &publish.Metrics{Logger: slog.New(slog.NewJSONHandler(&w.log, nil))}
	return w
}

// object reads an object, and tells its type.
func (w *world) object(t *testing.T, key string) (body []byte, kind string) {
	t.Helper()
	out, err := w.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: &key})
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	body, err = io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body, aws.ToString(out.ContentType)
}

func (w *world) keys(t *testing.T) []string {
	t.Helper()
	out, err := w.s3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, o := range out.Contents {
		keys = append(keys, aws.ToString(o.Key))
	}
	return keys
}

// deny refuses actions whose name or resource has the text in it.
func (w *world) deny(text string) {
	w.SetAuthorizer(func(_ context.Context, a awstest.Access) error {
		if strings.Contains(a.Action+" "+a.Resource, text) {
			return errors.New("not authorized to perform " + a.Action)
		}
		return nil
	})
}

// calls counts the calls of an operation.
func (w *world) calls(op string) int {
	n := 0
	for _, c := range w.Faults().Calls() {
		if c.Op == op {
			n++
		}
	}
	return n
}

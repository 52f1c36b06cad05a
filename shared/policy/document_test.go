package policy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/bucket"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/policy"
)

type stored struct {
	t      *testing.T
	aws    *awstest.Server
	client *s3.Client
	log    bytes.Buffer
}

func newStored(t *testing.T) *stored {
	t.Helper()
	server := awstest.New(awstest.Config{})
	if err := server.CreateBucket("data", true); err != nil {
		t.Fatal(err)
	}
	return &stored{t: t, aws: server, client: s3.NewFromConfig(server.Config())}
}

func (s *stored) document() policy.Document {
	return policy.Document{
		Objects: bucket.Bucket{API: s.client, Name: "data", Tries: 2}, Key: "policy.yaml",
		Log: slog.New(slog.NewTextHandler(&s.log, nil)),
	}
}

// put stores a document and returns its version.
func (s *stored) put(document string) string {
	s.t.Helper()
	out, err := s.client.PutObject(s.t.Context(), &s3.PutObjectInput{
		Bucket: aws.String("data"), Key: aws.String("policy.yaml"), Body: strings.NewReader(document),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return *out.VersionId
}

// Each reading is of the newest version, and the log names it.
func TestDocumentIsReadEachTime(t *testing.T) {
	s := newStored(t)
	d := s.document()
	for _, interval := range []string{"10d", "20d"} {
		version := s.put("version: 1\nrotation: {interval: " + interval + "}\n")
		p, err := d.Read(t.Context())
		if err != nil || policy.FormatDuration(p.Interval) != interval {
			t.Errorf("interval %v, %v; want %s", p.Interval, err, interval)
		}
		if !strings.Contains(s.log.String(), fmt.Sprintf("policy=s3://data/policy.yaml policy_version=%q", version)) {
			t.Errorf("the log does not name version %s:\n%s", version, s.log.String())
		}
	}
}

func TestDocumentThatIsInvalid(t *testing.T) {
	s := newStored(t)
	version := s.put("version: 1\nrotation:\n  interval: soon\n  graze: 1d\n")
	_, err := s.document().Read(t.Context())
	want := "s3://data/policy.yaml, version " + version + `: invalid, with 2 faults:
line 3: rotation.interval: must be a duration in one unit, such as 30d, 24h, 90m or 45s, not "soon"
line 4: rotation.graze: unknown field; there are extend_grace, grace, interval, lifetime`
	if err == nil || err.Error() != want {
		t.Errorf("error:\n%v\nwant:\n%s", err, want)
	}
}

// A document that cannot be read is an error: another policy, such as the
// default, might end what readers still hold.
func TestDocumentThatCannotBeRead(t *testing.T) {
	tests := map[string]struct {
		prepare func(*stored)
		want    string
	}{
		"missing": {func(*stored) {}, "reading s3://data/policy.yaml: it does not exist"},
		"denied": {func(s *stored) {
			s.aws.SetAuthorizer(func(context.Context, awstest.Access) error { return errors.New("no") })
		}, "the function's role may not do this"},
		"down": {func(s *stored) {
			s.aws.Faults().Add(faulttest.Fault{Kind: faulttest.ServerError, Times: faulttest.Forever})
		}, "InternalServerError"},
		"too large": {func(s *stored) { s.put(strings.Repeat("#", policy.MaxSize+1)) }, "over 262144 bytes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStored(t)
			test.prepare(s)
			p, err := s.document().Read(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want …%s…", err, test.want)
			}
			if diff := same(policy.Policy{}, p); diff != "" {
				t.Errorf("a policy came with the error: %s", diff)
			}
		})
	}
}

func TestNoDocument(t *testing.T) {
	var log bytes.Buffer
	p, err := policy.Document{Log: slog.New(slog.NewTextHandler(&log, nil))}.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := same(policy.Default(), p); diff != "" {
		t.Errorf("(-default +got):\n%s", diff)
	}
	if !strings.Contains(log.String(), "policy=default") {
		t.Errorf("the log does not say which policy holds:\n%s", log.String())
	}
}

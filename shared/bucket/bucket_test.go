package bucket_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/bucket"
	"databricks-credential-rotation/shared/faulttest"
)

const key = "a/key.json"

// newBucket is a versioned bucket on the emulator, under the real SDK.
func newBucket(t *testing.T) (*awstest.Server, bucket.Bucket) {
	t.Helper()
	aws := awstest.New(awstest.Config{})
	if err := aws.CreateBucket("data", true); err != nil {
		t.Fatal(err)
	}
	return aws, bucket.Bucket{API: s3.NewFromConfig(aws.Config()), Name: "data"}
}

// passing runs a test in a time that passes as soon as all wait for it.
func passing(t *testing.T, name string, test func(*testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

// attempts counts the calls of an operation.
func attempts(aws *awstest.Server, op string) (all int) {
	for _, call := range aws.Faults().Calls() {
		if call.Op == op {
			all++
		}
	}
	return all
}

func TestRead(t *testing.T) {
	_, b := newBucket(t)
	if err := b.Create(t.Context(), key, "text/plain", []byte("one")); err != nil {
		t.Fatal(err)
	}
	got, err := b.Read(t.Context(), key, 3)
	if err != nil || string(got.Body) != "one" || got.VersionID == "" || got.ModifiedAt.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := b.Read(t.Context(), key, 2); !errors.Is(err, bucket.ErrTooLarge) {
		t.Errorf("three bytes where two are allowed: %v", err)
	}
	if b.Location(key) != "s3://data/a/key.json" {
		t.Errorf("location %s", b.Location(key))
	}
}

// Nothing is ever replaced.
func TestCreateNeverReplaces(t *testing.T) {
	_, b := newBucket(t)
	if err := b.Create(t.Context(), key, "text/plain", []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := b.Create(t.Context(), key, "text/plain", []byte("second")); !errors.Is(err, bucket.ErrExists) {
		t.Errorf("%v, want ErrExists", err)
	}
	if got, err := b.Read(t.Context(), key, 100); err != nil || string(got.Body) != "first" {
		t.Errorf("%q, %v", got.Body, err)
	}
}

// An operation outlives failures that pass, and a create that was carried out
// without a reply is a success.
func TestFailuresThatPass(t *testing.T) {
	for _, kind := range []faulttest.Kind{faulttest.RequestLost, faulttest.ReplyLost, faulttest.Throttled, faulttest.ServerError, faulttest.Timeout} {
		passing(t, kind.String(), func(t *testing.T) {
			aws, b := newBucket(t)
			aws.Faults().Add(faulttest.Fault{Op: "PutObject", Times: 2, Kind: kind})
			if err := b.Create(t.Context(), key, "text/plain", []byte("body")); err != nil {
				t.Fatal(err)
			}
			aws.Faults().Add(faulttest.Fault{Op: "GetObject", Times: 2, Kind: kind})
			got, err := b.Read(t.Context(), key, 100)
			if err != nil || string(got.Body) != "body" {
				t.Errorf("%q, %v", got.Body, err)
			}
			if puts, gets := attempts(aws, "PutObject"), attempts(aws, "GetObject"); puts != 3 || gets != 3 {
				t.Errorf("%d attempts to add and %d to read, want 3 each", puts, gets)
			}
			if unknown := aws.Unknown(); len(unknown) > 0 {
				t.Errorf("unknown to the emulator: %v", unknown)
			}
		})
	}
}

// An operation gives up in the end, and says why and where.
func TestFailuresThatStay(t *testing.T) {
	for kind, want := range map[faulttest.Kind]string{
		faulttest.RequestLost: "no reply from S3",
		faulttest.Throttled:   "SlowDown",
		faulttest.ServerError: "InternalServerError",
		faulttest.Timeout:     "no reply from S3 in time",
	} {
		passing(t, kind.String(), func(t *testing.T) {
			aws, b := newBucket(t)
			aws.Faults().Add(faulttest.Fault{Kind: kind, Times: faulttest.Forever})
			err := b.Create(t.Context(), key, "text/plain", nil)
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "adding s3://data/a/key.json") {
				t.Errorf("create: %v, want …%s", err, want)
			}
			_, err = b.Read(t.Context(), key, 1)
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "reading s3://data/a/key.json") {
				t.Errorf("read: %v, want …%s", err, want)
			}
			if n := attempts(aws, "PutObject"); n != 4 {
				t.Errorf("%d attempts, want 4", n)
			}
		})
	}
}

// A refusal is final: it is not tried again.
func TestRefusals(t *testing.T) {
	aws, b := newBucket(t)
	none := b
	none.Name = "none"
	if _, err := none.Read(t.Context(), key, 1); !errors.Is(err, bucket.ErrNotFound) {
		t.Errorf("no bucket: %v", err)
	}
	if _, err := b.Read(t.Context(), key, 1); !errors.Is(err, bucket.ErrNotFound) {
		t.Errorf("no object: %v", err)
	}
	aws.SetAuthorizer(func(context.Context, awstest.Access) error { return errors.New("no policy allows it") })
	_, err := b.Read(t.Context(), key, 1)
	if !errors.Is(err, bucket.ErrDenied) || !strings.Contains(err.Error(), "s3:GetObject") {
		t.Errorf("denied: %v", err)
	}
	if err := b.Create(t.Context(), key, "text/plain", nil); !errors.Is(err, bucket.ErrDenied) {
		t.Errorf("denied: %v", err)
	}
	if gets, puts := attempts(aws, "GetObject"), attempts(aws, "PutObject"); gets != 3 || puts != 1 {
		t.Errorf("%d reads and %d writes, want 3 and 1", gets, puts)
	}
}

// The end of a run's time ends the waiting, and the error still says what was
// wrong before.
func TestEndOfTime(t *testing.T) { passing(t, "", testEndOfTime) }

func testEndOfTime(t *testing.T) {
	aws, b := newBucket(t)
	aws.Faults().Add(faulttest.Fault{Kind: faulttest.ServerError, Times: faulttest.Forever})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	b.Tries = 1000
	start := time.Now()
	err := b.Create(ctx, key, "text/plain", nil)
	if err == nil || !strings.Contains(err.Error(), "InternalServerError") {
		t.Errorf("%v", err)
	}
	if took := time.Since(start); took != 3*time.Second {
		t.Errorf("it took %v", took)
	}
}

// What goes over the wire asks S3 not to replace anything, and says what it is.
func TestWhatIsSent(t *testing.T) {
	api := &recorder{}
	if err := (bucket.Bucket{API: api, Name: "data"}).Create(t.Context(), key, "application/json", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	got := []string{*api.put.Bucket, *api.put.Key, *api.put.IfNoneMatch, *api.put.ContentType}
	if diff := cmp.Diff([]string{"data", key, "*", "application/json"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

type recorder struct {
	bucket.API
	put *s3.PutObjectInput
}

func (r *recorder) PutObject(_ context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	r.put = in
	return &s3.PutObjectOutput{}, nil
}

package awstest_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// The SDK puts the bucket into the host's name in memory, and into the path
// on a socket; a client of the product sets neither.
func TestObjectsByEitherAddressing(t *testing.T) {
	for name, listen := range map[string]bool{"in memory": false, "on a socket": true} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			if listen {
				if err := f.Listen(); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.CreateBucket("evidence", true); err != nil {
				t.Fatal(err)
			}
			client, ctx := s3.NewFromConfig(f.config()), t.Context()
			put := func(body string, onlyNew bool) (*s3.PutObjectOutput, error) {
				in := &s3.PutObjectInput{Bucket: aws.String("evidence"), Key: aws.String("a/b c.txt"), Body: strings.NewReader(body)}
				if onlyNew {
					in.IfNoneMatch = aws.String("*")
				}
				return client.PutObject(ctx, in)
			}
			first, err := put("one", true)
			if err != nil {
				t.Fatal(err)
			}
			_, err = put("two", true)
			wantCode(t, "If-None-Match", err, "PreconditionFailed")
			if _, err := put("two", false); err != nil {
				t.Fatal(err)
			}
			for version, want := range map[string]string{"": "two", aws.ToString(first.VersionId): "one"} {
				in := &s3.GetObjectInput{Bucket: aws.String("evidence"), Key: aws.String("a/b c.txt")}
				if version != "" {
					in.VersionId = &version
				}
				out, err := client.GetObject(ctx, in)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(out.Body)
				if err != nil || string(body) != want {
					t.Errorf("version %q is %q, %v; want %q", version, body, err, want)
				}
				if !aws.ToTime(out.LastModified).Equal(f.now) {
					t.Errorf("LastModified is %v, want %s", out.LastModified, f.now)
				}
			}
			versions, err := client.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: aws.String("evidence")})
			if err != nil || len(versions.Versions) != 2 {
				t.Errorf("versions %v, %v; want 2", versions, err)
			}
			_, err = client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String("none")})
			wantCode(t, "HeadBucket", err, "NotFound")
		})
	}
}

func TestObjectOperationsHaveTheirNames(t *testing.T) {
	f := newFleet(t)
	client, ctx := s3.NewFromConfig(f.config()), t.Context()
	b, k := aws.String("evidence"), aws.String("k")
	for _, call := range []func() error{
		func() error { _, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: b}); return err },
		func() error {
			_, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: k, Body: strings.NewReader("x")})
			return err
		},
		func() error { _, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: b, Key: k}); return err },
		func() error { _, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: b}); return err },
		func() error {
			_, err := client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: b, Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: k}}}})
			return err
		},
		func() error { _, err := client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: b}); return err },
	} {
		if err := call(); err != nil {
			t.Error(err)
		}
	}
	var ops []string
	for _, c := range f.Faults().Calls() {
		ops = append(ops, c.Op)
	}
	if got, want := strings.Join(ops, " "), "CreateBucket PutObject HeadObject ListObjectsV2 DeleteObjects DeleteBucket"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestObjectsOfABucket(t *testing.T) {
	f := newFleet(t)
	if err := f.CreateBucket("evidence", true); err != nil {
		t.Fatal(err)
	}
	client := s3.NewFromConfig(f.config())
	want := map[string][]byte{}
	// More than a page of a listing.
	for i := range 1100 {
		key, body := fmt.Sprintf("a/%04d", i), strings.Repeat("x", i%7)
		want[key] = []byte(body)
		for _, b := range []string{"older", body} {
			if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("evidence"), Key: &key, Body: strings.NewReader(b)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	got, err := f.Objects("evidence")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-put +got):\n%s", diff)
	}
	if _, err := f.Objects("none"); err == nil {
		t.Error("a bucket that is not there has objects")
	}
}

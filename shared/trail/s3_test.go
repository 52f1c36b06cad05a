package trail_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/bucket"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/trail"
)

const requestID = "8f0e2b7c-51d8-4a93-9f30-6d1c2a4e4b57"

// world is a bucket on the emulator with a trail in it.
type world struct {
	t      *testing.T
	aws    *awstest.Server
	client *s3.Client
	trail  *trail.S3
	ctx    context.Context
}

func newWorld(t *testing.T) *world {
	t.Helper()
	server := awstest.New(awstest.Config{})
	if err := server.CreateBucket("data", true); err != nil {
		t.Fatal(err)
	}
	client := s3.NewFromConfig(server.Config())
	return &world{
		t: t, aws: server, client: client,
		trail: &trail.S3{
			Objects: bucket.Bucket{API: client, Name: "data"},
			Rotator: "5b0e8c9d-1a2b-4c3d-8e4f-0a1b2c3d4e5f",
			Now:     func() time.Time { return time.Date(2026, 11, 24, 23, 30, 0, 5, time.FixedZone("west", -3600)) },
		},
		ctx: lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{
			AwsRequestID: requestID, InvokedFunctionArn: "arn:aws:lambda:eu-west-1:123456789012:function:rotate",
		}),
	}
}

// entries are the bucket's objects by their keys.
func (w *world) entries() map[string]string {
	w.t.Helper()
	w.aws.Faults().Clear()
	list, err := w.client.ListObjectsV2(w.t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("data")})
	if err != nil {
		w.t.Fatal(err)
	}
	found := map[string]string{}
	for _, object := range list.Contents {
		out, err := w.client.GetObject(w.t.Context(), &s3.GetObjectInput{Bucket: aws.String("data"), Key: object.Key})
		if err != nil {
			w.t.Fatal(err)
		}
		body, err := io.ReadAll(out.Body)
		if err != nil {
			w.t.Fatal(err)
		}
		found[*object.Key] = string(body)
	}
	return found
}

var keyPattern = regexp.MustCompile(`^trail/2026/11/25/20261125T003000\.000000005Z-` + requestID + `-00000[1-9]-[0-9a-f]{16}\.json$`)

func TestS3(t *testing.T) {
	w := newWorld(t)
	entry := trail.Entry{
		Phase: trail.Before, Action: "retire", Why: "grace is over", Door: "sweep", Secret: "prod/etl",
		ClientID: "0c5e3a1f-7d24-4c8e-9b6a-1f2e3d4c5b6a", OAuthSecretID: "9f00",
	}
	for _, change := range []func(){
		func() {},
		func() { entry.Phase = trail.After },
		func() { entry.Err = errors.New("no reply") },
		func() {
			entry = trail.Entry{Phase: trail.After, Action: "delete", Why: "leaked", Door: "revoke", RequestedBy: "jane", User: "joe@example.com", TokenID: "t1", Host: "https://dbc-1.example.com"}
		},
	} {
		change()
		if err := w.trail.Record(w.ctx, entry); err != nil {
			t.Fatal(err)
		}
	}
	entries := w.entries()
	var got []map[string]any
	for _, key := range sorted(entries) {
		if !keyPattern.MatchString(key) {
			t.Errorf("key %s", key)
		}
		body := entries[key]
		if strings.Count(body, "\n") != 1 || !strings.HasSuffix(body, "\n") {
			t.Errorf("not one line: %q", body)
		}
		var fields map[string]any
		if err := json.Unmarshal([]byte(body), &fields); err != nil {
			t.Fatal(err)
		}
		got = append(got, fields)
	}
	who := map[string]any{
		"time": "2026-11-25T00:30:00.000000005Z", "function": lambdacontext.FunctionName,
		"function_arn": "arn:aws:lambda:eu-west-1:123456789012:function:rotate",
		"request_id":   requestID, "rotator": "5b0e8c9d-1a2b-4c3d-8e4f-0a1b2c3d4e5f",
	}
	what := map[string]any{
		"action": "retire", "why": "grace is over", "door": "sweep", "secret": "prod/etl",
		"client_id": "0c5e3a1f-7d24-4c8e-9b6a-1f2e3d4c5b6a", "oauth_secret_id": "9f00",
	}
	want := []map[string]any{
		merged(who, what, map[string]any{"sequence": 1.0, "phase": "before"}),
		merged(who, what, map[string]any{"sequence": 2.0, "phase": "after", "outcome": "done"}),
		merged(who, what, map[string]any{"sequence": 3.0, "phase": "after", "outcome": "failed", "error": "no reply"}),
		merged(who, map[string]any{
			"sequence": 4.0, "phase": "after", "outcome": "done", "action": "delete", "why": "leaked", "door": "revoke",
			"requested_by": "jane", "user": "joe@example.com", "token_id": "t1", "host": "https://dbc-1.example.com",
		}),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func sorted(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func merged(maps ...map[string]any) map[string]any {
	all := map[string]any{}
	for _, m := range maps {
		for k, v := range m {
			all[k] = v
		}
	}
	return all
}

// Outside Lambda there is no request, and the trail is written all the same.
func TestS3WithoutRequest(t *testing.T) {
	w := newWorld(t)
	w.trail.Now = nil
	if err := w.trail.Record(t.Context(), trail.Entry{Phase: trail.Before, Action: "issue"}); err != nil {
		t.Fatal(err)
	}
	for key := range w.entries() {
		if !strings.HasPrefix(key, "trail/"+time.Now().UTC().Format("2006/01/02")+"/") || !strings.Contains(key, "-none-000001-") {
			t.Errorf("key %s", key)
		}
	}
}

// Invariants 7 and 8: an entry that met a failure that passes is there, and
// there once.
func TestS3OutlivesFailures(t *testing.T) {
	for _, kind := range []faulttest.Kind{faulttest.RequestLost, faulttest.ReplyLost, faulttest.Throttled, faulttest.ServerError, faulttest.Timeout} {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.aws.Faults().Add(faulttest.Fault{Op: "PutObject", Kind: kind})
				if err := w.trail.Record(w.ctx, trail.Entry{Phase: trail.Before, Action: "retire"}); err != nil {
					t.Fatal(err)
				}
				if n := len(w.entries()); n != 1 {
					t.Errorf("%d entries, want 1", n)
				}
			})
		})
	}
}

// Invariant 7: whoever makes the change hears that it cannot be recorded.
func TestS3ThatCannotWrite(t *testing.T) {
	tests := map[string]struct {
		prepare func(*world)
		want    string
	}{
		"denied": {func(w *world) {
			w.aws.SetAuthorizer(func(context.Context, awstest.Access) error { return errors.New("no policy allows it") })
		}, "AccessDenied"},
		"down": {func(w *world) {
			w.aws.Faults().Add(faulttest.Fault{Kind: faulttest.ServerError, Times: faulttest.Forever})
		}, "InternalServerError"},
		"silent": {func(w *world) {
			w.aws.Faults().Add(faulttest.Fault{Kind: faulttest.Timeout, Times: faulttest.Forever})
		}, "no reply from S3 in time"},
		"no randomness": {func(w *world) { w.trail.Random = strings.NewReader("short") }, "naming an entry"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				test.prepare(w)
				start := time.Now()
				err := w.trail.Record(w.ctx, trail.Entry{Phase: trail.Before})
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("%v, want …%s…", err, test.want)
				}
				if took := time.Since(start); took > 30*time.Second {
					t.Errorf("it took %v to give up", took)
				}
			})
		})
	}
}

// An entry never takes another's place, even if both had one name.
func TestS3NeverReplaces(t *testing.T) {
	w := newWorld(t)
	record := func(action string) error {
		other := trail.S3{Objects: w.trail.Objects, Now: w.trail.Now, Random: strings.NewReader("12345678")}
		return other.Record(w.ctx, trail.Entry{Phase: trail.Before, Action: action})
	}
	if err := record("first"); err != nil {
		t.Fatal(err)
	}
	if err := record("second"); !errors.Is(err, bucket.ErrExists) {
		t.Errorf("%v, want ErrExists", err)
	}
	for _, body := range w.entries() {
		if !strings.Contains(body, `"action":"first"`) {
			t.Errorf("the entry is %s", body)
		}
	}
}

// broken is a trail that cannot be written.
type broken struct{ err error }

func (b broken) Record(context.Context, trail.Entry) error { return b.err }

// counted counts the entries.
type counted struct{ n int }

func (c *counted) Record(context.Context, trail.Entry) error { c.n++; return nil }

func TestTee(t *testing.T) {
	full, gone := errors.New("disk full"), errors.New("gone")
	tests := map[string]struct {
		phase         trail.Phase
		first, second error
		want          []error
		reached       int // of the last, behind the two
	}{
		"before":                {trail.Before, nil, nil, nil, 1},
		"before, first fails":   {trail.Before, full, nil, []error{full}, 0},
		"before, second fails":  {trail.Before, nil, gone, []error{gone}, 0},
		"after":                 {trail.After, nil, nil, nil, 1},
		"after, first fails":    {trail.After, full, nil, []error{full}, 1},
		"after, both fail":      {trail.After, full, gone, []error{full, gone}, 1},
		"of no phase, it fails": {"", full, nil, []error{full}, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			last := &counted{}
			err := trail.Tee{broken{test.first}, broken{test.second}, last}.Record(t.Context(), trail.Entry{Phase: test.phase})
			if (err == nil) != (len(test.want) == 0) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			for _, want := range test.want {
				if !errors.Is(err, want) {
					t.Errorf("error %v lacks %v", err, want)
				}
			}
			if last.n != test.reached {
				t.Errorf("the last trail was told %d times, want %d", last.n, test.reached)
			}
		})
	}
}

// Both trails call a field by the same name.
func TestLogAndS3Agree(t *testing.T) {
	w := newWorld(t)
	var log bytes.Buffer
	entry := trail.Entry{
		Phase: trail.After, Action: "a", Why: "w", Door: "d", RequestedBy: "r", Secret: "s", ClientID: "c", User: "u", Host: "h",
		OAuthSecretID: "o", TokenID: "t", VersionID: "v", Err: errors.New("e"),
	}
	tee := trail.Tee{w.trail, trail.Log{Logger: slog.New(slog.NewJSONHandler(&log, nil))}}
	if err := tee.Record(w.ctx, entry); err != nil {
		t.Fatal(err)
	}
	var logged, stored map[string]any
	if err := json.Unmarshal(log.Bytes(), &logged); err != nil {
		t.Fatal(err)
	}
	for _, body := range w.entries() {
		if err := json.Unmarshal([]byte(body), &stored); err != nil {
			t.Fatal(err)
		}
	}
	for _, own := range []string{"time", "level", "msg", "sequence", "function", "function_arn", "request_id", "rotator"} {
		delete(logged, own)
		delete(stored, own)
	}
	if diff := cmp.Diff(logged, stored); diff != "" || len(logged) != 14 {
		t.Errorf("%d fields (-log +S3):\n%s", len(logged), diff)
	}
}

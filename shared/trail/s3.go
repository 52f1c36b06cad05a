package trail

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"databricks-credential-rotation/shared/bucket"
)

// Prefix is where a bucket's trail begins.
const Prefix = "trail/"

// Objects is where [S3] keeps its entries.
type Objects interface {
	// Create adds an object and returns once it is safe. It never replaces
	// one.
	Create(ctx context.Context, key, contentType string, body []byte) error
}

// S3 is a trail in a bucket: one object for each entry, which nothing in the
// product can change or delete. The two of a change cost a thousandth of a cent.
type S3 struct {
	Objects Objects
	// Rotator is who makes the changes in Databricks: the application id, or
	// the secret that holds the credential, of the product's own service
	// principal.
	Rotator string
	// Now is the clock, nil for [time.Now].
	Now func() time.Time
	// Random makes names unique, nil for [rand.Reader].
	Random io.Reader

	sequence atomic.Uint64
}

// Open is a trail in a bucket and in the log, or in the log alone if the bucket
// has no name. The bucket comes first: it is the one that may fail, and the log
// then does not tell of a change that is not made.
func Open(api bucket.API, bucketName, rotator string, log *slog.Logger) Trail {
	if bucketName == "" {
		return Log{Logger: log}
	}
	return Tee{&S3{Objects: bucket.Bucket{API: api, Name: bucketName}, Rotator: rotator}, Log{Logger: log}}
}

// timeLayout sorts as time does.
const timeLayout = "20060102T150405.000000000Z"

// Record implements [Trail]. The object's name is unique, so that a write that
// is repeated after a lost reply finds nobody's object but its own.
func (s *S3) Record(ctx context.Context, e Entry) error {
	now, random := time.Now, s.Random
	if s.Now != nil {
		now = s.Now
	}
	if random == nil {
		random = rand.Reader
	}
	var nonce [8]byte
	if _, err := io.ReadFull(random, nonce[:]); err != nil {
		return fmt.Errorf("naming an entry of the trail: %w", err)
	}
	at := now().UTC()
	sequence := s.sequence.Add(1)
	fields := map[string]any{"time": at.Format(time.RFC3339Nano), "sequence": sequence, "function": lambdacontext.FunctionName, "rotator": s.Rotator}
	request := "none"
	if invocation, ok := lambdacontext.FromContext(ctx); ok {
		request = invocation.AwsRequestID
		fields["function_arn"] = invocation.InvokedFunctionArn
		fields["request_id"] = request
	}
	for _, attr := range e.attrs() {
		fields[attr.Key] = attr.Value.String()
	}
	line, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("encoding an entry of the trail: %w", err)
	}
	key := fmt.Sprintf("%s%s/%s-%s-%06d-%s.json", Prefix, at.Format("2006/01/02"),
		at.Format(timeLayout), request, sequence, hex.EncodeToString(nonce[:]))
	if err := s.Objects.Create(ctx, key, "application/json", append(line, '\n')); err != nil {
		return fmt.Errorf("writing the trail: %w", err)
	}
	return nil
}

// Tee keeps entries in several trails.
type Tee []Trail

// Record implements [Trail]. Before a change the entry must be safe in all of
// them, and the first that fails ends it: those behind it do not tell of a
// change that is not made. After a change each is told.
func (t Tee) Record(ctx context.Context, e Entry) error {
	var errs []error
	for _, trail := range t {
		err := trail.Record(ctx, e)
		if err != nil && e.Phase == Before {
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

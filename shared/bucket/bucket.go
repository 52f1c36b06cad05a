// Package bucket reads and adds objects of one S3 bucket.
//
// An object is added, never replaced. The SDK's own retries are off: a create
// that is tried again must be able to tell its own first attempt from somebody
// else's object, and a read must also be tried again when it breaks off in the
// middle of the body.
package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/cenkalti/backoff/v5"
)

var (
	// ErrNotFound means that there is no such object.
	ErrNotFound = errors.New("it does not exist")
	// ErrDenied means that the function's role may not do it. To a role that
	// may not list the bucket, as ours, an object that does not exist looks
	// the same.
	ErrDenied = errors.New("it does not exist, or the function's role may not do this")
	// ErrExists means that the object was there before.
	ErrExists = errors.New("it exists already")
	// ErrTooLarge means that the object is larger than the reader takes.
	ErrTooLarge = errors.New("it is too large")
)

// API is what is needed of the SDK's S3 client.
type API interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
}

// Bucket is a bucket by its name.
type Bucket struct {
	API  API
	Name string
	// Tries bounds how often one operation is attempted, zero for four.
	Tries uint
	// Patience is how long one attempt may take, zero for five seconds.
	Patience time.Duration
}

// Object is what was read.
type Object struct {
	Body []byte
	// VersionID is empty in a bucket without versions.
	VersionID  string
	ModifiedAt time.Time
}

const (
	defaultTries    = 4
	defaultPatience = 5 * time.Second
	firstWait       = 100 * time.Millisecond
	longestWait     = 2 * time.Second
)

// Location is an object's URL.
func (b Bucket) Location(key string) string { return "s3://" + b.Name + "/" + key }

// Read returns the newest version of an object of at most so many bytes.
func (b Bucket) Read(ctx context.Context, key string, most int64) (Object, error) {
	object, err := retry(ctx, b, func(ctx context.Context) (Object, error) {
		out, err := b.API.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.Name, Key: &key}, once)
		if err != nil {
			return Object{}, err
		}
		defer func() { _ = out.Body.Close() }() // it was only read
		body, err := io.ReadAll(io.LimitReader(out.Body, most+1))
		switch {
		case err != nil:
			return Object{}, err
		case int64(len(body)) > most:
			return Object{}, fmt.Errorf("%w: over %d bytes", ErrTooLarge, most)
		}
		return Object{Body: body, VersionID: aws.ToString(out.VersionId), ModifiedAt: aws.ToTime(out.LastModified)}, nil
	})
	if err != nil {
		return Object{}, fmt.Errorf("reading %s: %w", b.Location(key), err)
	}
	return object, nil
}

// Create adds an object. It returns nil once the object is safe, and
// [ErrExists] if another one has the key. The key must be one that nobody else
// uses: after an attempt without a reply, an object under it is taken for what
// that attempt wrote.
func (b Bucket) Create(ctx context.Context, key, contentType string, body []byte) error {
	uncertain := false
	_, err := retry(ctx, b, func(ctx context.Context) (struct{}, error) {
		_, err := b.API.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &b.Name, Key: &key, Body: bytes.NewReader(body),
			ContentType: &contentType, IfNoneMatch: aws.String("*"),
		}, once)
		if err == nil || uncertain && status(err) == http.StatusPreconditionFailed {
			return struct{}{}, nil
		}
		uncertain = uncertain || temporary(err)
		return struct{}{}, err
	})
	if err != nil {
		return fmt.Errorf("adding %s: %w", b.Location(key), err)
	}
	return nil
}

// once sends a request once, and keeps the SDK from writing to the log that an
// object has no checksum.
func once(o *s3.Options) {
	o.Retryer = aws.NopRetryer{}
	o.DisableLogOutputChecksumValidationSkipped = true
}

// retry repeats what may yet succeed. The error is reduced.
func retry[T any](ctx context.Context, b Bucket, try func(context.Context) (T, error)) (T, error) {
	patience := b.Patience
	if patience == 0 {
		patience = defaultPatience
	}
	tries := b.Tries
	if tries == 0 {
		tries = defaultTries
	}
	var last error
	result, err := backoff.Retry(ctx, func() (T, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		result, err := try(ctx)
		if err == nil {
			return result, nil
		}
		last = reduce(err)
		if !temporary(err) {
			return result, backoff.Permanent(last)
		}
		return result, last
	},
		backoff.WithBackOff(&backoff.ExponentialBackOff{
			InitialInterval: firstWait, RandomizationFactor: backoff.DefaultRandomizationFactor, Multiplier: 2, MaxInterval: longestWait,
		}),
		backoff.WithMaxTries(tries),
	)
	if err != nil && last != nil {
		err = last // why it failed, also when the time to wait was over
	}
	return result, err
}

// status is the HTTP status of a failed call, zero if there was no reply.
func status(err error) int {
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) {
		return response.HTTPStatusCode()
	}
	return 0
}

// temporary tells failures that may pass. S3 answers 409 to a conditional write
// that met another one.
func temporary(err error) bool {
	if errors.Is(err, ErrTooLarge) {
		return false
	}
	switch code := status(err); code {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return true
	default:
		return code == 0 || code >= http.StatusInternalServerError
	}
}

// Error is a refusal by S3, reduced to its code and message.
type Error struct {
	Code, Message string
	kind          error
}

func (e *Error) Error() string {
	text := e.Code
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.kind != nil {
		return e.kind.Error() + " (" + text + ")"
	}
	return text
}

// Unwrap gives the sentinel that the error stands for.
func (e *Error) Unwrap() error { return e.kind }

// reduce keeps an AWS error's code and message and drops the request around
// it.
func reduce(err error) error {
	var api smithy.APIError
	switch {
	case errors.Is(err, ErrTooLarge):
		return err
	case errors.As(err, &api):
		return &Error{Code: api.ErrorCode(), Message: api.ErrorMessage(), kind: map[string]error{
			"NoSuchKey": ErrNotFound, "NoSuchBucket": ErrNotFound, "AccessDenied": ErrDenied, "PreconditionFailed": ErrExists,
		}[api.ErrorCode()]}
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no reply from S3 in time: %w", context.DeadlineExceeded)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("no reply from S3 in time: %w", context.Canceled)
	}
	return errors.New("no reply from S3")
}

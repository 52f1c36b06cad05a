package managedsecret

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/cenkalti/backoff/v5"

	"databricks-credential-rotation/shared/secret"
)

// Write is a version to be stored.
type Write struct {
	// VersionID becomes the version's id. Writing the same id and value again
	// changes nothing; another value under it is [ErrVersionExists].
	VersionID string
	Value     secret.Text
	// Label is the staging label that moves to the version.
	Label string
	// RotationToken is what the rotation protocol handed over, if it did. It
	// is a credential.
	RotationToken secret.Text
}

const (
	putTries   = 5
	putFirst   = 200 * time.Millisecond
	putMost    = 5 * time.Second
	putTimeout = 10 * time.Second
)

// Put stores a version, and tries again while Secrets Manager is busy or
// silent. The error is [ErrVersionExists] or [ErrNotWritten] if it is certain
// that the value was not stored. Any other leaves that open: one of the
// attempts may have succeeded with its reply lost.
//
// The SDK's own retries are off here, because they report only the last
// attempt's error, and a refusal says nothing about an attempt before it.
func (s Store) Put(ctx context.Context, arn string, w Write) error {
	in := &secretsmanager.PutSecretValueInput{
		SecretId: &arn, ClientRequestToken: &w.VersionID,
		SecretString: aws.String(w.Value.Reveal()), VersionStages: []string{w.Label},
	}
	if !w.RotationToken.IsZero() {
		in.RotationToken = aws.String(w.RotationToken.Reveal())
	}
	uncertain := false
	var last error
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		if err := s.wait(ctx); err != nil {
			last = err
			return struct{}{}, backoff.Permanent(err)
		}
		ctx, cancel := context.WithTimeout(ctx, putTimeout)
		defer cancel()
		_, err := s.API.PutSecretValue(ctx, in, func(o *secretsmanager.Options) { o.Retryer = aws.NopRetryer{} })
		throttled := err != nil && isThrottled(err)
		s.note(throttled)
		if err == nil {
			last = nil
			return struct{}{}, nil
		}
		last = reduce(err)
		if !throttled && refused(err) {
			return struct{}{}, backoff.Permanent(last)
		}
		uncertain = uncertain || !throttled
		return struct{}{}, last
	},
		backoff.WithBackOff(&backoff.ExponentialBackOff{
			InitialInterval: putFirst, RandomizationFactor: backoff.DefaultRandomizationFactor, Multiplier: 2, MaxInterval: putMost,
		}),
		backoff.WithMaxTries(putTries),
	)
	switch {
	case err == nil:
		return nil
	case errors.Is(last, ErrVersionExists) || uncertain:
		return fmt.Errorf("storing version %s: %w", w.VersionID, last)
	default:
		return fmt.Errorf("storing version %s: %w: %w", w.VersionID, ErrNotWritten, last)
	}
}

// refused tells a refusal from a failure of the service, which may come after
// the change.
func refused(err error) bool {
	var resp *smithyhttp.ResponseError
	return errors.As(err, &resp) && resp.HTTPStatusCode() >= 400 && resp.HTTPStatusCode() < http.StatusInternalServerError
}

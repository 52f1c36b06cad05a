// Package queue is the SQS queue by which the rotate function hands secrets to
// other invocations of itself, and its dead-letter queue.
package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/cenkalti/backoff/v5"
)

// API is what the queue needs of SQS.
type API interface {
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
	SendMessageBatch(context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
}

// Queue is a queue with the one for messages that were given up.
type Queue struct {
	API API
	// URL and DeadLetterURL are the queues' URLs.
	URL, DeadLetterURL string
}

const (
	// batchSize is what one SendMessageBatch takes.
	batchSize = 10
	// A message that is not sent is not lost: the next sweep finds its secret
	// again. So a few tries are enough.
	sendTries = 3
	sendFirst = 200 * time.Millisecond
	// maxReason is how much of a reason goes along, in bytes.
	maxReason = 2048
)

// ReasonAttribute is the message attribute that says why a message was given
// up.
const ReasonAttribute = "reason"

// Send queues messages, ten with each call. It returns the bodies of those
// that could not be queued, and why.
func (q Queue) Send(ctx context.Context, bodies []string) (unsent []string, err error) {
	var errs []error
	for batch := range slices.Chunk(bodies, batchSize) {
		left, err := q.sendBatch(ctx, batch)
		unsent = append(unsent, left...)
		if err != nil {
			errs = append(errs, err)
		}
	}
	return unsent, errors.Join(errs...)
}

func (q Queue) sendBatch(ctx context.Context, bodies []string) ([]string, error) {
	left := bodies
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		var entries []types.SendMessageBatchRequestEntry
		for i, body := range left {
			entries = append(entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: &body})
		}
		out, err := q.API.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &q.URL, Entries: entries})
		if err != nil {
			// The SDK has tried again already.
			return struct{}{}, backoff.Permanent(fmt.Errorf("queueing %d messages: %w", len(left), reduce(err)))
		}
		var failed []string
		why := ""
		for _, f := range out.Failed {
			if i, err := strconv.Atoi(aws.ToString(f.Id)); err == nil && i < len(left) {
				failed = append(failed, left[i])
			}
			why = aws.ToString(f.Code)
		}
		if left = failed; len(left) > 0 {
			return struct{}{}, fmt.Errorf("queueing %d messages: %s", len(left), why)
		}
		return struct{}{}, nil
	},
		backoff.WithBackOff(&backoff.ExponentialBackOff{
			InitialInterval: sendFirst, RandomizationFactor: backoff.DefaultRandomizationFactor, Multiplier: 2, MaxInterval: time.Second,
		}),
		backoff.WithMaxTries(sendTries),
	)
	return left, err
}

// GiveUp puts a message into the dead-letter queue, with the reason as an
// attribute for the person who looks there.
func (q Queue) GiveUp(ctx context.Context, body, reason string) error {
	_, err := q.API.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: &q.DeadLetterURL, MessageBody: &body,
		MessageAttributes: map[string]types.MessageAttributeValue{
			ReasonAttribute: {DataType: aws.String("String"), StringValue: aws.String(attribute(reason))},
		},
	})
	if err != nil {
		return fmt.Errorf("giving a message up: %w", reduce(err))
	}
	return nil
}

// attribute makes a text fit for a message attribute, which SQS refuses when
// it is empty or holds control characters.
func attribute(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, text)
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	if text == "" {
		return "unknown"
	}
	return text
}

// reduce keeps an error's code and message and drops the request around it.
func reduce(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		return fmt.Errorf("%s: %s", api.ErrorCode(), api.ErrorMessage())
	}
	for _, end := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, end) {
			return fmt.Errorf("no reply from SQS in time: %w", end)
		}
	}
	return errors.New("no reply from SQS")
}

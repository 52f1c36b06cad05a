// Package publish brings an audit to where people and machines look for it: S3
// for the evidence, SNS for people, Security Hub for those who work there, and
// CloudWatch metrics through the log.
//
// The media do not depend on each other: if one fails, the others still get
// the report, and the result names the one that failed.
package publish

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/smithy-go"

	"databricks-credential-rotation/functions/audit/auditing/escape"
	"databricks-credential-rotation/functions/audit/auditing/report"
	"databricks-credential-rotation/functions/audit/auditing/summary"
)

// Publisher publishes a report to every medium that is set.
type Publisher struct {
	// Bucket keeps the evidence, and what the next audit compares with.
	Bucket *Bucket
	Topic  *Topic
	Hub    *Hub
	// Metrics are written last, and tell how the others went.
	Metrics *Metrics
}

// Delivery is how one medium went.
type Delivery struct {
	Medium string `json:"medium"`
	// Detail is what was published there, Err why not all of it was.
	Detail string `json:"detail,omitempty"`
	Err    error  `json:"-"`
}

// Result is how a publication went.
type Result struct {
	Where      summary.Where
	Deliveries []Delivery
}

// Err is nil if every medium got the report. Otherwise it names those that did
// not, and those that did.
func (r Result) Err() error {
	var faults []error
	var good []string
	for _, d := range r.Deliveries {
		if d.Err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", d.Medium, d.Err))
		} else {
			good = append(good, d.Medium)
		}
	}
	if len(faults) == 0 {
		return nil
	}
	rest := "nobody was told"
	if len(good) > 0 {
		rest = "published all the same: " + strings.Join(good, ", ")
	}
	return fmt.Errorf("the audit was made and is not published everywhere (%s):\n%w", rest, errors.Join(faults...))
}

// Publish is [Publisher.Deliver] for who wants to know no more than where the
// report is and what failed.
func (p Publisher) Publish(ctx context.Context, r *report.Report) (location string, err error) {
	result := p.Deliver(ctx, r)
	return result.Where.URI, result.Err()
}

// Deliver publishes a report, which must be complete and sorted.
func (p Publisher) Deliver(ctx context.Context, r *report.Report) Result {
	var result Result
	deliver := func(medium, detail string, err error) {
		result.Deliveries = append(result.Deliveries, Delivery{medium, detail, err})
	}
	result.Where.Missing = "no bucket is configured"
	if p.Bucket != nil {
		where, err := p.Bucket.put(ctx, r)
		result.Where = where
		deliver("S3", where.URI, err)
	}
	if p.Topic != nil {
		id, err := p.Topic.publish(ctx, r, result.Where)
		deliver("SNS", id, err)
	}
	if p.Hub != nil {
		n, err := p.hub(ctx, r)
		deliver("Security Hub", fmt.Sprintf("%d findings", n), err)
	}
	if p.Metrics != nil {
		failed := 0
		for _, d := range result.Deliveries {
			if d.Err != nil {
				failed++
			}
		}
		deliver("metrics", "", p.Metrics.write(ctx, r, failed))
	}
	return result
}

// afterHub is how long before the deadline the import ends. It takes ten calls
// a second, of a hundred findings each; what is left out goes in with the next
// audit, and what comes after must still say so.
const afterHub = 5 * time.Second

func (p Publisher) hub(ctx context.Context, r *report.Report) (int, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-afterHub))
		defer cancel()
	}
	return p.Hub.publish(ctx, r)
}

// reduce keeps an AWS error's code and message and drops the request around
// it.
func reduce(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		return fmt.Errorf("%s: %s", api.ErrorCode(), escape.Clip(api.ErrorMessage(), 300))
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return errors.New("the time ran out")
	}
	return errors.New(escape.Clip(err.Error(), 300))
}

// code is an AWS error's code.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

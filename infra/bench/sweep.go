package main

import (
	"context"
	"time"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/infra/bench/estate"
)

// limits is one pair of bounds under which a fleet is rotated.
type limits struct {
	scenario string
	// requests and creates are Databricks' limits a second, zero for none.
	requests, creates int
	// bound is how many rotations a second the tightest of all limits allows.
	bound int
}

// The two bounds. Databricks publishes no limit: in the first it is above what
// Secrets Manager allows to be used of it, in the second below.
var bounds = []limits{
	{scenario: "sweep 50 writes", requests: 250, bound: estate.Writes},
	{scenario: "sweep 20 creates", requests: 250, creates: 20, bound: 20},
}

const (
	mostThrottled  = 2 // percent
	leastOfBound   = 0.95
	mostSweepBytes = 256 << 20
	mebibyte       = 1 << 20
)

// sweep has one invocation rotate a fleet that is due as a whole.
func (b *bench) sweep(ctx context.Context, l limits) error {
	e, err := estate.Open(ctx, estate.Config{Binaries: b.binaries, Principals: b.principals})
	if err != nil {
		return err
	}
	defer e.Close()
	e.Limit(b.factor, l.requests, l.creates)
	e.Delay(b.databricks, b.aws)
	run, err := e.Sweep(ctx)
	if err != nil {
		// It names whom it could not rotate, and they count below.
		b.say("%s: %v", l.scenario, err)
	}
	if err := e.Check(); err != nil {
		return err
	}
	calls, once := e.Seen(), e.Once(e.Members)
	perSecond := float64(once) / run.Took.Seconds()
	throttled := e.Databricks.Throttled() + e.AWS.Throttled()
	of := calls.Of("databricks") + calls.Of("secretsmanager")
	s := &b.sheet
	s.Add(l.scenario, "principals", float64(b.principals), "principals")
	s.AtMost(l.scenario, "not rotated once", float64(len(e.Members)-once), "principals", 0)
	s.Add(l.scenario, "time", run.Took.Seconds(), "s")
	s.Add(l.scenario, "throughput", perSecond, "rotations/s")
	s.AtLeast(l.scenario, "throughput of the bound", perSecond/float64(l.bound*b.factor), "ratio", leastOfBound)
	s.AtMost(l.scenario, "throttled requests", 100*float64(throttled)/float64(of), "%", mostThrottled)
	if b.profile != "" {
		if err := b.endProfile(e); err != nil {
			return err
		}
	}
	used, err := e.Use("rotate")
	if err != nil {
		b.say("%s: not measured: %v", l.scenario, err)
		return nil
	}
	s.AtMost(l.scenario, "peak memory", float64(used.Peak)/mebibyte, "MiB", mostSweepBytes/mebibyte)
	s.Add(l.scenario, "CPU time", float64(used.CPU)/float64(time.Millisecond)/float64(once), "ms/rotation")
	b.breakDown(l, calls, used, run.Took, once)
	return nil
}

// breakDown says where the time of a sweep goes. Each of the pool's workers is
// waiting for a reply, using the CPU, or held back by a pace.
func (b *bench) breakDown(l limits, calls estate.Calls, used estate.Usage, took time.Duration, rotations int) {
	each := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) / float64(rotations) }
	databricks := time.Duration(calls.Of("databricks")) * b.databricks
	secrets := time.Duration(calls.Of("secretsmanager")) * b.aws
	trail := time.Duration(calls.Of("s3")) * b.aws
	all := rotation.DefaultWorkers * took
	s := &b.sheet
	s.Add(l.scenario, "waiting for Databricks", each(databricks), "ms/rotation")
	s.Add(l.scenario, "waiting for Secrets Manager", each(secrets), "ms/rotation")
	s.Add(l.scenario, "waiting for S3", each(trail), "ms/rotation")
	s.Add(l.scenario, "held back and the rest", each(all-databricks-secrets-trail-used.CPU), "ms/rotation")
}

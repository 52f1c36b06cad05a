package main

import (
	"context"
	"time"

	"databricks-credential-rotation/infra/bench/estate"
	"databricks-credential-rotation/shared/policy"
)

// quiet is how long ago the credentials of a fleet were issued that needs
// nothing.
const quiet = 10 * 24 * time.Hour

// month measures what the cost model in docs/performance.md is made from: what
// each thing that happens to a secret in a month takes, calls and logs.
func (b *bench) month(ctx context.Context) error {
	n := min(b.principals, 1000)
	for _, l := range []struct {
		later time.Duration
		steps []step
	}{
		{quiet, []step{{"rotation", (*estate.Estate).Sweep}, {"idle sweep", (*estate.Estate).Sweep}, {"", (*estate.Estate).Reconcile}, {"reconcile", (*estate.Estate).Reconcile}}},
		{policy.Default().Grace + 30*time.Minute, []step{{"", (*estate.Estate).Sweep}, {"deletion", (*estate.Estate).Sweep}}},
		{0, []step{{"", (*estate.Estate).Sweep}, {"sweep within grace", (*estate.Estate).Sweep}}},
	} {
		if err := b.steps(ctx, n, l.later, l.steps); err != nil {
			return err
		}
	}
	return nil
}

// step is one run over a fleet; without a name it is not measured.
type step struct {
	name string
	do   func(*estate.Estate, context.Context) (estate.Run, error)
}

// steps makes a fleet whose first run is some time ago, and the others now.
func (b *bench) steps(ctx context.Context, n int, later time.Duration, steps []step) error {
	e, err := estate.Open(ctx, estate.Config{Binaries: b.binaries, Principals: n})
	if err != nil {
		return err
	}
	defer e.Close()
	e.Limit(b.factor, bounds[0].requests, 0)
	e.Delay(b.databricks, b.aws)
	e.Clock.SetBack(later)
	for _, s := range steps {
		logged := e.Logs.Size("rotate")
		run, err := s.do(e, ctx)
		if err != nil {
			return err
		}
		if s.name != "" {
			per := func(what string, total float64, unit string) {
				b.sheet.Add("month", s.name+", "+what, total/float64(n), unit+"/secret")
			}
			calls := e.Seen()
			per("time", float64(run.Took)/float64(time.Millisecond), "ms")
			per("Secrets Manager", float64(calls.Of(manager)), "calls")
			per("puts to S3", float64(calls[bucket+" PutObject"]), "calls")
			per("Databricks", float64(calls.Of(databricks)), "calls")
			per("log", float64(e.Logs.Size("rotate")-logged), "bytes")
		}
		e.Clock.SetBack(0)
		e.Forget()
	}
	return e.Check()
}

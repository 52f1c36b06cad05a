package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"databricks-credential-rotation/infra/bench/estate"
	"databricks-credential-rotation/shared/policy"
)

const (
	mostWrites, mostReads       = 1, 0.1
	mostDatabricks, mostScoped  = 3, 4
	mostIdle                    = 0.02
	callsRotation, callsSecret  = "calls/rotation", "calls/secret"
	manager, databricks, bucket = "secretsmanager", "databricks", "s3"
)

// calls counts what a rotation costs, what comes of it later, and what a secret
// costs that needs nothing.
func (b *bench) calls(ctx context.Context) error {
	n := min(b.principals, 1000)
	fresh, err := b.life(ctx, n, 0)
	if err != nil {
		return err
	}
	// A sweep comes an hour after the last one, so grace is over by half an hour
	// on average.
	over, err := b.life(ctx, n, policy.Default().Grace+30*time.Minute)
	if err != nil {
		return err
	}
	settled, err := b.life(ctx, n, quiet)
	if err != nil {
		return err
	}
	b.detail([]part{
		{"rotation", fresh.rotation},
		{"sweep within grace", fresh.next},
		{"sweep after grace", over.next},
		{"sweep after that", over.last},
		{"sweep ten days later", settled.next},
	})

	const scenario = "calls"
	s := &b.sheet
	per := func(calls int) float64 { return float64(calls) / float64(n) }
	writes := fresh.rotation[manager+" PutSecretValue"]
	s.AtMost(scenario, "rotation, Secrets Manager writes", per(writes), callsRotation, mostWrites)
	s.AtMost(scenario, "rotation, Secrets Manager reads", per(fresh.rotation.Of(manager)-writes), callsRotation, mostReads)
	s.AtMost(scenario, "rotation, Databricks", fresh.plain, callsRotation, mostDatabricks)
	s.AtMost(scenario, "rotation of a scoped one, Databricks", fresh.scoped, callsRotation, mostScoped)
	s.Add(scenario, "rotation, trail in S3", per(fresh.rotation[bucket+" PutObject"]), callsRotation)
	s.AtMost(scenario, "later, deletes at Databricks", per(over.next[databricks+" delete OAuth secret"]), callsRotation, 1)
	s.Add(scenario, "later, lists at Databricks", per(over.next[databricks+" list OAuth secrets"]), callsRotation)
	s.Add(scenario, "later, trail in S3", per(over.next[bucket+" PutObject"]), callsRotation)
	// For two days past its grace a predecessor is looked for, gone or not.
	s.Add(scenario, "looked after, Databricks", per(over.last.Of(databricks)), callsSecret)
	s.Add(scenario, "looked after, Secrets Manager", per(over.last.Of(manager)), callsSecret)
	s.AtMost(scenario, "idle within grace, Databricks", per(fresh.next.Of(databricks)), callsSecret, 0)
	s.Add(scenario, "idle within grace, Secrets Manager", per(fresh.next.Of(manager)), callsSecret)
	s.AtMost(scenario, "idle, Databricks", per(settled.next.Of(databricks)), callsSecret, 0)
	s.AtMost(scenario, "idle, Secrets Manager", per(settled.next.Of(manager)), callsSecret, mostIdle)
	return nil
}

// life is the calls of a fleet's sweeps.
type life struct {
	// rotation is the sweep that rotates all, next the one some time later, last
	// the one after that.
	rotation, next, last estate.Calls
	// plain and scoped are how many calls to Databricks a rotation has made.
	plain, scoped float64
}

// life rotates a fleet, half of which is scoped, and looks at it again after
// some time and once more.
func (b *bench) life(ctx context.Context, n int, later time.Duration) (life, error) {
	scoped := n / 2
	e, err := estate.Open(ctx, estate.Config{Binaries: b.binaries, Principals: n, Scoped: scoped})
	if err != nil {
		return life{}, err
	}
	defer e.Close()
	// The functions have the real time. What the clouds do so long ago is past.
	e.Clock.SetBack(later)
	var l life
	for _, calls := range []*estate.Calls{&l.rotation, &l.next, &l.last} {
		if _, err := e.Sweep(ctx); err != nil {
			return l, err
		}
		*calls = e.Seen()
		if calls == &l.rotation {
			l.plain = float64(e.SeenOf(func(m estate.Member) bool { return !m.Scoped }).Sum()) / float64(n-scoped)
			l.scoped = float64(e.SeenOf(func(m estate.Member) bool { return m.Scoped }).Sum()) / float64(scoped)
			if once := e.Once(e.Members); once != n {
				return l, fmt.Errorf("%d of %d were rotated once", once, n)
			}
		}
		e.Clock.SetBack(0)
		e.Forget()
	}
	return l, e.Check()
}

// part is the calls of one sweep.
type part struct {
	name  string
	calls estate.Calls
}

// detail lists the calls behind the figures.
func (b *bench) detail(parts []part) {
	for _, p := range parts {
		b.say("  %s:", p.name)
		for _, kind := range slices.Sorted(maps.Keys(p.calls)) {
			b.say("  %8d  %s", p.calls[kind], kind)
		}
	}
}

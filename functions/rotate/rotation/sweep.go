package rotation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"databricks-credential-rotation/shared/managedsecret"
)

// sweepBatch is how many secrets are read at a time: what one
// BatchGetSecretValue takes.
const sweepBatch = 20

// stopMargin is how long before the end of the function's time no further
// secret is begun. One rotation with every retry it has can take longer, but a
// run that is cut off there is one that the next run mends.
const stopMargin = 45 * time.Second

// Sweep looks at every managed secret and brings those that need it up to
// date. With check, it also tries every current credential and looks for
// everything that ordinary sweeps leave out: the daily reconcile.
func (e *Engine) Sweep(ctx context.Context, check, dry bool) (*Report, error) {
	door := "sweep"
	if check {
		door = "reconcile"
	}
	r, err := e.newRun(ctx, door)
	if err != nil {
		return nil, err
	}
	r.dry, r.check = dry, check

	pool := newPool(r, e.Workers)
	var batch []managedsecret.Secret
	flush := func() {
		r.sweepBatch(ctx, pool, batch)
		batch = nil
	}
	var listing error
	for s, err := range e.Store.List(ctx) {
		if err != nil {
			listing = err
			break
		}
		if batch = append(batch, s); len(batch) == sweepBatch {
			flush()
		}
	}
	flush()
	report := pool.wait()
	r.log(ctx, report)
	return report, errors.Join(listing, report.Err())
}

// sweepBatch reads the current versions of a batch and hands on the secrets
// that may need something.
func (r *run) sweepBatch(ctx context.Context, pool *pool, batch []managedsecret.Secret) {
	var arns []string
	for _, s := range batch {
		// A replica is rotated where its primary is.
		if s.PrimaryRegion == "" {
			arns = append(arns, s.ARN)
		}
	}
	versions, errs := r.Store.CurrentVersions(ctx, arns)
	for _, s := range batch {
		if s.PrimaryRegion != "" {
			pool.done(Outcome{Secret: s.Name})
			continue
		}
		if err := errs[s.ARN]; err != nil {
			pool.done(Outcome{Secret: s.Name}.fail(err))
			continue
		}
		current, err := r.parseCurrent(versions[s.ARN])
		if err != nil {
			pool.done(Outcome{Secret: s.Name}.fail(err))
			continue
		}
		pool.work(ctx, func() Outcome { return r.rotate(ctx, s, current, false) }, s.Name)
	}
}

// Rotate looks at the named secrets only, by name or ARN, and with force
// rotates them whatever their age.
func (e *Engine) Rotate(ctx context.Context, door string, ids []string, force, dry bool) (*Report, error) {
	r, err := e.newRun(ctx, door)
	if err != nil {
		return nil, err
	}
	r.dry = dry
	pool := newPool(r, e.Workers)
	for _, id := range ids {
		pool.work(ctx, func() Outcome {
			s, current, err := r.read(ctx, id)
			if err != nil {
				return Outcome{Secret: cmp.Or(s.Name, id)}.fail(err)
			}
			return r.rotate(ctx, s, current, force)
		}, id)
	}
	report := pool.wait()
	r.log(ctx, report)
	return report, report.Err()
}

// log writes a line for each secret that something happened to, and one for
// the run.
func (r *run) log(ctx context.Context, report *Report) {
	for _, o := range report.Outcomes {
		level := slog.LevelInfo
		attrs := []slog.Attr{slog.String("secret", o.Secret), slog.String("client_id", o.ClientID), slog.String("status", string(o.Status()))}
		add := func(key, value string) {
			if value != "" {
				attrs = append(attrs, slog.String(key, value))
			}
		}
		add("reason", string(o.Reason))
		add("oauth_secret_id", o.Issued)
		add("version_id", o.Version)
		add("cleared_version_id", o.Cleared)
		if len(o.Retired) > 0 {
			attrs = append(attrs, slog.Any("retired", o.Retired))
		}
		if len(o.Foreign) > 0 {
			attrs = append(attrs, slog.Any("foreign", o.Foreign))
		}
		if o.Planned {
			attrs = append(attrs, slog.Bool("dry_run", true))
		}
		if o.Block != nil {
			level = slog.LevelError
			add("block", string(o.Block.Kind))
			add("error", o.Block.Message)
		} else if o.Err != nil {
			level = slog.LevelError
			add("error", o.Err.Error())
		}
		r.Log.LogAttrs(ctx, level, "secret", attrs...)
	}
	r.Log.LogAttrs(ctx, slog.LevelInfo, "run finished", slog.String("door", report.Door),
		slog.Bool("nothing_to_do", report.Counts[Unchanged] == report.Secrets), slog.Int("secrets", report.Secrets), slog.Any("counts", report.Counts), slog.Any("left", report.Left))
}

// pool works on a bounded number of secrets at once and collects what became
// of them.
type pool struct {
	run     *run
	slots   chan struct{}
	running sync.WaitGroup

	mu     sync.Mutex
	report *Report
}

func newPool(r *run, workers int) *pool {
	if workers == 0 {
		workers = DefaultWorkers
	}
	return &pool{run: r, slots: make(chan struct{}, workers), report: newReport(r.door)}
}

// work runs a task as soon as a slot is free, or counts it as left when there
// is no time for it any more. A task that panics fails alone.
func (p *pool) work(ctx context.Context, task func() Outcome, name string) {
	p.slots <- struct{}{}
	if deadline, ok := ctx.Deadline(); ctx.Err() != nil || ok && time.Until(deadline) < stopMargin {
		<-p.slots
		p.mu.Lock()
		p.report.Left = append(p.report.Left, name)
		p.mu.Unlock()
		return
	}
	p.running.Go(func() {
		defer func() { <-p.slots }()
		defer func() {
			if cause := recover(); cause != nil {
				// The cause is not printed: it may hold a secret. The stack's
				// arguments are addresses.
				p.run.Log.ErrorContext(ctx, "internal fault", "secret", name, "stack", string(debug.Stack()))
				p.done(Outcome{Secret: name}.fail(fmt.Errorf("internal fault (%T); this is a bug", cause)))
			}
		}()
		p.done(task())
	})
}

func (p *pool) done(o Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report.add(o)
}

func (p *pool) wait() *Report {
	p.running.Wait()
	slices.Sort(p.report.Left)
	slices.SortFunc(p.report.Outcomes, func(a, b Outcome) int { return cmp.Compare(a.Secret, b.Secret) })
	return p.report
}

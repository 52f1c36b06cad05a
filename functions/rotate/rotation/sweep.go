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

	"databricks-credential-rotation/shared/databricks"
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
	r.dry, r.check, r.all = dry, check, true

	pool := newPool(r, e.Workers)
	found := newCensus()
	var batch []managedsecret.Secret
	flush := func() {
		r.sweepBatch(ctx, pool, batch, &found)
		batch = nil
	}
	var listing error
	for s, err := range e.Store.List(ctx) {
		if err != nil {
			listing = err
			break
		}
		switch {
		case s.PrimaryRegion != "": // a replica is rotated where its primary is
			pool.done(Outcome{Secret: s.Name})
			continue
		case !check && Settled(r.now(), r.policy, s):
			r.unread++
			pool.done(Outcome{Secret: s.Name})
			continue
		}
		if batch = append(batch, s); len(batch) == sweepBatch {
			flush()
		}
	}
	flush()
	pool.drain(ctx)
	if listing == nil && r.unread == 0 && found.failed == nil {
		r.census = found // of all
	}
	report := pool.finish(ctx)
	r.log(ctx, report)
	return report, errors.Join(listing, report.Err())
}

// sweepBatch reads the current versions of a batch and hands on the secrets
// that may need something.
func (r *run) sweepBatch(ctx context.Context, pool *pool, batch []managedsecret.Secret, found *census) {
	arns := make([]string, 0, len(batch))
	for _, s := range batch {
		arns = append(arns, s.ARN)
	}
	versions, errs := r.Store.CurrentVersions(ctx, arns)
	for _, s := range batch {
		current, err := r.enter(found, s.ARN, versions[s.ARN], errs[s.ARN])
		if err != nil {
			pool.done(Outcome{Secret: s.Name, ClientID: current.Credential.ClientID}.fail(err))
			continue
		}
		if s.Holder(managedsecret.Current) == current.ID && r.idle(s, current) {
			pool.done(r.watch(newOutcome(s, current), current))
			continue
		}
		if r.Queue != nil && !r.dry && pool.begun >= cmp.Or(r.QueueAbove, DefaultQueueAbove) {
			pool.leave(s.Name)
			continue
		}
		pool.work(ctx, task{
			name: s.Name,
			do:   func() Outcome { return r.rotate(ctx, s, current, false) },
			redo: func() Outcome { return r.readAndRotate(ctx, s.ARN, RotateRequest{}) },
		})
	}
}

// Rotate looks at the named secrets only, and with force rotates them whatever
// their age, once for each request (invariant 8).
func (e *Engine) Rotate(ctx context.Context, door string, req RotateRequest) (*Report, error) {
	r, err := e.newRun(ctx, door)
	if err != nil {
		return nil, err
	}
	r.follow(req)
	if req.AskedAt.IsZero() {
		req.AskedAt = r.now()
	}
	pool := newPool(r, e.Workers)
	for _, id := range req.Secrets {
		do := func() Outcome { return r.readAndRotate(ctx, id, req) }
		pool.work(ctx, task{name: id, do: do, redo: do})
	}
	report := pool.finish(ctx)
	r.log(ctx, report)
	return report, report.Err()
}

// follow makes the run one of the kind that a request asks for.
func (r *run) follow(req RotateRequest) {
	if r.dry, r.check = req.DryRun, req.Reconcile; req.Withhold {
		r.removals = withheld
	}
}

func (r *run) readAndRotate(ctx context.Context, id string, req RotateRequest) Outcome {
	s, current, err := r.read(ctx, id)
	if err != nil {
		return Outcome{Secret: cmp.Or(s.Name, id)}.fail(err)
	}
	return r.rotate(ctx, s, current, req.Force && !req.done(current))
}

// done tells whether a credential is younger than the request to replace it.
// Both clouds' clocks must say so: better twice than not at all.
func (r RotateRequest) done(current Version) bool {
	return !r.AskedAt.IsZero() && !current.CreatedAt.Before(r.AskedAt) && !current.Credential.IssuedAt.Before(r.AskedAt)
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
		if len(o.Withheld) > 0 {
			level = slog.LevelError
			attrs = append(attrs, slog.Any("withheld", o.Withheld))
		}
		if o.Planned {
			attrs = append(attrs, slog.Bool("dry_run", true))
		}
		if trouble := o.trouble(); trouble != "" {
			level = slog.LevelError
			add("error", trouble)
		}
		if o.Block != nil {
			add("block", string(o.Block.Kind))
		}
		r.Log.LogAttrs(ctx, level, "secret", attrs...)
	}
	r.Log.LogAttrs(ctx, slog.LevelInfo, "run finished", slog.String("door", report.Door),
		slog.Bool("nothing_to_do", report.Counts[Unchanged] == report.Secrets), slog.Int("secrets", report.Secrets), slog.Any("counts", report.Counts), slog.Int("queued", report.Queued), slog.Any("left", report.Left))
	r.measure(ctx, report)
}

// task is the work on one managed secret. What is postponed is done once more
// from the start, by what holds then.
type task struct {
	name     string
	do, redo func() Outcome
	// result takes what became of it, if somebody asks.
	result *Outcome
	tries  int
	// retired and cleared are what earlier tries have done.
	retired []string
	cleared string
}

// later is the task as it is done once more.
func (t task) later() task {
	t.do = t.redo
	return t
}

// maxTries is how often a run turns to a secret whose work was cut short because
// a cloud was too busy, or because it changed meanwhile. Each turn begins with a
// fresh look.
const maxTries = 4

// pool works on a bounded number of secrets at once and collects what became
// of them.
type pool struct {
	run     *run
	slots   chan struct{}
	running sync.WaitGroup

	// begun counts the tasks that were begun. Only the goroutine that hands
	// them out counts.
	begun int

	mu     sync.Mutex
	report *Report
	// again are the tasks that were told to come back later.
	again []task
	// postponed are the tasks that wait for the budget, removals how many
	// OAuth secrets they would remove.
	postponed []task
	removals  int
	// asking are the tasks that wait for the usage log, and questions what it is
	// to be asked.
	asking    []task
	questions []Question
	// known counts the live OAuth secrets that the run knows of: of a secret
	// that was not looked at, the current one.
	known int
}

func newPool(r *run, workers int) *pool {
	if workers == 0 {
		workers = DefaultWorkers
	}
	if r.Usage != nil {
		r.asking = unasked
	}
	return &pool{run: r, slots: make(chan struct{}, workers), report: newReport(r)}
}

// work runs a task as soon as a slot is free, or counts it as left when there
// is no time for it any more. A task that panics fails alone.
func (p *pool) work(ctx context.Context, t task) {
	p.slots <- struct{}{}
	if deadline, ok := ctx.Deadline(); ctx.Err() != nil || ok && time.Until(deadline) < stopMargin {
		<-p.slots
		p.leave(t.name)
		return
	}
	p.begun++
	p.running.Go(func() {
		defer func() { <-p.slots }()
		defer func() {
			if cause := recover(); cause != nil {
				// The cause is not printed: it may hold a secret. The stack's
				// arguments are addresses.
				p.run.Log.ErrorContext(ctx, "internal fault", "secret", t.name, "stack", string(debug.Stack()))
				p.settle(t, Outcome{Secret: t.name}.fail(fmt.Errorf("internal fault (%T); this is a bug", cause)))
			}
		}()
		p.settle(t, t.do())
	})
}

// leave counts a secret as left to another run.
func (p *pool) leave(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report.Left = append(p.report.Left, name)
}

// settle takes what became of a task, or keeps the task for later.
func (p *pool) settle(t task, o Outcome) {
	switch {
	case len(o.asks) > 0:
		t = t.later()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asking, p.questions = append(p.asking, t), append(p.questions, o.asks...)
	case o.postponed > 0:
		p.postpone(t.later(), o)
	case (errors.Is(o.Err, databricks.ErrBusy) || errors.Is(o.Err, errDisagree)) && o.Issued == "" && !errors.As(o.Err, new(*leftError)) && t.tries+1 < maxTries:
		t = t.later()
		t.tries++
		t.retired, t.cleared = append(t.retired, o.Retired...), cmp.Or(t.cleared, o.Cleared)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.again = append(p.again, t)
	default:
		o.Retired, o.Cleared = append(t.retired, o.Retired...), cmp.Or(o.Cleared, t.cleared)
		if t.result != nil {
			*t.result = o
		}
		p.done(o)
	}
}

func (p *pool) postpone(t task, o Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.postponed = append(p.postponed, t)
	p.removals += o.postponed
	p.known += o.live
}

func (p *pool) done(o Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known += max(1, o.live)
	p.report.add(o)
}

// drain waits until nothing is running and nothing is to be tried again.
func (p *pool) drain(ctx context.Context) {
	for {
		p.running.Wait()
		again := p.again
		p.again = nil
		if len(again) == 0 {
			return
		}
		for _, t := range again {
			p.work(ctx, t)
		}
	}
}

// finish waits, asks the usage log for what waits for it, decides about what was
// postponed, and does that. What is left then is queued for other invocations.
func (p *pool) finish(ctx context.Context) *Report {
	p.drain(ctx)
	p.run.ask(ctx, p.questions)
	for _, t := range p.asking {
		p.work(ctx, t)
	}
	p.drain(ctx)
	p.report.OverBudget = p.run.decide(p.removals, p.known)
	for _, t := range p.postponed {
		p.work(ctx, t)
	}
	p.drain(ctx)
	p.run.queue(ctx, p.report)
	if p.report.Unread = p.run.unread; p.report.Unread > 0 {
		p.report.Oldest, p.report.FirstExpiry = time.Time{}, time.Time{}
	}
	slices.Sort(p.report.Left)
	slices.SortFunc(p.report.Outcomes, func(a, b Outcome) int { return cmp.Compare(a.Secret, b.Secret) })
	return p.report
}

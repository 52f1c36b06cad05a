// Package pace finds out how fast requests may be sent, and sends them no
// faster.
//
// Databricks publishes no rate limit for the APIs that an audit reads, so it
// is felt for: the rate begins low and doubles each second until a reply says
// that it was too many. From then on it grows slowly, and is cut whenever that
// happens again. A reply's Retry-After holds back every request, not only the
// one that it answers: the limit is on all of them.
//
// One pace serves all hosts. Nobody says whether limits are for an account or
// for a workspace; a common pace is right in either case, and almost all calls
// of a large audit go to the account.
package pace

import (
	"cmp"
	"context"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// defaultStart is below what Databricks' own SDK allows itself, fifteen
	// requests a second.
	defaultStart = 10
	// defaultMost lets an audit of 10,000 service principals, at three calls
	// each, end within the quarter of an hour that a Lambda function has.
	defaultMost = 100
	// least keeps an audit moving, however often it is cut.
	least = 1
	// cut is what is left of the rate when it was too high.
	cut = 0.7
	// regain is how much of the rate that was too high is taken up again
	// quickly. Beyond it the rate grows by growth of itself each second.
	regain = 0.9
	growth = 0.02
	// settle is for how long further complaints are about requests that were
	// sent before the last cut.
	settle = time.Second
	// defaultPause is how long nothing is sent when a complaint does not say.
	defaultPause = time.Second
)

// Pace bounds the rate of requests. The zero value is ready for use. It is
// safe for concurrent use.
type Pace struct {
	// Start and Most are requests a second, zero for 10 and 100.
	Start, Most float64
	// Pause is how long nothing is sent after a complaint that does not say,
	// zero for a second.
	Pause time.Duration

	mu      sync.Mutex
	limiter *rate.Limiter
	rate    float64
	// ceiling is the rate at which the last complaint came, infinite before.
	ceiling float64
	lastCut time.Time
	resume  time.Time

	sent, throttled int
}

// Stats are what became of the requests so far.
type Stats struct {
	Sent, Throttled int
	// Rate is the present one, in requests a second.
	Rate float64
}

func (p *Pace) init() {
	if p.limiter != nil {
		return
	}
	if p.Start <= 0 {
		p.Start = defaultStart
	}
	if p.Most <= 0 {
		p.Most = defaultMost
	}
	p.ceiling = math.Inf(1)
	p.limiter = rate.NewLimiter(0, 1)
	p.set(p.Start)
}

// set changes the rate. A quarter of a second's requests may go at once, so
// that a moment's delay here is made up for.
func (p *Pace) set(r float64) {
	p.rate = min(max(r, least), p.Most)
	p.limiter.SetLimit(rate.Limit(p.rate))
	p.limiter.SetBurst(max(1, int(p.rate/4)))
}

// Wait returns when the next request may be sent, or with the context's error.
func (p *Pace) Wait(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		wait := p.take()
		if wait <= 0 {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// take lets a request go, or says after how long to ask again. Nothing is
// reserved: a cut or a pause in between holds for those who wait, too.
func (p *Pace) take() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.init()
	now := time.Now()
	if wait := p.resume.Sub(now); wait > 0 {
		return wait
	}
	r := p.limiter.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
		return wait
	}
	p.sent++
	return 0
}

// Answered notes a reply that was no complaint.
func (p *Pace) Answered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.init()
	if p.rate < regain*p.ceiling {
		// One more for each reply doubles the rate each second.
		p.set(min(p.rate+1, regain*p.ceiling))
		return
	}
	p.set(p.rate + growth)
}

// Throttled notes that it was too fast, and when to come back; zero is not
// said.
func (p *Pace) Throttled(after time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.init()
	p.throttled++
	now := time.Now()
	if after <= 0 {
		after = cmp.Or(p.Pause, defaultPause)
	}
	if resume := now.Add(after); resume.After(p.resume) {
		p.resume = resume
	}
	if now.Sub(p.lastCut) < settle {
		return
	}
	p.lastCut = now
	p.ceiling = p.rate
	p.set(p.rate * cut)
}

// Stats tells what became of the requests so far.
func (p *Pace) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{Sent: p.sent, Throttled: p.throttled, Rate: p.rate}
}

package pace_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"databricks-credential-rotation/shared/pace"
)

// server admits so many requests a second and holds a second's worth.
type server struct {
	mu        sync.Mutex
	perSecond float64
	tokens    float64
	last      time.Time
	refused   []time.Time
	admitted  []time.Time
}

func (s *server) admit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.last.IsZero() {
		s.tokens = s.perSecond
	} else {
		s.tokens = min(s.perSecond, s.tokens+now.Sub(s.last).Seconds()*s.perSecond)
	}
	s.last = now
	if s.tokens < 1 {
		s.refused = append(s.refused, now)
		return false
	}
	s.tokens--
	s.admitted = append(s.admitted, now)
	return true
}

// drive sends requests by so many workers for that long.
func drive(p *pace.Pace, s *server, workers int, latency, lasting time.Duration) {
	var running sync.WaitGroup
	ctx, cancel := context.WithTimeout(context.Background(), lasting)
	defer cancel()
	for range workers {
		running.Go(func() {
			for p.Wait(ctx) == nil {
				ok := s.admit()
				time.Sleep(latency)
				if !ok {
					p.Throttled(time.Second)
					continue
				}
				p.Answered()
			}
		})
	}
	running.Wait()
}

// Whatever the limit is, nearly all of it is used and little of what is sent
// is refused.
func TestFindsTheLimit(t *testing.T) {
	for _, perSecond := range []float64{4, 20, 70} {
		for _, latency := range []time.Duration{20 * time.Millisecond, 200 * time.Millisecond} {
			synctest.Test(t, func(t *testing.T) {
				const lasting = 100 * time.Second
				p := &pace.Pace{}
				s := &server{perSecond: perSecond}
				drive(p, s, 32, latency, lasting)
				bound := perSecond * lasting.Seconds()
				if used := float64(len(s.admitted)) / bound; used < 0.9 {
					t.Errorf("limit %v, latency %v: %.0f%% of it used", perSecond, latency, 100*used)
				}
				if lost := float64(len(s.refused)) / bound; lost > 0.1 {
					t.Errorf("limit %v, latency %v: %.1f%% of the requests refused", perSecond, latency, 100*lost)
				}
				if got := p.Stats(); got.Throttled != len(s.refused) || got.Sent != len(s.refused)+len(s.admitted) {
					t.Errorf("stats %+v, want %d sent, %d throttled", got, len(s.refused)+len(s.admitted), len(s.refused))
				}
			})
		}
	}
}

// It begins low and is never faster than it may be.
func TestStartAndMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pace.Pace{Start: 5, Most: 40}
		s := &server{perSecond: 1000}
		begin := time.Now()
		drive(p, s, 32, 10*time.Millisecond, time.Minute)
		within := func(from, to time.Duration) (n int) {
			for _, at := range s.admitted {
				if d := at.Sub(begin); d >= from && d < to {
					n++
				}
			}
			return n
		}
		if n := within(0, 500*time.Millisecond); n > 6 {
			t.Errorf("%d requests in the first half second, want about 3", n)
		}
		for at := range 60 {
			from := time.Duration(at) * time.Second
			if n := within(from, from+time.Second); n > 40+10 {
				t.Errorf("%d requests in second %d, want 40 and a burst of 10 at most", n, at)
			}
		}
		if n := within(30*time.Second, time.Minute); n < 39*30 {
			t.Errorf("%d requests in half a minute, want 40 a second", n)
		}
	})
}

// Retry-After holds for every request, those that wait already included.
func TestRetryAfterHoldsForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pace.Pace{Start: 2, Most: 100}
		begin := time.Now()
		var mu sync.Mutex
		var sent []time.Duration
		var running sync.WaitGroup
		for range 20 {
			running.Go(func() {
				if err := p.Wait(t.Context()); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				sent = append(sent, time.Since(begin))
			})
		}
		time.Sleep(1200 * time.Millisecond)
		p.Throttled(7 * time.Second)
		running.Wait()
		for _, at := range sent {
			if at > 1200*time.Millisecond && at < 8200*time.Millisecond {
				t.Errorf("a request was sent after %v, within the seven seconds", at)
			}
		}
		if len(sent) != 20 {
			t.Errorf("%d requests were sent", len(sent))
		}
	})
}

// A burst of complaints about requests that were under way is one cut.
func TestOneCutForABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pace.Pace{Start: 100, Most: 100}
		if err := p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 30 {
			p.Throttled(0)
		}
		if got := p.Stats().Rate; got != 70 {
			t.Errorf("rate %v after one burst, want 70", got)
		}
		time.Sleep(time.Second)
		p.Throttled(0)
		if got := p.Stats().Rate; got != 49 {
			t.Errorf("rate %v after a second one, want 49", got)
		}
		for range 100 {
			time.Sleep(time.Second)
			p.Throttled(0)
		}
		if got := p.Stats().Rate; got != 1 {
			t.Errorf("rate %v at last, want 1", got)
		}
	})
}

func TestWaitEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pace.Pace{}
		p.Throttled(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin := time.Now()
		if err := p.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		if got := p.Stats().Sent; got != 0 {
			t.Errorf("%d sent", got)
		}
	})
}

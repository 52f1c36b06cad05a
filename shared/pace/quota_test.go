package pace_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"databricks-credential-rotation/shared/pace"
)

// quota admits so many requests in each whole second, as AWS counts its own.
type quota struct {
	mu                  sync.Mutex
	perSecond           int
	second              int64
	used                int
	admitted, throttled int
}

func (q *quota) admit() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if second := time.Now().Unix(); second != q.second {
		q.second, q.used = second, 0
	}
	if q.used >= q.perSecond {
		q.throttled++
		return false
	}
	q.used++
	q.admitted++
	return true
}

// Where a complaint does not say how long, the pace's own pause holds.
func TestPause(t *testing.T) {
	for configured, want := range map[time.Duration]time.Duration{0: time.Second, 250 * time.Millisecond: 250 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			p := &pace.Pace{Start: 100, Pause: configured}
			p.Throttled(0)
			began := time.Now()
			if err := p.Wait(t.Context()); err != nil || time.Since(began) != want {
				t.Errorf("a pause of %v lasts %v (%v)", configured, time.Since(began), err)
			}
		})
	}
}

// A published quota is used to nearly the whole by a pace one below it: what
// is late by a moment falls into the next second, and one more must fit there.
// That holds when all callers stand still for a moment every now and then.
func TestQuotaOfWholeSeconds(t *testing.T) {
	for _, stall := range []time.Duration{0, 50 * time.Millisecond, 400 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			const lasting = 200 * time.Second
			p := &pace.Pace{Start: 40, Most: 49, Pause: 250 * time.Millisecond}
			q := &quota{perSecond: 50}
			began := time.Now()
			var running sync.WaitGroup
			for worker := range 16 {
				running.Go(func() {
					for i := 0; time.Since(began) < lasting; i++ {
						// What comes before the write takes longer now and then.
						time.Sleep(180*time.Millisecond + time.Duration((worker*7+i*13)%40)*time.Millisecond)
						if err := p.Wait(t.Context()); err != nil {
							t.Error(err)
							return
						}
						if since := time.Since(began) % (7 * time.Second); since < stall {
							time.Sleep(stall - since)
						}
						time.Sleep(15*time.Millisecond + time.Duration((worker*5+i*11)%8)*time.Millisecond)
						if q.admit() {
							p.Answered()
						} else {
							p.Throttled(0)
						}
					}
				})
			}
			running.Wait()
			if used := float64(q.admitted) / (float64(q.perSecond) * lasting.Seconds()); used < 0.95 {
				t.Errorf("stalls of %v: %.1f%% of the quota used, %d throttled", stall, 100*used, q.throttled)
			}
			if q.throttled*50 > q.admitted {
				t.Errorf("stalls of %v: %d throttled, of %d", stall, q.throttled, q.admitted)
			}
		})
	}
}

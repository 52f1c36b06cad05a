package stage

import (
	"sync/atomic"
	"time"
)

// Clock is the time of both simulated clouds. It runs as real time does, from
// wherever it is set: a fleet that is to have a past is made in the past. The
// zero value shows the real time.
type Clock struct {
	behind atomic.Int64
}

// Now is the clock's time.
func (c *Clock) Now() time.Time {
	return time.Now().Add(-time.Duration(c.behind.Load()))
}

// SetBack makes the clock run that far behind real time, zero for not at all.
func (c *Clock) SetBack(by time.Duration) { c.behind.Store(int64(by)) }

package databrickstest

import "time"

// limiter is a token bucket that holds one second's requests. It keeps no
// count: the time at which it would be full again says it all.
type limiter struct {
	perSecond int
	full      time.Time
}

// take admits a request at now, or says after how long to ask again.
func (l *limiter) take(now time.Time) (wait time.Duration, ok bool) {
	if l.perSecond <= 0 {
		return 0, true
	}
	if l.full.Before(now) {
		l.full = now
	}
	next := l.full.Add(time.Second / time.Duration(l.perSecond))
	if wait = next.Sub(now) - time.Second; wait > 0 {
		return wait, false
	}
	l.full = next
	return 0, true
}

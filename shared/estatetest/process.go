package estatetest

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"databricks-credential-rotation/shared/faulttest"
)

// errDead is what a dead process's code sees: it can do nothing any more.
var errDead = errors.New("process killed")

// Process is one Lambda instance: clients of its own, and an end.
type Process struct {
	// Ctx ends with the process.
	Ctx context.Context //nolint:containedctx // the process is what the context is of
	// End ends it in peace.
	End  context.CancelFunc
	dead atomic.Bool
}

type processKey struct{}

// StartProcess starts a process with as much time as a function has. A fault
// that kills, of a call made through its transports, is its death.
func (e *Estate) StartProcess(ctx context.Context, timeout time.Duration) *Process {
	p := &Process{}
	p.Ctx, p.End = context.WithTimeout(ctx, timeout)
	kill := func(ctx context.Context, _ faulttest.Call) {
		if p, ok := ctx.Value(processKey{}).(*Process); ok {
			p.dead.Store(true)
			p.End()
		}
	}
	e.Databricks.Faults().OnKill(kill)
	e.AWS.Faults().OnKill(kill)
	return p
}

// Transport carries the process's calls for as long as it lives.
func (p *Process) Transport(next http.RoundTripper) http.RoundTripper { return mortal{p, next} }

type mortal struct {
	process *Process
	next    http.RoundTripper
}

func (m mortal) RoundTrip(r *http.Request) (*http.Response, error) {
	if m.process.dead.Load() {
		return nil, errDead
	}
	resp, err := m.next.RoundTrip(r.WithContext(context.WithValue(r.Context(), processKey{}, m.process)))
	if m.process.dead.Load() {
		return nil, errDead // the reply reaches nobody
	}
	return resp, err
}

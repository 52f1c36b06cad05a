package lambdahost

import (
	"sync"
	"time"
)

// Process is what a host saw of the process that it runs: when it was started,
// asked for its first event, and answered it. A time is zero if that has not
// been yet.
type Process struct {
	ID                       int
	Started, Polled, Replied time.Time
}

// moments collects the times of one process.
type moments struct {
	mu sync.Mutex
	at Process
}

func (m *moments) started(pid int, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at.ID, m.at.Started = pid, at
}

func (m *moments) polled() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at.Polled.IsZero() {
		m.at.Polled = time.Now()
	}
}

func (m *moments) replied() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at.Replied.IsZero() {
		m.at.Replied = time.Now()
	}
}

func (m *moments) process() Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at
}

// Process describes the process that waits for the next event; false if there
// is none.
func (h *Host) Process() (Process, bool) {
	h.mu.Lock()
	process := h.instance
	h.mu.Unlock()
	if process == nil || !process.alive() {
		return Process{}, false
	}
	return process.moments.process(), true
}

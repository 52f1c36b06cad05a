package estatetest

import (
	"bytes"
	"sync"
)

// Log is a log that goroutines share.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// WriteString writes what is not the log's own, such as an error.
func (l *Log) WriteString(s string) { _, _ = l.Write([]byte(s)) }

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

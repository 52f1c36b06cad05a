package stage

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"time"
)

// Logs collect what the functions write.
type Logs struct {
	mu   sync.Mutex
	text map[string]*bytes.Buffer
}

func (l *Logs) writer(function string) io.Writer { return logWriter{l, function} }

type logWriter struct {
	logs     *Logs
	function string
}

// Write implements [io.Writer].
func (w logWriter) Write(p []byte) (int, error) {
	w.logs.mu.Lock()
	defer w.logs.mu.Unlock()
	if w.logs.text == nil {
		w.logs.text = map[string]*bytes.Buffer{}
	}
	if w.logs.text[w.function] == nil {
		w.logs.text[w.function] = &bytes.Buffer{}
	}
	return w.logs.text[w.function].Write(p)
}

// Texts returns all that was logged, by function.
func (l *Logs) Texts() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	texts := make(map[string]string, len(l.text))
	for function, text := range l.text {
		texts[function] = text.String()
	}
	return texts
}

// Size is how much a function has logged so far, in bytes: a place from which
// [Logs.Outcomes] can read on.
func (l *Logs) Size(function string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.text[function] == nil {
		return 0
	}
	return l.text[function].Len()
}

// Await waits until a function has logged a text behind a place in its log, or
// patience is over: a reply may be faster than the log.
func (l *Logs) Await(function string, from int, text string, patience time.Duration) bool {
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		log := l.Texts()[function]
		if strings.Contains(log[min(from, len(log)):], text) {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// Outcome is what the rotate function logged about one managed secret.
type Outcome struct {
	Message string `json:"message"`
	Secret  string `json:"secret"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Block   string `json:"block"`
	Error   string `json:"error"`
	Retired []string
	Foreign []string
}

// Outcomes reads the function's log from a place on, by the secrets' names.
func (l *Logs) Outcomes(function string, from int) map[string]Outcome {
	text := l.Texts()[function]
	outcomes := map[string]Outcome{}
	for line := range bytes.Lines([]byte(text[min(from, len(text)):])) {
		var o Outcome
		if json.Unmarshal(line, &o) == nil && o.Message == "secret" {
			outcomes[o.Secret] = o
		}
	}
	return outcomes
}

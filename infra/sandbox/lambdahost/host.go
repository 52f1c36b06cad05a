// Package lambdahost runs a compiled Lambda binary behind the Lambda Runtime
// API, on loopback and without Docker or an AWS account.
//
// What runs is the artefact that would be deployed: its own process, its own
// environment, the real runtime client. A [Host] is one execution environment.
// It keeps Lambda's rules where a function can tell the difference: one
// invocation at a time, a deadline after which the process is killed, a process
// that stays warm until it dies and is replaced by a fresh one, and an
// environment that inherits nothing from the caller.
//
// Deadlines are in real time, because they bound a real process.
package lambdahost

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	defaultTimeout  = 3 * time.Second
	defaultMemoryMB = 128
	defaultLogLevel = "INFO"
	defaultRegion   = "us-east-1"
	defaultAccount  = "000000000000"

	// initTimeout is what Lambda gives a process to ask for its first event.
	initTimeout = 10 * time.Second

	// maxPayload is Lambda's limit for a synchronous event and for its reply,
	// in bytes.
	maxPayload = 6 << 20
)

// Function describes what to run.
type Function struct {
	// Name is the function's name, as it appears in its ARN.
	Name string
	// Path is the compiled binary; see [Build].
	Path string
	// Env is the whole environment, "KEY=value" each, to which the host adds
	// what Lambda sets itself. Names that the host sets are refused.
	Env []string
	// Timeout bounds one invocation. Zero means Lambda's default, 3 seconds.
	Timeout time.Duration
	// MemoryMB is announced to the function, not enforced. Zero means 128.
	MemoryMB int
	// LogLevel is AWS_LAMBDA_LOG_LEVEL. Empty means INFO.
	LogLevel string
	// ARN is the invoked function's ARN. Empty builds one from Name in the
	// account 000000000000.
	ARN string
	// Log receives what the process writes to standard output and standard
	// error, from another goroutine. Nil discards it.
	Log io.Writer
	// Random is the source of request ids. Nil means crypto/rand.
	Random io.Reader
}

// Host is one execution environment of a function. Its methods are safe for
// concurrent use.
type Host struct {
	function Function
	ctx      context.Context //nolint:containedctx // the lifetime of the processes, which outlive each call
	cancel   context.CancelFunc

	// turn holds one token: who has it may invoke.
	turn chan struct{}

	mu       sync.Mutex
	instance *instance
}

// Start prepares a host. Like Lambda it starts the process with the first
// event. The end of ctx closes the host.
//
// It returns an error naming every fault in f.
func Start(ctx context.Context, f Function) (*Host, error) {
	if f.Timeout == 0 {
		f.Timeout = defaultTimeout
	}
	if f.MemoryMB == 0 {
		f.MemoryMB = defaultMemoryMB
	}
	if f.LogLevel == "" {
		f.LogLevel = defaultLogLevel
	}
	if f.ARN == "" {
		f.ARN = fmt.Sprintf("arn:aws:lambda:%s:%s:function:%s", defaultRegion, defaultAccount, f.Name)
	}
	if f.Random == nil {
		f.Random = rand.Reader
	}
	if err := f.validate(); err != nil {
		return nil, fmt.Errorf("lambda function %q: %w", f.Name, err)
	}
	// The process runs in the directory of its binary, not in ours.
	path, err := filepath.Abs(f.Path)
	if err != nil {
		return nil, fmt.Errorf("lambda function %q: binary: %w", f.Name, err)
	}
	f.Path = path
	h := &Host{function: f, turn: make(chan struct{}, 1)}
	h.ctx, h.cancel = context.WithCancel(ctx)
	return h, nil
}

func (f *Function) validate() error {
	var faults []error
	if f.Name == "" {
		faults = append(faults, errors.New("no name"))
	}
	if f.Timeout < 0 {
		faults = append(faults, fmt.Errorf("timeout %s is negative", f.Timeout))
	}
	if info, err := os.Stat(f.Path); err != nil {
		faults = append(faults, fmt.Errorf("binary: %w", err))
	} else if !info.Mode().IsRegular() {
		faults = append(faults, fmt.Errorf("binary: %s is not a file", f.Path))
	}
	set := f.reserved("")
	for _, entry := range f.Env {
		key, _, ok := strings.Cut(entry, "=")
		if !ok || key == "" {
			// The entry is not quoted: what lacks a name may be a value.
			faults = append(faults, errors.New("environment: an entry is not KEY=value"))
			continue
		}
		for _, own := range set {
			if strings.HasPrefix(own, key+"=") {
				faults = append(faults, fmt.Errorf("environment: %s is set by Lambda", key))
			}
		}
	}
	return errors.Join(faults...)
}

// Invoke passes one event to the function and returns its reply. Concurrent
// calls wait for each other.
//
// It returns a [*FunctionError] if the function failed or its process died, an
// error wrapping [ErrTimeout] if the function was killed at its deadline, and
// one wrapping [ErrClosed] after [Host.Close]. When ctx ends first the process
// is killed, because nobody is left to take its reply.
func (h *Host) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	reply, err := h.invoke(ctx, payload)
	if err != nil {
		return nil, fmt.Errorf("invoke %s: %w", h.function.Name, err)
	}
	return reply, nil
}

func (h *Host) invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if len(payload) > maxPayload {
		return nil, fmt.Errorf("event of %d bytes is over Lambda's limit of %d", len(payload), maxPayload)
	}
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-h.ctx.Done():
		return nil, ErrClosed
	}
	id, err := requestID(h.function.Random)
	if err != nil {
		return nil, err
	}
	for {
		process, err := h.ready(ctx, id)
		if err != nil {
			return nil, h.closedOr(err)
		}
		reply, err := process.serve(ctx, invocation{id: id, payload: payload}, h.function.Timeout)
		if errors.Is(err, errGone) && h.ctx.Err() == nil {
			continue
		}
		if err != nil {
			return nil, h.closedOr(err)
		}
		return reply, nil
	}
}

// closedOr tells a process that died with its host from one that just died.
func (h *Host) closedOr(err error) error {
	if h.ctx.Err() != nil {
		return ErrClosed
	}
	return err
}

// ready returns a process that waits for an event: the warm one if it lives.
func (h *Host) ready(ctx context.Context, id string) (*instance, error) {
	h.mu.Lock()
	process := h.instance
	h.mu.Unlock()
	if process != nil && process.alive() {
		return process, nil
	}
	process, err := start(h.ctx, &h.function) //nolint:contextcheck // the process outlives this call
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	h.instance = process
	h.mu.Unlock()
	return process, process.init(ctx, id)
}

// Kill ends the process at once, as a lost execution environment does. An
// invocation in flight fails with Runtime.ExitError; the next one gets a fresh
// process.
func (h *Host) Kill() {
	h.mu.Lock()
	process := h.instance
	h.mu.Unlock()
	if process != nil {
		process.stop()
	}
}

// Close ends the process and waits for it. An invocation in flight fails with
// [ErrClosed], and so does each later one. Closing again does nothing.
func (h *Host) Close() error {
	h.cancel()
	h.turn <- struct{}{}
	defer func() { <-h.turn }()
	h.mu.Lock()
	process := h.instance
	h.mu.Unlock()
	if process != nil {
		<-process.exited
	}
	return nil
}

func requestID(random io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("request id: %w", err)
	}
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}

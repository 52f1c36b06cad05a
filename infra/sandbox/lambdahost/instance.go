package lambdahost

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// killGrace is how long the output of a killed process may stay open, held by
// a child of its own, before it is closed from this side.
const killGrace = time.Second

// instance is one process and the Runtime API that it alone talks to. A
// listener per process keeps the last words of a dead one from its successor.
type instance struct {
	server *http.Server
	cmd    *exec.Cmd

	// idle receives when the process asks for an event; next hands it over.
	idle chan struct{}
	next chan delivery
	// outcome receives the reply to the event in hand.
	outcome chan outcome
	// initFailure receives what the process says of a failed start.
	initFailure chan *FunctionError

	// exited is closed when the process is gone; exit is then its error.
	exited chan struct{}
	exit   error

	moments moments
}

type invocation struct {
	id      string
	payload []byte
}

type delivery struct {
	invocation
	deadline time.Time
}

type outcome struct {
	reply   []byte
	failure *FunctionError
}

func start(ctx context.Context, f *Function) (*instance, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("runtime API: %w", err)
	}
	i := &instance{
		idle:        make(chan struct{}),
		next:        make(chan delivery),
		outcome:     make(chan outcome, 1),
		initFailure: make(chan *FunctionError, 1),
		exited:      make(chan struct{}),
	}
	i.server = &http.Server{Handler: i.runtimeAPI(f.ARN), ReadHeaderTimeout: initTimeout}
	i.cmd = exec.CommandContext(ctx, f.Path) //nolint:gosec // running the caller's binary is the purpose
	i.cmd.Dir = filepath.Dir(f.Path)
	i.cmd.Env = f.environment(listener.Addr().String())
	i.cmd.Stdout, i.cmd.Stderr = f.Log, f.Log
	i.cmd.WaitDelay = killGrace
	began := time.Now()
	if err := i.cmd.Start(); err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("start process: %w", err)
	}
	i.moments.started(i.cmd.Process.Pid, began)
	go func() {
		// Serve ends with the server's Close below; nothing else stops it.
		_ = i.server.Serve(listener)
	}()
	go func() {
		i.exit = i.cmd.Wait()
		close(i.exited)
		_ = i.server.Close()
	}()
	return i, nil
}

func (i *instance) alive() bool {
	select {
	case <-i.exited:
		return false
	default:
		return true
	}
}

// stop kills the process and waits until it is gone.
func (i *instance) stop() {
	// The only error is that the process has ended already.
	_ = i.cmd.Process.Kill()
	<-i.exited
}

// init waits until a fresh process asks for its first event.
func (i *instance) init(ctx context.Context, id string) error {
	timer := time.NewTimer(initTimeout)
	defer timer.Stop()
	select {
	case <-i.idle:
		return nil
	case <-i.exited:
		select {
		case failure := <-i.initFailure:
			return failure
		default:
			return i.exitError(id)
		}
	case <-timer.C:
		i.stop()
		return fmt.Errorf("initialisation: %w after %s", ErrTimeout, initTimeout)
	case <-ctx.Done():
		i.stop()
		return ctx.Err()
	}
}

// serve passes an event to an idle process. As on Lambda an invocation lasts
// until the process asks for the next event or dies, so that no work of one
// invocation runs into another. It returns [errGone] if the process died
// without taking the event.
func (i *instance) serve(ctx context.Context, event invocation, timeout time.Duration) ([]byte, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()

	next := i.next
	handed := delivery{invocation: event, deadline: time.Now().Add(timeout)}
	var got *outcome
	for {
		// Only an answered event makes an idle process a finished invocation.
		var idle chan struct{}
		if got != nil {
			idle = i.idle
		}
		select {
		case next <- handed:
			next = nil
		case out := <-i.outcome:
			got = &out
		case <-idle:
			return got.result()
		case <-i.exited:
			// The reply counts if it came before the end: a function that
			// panics reports first and then exits.
			select {
			case out := <-i.outcome:
				got = &out
			default:
			}
			if got != nil {
				return got.result()
			}
			if next != nil {
				return nil, errGone
			}
			return nil, i.exitError(event.id)
		case <-timer.C:
			i.stop()
			return nil, fmt.Errorf("%w after %s", ErrTimeout, timeout)
		case <-ctx.Done():
			i.stop()
			return nil, ctx.Err()
		}
	}
}

func (o *outcome) result() ([]byte, error) {
	if o.failure != nil {
		return nil, o.failure
	}
	return o.reply, nil
}

// exitError words a death as Lambda does. The process must have exited.
func (i *instance) exitError(id string) *FunctionError {
	text := "Runtime exited without providing a reason"
	var exit *exec.ExitError
	if errors.As(i.exit, &exit) {
		text = "Runtime exited with error: " + exit.String()
	} else if i.exit != nil {
		text = "Runtime exited with error: " + i.exit.Error()
	}
	return &FunctionError{Type: ExitError, Message: fmt.Sprintf("RequestId: %s Error: %s", id, text)}
}

func milliseconds(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

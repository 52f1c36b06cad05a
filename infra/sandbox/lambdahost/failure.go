package lambdahost

import (
	"encoding/json"
	"errors"
	"fmt"
)

var (
	// ErrTimeout says that the function was still running at its deadline and
	// was killed.
	ErrTimeout = errors.New("function timed out")
	// ErrClosed says that the host was closed.
	ErrClosed = errors.New("lambda host closed")

	// errGone says that a warm process died before it took the event, which is
	// then safe to give to a fresh one.
	errGone = errors.New("process is gone")
)

// The error types that Lambda itself gives, as opposed to those of a function.
const (
	// ExitError is the type when the process died during initialisation or
	// with an event in hand.
	ExitError = "Runtime.ExitError"
	// ResponseTooLarge is the type when a reply exceeds Lambda's 6 MB.
	ResponseTooLarge = "Function.ResponseSizeTooLarge"
)

// FunctionError is a failed invocation, as Lambda reports it to the caller.
type FunctionError struct {
	// Type is the name of the function's error type, or one of Lambda's own.
	Type string `json:"errorType"`
	// Message is the function's error text.
	Message string `json:"errorMessage"`
	// Stack is where the function panicked, innermost frame first; empty if it
	// returned an error.
	Stack []Frame `json:"stackTrace,omitempty"`
}

// Frame is one call on a panic's stack.
type Frame struct {
	Path  string `json:"path"`
	Line  int    `json:"line"`
	Label string `json:"label"`
}

func (e *FunctionError) Error() string {
	return fmt.Sprintf("%s: %s", e.Type, e.Message)
}

// parseFailure reads what a runtime posts to the error endpoints. Lambda takes
// any body there, so one that is not the documented object is the message.
func parseFailure(body []byte) *FunctionError {
	var failure FunctionError
	if err := json.Unmarshal(body, &failure); err != nil || failure.Type == "" {
		return &FunctionError{Type: "Unhandled", Message: string(body)}
	}
	return &failure
}

package lambdahost

import (
	"errors"
	"testing"
	"time"
)

// A process can die between the look at it and the event. From outside that is
// a matter of microseconds, so the instance is made dead here.
func TestEventThatADeadProcessNeverTook(t *testing.T) {
	dead := &instance{next: make(chan delivery), outcome: make(chan outcome, 1), exited: make(chan struct{})}
	close(dead.exited)
	if _, err := dead.serve(t.Context(), invocation{id: "id"}, time.Minute); !errors.Is(err, errGone) {
		t.Errorf("error %v, want errGone, by which the event goes to a fresh process", err)
	}
}

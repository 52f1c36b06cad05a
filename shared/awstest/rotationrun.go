package awstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// rotationSteps is the order in which the service calls a rotation function.
var rotationSteps = []string{"createSecret", "setSecret", "testSecret", "finishSecret"}

// Rotation is one attempt at a rotation, as it went.
type Rotation struct {
	// Token is the ClientRequestToken, which is the version's id.
	Token string
	// Test is true for the check of RotateImmediately=false, which runs
	// testSecret alone.
	Test bool
	// Steps were called, in order; when Err is set, the last of them failed.
	Steps []string
	Err   error
}

type rotation struct {
	secret        *secret
	token         string
	rotationToken string
	test          bool
	attempts      int // left
	outcome       []Rotation
}

type invoke func(ctx context.Context, payload []byte) ([]byte, error)

// rotationQueue is what RotateSecret left to be done, and what was done.
type rotationQueue struct {
	functions  map[string]invoke
	attempts   int // of each new rotation
	queue      []*rotation
	all        []*rotation
	background bool
	ctx        context.Context //nolint:containedctx // the life of the rotations in the background
	cancelAll  context.CancelFunc
	running    sync.WaitGroup
}

func (q *rotationQueue) init() {
	q.functions = map[string]invoke{}
	q.attempts = 1
	q.ctx, q.cancelAll = context.WithCancel(context.Background())
}

func (q *rotationQueue) add(r *rotation) {
	q.queue = append(q.queue, r)
	q.all = append(q.all, r)
}

func (q *rotationQueue) start(s *Server) {
	if !q.background || q.ctx.Err() != nil {
		return
	}
	q.running.Go(func() { _ = s.RunRotations(q.ctx) }) // errors are in Rotations
}

func (q *rotationQueue) issued(rotationToken string) bool {
	return slices.ContainsFunc(q.all, func(r *rotation) bool { return r.rotationToken == rotationToken })
}

// cancel takes a secret's rotations off the queue and returns the version of
// the last one, empty if there was none.
func (q *rotationQueue) cancel(sec *secret) string {
	version := ""
	q.queue = slices.DeleteFunc(q.queue, func(r *rotation) bool {
		if r.secret == sec {
			version = r.token
		}
		return r.secret == sec
	})
	return version
}

// SetFunction makes a Lambda function exist: RotateSecret calls it with the
// rotation event as JSON. An error stands for an invocation that failed.
func (s *Server) SetFunction(arn string, invoke func(ctx context.Context, payload []byte) ([]byte, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rotations.functions[arn] = invoke
}

// RotationAttempts sets how often a rotation that is queued from now on is
// tried, each time with the same token. AWS tries several times and does not
// say how many; the default here is 1.
func (s *Server) RotationAttempts(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rotations.attempts = n
}

// Background has RotateSecret start the rotations by itself, as the service
// does, in a goroutine that [Server.Close] ends. Off by default: then
// [Server.RunRotations] runs them.
func (s *Server) Background(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rotations.background = on
}

// RunRotations runs the rotations that RotateSecret queued, first come first
// served, in the caller's goroutine, until none is left or ctx ends. The error
// joins those of the rotations that failed.
func (s *Server) RunRotations(ctx context.Context) error {
	var errs []error
	for ctx.Err() == nil {
		r := s.nextQueued()
		if r == nil {
			return errors.Join(errs...)
		}
		if err := s.rotate(ctx, r); err != nil {
			errs = append(errs, fmt.Errorf("rotate %s: %w", r.secret.name, err))
		}
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// Retry queues the last rotation of a secret once more, on the same token, as
// the service does some time after a failure. It is an error if the last one
// did not fail.
func (s *Server) Retry(secretName string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range slices.Backward(s.rotations.all) {
		if r.secret.name != secretName {
			continue
		}
		if n := len(r.outcome); n == 0 || r.outcome[n-1].Err == nil {
			break
		}
		r.attempts = 1
		s.rotations.queue = append(s.rotations.queue, r)
		return nil
	}
	return fmt.Errorf("no failed rotation of %s", secretName)
}

// Rotations returns the attempts at rotating a secret, oldest first.
func (s *Server) Rotations(secretName string) []Rotation {
	s.mu.Lock()
	defer s.mu.Unlock()
	var done []Rotation
	for _, r := range s.rotations.all {
		if r.secret.name == secretName {
			done = append(done, r.outcome...)
		}
	}
	return done
}

func (s *Server) nextQueued() *rotation {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.rotations.queue) == 0 {
		return nil
	}
	r := s.rotations.queue[0]
	s.rotations.queue = s.rotations.queue[1:]
	r.attempts--
	return r
}

// rotationEvent is what a rotation function is called with.
type rotationEvent struct {
	Step               string
	SecretID           string `json:"SecretId"`
	ClientRequestToken string
	RotationToken      string
}

func (s *Server) rotate(ctx context.Context, r *rotation) error {
	done := Rotation{Token: r.token, Test: r.test}
	steps := rotationSteps
	if r.test {
		steps = []string{"testSecret"}
	}
	for _, step := range steps {
		done.Steps = append(done.Steps, step)
		if err := s.step(ctx, r, step); err != nil {
			done.Err = fmt.Errorf("%s: %w", step, err)
			break
		}
	}
	return s.conclude(r, done)
}

func (s *Server) step(ctx context.Context, r *rotation, step string) error {
	s.mu.Lock()
	if r.secret.state == nil {
		s.mu.Unlock()
		return errors.New("the secret is gone")
	}
	function := s.rotations.functions[r.secret.state.rotation.lambda]
	s.mu.Unlock()
	if function == nil {
		return errors.New("the rotation function is gone")
	}
	payload, err := json.Marshal(rotationEvent{step, r.secret.arn, r.token, r.rotationToken})
	if err != nil {
		return err
	}
	_, err = function(ctx, payload)
	return err
}

// conclude is what the service does after the last step.
func (s *Server) conclude(r *rotation, done Rotation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if sec := s.find(r.secret.arn); sec.state != nil {
		next := sec.state.clone()
		switch {
		case r.test:
			if v := next.version(r.token); v != nil && next.labels[labelCurrent] != v.id {
				next.drop(v.id)
			}
			sec.commit(next, now)
		case done.Err != nil:
		case next.labels[labelCurrent] != r.token:
			done.Err = errors.New("finishSecret: AWSCURRENT is not on the rotation's version")
		default:
			if next.labels[labelPending] == r.token {
				delete(next.labels, labelPending)
			}
			next.rotated = laterOf(now, next.rotated)
			sec.commit(next, now)
		}
	}
	r.outcome = append(r.outcome, done)
	if done.Err != nil && r.attempts > 0 {
		s.rotations.queue = append(s.rotations.queue, r)
	}
	return done.Err
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

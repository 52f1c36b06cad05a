// Package stage is everything that the product runs on, on one machine: both
// clouds simulated on loopback, and the compiled functions behind the Lambda
// Runtime API.
package stage

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"databricks-credential-rotation/infra/sandbox/lambdahost"
	"databricks-credential-rotation/shared/policy"
)

// What the template gives the functions.
const (
	rotateTimeout  = 15 * time.Minute
	rotateMemoryMB = 256
	auditTimeout   = 15 * time.Minute
	auditMemoryMB  = 1024
	revokeTimeout  = 2 * time.Minute
	revokeMemoryMB = 512
)

// Config sets a stage up.
type Config struct {
	// Binaries is the directory that [Build] filled.
	Binaries string
	// Policy is what the functions go by, until it is changed.
	Policy policy.Policy
	// Seed makes ids and secret values of both clouds.
	Seed uint64
}

// Stage is the clouds with the functions in them.
type Stage struct {
	Clouds
	// Logs are the functions' logs, at the level DEBUG.
	Logs *Logs

	binaries string

	mu       sync.Mutex
	hosts    map[string]*lambdahost.Host
	tokens   []string
	failures []string
	front    *front
	source   *eventSource
}

// Open starts the clouds and deploys the functions. The end of ctx ends the
// functions; [Stage.Close] ends everything.
func Open(ctx context.Context, cfg Config) (*Stage, error) {
	clouds, err := OpenClouds(cfg.Seed) //nolint:contextcheck // the simulators listen until they are closed
	if err != nil {
		return nil, err
	}
	s := &Stage{Clouds: clouds, Logs: &Logs{}, binaries: cfg.Binaries, hosts: map[string]*lambdahost.Host{}}
	if err := s.open(ctx, cfg.Policy); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Stage) open(ctx context.Context, p policy.Policy) error {
	if err := s.SetPolicy(ctx, p); err != nil {
		return err
	}
	if err := s.deploy(ctx, lambdahost.Function{
		Name: "rotate", Env: environment(s.Clouds), Timeout: rotateTimeout, MemoryMB: rotateMemoryMB,
	}); err != nil {
		return err
	}
	if err := s.deploy(ctx, lambdahost.Function{
		Name: "audit", Env: auditEnvironment(s.Clouds), Timeout: auditTimeout, MemoryMB: auditMemoryMB,
	}); err != nil {
		return err
	}
	if err := s.deploy(ctx, lambdahost.Function{
		Name: "revoke", Env: revokeEnvironment(s.Clouds), Timeout: revokeTimeout, MemoryMB: revokeMemoryMB,
	}); err != nil {
		return err
	}
	// Secrets Manager calls the rotation function, and hands it a token that
	// must not leave it.
	s.AWS.SetFunction(s.FunctionARN("rotate"), func(ctx context.Context, payload []byte) ([]byte, error) {
		s.note(payload)
		return s.Invoke(ctx, "rotate", payload)
	})
	s.source = s.pollQueue(ctx)
	return s.serve(ctx)
}

func (s *Stage) deploy(ctx context.Context, f lambdahost.Function) error {
	f.Path, f.ARN = Binary(s.binaries, f.Name), s.FunctionARN(f.Name)
	f.LogLevel, f.Log = "DEBUG", s.Logs.writer(f.Name)
	host, err := lambdahost.Start(ctx, f)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hosts[f.Name] = host
	return nil
}

// FunctionARN is the ARN of a function by its name.
func (s *Stage) FunctionARN(name string) string {
	return "arn:aws:lambda:eu-west-1:123456789012:function:" + name
}

// Invoke passes an event to a function. A failed invocation is a
// [*lambdahost.FunctionError].
func (s *Stage) Invoke(ctx context.Context, name string, event []byte) ([]byte, error) {
	host := s.host(name)
	if host == nil {
		return nil, fmt.Errorf("there is no function %q", name)
	}
	reply, err := host.Invoke(ctx, event)
	if err != nil {
		s.mu.Lock()
		s.failures = append(s.failures, err.Error())
		s.mu.Unlock()
	}
	return reply, err
}

// Kill ends a function's process at once, whatever it is doing.
func (s *Stage) Kill(name string) {
	if host := s.host(name); host != nil {
		host.Kill()
	}
}

func (s *Stage) host(name string) *lambdahost.Host {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hosts[name]
}

// note keeps the rotation token of a rotation event.
func (s *Stage) note(event []byte) {
	var e struct{ RotationToken string }
	if json.Unmarshal(event, &e) != nil || e.RotationToken == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = append(s.tokens, e.RotationToken)
}

// Secrets are all values that may be in no log: OAuth secrets, access tokens,
// rotation tokens.
func (s *Stage) Secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(s.Databricks.Issued(), s.tokens...)
}

// Failures are the errors of all failed invocations so far.
func (s *Stage) Failures() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.failures...)
}

// Close ends the functions and the clouds.
func (s *Stage) Close() {
	if s.front != nil {
		s.front.close()
	}
	if s.source != nil {
		s.source.close()
	}
	for _, name := range Functions {
		if host := s.host(name); host != nil {
			_ = host.Close() // it returns nothing but nil
		}
	}
	s.Clouds.Close()
}

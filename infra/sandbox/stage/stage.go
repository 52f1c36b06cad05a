// Package stage is everything that the product runs on, on one machine: both
// clouds simulated on loopback, and the compiled functions behind the Lambda
// Runtime API.
package stage

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"databricks-credential-rotation/infra/sandbox/iam"
	"databricks-credential-rotation/infra/sandbox/lambdahost"
	"databricks-credential-rotation/shared/policy"
)

// Config sets a stage up.
type Config struct {
	// Binaries is the directory that [Build] filled.
	Binaries string
	// Policy is what the functions go by, until it is changed.
	Policy policy.Policy
	// Seed makes ids and secret values of both clouds.
	Seed uint64
	// Parameters are the template's; what is not here is as in a deployment
	// with federation and nothing else.
	Parameters map[string]string
	// Timeouts are those of functions, if not those of the template.
	Timeouts map[string]time.Duration
	// Environments is how many invocations may work on the queue at once, each
	// in an execution environment of its own. Zero has the function's only one
	// do everything, as a demonstration needs it.
	Environments int
	// Observe is told of every decision of IAM.
	Observe func(iam.Call)
}

// Stage is the clouds with the functions in them.
type Stage struct {
	Clouds
	// Logs are the functions' logs, at the level DEBUG.
	Logs *Logs

	config Config

	mu          sync.Mutex
	deployments map[string]deployment
	hosts       map[string]*lambdahost.Host
	traces      map[string]int
	tokens      []string
	failures    []string
	front       *front
	source      *eventSource
}

// Open starts the clouds and deploys the functions. The end of ctx ends the
// functions; [Stage.Close] ends everything.
func Open(ctx context.Context, cfg Config) (*Stage, error) {
	clouds, err := openClouds(cfg.Seed, cfg.Parameters) //nolint:contextcheck // the simulators listen until they are closed
	if err != nil {
		return nil, err
	}
	s := &Stage{Clouds: clouds, Logs: &Logs{}, config: cfg, hosts: map[string]*lambdahost.Host{}, traces: map[string]int{}}
	if err := s.open(ctx, cfg.Policy); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Stage) open(ctx context.Context, p policy.Policy) error {
	s.IAM.Observe(s.config.Observe)
	if err := s.SetPolicy(ctx, p); err != nil {
		return err
	}
	var err error
	if s.deployments, err = s.Clouds.deployments(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(s.deployments)) {
		if err := s.deploy(ctx, s.deployments[name]); err != nil {
			return err
		}
	}
	// Secrets Manager calls the rotation function, and hands it a token that
	// must not leave it.
	s.AWS.SetFunction(s.FunctionARN("rotate"), func(ctx context.Context, payload []byte) ([]byte, error) {
		s.note(payload)
		return s.InvokeAs(ctx, "secretsmanager.amazonaws.com", "rotate", payload)
	})
	if s.source, err = s.pollQueue(ctx); err != nil {
		return err
	}
	return s.serve(ctx)
}

// Change is what a function is deployed with in place of what the template
// says.
type Change struct {
	// Role is the name of a role, "" for the template's.
	Role        string
	Environment map[string]string
}

// Redeploy deploys a function anew.
func (s *Stage) Redeploy(ctx context.Context, function string, change Change) error {
	described, err := s.Clouds.deployments()
	if err != nil {
		return err
	}
	s.Undeploy(function)
	d := described[function]
	d.role = cmp.Or(change.Role, d.role)
	for name, value := range change.Environment {
		d.Env = slices.DeleteFunc(d.Env, func(entry string) bool { return strings.HasPrefix(entry, name+"=") })
		d.Env = append(d.Env, name+"="+value)
	}
	return s.deploy(ctx, d)
}

func (s *Stage) deploy(ctx context.Context, d deployment) error {
	if !s.IAM.Assumes(s.AWS.RoleARN(d.role), "lambda.amazonaws.com") {
		return fmt.Errorf("the role %s of the function %s cannot be assumed by Lambda", d.role, d.Name)
	}
	d.Env = append(d.Env, s.AWS.Env(d.role)...)
	d.Timeout = cmp.Or(s.config.Timeouts[d.Name], d.Timeout)
	d.Path = Binary(s.config.Binaries, d.Name)
	d.LogLevel, d.Log = "DEBUG", s.logStream(d)
	host, err := lambdahost.Start(ctx, d.Function)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hosts[d.Name], s.deployments[d.Name] = host, d
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
	s.trace(ctx, name)
	if err != nil {
		s.mu.Lock()
		s.failures = append(s.failures, err.Error())
		s.mu.Unlock()
	}
	return reply, err
}

// Process describes the process of a function; false if it has none.
func (s *Stage) Process(name string) (lambdahost.Process, bool) {
	host := s.host(name)
	if host == nil {
		return lambdahost.Process{}, false
	}
	return host.Process()
}

// Kill ends a function's process at once, whatever it is doing.
func (s *Stage) Kill(name string) {
	if host := s.host(name); host != nil {
		host.Kill()
	}
}

func (s *Stage) deployment(name string) deployment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deployments[name]
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

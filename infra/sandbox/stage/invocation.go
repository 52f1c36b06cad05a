package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"databricks-credential-rotation/shared/awstest"
)

// What AWS itself does around an invocation, as the function's role or as the
// schedule's, and by their policies.

// decide asks IAM for a call of a service that the emulator has not.
func (s *Stage) decide(ctx context.Context, caller, action, resource string) error {
	account := strings.Split(s.AWS.RoleARN(""), ":")[4]
	conditions := map[string][]string{"aws:SecureTransport": {"true"}, "aws:ResourceAccount": {account}}
	if !strings.HasPrefix(caller, "arn:") {
		conditions["aws:SourceAccount"] = []string{account}
	}
	if err := s.IAM.Authorize(ctx, awstest.Access{Caller: caller, Action: action, Resource: resource, Conditions: conditions}); err != nil {
		return fmt.Errorf("%s is not authorized to perform: %s on resource: %s %w", caller, action, resource, err)
	}
	return nil
}

func (s *Stage) mayInvoke(ctx context.Context, caller, function string) error {
	return s.decide(ctx, caller, "lambda:InvokeFunction", s.FunctionARN(function))
}

// InvokeAs is [Stage.Invoke] by a role's ARN or a service's name, which must be
// allowed to.
func (s *Stage) InvokeAs(ctx context.Context, caller, function string, event []byte) ([]byte, error) {
	if err := s.mayInvoke(ctx, caller, function); err != nil {
		return nil, err
	}
	return s.Invoke(ctx, function, event)
}

// invokeLater is an asynchronous invocation: what fails goes to the function's
// failure destination.
func (s *Stage) invokeLater(ctx context.Context, function string, event []byte) {
	_, failure := s.Invoke(ctx, function, event)
	d := s.deployment(function)
	if failure == nil || d.onFailure == "" {
		return
	}
	record, _ := json.Marshal(map[string]any{ // texts and JSON that came in always marshal
		"version":         "1.0",
		"requestContext":  map[string]any{"functionArn": d.ARN + ":$LATEST", "condition": "RetriesExhausted", "approximateInvokeCount": 1},
		"requestPayload":  json.RawMessage(event),
		"responseContext": map[string]any{"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
		"responsePayload": map[string]string{"errorMessage": failure.Error()},
	})
	if err := s.send(ctx, d.role, d.onFailure, string(record)); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.failures = append(s.failures, fmt.Sprintf("the failure destination of %s: %v", function, err))
	}
}

// RunSchedule does what EventBridge Scheduler does at a schedule's time, named
// as in the template. An invocation that cannot be delivered goes to the
// schedule's own dead-letter queue.
func (s *Stage) RunSchedule(ctx context.Context, function, name string) error {
	at, ok := s.deployment(function).schedules[name]
	if !ok {
		return fmt.Errorf("the function %s has no schedule %s", function, name)
	}
	role := strings.TrimPrefix(at.roleARN, s.AWS.RoleARN(""))
	if !s.IAM.Assumes(at.roleARN, "scheduler.amazonaws.com") {
		return fmt.Errorf("the role %s of the schedule %s cannot be assumed by EventBridge Scheduler", role, name)
	}
	undelivered := s.mayInvoke(ctx, at.roleARN, function)
	if undelivered == nil && s.host(function) == nil {
		undelivered = fmt.Errorf("function not found: %s", function)
	}
	if undelivered != nil {
		return errors.Join(undelivered, s.send(ctx, role, at.deadLetterARN, at.input))
	}
	s.invokeLater(ctx, function, []byte(at.input))
	return nil
}

// Undeploy removes a function, as a stack that is half deleted has.
func (s *Stage) Undeploy(function string) {
	s.mu.Lock()
	host := s.hosts[function]
	delete(s.hosts, function)
	s.mu.Unlock()
	if host != nil {
		_ = host.Close() // it returns nothing but nil
	}
}

func (s *Stage) send(ctx context.Context, role, queueARN, body string) error {
	cfg := s.AWS.Config()
	cfg.Credentials = s.AWS.Role(role)
	queue := queueARN[strings.LastIndexByte(queueARN, ':')+1:]
	api := sqs.NewFromConfig(cfg)
	found := "https://sqs.eu-west-1.amazonaws.com/" + strings.Split(queueARN, ":")[4] + "/" + queue
	if _, err := api.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &found, MessageBody: &body}); err != nil {
		return fmt.Errorf("send to the queue %s: %w", queue, err)
	}
	return nil
}

// trace is what Lambda sends to X-Ray after an invocation. It is silent if it
// may not.
func (s *Stage) trace(ctx context.Context, function string) {
	d := s.deployment(function)
	if !d.traced {
		return
	}
	for _, action := range []string{"xray:PutTraceSegments", "xray:PutTelemetryRecords"} {
		if s.decide(ctx, s.AWS.RoleARN(d.role), action, "*") != nil {
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.traces[function]++
}

// Traces is how many invocations of a function X-Ray has all of.
func (s *Stage) Traces(function string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.traces[function]
}

// logStream is where a function's output goes. Lambda drops what the role may
// not write, and tells nobody.
func (s *Stage) logStream(d deployment) io.Writer {
	return &logStream{
		stage: s, to: s.Logs.writer(d.Name), role: s.AWS.RoleARN(d.role),
		arn: "arn:aws:logs:eu-west-1:" + strings.Split(d.ARN, ":")[4] + ":log-group:" + d.logGroup + ":log-stream:" + d.Name,
	}
}

type logStream struct {
	stage     *Stage
	to        io.Writer
	role, arn string

	mu      sync.Mutex
	created bool
}

// Write implements [io.Writer].
func (l *logStream) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ctx := context.Background()
	if !l.created {
		l.created = l.stage.decide(ctx, l.role, "logs:CreateLogStream", l.arn) == nil
	}
	if !l.created || l.stage.decide(ctx, l.role, "logs:PutLogEvents", l.arn) != nil {
		return len(p), nil
	}
	return l.to.Write(p)
}

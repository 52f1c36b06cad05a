package stack_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/infra/stack"
)

var templates = []string{"template.yaml", "infra/observability.yaml", "infra/managed-secret.yaml"}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	write := func(document string) string {
		path := filepath.Join(dir, "t.yaml")
		if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	got, err := stack.Open(write(`
Resources:
  Q:
    Type: AWS::SQS::Queue
    Properties:
      N: 5
      On: "5"
      Arn: !GetAtt Other.Arn
      Name: !Sub
        - ${A}-q
        - A: !If [C, !Ref B, ""]
`))
	if err != nil {
		t.Fatal(err)
	}
	want := stack.Resource{Type: "AWS::SQS::Queue", Properties: map[string]any{
		"N": 5, "On": "5", "Arn": map[string]any{"Fn::GetAtt": []any{"Other", "Arn"}},
		"Name": map[string]any{"Fn::Sub": []any{"${A}-q", map[string]any{"A": map[string]any{"Fn::If": []any{"C", map[string]any{"Ref": "B"}, ""}}}}},
	}}
	if diff := cmp.Diff(want, got.Resource("Q")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.Resource("Q").At("Name", "Nothing", "here") != nil || got.Resource("None").Type != "" {
		t.Error("something was found where there is nothing")
	}
	for name, document := range map[string]string{
		"a list": "- 1", "not YAML": "a: [", "a key twice": "a: 1\na: 2", "an alias": "a: &x 1\nb: *x",
	} {
		if _, err := stack.Open(write(document)); err == nil {
			t.Errorf("%s was read", name)
		}
	}
	if _, err := stack.Open(filepath.Join(dir, "none")); err == nil {
		t.Error("a file that is not there was read")
	}
}

// Whoever deploys sees what each parameter takes, in groups, and what he may
// not give is refused before anything is made.
func TestParameters(t *testing.T) {
	for _, path := range templates {
		template := open(t, path)
		parameters := template.Section("Parameters")
		var grouped []string
		labels := map[string]any{}
		if metadata, ok := template.Section("Metadata")["AWS::CloudFormation::Interface"].(map[string]any); ok {
			groups, _ := metadata["ParameterGroups"].([]any)
			for _, g := range groups {
				group, _ := g.(map[string]any)
				list, _ := group["Parameters"].([]any)
				for _, name := range list {
					grouped = append(grouped, fmt.Sprint(name))
				}
			}
			labels, _ = metadata["ParameterLabels"].(map[string]any)
		}
		if path != "infra/observability.yaml" { // which nobody deploys by hand
			slices.Sort(grouped)
			if diff := cmp.Diff(names(parameters), grouped); diff != "" {
				t.Errorf("%s: groups (-parameters +groups):\n%s", path, diff)
			}
			if diff := cmp.Diff(names(parameters), names(labels)); diff != "" {
				t.Errorf("%s: labels (-parameters +labels):\n%s", path, diff)
			}
		}
		for name, body := range parameters {
			p, _ := body.(map[string]any)
			if description, _ := p["Description"].(string); description == "" || len(description) > 4000 {
				t.Errorf("%s: %s: its description has %d characters", path, name, len(description))
			}
			pattern, _ := p["AllowedPattern"].(string)
			switch p["Type"] {
			case "String":
				if pattern == "" && p["AllowedValues"] == nil {
					t.Errorf("%s: %s takes anything", path, name)
				}
			case "Number":
				if p["MinValue"] == nil && p["AllowedValues"] == nil {
					t.Errorf("%s: %s takes any number", path, name)
				}
			}
			if pattern == "" {
				continue
			}
			re, err := regexp.Compile(pattern)
			if err != nil {
				t.Errorf("%s: %s: %v", path, name, err)
			} else if value, ok := p["Default"]; ok && !re.MatchString(fmt.Sprint(value)) {
				t.Errorf("%s: %s: its default %q is not allowed", path, name, value)
			}
		}
	}
}

// An invocation that a schedule cannot deliver is tried again, kept, and seen.
func TestSchedules(t *testing.T) {
	found := 0
	for id, r := range open(t, "template.yaml").Resources() {
		events, _ := r.At("Events").(map[string]any)
		for name, e := range events {
			event, _ := e.(map[string]any)
			properties, _ := event["Properties"].(map[string]any)
			if event["Type"] != "ScheduleV2" {
				continue
			}
			found++
			schedule := stack.Resource{Properties: properties}
			if tries, _ := schedule.At("RetryPolicy", "MaximumRetryAttempts").(int); tries < 1 {
				t.Errorf("%s.%s: no retries", id, name)
			}
			if diff := cmp.Diff(map[string]any{"Fn::GetAtt": []any{"UndeliveredQueue", "Arn"}}, schedule.At("DeadLetterConfig", "Arn")); diff != "" {
				t.Errorf("%s.%s: dead letters: %s", id, name, diff)
			}
			if schedule.At("FlexibleTimeWindow", "Mode") != "FLEXIBLE" {
				t.Errorf("%s.%s: no flexible window", id, name)
			}
			expression, isText := schedule.At("ScheduleExpression").(string)
			if zone := schedule.At("ScheduleExpressionTimezone"); zone == nil && (!isText || !strings.HasPrefix(expression, "rate(")) {
				t.Errorf("%s.%s: no time zone", id, name)
			}
		}
	}
	if found != 3 {
		t.Errorf("%d schedules, want sweep, reconcile and audit", found)
	}
}

// What is lost with a stack that is deleted, nobody gets back.
func TestEvidenceOutlivesTheStack(t *testing.T) {
	for _, path := range templates {
		template := open(t, path)
		for id, r := range template.Resources() {
			switch r.Type {
			case "AWS::S3::Bucket", "AWS::Logs::LogGroup", "AWS::KMS::Key", "AWS::SecretsManager::Secret":
			default:
				continue
			}
			body, _ := template.Section("Resources")[id].(map[string]any)
			if body["DeletionPolicy"] != "RetainExceptOnCreate" || body["UpdateReplacePolicy"] != "Retain" {
				t.Errorf("%s: %s is deleted with the stack, or left by one that failed", path, id)
			}
		}
	}
}

// No statement allows every action or, without a reason that it states,
// everything: actions that know no resource are listed here, in one place.
func TestStatementsAreNarrow(t *testing.T) {
	anyResource := []string{
		"secretsmanager:BatchGetSecretValue", "secretsmanager:ListSecrets", "sts:GetWebIdentityToken",
		"xray:PutTelemetryRecords", "xray:PutTraceSegments",
	}
	for id, r := range open(t, "template.yaml").Resources() {
		if r.Type != "AWS::IAM::Role" {
			continue
		}
		statements := 0
		fields(r.At("Policies"), func(s map[string]any) {
			if s["Effect"] == nil {
				return
			}
			statements++
			actions, isList := s["Action"].([]any)
			if !isList {
				actions = []any{s["Action"]}
			}
			for _, a := range actions {
				action := fmt.Sprint(a)
				if strings.Contains(action, "*") {
					t.Errorf("%s: %v allows %s", id, s["Sid"], action)
				}
				if s["Resource"] == "*" && !slices.Contains(anyResource, action) {
					t.Errorf("%s: %v allows %s on everything", id, s["Sid"], action)
				}
			}
		})
		if statements == 0 {
			t.Errorf("%s allows nothing", id)
		}
	}
}

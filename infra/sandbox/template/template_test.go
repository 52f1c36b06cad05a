package template_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/infra/sandbox/template"
)

var setting = template.Setting{
	Account: "123456789012", Region: "eu-west-1", StackName: "dcr",
	Names: map[string]string{"Bucket": "data"}, Parameters: map[string]string{"Mode": "on"},
}

const document = `
Parameters:
  Mode: {Type: String, Default: "off"}
  Days: {Type: Number, Default: 30}
  People: {Type: CommaDelimitedList, Default: "a, b"}
Conditions:
  On: !Equals [!Ref Mode, "on"]
  Long: !And [!Condition On, !Not [!Equals [!Ref Days, "30"]]]
  Either: !Or [!Condition On, !Condition Long]
Resources:
  Bucket:
    Type: AWS::S3::Bucket
  Queue:
    Type: AWS::SQS::Queue
  Topic:
    Type: AWS::SNS::Topic
    Condition: Long
  Log:
    Type: AWS::Logs::LogGroup
  Role:
    Type: AWS::IAM::Role
    Properties:
      Ref: VALUE
`

func TestResolve(t *testing.T) {
	tests := map[string]struct {
		value string
		want  any
		fault string
	}{
		"text":                {`plain`, "plain", ""},
		"number":              {`300`, "300", ""},
		"parameter":           {`!Ref Mode`, "on", ""},
		"default":             {`!Ref Days`, "30", ""},
		"list parameter":      {`!Ref People`, []any{"a", "b"}, ""},
		"queue":               {`!Ref Queue`, "https://sqs.eu-west-1.amazonaws.com/123456789012/dcr-Queue", ""},
		"topic":               {`!Ref Topic`, "arn:aws:sns:eu-west-1:123456789012:dcr-Topic", ""},
		"named":               {`!Ref Bucket`, "data", ""},
		"ARN of a bucket":     {`!GetAtt Bucket.Arn`, "arn:aws:s3:::data", ""},
		"ARN of a role":       {`!GetAtt Role.Arn`, "arn:aws:iam::123456789012:role/dcr-Role", ""},
		"ARN of a log group":  {`!GetAtt Log.Arn`, "arn:aws:logs:eu-west-1:123456789012:log-group:dcr-Log:*", ""},
		"substitution":        {`!Sub "${AWS::Partition}/${Mode}/${Queue.Arn}/${!kept}"`, "aws/on/arn:aws:sqs:eu-west-1:123456789012:dcr-Queue/${kept}", ""},
		"local substitution":  {`!Sub ["${B}/x", {B: !If [On, !Ref Bucket, other]}]`, "data/x", ""},
		"choice":              {`!If [Long, yes, no]`, "no", ""},
		"choice of either":    {`!If [Either, yes, no]`, "yes", ""},
		"nothing in a list":   {`[a, !If [Long, b, !Ref AWS::NoValue], c]`, []any{"a", "c"}, ""},
		"nothing in a map":    {`{a: 1, b: !Ref AWS::NoValue}`, map[string]any{"a": "1"}, ""},
		"joined":              {`!Join ["-", [a, !Ref Mode]]`, "a-on", ""},
		"unknown function":    {`!Cidr [a]`, nil, "the function !Cidr is not known here"},
		"long form":           {`{Fn::GetAtt: [Queue, Arn]}`, nil, "the long form Fn::GetAtt is not known here"},
		"unknown reference":   {`!Ref Mod`, nil, "no parameter or resource Mod"},
		"unknown attribute":   {`!GetAtt Queue.QueueName`, nil, "the attribute Queue.QueueName is not known here"},
		"unknown in a text":   {`!Sub "${Nothing}"`, nil, "no parameter or resource Nothing"},
		"list in a text":      {`!Sub "${People}"`, nil, "${People} is no text"},
		"unknown condition":   {`!If [Off, a, b]`, nil, "no condition Off"},
		"unknown pseudo":      {`!Ref AWS::Nothing`, nil, "no parameter or resource AWS::Nothing"},
		"a key that is twice": {`{a: 1, a: 2}`, nil, "a"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			stack, err := template.Read([]byte(strings.ReplaceAll(strings.Replace(document, "Ref: VALUE", "Value: "+test.value, 1), "\t", "  ")), setting)
			var roles []template.Resource
			if err == nil {
				roles, err = stack.Resources("AWS::IAM::Role")
			}
			switch {
			case test.fault != "" && (err == nil || !strings.Contains(err.Error(), test.fault) || !strings.Contains(err.Error(), "line ")):
				t.Errorf("error %v, want a line and %q", err, test.fault)
			case test.fault == "" && err != nil:
				t.Error(err)
			case test.fault == "":
				if diff := cmp.Diff(test.want, roles[0].Properties["Value"]); diff != "" {
					t.Errorf("value (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestOnlyWhatIsDeployed(t *testing.T) {
	stack, err := template.Read([]byte(strings.Replace(document, "Ref: VALUE", "A: b", 1)), setting)
	if err != nil {
		t.Fatal(err)
	}
	if topics, err := stack.Resources("AWS::SNS::Topic"); err != nil || len(topics) != 0 {
		t.Errorf("topics %v, %v: its condition does not hold", topics, err)
	}
}

func TestGlobals(t *testing.T) {
	stack, err := template.Read([]byte(`
Globals:
  Function: {Timeout: 3, Tracing: Active, Environment: {Variables: {A: all, B: all}}}
Resources:
  F: {Type: AWS::Serverless::Function, Properties: {Timeout: 9, Environment: {Variables: {B: own}}}}
`), template.Setting{})
	if err != nil {
		t.Fatal(err)
	}
	functions, err := stack.Resources("AWS::Serverless::Function")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"Timeout": "9", "Tracing": "Active", "Environment": map[string]any{"Variables": map[string]any{"A": "all", "B": "own"}}}
	if diff := cmp.Diff(want, functions[0].Properties); diff != "" {
		t.Errorf("properties (-want +got):\n%s", diff)
	}
}

func TestOutput(t *testing.T) {
	stack, err := template.Read([]byte("Parameters:\n  P: {Type: String, Default: p}\nOutputs:\n  O: {Value: !Sub \"a-${P}\"}\n  L: {Value: [a]}\n  N: {Description: x}\n"), template.Setting{})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := stack.Output("O"); err != nil || text != "a-p" {
		t.Errorf("output %q, %v", text, err)
	}
	for name, want := range map[string]string{"L": "output L is no text", "N": "output N has no value", "X": "no output X"} {
		if _, err := stack.Output(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestFaultsOfTheSettingAreReportedAtOnce(t *testing.T) {
	bad := setting
	bad.Parameters, bad.Names = map[string]string{"Mood": "x"}, map[string]string{"Nobody": "y"}
	_, err := template.Read([]byte(strings.Replace(document, `Days: {Type: Number, Default: 30}`, `Days: {Type: Number}`, 1)), bad)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"parameter Days has no value", "no parameter Mood", "no resource Nobody"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// What the sandbox reads of the stack's own template can be read.
func TestStack(t *testing.T) {
	stack, err := template.Open(filepath.Join("..", "..", "..", "template.yaml"), template.Setting{
		Account: "123456789012", Region: "eu-west-1", StackName: "dcr", StackID: "arn:aws:cloudformation:eu-west-1:123456789012:stack/dcr/1",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"AWS::IAM::Role", "AWS::Serverless::Function", "AWS::S3::BucketPolicy", "AWS::SNS::TopicPolicy", "AWS::KMS::Key"} {
		if _, err := stack.Resources(kind); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	roles, err := stack.Resources("AWS::IAM::Role")
	if err != nil || len(roles) < 4 {
		t.Errorf("%d roles, %v", len(roles), err)
	}
}

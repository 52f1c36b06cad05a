package conformance_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/awstest/conformance"
	"databricks-credential-rotation/shared/faulttest"
)

func TestEmulatorInMemory(t *testing.T) {
	runAll(t, emulator(t, awstest.New(awstest.Config{Seed: 1})), nil)
}

func TestEmulatorOnSocket(t *testing.T) {
	server := awstest.New(awstest.Config{Seed: 1})
	if err := server.Listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	runAll(t, emulator(t, server), nil)
}

// TestEndpoint runs the rules against another implementation:
//
//	moto_server -p 5555 &
//	AWS_ENDPOINT_URL_CONFORMANCE=http://127.0.0.1:5555 go test -count=1 -run TestEndpoint ./shared/awstest/conformance
//
// AWS_CONFORMANCE_DIFFERENCES is the file that says on which rules it
// deviates, differences-moto.json by default. A rule that fails and is not in
// the file fails the test, and so does one that is in it and holds: the file
// stays true. Rules that need a rotation function are left out.
func TestEndpoint(t *testing.T) {
	url := os.Getenv("AWS_ENDPOINT_URL_CONFORMANCE")
	if url == "" {
		t.Skip("AWS_ENDPOINT_URL_CONFORMANCE is not set")
	}
	file := os.Getenv("AWS_CONFORMANCE_DIFFERENCES")
	if file == "" {
		file = "differences-moto.json"
	}
	runAll(t, &conformance.Account{Tick: 1100 * time.Millisecond, Config: aws.Config{
		Region:       "eu-west-1",
		BaseEndpoint: &url,
		Credentials:  credentials.NewStaticCredentialsProvider("AKIACONFORMANCE00000", "secret", ""),
		// An answer is a deviation or none; a connection that broke, which a
		// server of another kind may close between two requests, is asked again.
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.Retryables = []retry.IsErrorRetryable{retry.RetryableConnectionError{}}
			})
		},
	}}, differences(t, file))
}

// differences maps the name of a rule to how an implementation deviates.
func differences(t *testing.T, file string) map[string]string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var known map[string]string
	if err := json.Unmarshal(raw, &known); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return known
}

// TestDifferences keeps the file in step with the rules' names.
func TestDifferences(t *testing.T) {
	names := map[string]bool{}
	for _, rule := range conformance.Rules() {
		if names[rule.Name] {
			t.Errorf("two rules are called %q", rule.Name)
		}
		names[rule.Name] = true
	}
	for name, how := range differences(t, "differences-moto.json") {
		if !names[name] || how == "" {
			t.Errorf("differences-moto.json: %q is no rule, or is not explained", name)
		}
	}
}

func runAll(t *testing.T, account *conformance.Account, known map[string]string) {
	for _, rule := range conformance.Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			if rule.Rotates && account.Function == "" {
				t.Skip("needs a rotation function")
			}
			if err := verdict(account.Run(t.Context(), rule), known[rule.Name]); err != nil {
				t.Error(err)
			}
		})
	}
}

// verdict is nil when a rule held, and when it did not and was known not to.
func verdict(err error, difference string) error {
	switch {
	case difference == "":
		return err
	case err == nil:
		return fmt.Errorf("the rule holds, but the file of differences says: %s", difference)
	}
	return nil
}

func TestVerdict(t *testing.T) {
	deviates := errors.New("deviates")
	for _, test := range []struct {
		err        error
		difference string
		ok         bool
	}{{nil, "", true}, {deviates, "", false}, {nil, "known", false}, {deviates, "known", true}} {
		if got := verdict(test.err, test.difference); (got == nil) != test.ok {
			t.Errorf("verdict(%v, %q) is %v", test.err, test.difference, got)
		}
	}
}

// A rule that is broken on purpose fails: the rules see what is served, and
// do not hold by themselves.
func TestRulesFail(t *testing.T) {
	server := awstest.New(awstest.Config{})
	account := emulator(t, server)
	server.Faults().Add(faulttest.Fault{Kind: faulttest.ServerError, Times: faulttest.Forever})
	for _, rule := range conformance.Rules() {
		if err := account.Run(t.Context(), rule); err == nil {
			t.Errorf("%q holds on a server that answers nothing but errors", rule.Name)
		}
	}
}

const functionARN = "arn:aws:lambda:eu-west-1:123456789012:function:rotate"

// emulator makes an account of a server, with a function that rotates.
func emulator(t *testing.T, server *awstest.Server) *conformance.Account {
	t.Helper()
	account := &conformance.Account{Config: server.Config(), Function: functionARN, Settle: server.RunRotations, Tick: 2 * time.Millisecond}
	account.Config.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	function := rotator{secretsmanager.NewFromConfig(account.Config)}
	server.SetFunction(functionARN, func(ctx context.Context, payload []byte) ([]byte, error) {
		var e event
		if err := json.Unmarshal(payload, &e); err != nil {
			return nil, err
		}
		return nil, function.handle(ctx, e)
	})
	t.Cleanup(func() {
		if unknown := server.Unknown(); len(unknown) > 0 {
			t.Errorf("the server did not understand: %q", unknown)
		}
	})
	return account
}

// rotator is the least that the protocol allows.
type rotator struct{ secrets *secretsmanager.Client }

type event struct {
	Step               string
	SecretID           string `json:"SecretId"`
	ClientRequestToken string
	RotationToken      string
}

func (r rotator) handle(ctx context.Context, e event) error {
	described, err := r.secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &e.SecretID})
	if err != nil {
		return err
	}
	switch e.Step {
	case "createSecret":
		for _, tag := range described.Tags {
			if aws.ToString(tag.Key) == "fail" {
				return errors.New("told to fail")
			}
		}
		_, err := r.secrets.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
			SecretId: &e.SecretID, ClientRequestToken: &e.ClientRequestToken, RotationToken: &e.RotationToken,
			SecretString: aws.String("rotated by " + e.ClientRequestToken), VersionStages: []string{"AWSPENDING"},
		})
		return err
	case "setSecret":
		return nil
	case "testSecret":
		_, err := r.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{
			SecretId: &e.SecretID, VersionStage: aws.String("AWSPENDING"),
		})
		if _, empty := errors.AsType[*types.ResourceNotFoundException](err); empty {
			return nil // RotateImmediately=false tests without a create before
		}
		return err
	case "finishSecret":
		for version, stages := range described.VersionIdsToStages {
			for _, stage := range stages {
				if stage != "AWSCURRENT" || version == e.ClientRequestToken {
					continue
				}
				_, err := r.secrets.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{
					SecretId: &e.SecretID, VersionStage: aws.String("AWSCURRENT"),
					MoveToVersionId: &e.ClientRequestToken, RemoveFromVersionId: &version,
				})
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("no such step: %s", e.Step)
}

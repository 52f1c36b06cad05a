package awstest_test

import (
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"databricks-credential-rotation/shared/awstest"
)

// fleet is a server with a clock that the test moves, and its clients.
type fleet struct {
	*awstest.Server
	now time.Time
	sm  *secretsmanager.Client
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	f.Server = awstest.New(awstest.Config{Seed: 1, Now: func() time.Time { return f.now }})
	t.Cleanup(func() {
		f.Close()
		if unknown := f.Unknown(); len(unknown) > 0 {
			t.Errorf("the server did not understand: %q", unknown)
		}
	})
	f.sm = secretsmanager.NewFromConfig(f.config())
	return f
}

// config is without retries: a test wants to see each error once.
func (f *fleet) config() aws.Config {
	cfg := f.Config()
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	return cfg
}

func (f *fleet) create(t *testing.T, name, value string) string {
	t.Helper()
	in := &secretsmanager.CreateSecretInput{Name: &name}
	if value != "" {
		in.SecretString = &value
	}
	out, err := f.sm.CreateSecret(t.Context(), in)
	if err != nil {
		t.Fatalf("CreateSecret(%s): %v", name, err)
	}
	return aws.ToString(out.VersionId)
}

func (f *fleet) put(t *testing.T, name, value string, labels ...string) string {
	t.Helper()
	out, err := f.sm.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: &value, VersionStages: labels})
	if err != nil {
		t.Fatalf("PutSecretValue(%s): %v", name, err)
	}
	return aws.ToString(out.VersionId)
}

// code is an error's code, "" for no error.
func code(err error) string {
	if err == nil {
		return ""
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return err.Error()
}

func wantCode(t *testing.T, what string, err error, want string) {
	t.Helper()
	if got := code(err); got != want {
		t.Errorf("%s: got error %q (%v), want %q", what, got, err, want)
	}
}

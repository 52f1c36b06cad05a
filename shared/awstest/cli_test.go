package awstest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A client that knows nothing of this repository.
func TestCLI(t *testing.T) {
	cli, err := exec.LookPath("aws")
	if err != nil || testing.Short() {
		t.Skip("the AWS CLI is not there, or tests are to be short")
	}
	f := newFleet(t)
	if _, err := f.CreateSecret("prod/etl", "one", map[string]string{"databricks-rotation": "managed"}); err != nil {
		t.Fatal(err)
	}
	if err := f.Listen(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ args, want string }{
		{"list-secrets --filters Key=tag-key,Values=databricks-rotation --query SecretList[].[Name,Tags[0].Value]", "prod/etl\tmanaged"},
		{"get-secret-value --secret-id prod/etl --query [SecretString,VersionStages[0]]", "one\tAWSCURRENT"},
	} {
		args := append(strings.Fields("secretsmanager --output text --cli-connect-timeout 5 "+"--endpoint-url "+f.URL()), strings.Fields(test.args)...)
		cmd := exec.CommandContext(t.Context(), cli, args...)
		cmd.Env = append(os.Environ(), f.Env("cli")...)
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != test.want {
			t.Errorf("aws %s: got %q, %v; want %q", test.args, got, err, test.want)
		}
	}
}

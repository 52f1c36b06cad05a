package setup_test

import (
	"strings"
	"testing"

	"databricks-credential-rotation/infra/bootstrap/setup"
)

// The parameters are those in which the template's defaults are wrong: another
// domain than Databricks' own on AWS, and a rotator that is no account admin.
func TestParameters(t *testing.T) {
	const (
		aws = "https://accounts.cloud.databricks.com"
		gov = "https://accounts.cloud.databricks.us"
	)
	for name, test := range map[string]struct {
		account, host, want string
	}{
		"account admin":         {aws, aws, ""},
		"workspaces":            {"", aws, " AccountConsole=none"},
		"account admin, gov":    {gov, gov, " DatabricksHosts=https://*.cloud.databricks.us AccountConsole=" + gov},
		"a workspace alone":     {"", "https://dbc-1a2b.cloud.databricks.com", " AccountConsole=none"},
		"a workspace alone, us": {"", "https://dbc-1a2b.cloud.databricks.us", " DatabricksHosts=https://*.cloud.databricks.us AccountConsole=none"},
	} {
		r := setup.Rotator{ClientID: "c", AccountID: "a", Account: test.account}
		if got := strings.Join(r.Parameters(test.host), " "); got != "RotatorClientId=c DatabricksAccountId=a"+test.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

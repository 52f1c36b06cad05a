package stack_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"testing"

	"databricks-credential-rotation/infra/sandbox/template"
	"databricks-credential-rotation/shared/config"
)

// Whatever the template lets somebody set, resolves, and is a configuration
// that the functions take.
func TestParametersAtTheirEdges(t *testing.T) {
	const (
		uuid = "0c5e3a1f-7d24-4c8e-9b6a-1f2e3d4c5b6a"
		arn  = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rotator-AbCdEf"
		gov  = "https://accounts.cloud.databricks.us"
	)
	federated := map[string]string{"RotatorClientId": uuid, "DatabricksAccountId": uuid}
	declared := open(t, "template.yaml").Section("Parameters")
	for name, test := range map[string]struct {
		set     map[string]string
		console string
	}{
		"defaults":              {nil, "https://accounts.cloud.databricks.com"},
		"no account console":    {map[string]string{"AccountConsole": "none"}, ""},
		"none, as a wizard has": {map[string]string{"AccountConsole": ""}, ""},
		"another domain":        {map[string]string{"DatabricksHosts": "https://*.cloud.databricks.us", "AccountConsole": gov}, gov},
		"one workspace alone":   {map[string]string{"DatabricksHosts": "https://dbc-1a2b.cloud.databricks.com", "AccountConsole": "none"}, ""},
		"a secret of its own": {
			map[string]string{"RotatorClientId": "", "DatabricksAccountId": "", "RotatorSecretArn": arn, "AccountConsole": "none"}, "",
		},
		"everything": {map[string]string{
			"PolicyKey": "a/b.yaml", "DataBucketName": "my.bucket-1", "CustomerManagedEncryption": "true", "ObjectLockDays": "30",
			"SecretsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/mrk-0123", "Tracing": "true", "SecurityHub": "on", "NotificationFormat": "chat",
			"NotificationEmail": "a@example.com", "AlarmEmail": "b@example.com", "ResponderArns": "arn:aws:iam::123456789012:role/a, arn:aws:iam::123456789012:user/b",
			"UsageWarehouse": "https://dbc-1a2b.cloud.databricks.com/sql/1.0/warehouses/abc123", "UsageTable": "main.logs.audit", "LogLevel": "DEBUG",
			"RotateReservedConcurrency": "0", "AuditReservedConcurrency": "1", "RevokeReservedConcurrency": "10", "QueueConcurrency": "1000",
			"TimeZone": "America/Argentina/Buenos_Aires", "ReconcileSchedule": "cron(0 23 ? * MON-FRI *)", "AuditSchedule": "rate(7 days)", "HoursBetweenAudits": "168",
		}, "https://accounts.cloud.databricks.com"},
	} {
		t.Run(name, func(t *testing.T) {
			set := maps.Clone(federated)
			maps.Copy(set, test.set)
			for parameter, value := range set {
				body, _ := declared[parameter].(map[string]any)
				pattern, _ := body["AllowedPattern"].(string)
				if !regexp.MustCompile(pattern).MatchString(value) {
					t.Errorf("%s: %q is not allowed", parameter, value)
				}
			}
			s, err := template.Open(filepath.Join(root, "template.yaml"), template.Setting{
				Account: "123456789012", Region: "eu-west-1", StackName: "dcr", Parameters: set,
				StackID: "arn:aws:cloudformation:eu-west-1:123456789012:stack/dcr/0d1e2f30-0000-4000-8000-000000000001",
				Names:   map[string]string{"DataBucket": "dcr-databucket-1a2b3c"},
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range open(t, "template.yaml").Resources() {
				if r.Type == "AWS::CloudFormation::Stack" {
					continue // its queues' names are attributes that only a deployment knows
				}
				if _, err := s.Resources(r.Type); err != nil {
					t.Error(err)
				}
			}
			functions, err := s.Resources("AWS::Serverless::Function")
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range functions {
				environment, _ := f.Properties["Environment"].(map[string]any)
				variables, _ := environment["Variables"].(map[string]any)
				getenv := func(name string) string { value, _ := variables[name].(string); return value }
				var fault error
				switch f.ID {
				case "RotateFunction":
					_, fault = config.LoadRotate(getenv)
				case "AuditFunction":
					var c config.Audit
					if c, fault = config.LoadAudit(getenv); c.Account.URL != test.console {
						fault = fmt.Errorf("the account console is %q, want %q", c.Account.URL, test.console)
					}
				case "RevokeFunction":
					_, fault = config.LoadRevoke(getenv)
				}
				if fault != nil {
					t.Errorf("%s: %v", f.ID, fault)
				}
			}
		})
	}
}

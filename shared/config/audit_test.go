package config_test

import (
	"maps"
	"strings"
	"testing"

	"databricks-credential-rotation/shared/config"
	"databricks-credential-rotation/shared/databricks"
)

// auditEnvironment is the least that an audit needs.
func auditEnvironment() map[string]string {
	env := environment()
	env["REPORT_BUCKET"] = "reports"
	env["STACK_ID"] = "arn:aws:cloudformation:eu-central-1:123456789012:stack/credentials/0d1e2f30-0000-11ee-0000-0a1b2c3d4e5f"
	return env
}

func TestAudit(t *testing.T) {
	load := func(set map[string]string) (config.Audit, error) {
		env := auditEnvironment()
		maps.Copy(env, set)
		return config.LoadAudit(func(name string) string { return env[name] })
	}
	for name, c := range map[string]struct {
		set   map[string]string
		fault string // empty for none
		check func(config.Audit) bool
	}{
		"least": {nil, "", func(c config.Audit) bool {
			return c.ClientID == clientID && c.ReportBucket == "reports" && c.TopicFormat == "text" && !c.SecurityHub && c.Account == (databricks.Host{}) &&
				c.Stack == config.Stack{Partition: "aws", Region: "eu-central-1", Account: "123456789012", Name: "credentials"}
		}},
		"account": {map[string]string{"ACCOUNT_CONSOLE": "https://accounts.cloud.databricks.com", "ACCOUNT_ID": audience}, "", func(c config.Audit) bool {
			return c.Account == databricks.Host{URL: "https://accounts.cloud.databricks.com", AccountID: audience}
		}},
		"console without account": {map[string]string{"ACCOUNT_CONSOLE": "https://accounts.cloud.databricks.com"}, "", func(c config.Audit) bool { return c.Account.URL == "" }},
		"foreign console":         {map[string]string{"ACCOUNT_CONSOLE": "https://accounts.example.com", "ACCOUNT_ID": audience}, "ACCOUNT_CONSOLE must be one of DATABRICKS_HOSTS", nil},
		"no account id":           {map[string]string{"ACCOUNT_ID": "x"}, "ACCOUNT_ID must be a Databricks account id", nil},
		"warehouse": {map[string]string{"USAGE_WAREHOUSE": "https://dbc-1a2b.cloud.databricks.com/sql/1.0/warehouses/abc"}, "", func(c config.Audit) bool {
			return c.Warehouse == databricks.Warehouse{Host: databricks.Host{URL: "https://dbc-1a2b.cloud.databricks.com"}, ID: "abc"}
		}},
		"foreign warehouse": {map[string]string{"USAGE_WAREHOUSE": "https://dbc-1a2b.example.com/sql/1.0/warehouses/abc"}, "USAGE_WAREHOUSE must be on one of DATABRICKS_HOSTS", nil},
		"no warehouse":      {map[string]string{"USAGE_WAREHOUSE": "abc"}, "USAGE_WAREHOUSE", nil},
		"table":             {map[string]string{"USAGE_TABLE": "main.logs.audit"}, "", func(c config.Audit) bool { return c.UsageTable == "main.logs.audit" }},
		"no table":          {map[string]string{"USAGE_TABLE": "audit; DROP TABLE x"}, "USAGE_TABLE must be a table's name", nil},
		"topic": {map[string]string{"TOPIC_ARN": "arn:aws:sns:eu-central-1:123456789012:audits", "TOPIC_FORMAT": "chat"}, "", func(c config.Audit) bool {
			return strings.HasSuffix(c.TopicARN, ":audits") && c.TopicFormat == "chat"
		}},
		"no format":       {map[string]string{"TOPIC_FORMAT": "mail"}, "TOPIC_FORMAT must be text or chat", nil},
		"security hub":    {map[string]string{"SECURITY_HUB": "on"}, "", func(c config.Audit) bool { return c.SecurityHub }},
		"no security hub": {map[string]string{"SECURITY_HUB": "true"}, "SECURITY_HUB must be off or on", nil},
		"no bucket":       {map[string]string{"REPORT_BUCKET": ""}, "REPORT_BUCKET is missing", nil},
		"bad bucket":      {map[string]string{"REPORT_BUCKET": "A B"}, "REPORT_BUCKET must be a bucket's name", nil},
		"no stack":        {map[string]string{"STACK_ID": ""}, "STACK_ID is missing", nil},
		"bad stack":       {map[string]string{"STACK_ID": "credentials"}, "STACK_ID must be a CloudFormation stack's ARN", nil},
		"no rotator":      {map[string]string{"ROTATOR_CLIENT_ID": ""}, "must say who the rotator is", nil},
		"bad revocation":  {map[string]string{"REVOKE_FUNCTION": "revoke/1"}, "REVOKE_FUNCTION must be a Lambda function's name", nil},
		"bad function":    {map[string]string{"ROTATE_FUNCTION": "rotate; rm"}, "ROTATE_FUNCTION must be a Lambda function's name", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := load(c.set)
			switch {
			case c.fault == "" && (err != nil || !c.check(got)):
				t.Errorf("%+v, %v", got, err)
			case c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)):
				t.Errorf("error %v, want %q", err, c.fault)
			}
		})
	}
	_, err := load(map[string]string{"REPORT_BUCKET": "", "STACK_ID": "", "ROTATOR_CLIENT_ID": "", "SECURITY_HUB": "yes"})
	if err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("four faults are reported as:\n%v", err)
	}
}

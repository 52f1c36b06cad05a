package config

import (
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/pattern"
)

// Audit is the environment of functions/audit: who the rotator is and where
// policy and trail lie, as rotate has it, and what an audit reads and where it
// publishes.
type Audit struct {
	Rotate
	// Account (ACCOUNT_CONSOLE, ACCOUNT_ID) is the account console. Without
	// either an audit sees what the workspaces alone show.
	Account databricks.Host
	// ReportBucket (REPORT_BUCKET) keeps the reports, and with them the notice
	// that a prune has given.
	ReportBucket string
	// TopicARN (TOPIC_ARN) is told of each audit, empty for nobody; in the form
	// that TopicFormat (TOPIC_FORMAT) says: text or chat.
	TopicARN, TopicFormat string
	// SecurityHub (SECURITY_HUB) has findings imported there: on or off.
	SecurityHub bool
	// Stack (STACK_ID) is the deployment: its ARN tells name, region, account.
	Stack Stack
	// RotateFunction (ROTATE_FUNCTION) and RevokeFunction (REVOKE_FUNCTION) are
	// the functions' names, for the commands in reports.
	RotateFunction, RevokeFunction string
}

// Stack is a CloudFormation stack, by the parts of its ARN.
type Stack struct{ Partition, Region, Account, Name string }

var (
	stackPattern    = pattern.New(`^arn:(aws[a-z-]*):cloudformation:([a-z0-9-]+):([0-9]{12}):stack/([A-Za-z0-9-]{1,128})/.+$`)
	functionPattern = pattern.New(`^[A-Za-z0-9_-]{1,64}$`)
)

// LoadAudit reads the environment like [LoadRotate].
func LoadAudit(getenv func(string) string) (Audit, error) {
	e := read(getenv)
	c := Audit{
		Rotate:         e.rotate(),
		ReportBucket:   e.match("REPORT_BUCKET", bucketPattern, "a bucket's name"),
		TopicARN:       e.match("TOPIC_ARN", topicPattern, "an SNS topic's ARN"),
		TopicFormat:    e.choice("TOPIC_FORMAT", "text", "chat"),
		SecurityHub:    e.choice("SECURITY_HUB", "off", "on") == "on",
		RotateFunction: e.match("ROTATE_FUNCTION", functionPattern, "a Lambda function's name"),
		RevokeFunction: e.match("REVOKE_FUNCTION", functionPattern, "a Lambda function's name"),
	}
	if c.ReportBucket == "" && e.getenv("REPORT_BUCKET") == "" {
		e.fault("REPORT_BUCKET", "is missing: without the last report nothing is known of notices, and so nothing is ever removed")
	}
	console, id := e.getenv("ACCOUNT_CONSOLE"), e.match("ACCOUNT_ID", uuidPattern, "a Databricks account id, a UUID in lower case")
	if console != "" && id != "" {
		c.Account = databricks.Host{URL: console, AccountID: id}
		if err := c.Hosts.Check(console); err != nil && len(c.Hosts) > 0 {
			e.fault("ACCOUNT_CONSOLE", "must be one of DATABRICKS_HOSTS: "+err.Error())
		}
	}
	e.usage(&c.Rotate)
	if c.Stack = e.stack(); c.Stack == (Stack{}) && e.getenv("STACK_ID") == "" {
		e.fault("STACK_ID", "is missing: the CloudFormation stack's ARN")
	}
	if err := e.err(); err != nil {
		return Audit{}, err
	}
	return c, nil
}

// stack reads STACK_ID.
func (e *env) stack() Stack {
	parts := stackPattern.FindStringSubmatch(e.match("STACK_ID", stackPattern, "a CloudFormation stack's ARN"))
	if parts == nil {
		return Stack{}
	}
	return Stack{Partition: parts[1], Region: parts[2], Account: parts[3], Name: parts[4]}
}

// choice is one of two words, the first if the variable is empty.
func (e *env) choice(name, usual, other string) string {
	switch value := e.getenv(name); value {
	case "", usual:
		return usual
	case other:
		return other
	default:
		e.fault(name, "must be "+usual+" or "+other)
		return usual
	}
}

package stage

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"databricks-credential-rotation/infra/sandbox/iam"
	"databricks-credential-rotation/infra/sandbox/lambdahost"
	"databricks-credential-rotation/infra/sandbox/template"
)

// The names of the roles that the functions run as.
const (
	RotateRole = "rotate"
	AuditRole  = "audit"
	RevokeRole = "revoke"
)

// ResponderRole is the role of who may invoke the function revoke, if the
// parameter ResponderArns makes one.
const ResponderRole = "responder"

// Names of the stack's queues.
const (
	RotateQueue           = "rotate"
	DeadLetterQueue       = "rotate-dead"
	FailedInvocationQueue = "failed-invocations"
	UndeliveredQueue      = "undelivered"
)

const stackName = "databricks-credential-rotation"

// names are the physical names of what the template makes.
var names = map[string]string{
	"RotateFunction": "rotate", "AuditFunction": "audit", "RevokeFunction": "revoke",
	"RotateRole": RotateRole, "AuditRole": AuditRole, "RevokeRole": RevokeRole, "ScheduleRole": "schedule", "ResponderRole": ResponderRole,
	"RotateQueue": RotateQueue, "RotateDeadLetterQueue": DeadLetterQueue,
	"FailedInvocationQueue": FailedInvocationQueue, "UndeliveredQueue": UndeliveredQueue,
	"DataBucket": DataBucket, "NotificationTopic": "notifications",
}

// people are those who are not of the stack, and what they may do. Nobody else
// may do anything.
var people = map[string]string{
	ownerRole:     `"*"`,
	"operator":    `"*"`,
	"application": `"secretsmanager:GetSecretValue"`,
}

// templatePath finds the template above the working directory: a test runs in
// its package's, the sandbox anywhere in the module.
func templatePath() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the template: %w", err)
	}
	for ; ; dir = filepath.Dir(dir) {
		path := filepath.Join(dir, "template.yaml")
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return path, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("find the template: the working directory is outside the module")
		}
	}
}

// createStack deploys the template as far as the sandbox has the services.
func (c *Clouds) createStack(parameters map[string]string) error {
	path, err := templatePath()
	if err != nil {
		return err
	}
	account := strings.Split(c.AWS.RoleARN(""), ":")[4]
	all := map[string]string{
		"RotatorClientId": c.Rotator.ApplicationID, "DatabricksAccountId": c.Databricks.AccountID(),
		"DatabricksHosts": "http://127.0.0.1:*", "PolicyKey": policyKey, "AccountConsole": c.Databricks.AccountHost(),
		"UsageWarehouse": c.Analytics.Host() + "/sql/1.0/warehouses/" + Warehouse,
	}
	maps.Copy(all, parameters)
	c.stack, err = template.Open(path, template.Setting{
		Account: account, Region: "eu-west-1", StackName: stackName, Parameters: all, Names: names,
		StackID: "arn:aws:cloudformation:eu-west-1:" + account + ":stack/" + stackName + "/0d1e2f30-0000-4000-8000-000000000001",
	})
	if err != nil {
		return err
	}
	c.IAM = iam.New(account)
	faults := []error{c.IAM.Read(c.stack)}
	for _, name := range slices.Sorted(maps.Keys(people)) {
		faults = append(faults, c.IAM.AddRole(c.AWS.RoleARN(name),
			`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": `+people[name]+`, "Resource": "*"}}`))
	}
	faults = append(faults, c.createQueues(), c.createBucket(), c.createTopics())
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("deploy the stack: %w", err)
	}
	c.AWS.SetAuthorizer(c.IAM.Authorize)
	return nil
}

// queueProperties are those of a queue's that the emulator knows.
var queueProperties = []string{"VisibilityTimeout", "MessageRetentionPeriod", "KmsMasterKeyId"}

func (c *Clouds) createQueues() error {
	queues, err := c.stack.Resources("AWS::SQS::Queue")
	faults := []error{err}
	for _, q := range queues {
		attributes := map[string]string{}
		for _, property := range queueProperties {
			if value, ok := q.Properties[property].(string); ok {
				attributes[property] = value
			}
		}
		if redrive, ok := q.Properties["RedrivePolicy"].(map[string]any); ok {
			attributes["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%s}`, redrive["deadLetterTargetArn"], redrive["maxReceiveCount"])
		}
		arn, err := c.stack.ARN(q.ID)
		faults = append(faults, err)
		name := arn[strings.LastIndexByte(arn, ':')+1:]
		url, err := c.AWS.CreateQueue(name, attributes)
		faults = append(faults, err)
		if name == RotateQueue {
			c.queueURL = url
		}
	}
	return errors.Join(faults...)
}

func (c *Clouds) createBucket() error {
	if err := c.AWS.CreateBucket(DataBucket, true); err != nil {
		return err
	}
	key, err := c.key()
	if key != "" {
		c.AWS.EncryptBucket(DataBucket, key)
	}
	return err
}

func (c *Clouds) createTopics() error {
	topics, err := c.stack.Resources("AWS::SNS::Topic")
	faults := []error{err}
	key, err := c.key()
	faults = append(faults, err)
	for _, topic := range topics {
		arn, err := c.stack.ARN(topic.ID)
		faults = append(faults, err)
		c.AWS.CreateTopic(arn[strings.LastIndexByte(arn, ':')+1:])
		if topic.Properties["KmsMasterKeyId"] != nil && key != "" {
			c.AWS.EncryptTopic(arn, key)
		}
		if topic.ID == "NotificationTopic" {
			c.Topic = arn
		}
	}
	return errors.Join(faults...)
}

// key is the ARN of the stack's own key, "" if it makes none.
func (c *Clouds) key() (string, error) {
	keys, err := c.stack.Resources("AWS::KMS::Key")
	if err != nil || len(keys) == 0 {
		return "", err
	}
	return c.stack.ARN(keys[0].ID)
}

// deployment is a function as the template describes it.
type deployment struct {
	lambdahost.Function
	role      string // by its name
	logGroup  string
	onFailure string // ARN of the queue for events that failed
	traced    bool
	schedules map[string]schedule
}

// schedule is an event of EventBridge Scheduler.
type schedule struct {
	roleARN, deadLetterARN, input string
}

// deployments are the functions of the stack by their names.
func (c Clouds) deployments() (map[string]deployment, error) {
	functions, err := c.stack.Resources("AWS::Serverless::Function")
	faults := []error{err}
	out := map[string]deployment{}
	for _, f := range functions {
		arn, err := c.stack.ARN(f.ID)
		faults = append(faults, err)
		p := property(f.Properties)
		d := deployment{
			role:      strings.TrimPrefix(p.text("Role"), c.AWS.RoleARN("")),
			logGroup:  p.text("LoggingConfig", "LogGroup"),
			onFailure: p.text("EventInvokeConfig", "DestinationConfig", "OnFailure", "Destination"),
			traced:    p.text("Tracing") == "Active",
			schedules: map[string]schedule{},
		}
		d.Name, d.ARN = arn[strings.LastIndexByte(arn, ':')+1:], arn
		seconds, err := strconv.Atoi(p.text("Timeout"))
		faults = append(faults, err)
		d.Timeout = time.Duration(seconds) * time.Second
		d.MemoryMB, err = strconv.Atoi(p.text("MemorySize"))
		faults = append(faults, err)
		for _, name := range slices.Sorted(maps.Keys(p.of("Environment", "Variables"))) {
			d.Env = append(d.Env, name+"="+p.text("Environment", "Variables", name))
		}
		for name := range p.of("Events") {
			if p.text("Events", name, "Type") == "ScheduleV2" {
				at := []string{"Events", name, "Properties"}
				d.schedules[name] = schedule{
					roleARN: p.text(append(at, "RoleArn")...), input: p.text(append(at, "Input")...),
					deadLetterARN: p.text(append(at, "DeadLetterConfig", "Arn")...),
				}
			}
		}
		out[d.Name] = d
	}
	return out, errors.Join(faults...)
}

// property reads properties of a resource by their path.
type property map[string]any

func (p property) of(path ...string) map[string]any {
	fields := map[string]any(p)
	for _, step := range path {
		fields, _ = fields[step].(map[string]any) // nil if it is not there
	}
	return fields
}

func (p property) text(path ...string) string {
	text, _ := p.of(path[:len(path)-1]...)[path[len(path)-1]].(string) // "" if it is not there
	return text
}

// Package config reads the functions' environment. No other package does, and
// the template sets exactly these variables.
package config

import (
	"errors"
	"fmt"
	"os"

	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/pattern"
)

// Rotate is the environment of functions/rotate.
type Rotate struct {
	// ClientID (ROTATOR_CLIENT_ID) is the application id of the rotator's own
	// service principal, which trusts the function's AWS role by a federation
	// policy. Exactly one of it and SecretARN is set.
	ClientID string
	// SecretARN (ROTATOR_SECRET_ARN) is a managed secret that holds the
	// rotator's own credential, where federation cannot be had.
	SecretARN string
	// Audience (ROTATOR_AUDIENCE) is what the federation policy expects in the
	// web identity token; Databricks' default is the account id.
	Audience string
	// Hosts (DATABRICKS_HOSTS) are the hosts that may be sent credentials.
	Hosts databricks.AllowedHosts
	// Policy (POLICY_LOCATION) is where the policy lies, such as
	// s3://bucket/policy.yaml. It is empty for the default policy.
	Policy ObjectLocation
	// TrailBucket (TRAIL_BUCKET) is the bucket for the trail, empty if the log
	// is all the trail there is.
	TrailBucket string
	// QueueURL (QUEUE_URL) is the queue by which a sweep hands on what it does
	// not get done, DeadLetterURL (DEAD_LETTER_URL) the one for what is given
	// up. Both are empty if there is none.
	QueueURL, DeadLetterURL string
	// Warehouse (USAGE_WAREHOUSE) is the SQL warehouse on which the audit log
	// is asked, such as
	// https://dbc-1a2b.cloud.databricks.com/sql/1.0/warehouses/abc123. Empty,
	// nobody is asked.
	Warehouse databricks.Warehouse
	// UsageTable (USAGE_TABLE) is the audit log, empty for Databricks' own.
	UsageTable string
	// Deployment is the stack's name, from its ARN (STACK_ID), by which metrics
	// are told apart. Without it there are none.
	Deployment string
}

// Revoke is the environment of functions/revoke: all that rotate has but the
// queue, the audit log and metrics, for a revocation issues as a rotation does, and where it is
// announced.
type Revoke struct {
	Rotate
	// TopicARN (TOPIC_ARN) is the SNS topic that is told of each revocation,
	// empty for none, in the form that TopicFormat (TOPIC_FORMAT) says: text or
	// chat.
	TopicARN, TopicFormat string
}

// ObjectLocation is where an object lies in S3.
type ObjectLocation struct{ Bucket, Key string }

const defaultHosts = "https://*.cloud.databricks.com"

var (
	uuidPattern     = pattern.New(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	arnPattern      = pattern.New(`^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+$`)
	bucketPattern   = pattern.New(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	topicPattern    = pattern.New(`^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}$`)
	queuePattern    = pattern.New(`^https?://[a-z0-9.:-]+/[0-9]{12}/[A-Za-z0-9_-]{1,80}$`)
	tablePattern    = pattern.New(`^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+){0,2}$`)
	locationPattern = pattern.New(`^s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/([!-~]+)$`)
)

// LoadRotate reads the environment by getenv, nil for [os.Getenv], and reports
// every fault in it.
func LoadRotate(getenv func(string) string) (Rotate, error) {
	e := read(getenv)
	c := e.rotate()
	c.QueueURL = e.match("QUEUE_URL", queuePattern, "an SQS queue's URL")
	c.DeadLetterURL = e.match("DEAD_LETTER_URL", queuePattern, "an SQS queue's URL")
	if (c.QueueURL == "") != (c.DeadLetterURL == "") {
		e.fault("QUEUE_URL", "and DEAD_LETTER_URL go together: set both or none")
	}
	e.usage(&c)
	c.Deployment = e.stack().Name
	if err := e.err(); err != nil {
		return Rotate{}, err
	}
	return c, nil
}

// LoadRevoke reads the environment like [LoadRotate].
func LoadRevoke(getenv func(string) string) (Revoke, error) {
	e := read(getenv)
	c := Revoke{
		Rotate: e.rotate(), TopicARN: e.match("TOPIC_ARN", topicPattern, "an SNS topic's ARN"), TopicFormat: e.choice("TOPIC_FORMAT", "text", "chat"),
	}
	if err := e.err(); err != nil {
		return Revoke{}, err
	}
	return c, nil
}

func (e *env) rotate() Rotate {
	c := Rotate{
		ClientID:    e.match("ROTATOR_CLIENT_ID", uuidPattern, "a service principal's application id, a UUID in lower case"),
		SecretARN:   e.match("ROTATOR_SECRET_ARN", arnPattern, "a secret's ARN"),
		Audience:    e.getenv("ROTATOR_AUDIENCE"),
		Policy:      e.location("POLICY_LOCATION"),
		TrailBucket: e.match("TRAIL_BUCKET", bucketPattern, "a bucket's name"),
	}
	switch {
	case c.ClientID == "" && c.SecretARN == "":
		e.fault("ROTATOR_CLIENT_ID", "or ROTATOR_SECRET_ARN must say who the rotator is")
	case c.ClientID != "" && c.SecretARN != "":
		e.fault("ROTATOR_CLIENT_ID", "and ROTATOR_SECRET_ARN exclude each other")
	case c.ClientID != "" && c.Audience == "":
		e.fault("ROTATOR_AUDIENCE", "is missing: the federation policy's audience, by default the account id")
	}
	hosts := e.getenv("DATABRICKS_HOSTS")
	if hosts == "" {
		hosts = defaultHosts
	}
	var err error
	if c.Hosts, err = databricks.ParseAllowedHosts(hosts); err != nil {
		e.fault("DATABRICKS_HOSTS", err.Error())
	}
	return c
}

// usage reads where the audit log is asked.
func (e *env) usage(c *Rotate) {
	c.UsageTable = e.match("USAGE_TABLE", tablePattern, "a table's name such as system.access.audit")
	address := e.getenv("USAGE_WAREHOUSE")
	if address == "" {
		return
	}
	var err error
	if c.Warehouse, err = databricks.ParseWarehouse(address); err != nil {
		e.fault("USAGE_WAREHOUSE", err.Error())
	} else if err := c.Hosts.Check(c.Warehouse.Host.URL); err != nil && len(c.Hosts) > 0 {
		e.fault("USAGE_WAREHOUSE", "must be on one of DATABRICKS_HOSTS: "+err.Error())
	}
}

type env struct {
	getenv func(string) string
	faults []error
}

func read(getenv func(string) string) *env {
	if getenv == nil {
		getenv = os.Getenv
	}
	return &env{getenv: getenv}
}

func (e *env) err() error {
	if len(e.faults) == 0 {
		return nil
	}
	return fmt.Errorf("configuration: %w", errors.Join(e.faults...))
}

func (e *env) fault(name, why string) {
	e.faults = append(e.faults, fmt.Errorf("%s %s", name, why))
}

func (e *env) match(name string, pattern *pattern.Pattern, what string) string {
	value := e.getenv(name)
	if value != "" && !pattern.MatchString(value) {
		e.fault(name, "must be "+what)
	}
	return value
}

func (e *env) location(name string) ObjectLocation {
	value := e.getenv(name)
	if value == "" {
		return ObjectLocation{}
	}
	parts := locationPattern.FindStringSubmatch(value)
	if parts == nil {
		e.fault(name, "must be an object's location such as s3://bucket/policy.yaml")
		return ObjectLocation{}
	}
	return ObjectLocation{Bucket: parts[1], Key: parts[2]}
}

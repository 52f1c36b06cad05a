package stage

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/trail"
)

// The names of the roles that the functions run as.
const (
	RotateRole = "rotate"
	AuditRole  = "audit"
	RevokeRole = "revoke"
)

const (
	// DataBucket is the bucket of the stack.
	DataBucket = "databricks-credential-rotation-data"
	policyKey  = "policy.yaml"
	stackID    = "arn:aws:cloudformation:eu-west-1:123456789012:stack/databricks-credential-rotation/0d1e2f30-0000-4000-8000-000000000001"
	// ownerRole writes the policy.
	ownerRole = "owner"
)

// environment is what the template gives the rotate function, with the host
// pattern of the simulator in place of Databricks' own, and what Lambda adds:
// region and credentials.
func environment(clouds Clouds) []string {
	return append([]string{
		"ROTATOR_CLIENT_ID=" + clouds.Rotator.ApplicationID,
		"ROTATOR_SECRET_ARN=",
		"ROTATOR_AUDIENCE=" + clouds.Databricks.AccountID(),
		"DATABRICKS_HOSTS=http://127.0.0.1:*",
		"POLICY_LOCATION=s3://" + DataBucket + "/" + policyKey,
		"TRAIL_BUCKET=" + DataBucket,
		"QUEUE_URL=" + clouds.queueURL,
		"DEAD_LETTER_URL=" + clouds.deadLetterURL,
		"STACK_ID=" + stackID,
	}, clouds.AWS.Env(RotateRole)...)
}

// auditEnvironment is what the template gives the audit function.
func auditEnvironment(clouds Clouds) []string {
	return append([]string{
		"ROTATOR_CLIENT_ID=" + clouds.Rotator.ApplicationID,
		"ROTATOR_SECRET_ARN=",
		"ROTATOR_AUDIENCE=" + clouds.Databricks.AccountID(),
		"DATABRICKS_HOSTS=http://127.0.0.1:*",
		"POLICY_LOCATION=s3://" + DataBucket + "/" + policyKey,
		"TRAIL_BUCKET=" + DataBucket,
		"ACCOUNT_CONSOLE=" + clouds.Databricks.AccountHost(),
		"ACCOUNT_ID=" + clouds.Databricks.AccountID(),
		"USAGE_WAREHOUSE=" + clouds.Analytics.Host() + "/sql/1.0/warehouses/" + Warehouse,
		"USAGE_TABLE=",
		"REPORT_BUCKET=" + DataBucket,
		"TOPIC_ARN=" + clouds.Topic,
		"TOPIC_FORMAT=text",
		"SECURITY_HUB=off",
		"STACK_ID=" + stackID,
		"ROTATE_FUNCTION=rotate",
	}, clouds.AWS.Env(AuditRole)...)
}

// revokeEnvironment is what the template gives the revoke function.
func revokeEnvironment(clouds Clouds) []string {
	return append([]string{
		"ROTATOR_CLIENT_ID=" + clouds.Rotator.ApplicationID,
		"ROTATOR_SECRET_ARN=",
		"ROTATOR_AUDIENCE=" + clouds.Databricks.AccountID(),
		"DATABRICKS_HOSTS=http://127.0.0.1:*",
		"POLICY_LOCATION=s3://" + DataBucket + "/" + policyKey,
		"TRAIL_BUCKET=" + DataBucket,
		"TOPIC_ARN=" + clouds.Topic,
		"TOPIC_FORMAT=text",
	}, clouds.AWS.Env(RevokeRole)...)
}

// SetPolicy puts a policy in place, from the next invocation on. What its
// budgets and the rest leave out keeps its default.
func (c Clouds) SetPolicy(ctx context.Context, p policy.Policy) error {
	document, err := p.Encode()
	if err != nil {
		return err
	}
	if _, err := policy.Parse(document); err != nil {
		return err
	}
	return c.PutPolicy(ctx, document)
}

// PutPolicy puts a document in place as it is.
func (c Clouds) PutPolicy(ctx context.Context, document []byte) error {
	cfg := c.AWS.Config()
	cfg.Credentials = c.AWS.Role(ownerRole)
	_, err := s3.NewFromConfig(cfg).PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String(DataBucket), Key: aws.String(policyKey), Body: bytes.NewReader(document),
	})
	if err != nil {
		return fmt.Errorf("put the policy in place: %w", err)
	}
	return nil
}

// Trail returns the entries of the trail in S3, by their keys.
func (c Clouds) Trail() (map[string]string, error) {
	objects, err := c.AWS.Objects(DataBucket)
	if err != nil {
		return nil, err
	}
	entries := map[string]string{}
	for key, body := range objects {
		if strings.HasPrefix(key, trail.Prefix) {
			entries[key] = string(body)
		}
	}
	return entries, nil
}

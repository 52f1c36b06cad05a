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

const (
	// DataBucket is the bucket of the stack.
	DataBucket = "databricks-credential-rotation-data"
	policyKey  = "policy.yaml"
	// ownerRole writes the policy.
	ownerRole = "owner"
)

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

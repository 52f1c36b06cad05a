package managedsecret

import "github.com/aws/aws-sdk-go-v2/aws/arn"

// inRegion tells whether an ARN names a resource of that region.
func inRegion(resource, region string) bool {
	parsed, err := arn.Parse(resource)
	return err != nil || parsed.Region == region
}

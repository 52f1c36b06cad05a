// Command revoke is the Lambda function that will kill a leaked credential.
// Until it does, it refuses each invocation, so that nobody takes silence for a
// revocation.
package main

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/aws/aws-lambda-go/lambda"
)

var errNotBuilt = errors.New("revoke: not built yet: nothing was revoked")

func main() {
	lambda.Start(func(context.Context, json.RawMessage) error { return errNotBuilt })
}

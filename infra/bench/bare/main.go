// Command bare is the smallest Lambda function that could do the product's
// work: the runtime's client and one client of Secrets Manager. The start of
// the functions is compared with its own.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	aws, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	api := secretsmanager.NewFromConfig(aws)
	handle := func(ctx context.Context, event struct {
		List bool `json:"list"`
	},
	) (int, error) {
		if !event.List {
			return 0, nil
		}
		page, err := api.ListSecrets(ctx, &secretsmanager.ListSecretsInput{})
		if err != nil {
			return 0, err
		}
		return len(page.SecretList), nil
	}
	lambda.StartWithOptions(handle, lambda.WithContext(ctx))
	return nil
}

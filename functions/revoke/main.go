// Command revoke is the Lambda function that kills a leaked credential. It
// only wires; what it does is in package revocation.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"databricks-credential-rotation/functions/revoke/revocation"
	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/config"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/rotator"
	"databricks-credential-rotation/shared/trail"
)

// In an incident a call that has not succeeded within seconds is reported
// rather than waited for.
const (
	databricksPatience = 6 * time.Second
	awsBackoff         = time.Second
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	cfg, err := config.LoadRevoke(nil)
	if err != nil {
		return err
	}
	clients, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRetryer(func() aws.Retryer {
		return retry.AddWithMaxBackoffDelay(retry.NewStandard(), awsBackoff)
	}))
	if err != nil {
		return fmt.Errorf("AWS configuration: %w", err)
	}
	log := slog.New(lambdacontext.NewLogHandler())
	store := managedsecret.Store{API: secretsmanager.NewFromConfig(clients)}
	objects := s3.NewFromConfig(clients)
	client := &databricks.Client{
		Allowed: cfg.Hosts, Identity: rotator.Identity(cfg.Rotate, store, sts.NewFromConfig(clients)), Patience: databricksPatience,
	}
	entries := trail.Open(objects, cfg.TrailBucket, cmp.Or(cfg.ClientID, cfg.SecretARN), log)
	revoker := &revocation.Revoker{
		Store: store, Databricks: client, Allowed: cfg.Hosts, Trail: entries, Log: log,
		Rotator: rotator.ClientID(cfg.Rotate, store),
		Engine: &rotation.Engine{
			Store: store, Databricks: client, Allowed: cfg.Hosts, Trail: entries, Log: log,
			Policy:      revocation.OrDefault(policy.Open(objects, cfg.Policy.Bucket, cfg.Policy.Key, log).Read, log),
			OwnClientID: cfg.ClientID, OwnSecretARN: cfg.SecretARN,
		},
	}
	if cfg.TopicARN != "" {
		revoker.Announce = revocation.Topic{API: sns.NewFromConfig(clients), ARN: cfg.TopicARN, Chat: cfg.TopicFormat == "chat"}
	}
	lambda.StartWithOptions(revoker.Handle, lambda.WithContext(ctx))
	return nil
}

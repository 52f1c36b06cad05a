// Command rotate is the Lambda function that keeps service-principal OAuth
// secrets young. It only wires; the engine is in package rotation.
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
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"databricks-credential-rotation/functions/rotate/queue"
	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/config"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/pace"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/rotator"
	"databricks-credential-rotation/shared/trail"
	"databricks-credential-rotation/shared/usagelog"
)

// Secrets Manager takes 50 writes a second of a region, all its clients
// together. It is published, so there is no need to feel for it from below;
// what others use of it, throttling tells. One below it leaves room for a write
// that is late and falls into the next second: being throttled costs more.
// A refusal does not say when to come back. The quota is of one second, so a
// part of one is enough.
const (
	writesStart = 40
	writesMost  = 49
	writesPause = 250 * time.Millisecond
)

// databricksMost lets Secrets Manager's quota be reached: a rotation makes three
// requests to Databricks, four if its scopes must be read back.
const databricksMost = 4 * 50

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	cfg, err := config.LoadRotate(nil)
	if err != nil {
		return err
	}
	aws, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("AWS configuration: %w", err)
	}
	log := slog.New(lambdacontext.NewLogHandler())
	// Paces are kept from one invocation to the next, so that a warm one begins
	// with what was learned.
	store := managedsecret.Store{API: secretsmanager.NewFromConfig(aws), Writes: &pace.Pace{Start: writesStart, Most: writesMost, Pause: writesPause}}
	objects := s3.NewFromConfig(aws)
	identity := rotator.Identity(cfg, store, sts.NewFromConfig(aws))
	client := &databricks.Client{Allowed: cfg.Hosts, Identity: identity, Pace: &pace.Pace{Most: databricksMost}}
	engine := &rotation.Engine{
		Store:      store,
		Databricks: client,
		Allowed:    cfg.Hosts,
		Policy:     policy.Open(objects, cfg.Policy.Bucket, cfg.Policy.Key, log).Read,
		Trail:      trail.Open(objects, cfg.TrailBucket, cmp.Or(cfg.ClientID, cfg.SecretARN), log),
		Log:        log,
		Deployment: cfg.Deployment,

		OwnClientID: cfg.ClientID, OwnSecretARN: cfg.SecretARN,
	}
	if cfg.QueueURL != "" {
		engine.Queue = queue.Queue{API: sqs.NewFromConfig(aws), URL: cfg.QueueURL, DeadLetterURL: cfg.DeadLetterURL}
	}
	if cfg.Warehouse.ID != "" {
		engine.Usage = usagelog.Source{Log: client, Warehouse: cfg.Warehouse, Table: cfg.UsageTable}
	}
	lambda.StartWithOptions(engine.Handle, lambda.WithContext(ctx))
	return nil
}

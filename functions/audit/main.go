// Command audit is the Lambda function that accounts for every credential of a
// Databricks account. It only wires; an audit is in package auditing.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/securityhub"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"databricks-credential-rotation/functions/audit/auditing"
	"databricks-credential-rotation/functions/audit/auditing/collect"
	"databricks-credential-rotation/functions/audit/auditing/publish"
	"databricks-credential-rotation/functions/audit/auditing/rule"
	"databricks-credential-rotation/shared/config"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/pace"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/rotator"
	"databricks-credential-rotation/shared/trail"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	cfg, err := config.LoadAudit(nil)
	if err != nil {
		return err
	}
	aws, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("AWS configuration: %w", err)
	}
	log := slog.New(lambdacontext.NewLogHandler())
	store := managedsecret.Store{API: secretsmanager.NewFromConfig(aws)}
	objects := s3.NewFromConfig(aws)
	client := &databricks.Client{
		Allowed: cfg.Hosts, Identity: rotator.Identity(cfg.Rotate, store, sts.NewFromConfig(aws)), Pace: &pace.Pace{},
	}
	bucket := &publish.Bucket{API: objects, Name: cfg.ReportBucket, Prefix: "audits/", Region: cfg.Stack.Region, Owner: cfg.Stack.Account}
	media := publish.Publisher{Bucket: bucket, Metrics: &publish.Metrics{Logger: log}}
	if cfg.TopicARN != "" {
		media.Topic = &publish.Topic{API: sns.NewFromConfig(aws), ARN: cfg.TopicARN, Format: publish.Format(cfg.TopicFormat)}
	}
	if cfg.SecurityHub {
		media.Hub = &publish.Hub{API: securityhub.NewFromConfig(aws), Partition: cfg.Stack.Partition, Region: cfg.Stack.Region, Account: cfg.Stack.Account}
	}
	auditor := &auditing.Auditor{
		Policy:    policy.Open(objects, cfg.Policy.Bucket, cfg.Policy.Key, log).Read,
		Collector: &collect.Collector{Databricks: client, Store: store, Account: cfg.Account, Try: true, Log: log},
		UsageLog:  client, Warehouse: cfg.Warehouse, UsageTable: cfg.UsageTable,
		Rotator:   rotator.ClientID(cfg.Rotate, store),
		History:   bucket,
		Publisher: media,
		Trail:     trail.Open(objects, cfg.TrailBucket, cmp.Or(cfg.ClientID, cfg.SecretARN), log),
		Live:      auditing.Live{Databricks: client, Store: store, Account: cfg.Account},
		Place:     rule.Place{Console: cfg.Account.URL, RotateFunction: cfg.RotateFunction, RevokeFunction: cfg.RevokeFunction},
		Log:       log, Deployment: cfg.Stack.Name,
	}
	lambda.StartWithOptions(auditor.Handle, lambda.WithContext(ctx))
	return nil
}

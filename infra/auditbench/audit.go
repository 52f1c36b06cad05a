package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/securityhub"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"databricks-credential-rotation/functions/audit/auditing"
	"databricks-credential-rotation/functions/audit/auditing/collect"
	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/functions/audit/auditing/publish"
	"databricks-credential-rotation/functions/audit/auditing/rule"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/pace"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/secret"
	"databricks-credential-rotation/shared/trail"
)

// audits makes two audits as a warm function does, the second with the report
// of the first behind it, and says what that took.
func audits(ctx context.Context, in io.Reader, out io.Writer) error {
	var t task
	if err := json.NewDecoder(in).Decode(&t); err != nil {
		return err
	}
	hosts, err := databricks.ParseAllowedHosts("http://127.0.0.1:*")
	if err != nil {
		return err
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	objects := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	store := managedsecret.Store{API: secretsmanager.NewFromConfig(cfg)}
	client := &databricks.Client{
		Allowed: hosts,
		Identity: databricks.Stored{Read: func(context.Context) (string, secret.Text, error) {
			return t.ClientID, secret.New(t.ClientSecret), nil
		}},
	}
	account := databricks.Host{URL: t.Host, AccountID: t.AccountID}
	warehouse, err := databricks.ParseWarehouse(t.Warehouse)
	if err != nil {
		return err
	}
	bucket := &publish.Bucket{API: objects, Name: bucketName, Prefix: "audits/", Region: cfg.Region}
	watched := &watch{Collector: &collect.Collector{Databricks: client, Store: store, Account: account, Try: true, Log: log}}
	p := judgedBy()
	auditor := &auditing.Auditor{
		Policy:    func(context.Context) (policy.Policy, error) { return p, nil },
		Collector: watched,
		UsageLog:  client, Warehouse: warehouse,
		Rotator: func(context.Context) (string, error) { return t.ClientID, nil },
		History: bucket,
		Publisher: publish.Publisher{
			Bucket: bucket, Topic: &publish.Topic{API: sns.NewFromConfig(cfg), ARN: t.Topic},
			Hub:     &publish.Hub{API: securityhub.NewFromConfig(cfg), Partition: "aws", Region: cfg.Region, Account: t.AWSAccount},
			Metrics: &publish.Metrics{Logger: slog.New(slog.DiscardHandler)},
		},
		Trail: trail.Open(objects, bucketName, t.ClientID, log),
		Live:  auditing.Live{Databricks: client, Store: store, Account: account},
		Place: rule.Place{Console: t.Host, RotateFunction: "rotate"},
		Log:   log, Deployment: "auditbench",
	}
	var got []outcome
	for i := range 2 {
		// How fast it may be is felt for, and not told: the most is out of
		// reach.
		feel := &pace.Pace{Most: 10 * float64(t.PerSecond)}
		client.Pace, watched.pace = feel, feel
		if i > 0 {
			// Some are found no more, and others are new.
			p.Audit.UnusedAfter += 5 * 24 * time.Hour
		}
		begin := time.Now()
		answer, err := auditor.Audit(ctx, auditing.Request{AskedBy: "auditbench"})
		if err != nil {
			return err
		}
		one := watched.seen
		one.Whole, one.Answer = time.Since(begin), *answer
		if one.PeakBytes, err = peak(); err != nil {
			return err
		}
		got = append(got, one)
	}
	return json.NewEncoder(out).Encode(got)
}

// judgedBy is a policy that finds fault with about every second credential,
// and would remove every tenth.
func judgedBy() policy.Policy {
	const day = 24 * time.Hour
	p := policy.Default()
	p.Audit.BroadScopes = []string{"access-management", "authentication", "scim"}
	p.Audit.MaxTokenLifetime = 365 * day
	p.Audit.UnusedAfter, p.Prune.UnusedAfter = 48*day, 50*day
	return p
}

// peak is the most memory that this process has had in use, in bytes.
func peak() (int64, error) {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return 0, fmt.Errorf("peak memory: %w", err)
	}
	return use.Maxrss * maxrssUnit, nil
}

// watch notes how long collecting took, and what was read.
type watch struct {
	auditing.Collector
	pace *pace.Pace
	seen outcome
}

func (w *watch) Collect(ctx context.Context, p policy.Policy) *inventory.Inventory {
	begin := time.Now()
	inv := w.Collector.Collect(ctx, p)
	stats := w.pace.Stats()
	got := outcome{Took: time.Since(begin), Sent: stats.Sent, Throttled: stats.Throttled}
	got.Workspaces, got.People, got.Principals, got.Tokens = len(inv.Workspaces), len(inv.People), len(inv.Principals), len(inv.Tokens)
	got.Managed = len(inv.Managed)
	for _, p := range inv.Principals {
		got.Secrets += len(p.Secrets)
	}
	for _, m := range inv.Managed {
		if m.Authenticates {
			got.Authenticating++
		}
	}
	for _, g := range inv.Gaps {
		got.Gaps = append(got.Gaps, fmt.Sprintf("%s: %s: %s", g.Where, g.What, g.Why))
	}
	// Errors come out below, where the peak is asked for again.
	got.CollectPeak, _ = peak()
	w.seen = got
	return inv
}

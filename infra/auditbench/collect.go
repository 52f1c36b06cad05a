package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"syscall"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"databricks-credential-rotation/functions/audit/auditing/collect"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/pace"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/secret"
)

// collectOnly takes an inventory as the function does, and says what that
// took.
func collectOnly(ctx context.Context, in io.Reader, out io.Writer) error {
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
	// How fast it may be is felt for, and not told: the most is out of reach.
	feel := &pace.Pace{Most: 10 * float64(t.PerSecond)}
	collector := &collect.Collector{
		Databricks: &databricks.Client{
			Allowed: hosts,
			Identity: databricks.Stored{Read: func(context.Context) (string, secret.Text, error) {
				return t.ClientID, secret.New(t.ClientSecret), nil
			}},
			Pace: feel,
		},
		Store:   managedsecret.Store{API: secretsmanager.NewFromConfig(cfg)},
		Account: databricks.Host{URL: t.Host, AccountID: t.AccountID},
		Try:     true,
	}
	begin := time.Now()
	inv := collector.Collect(ctx, policy.Default())
	got := outcome{Took: time.Since(begin)}

	stats := feel.Stats()
	got.Sent, got.Throttled = stats.Sent, stats.Throttled
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
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return fmt.Errorf("peak memory: %w", err)
	}
	got.PeakBytes = use.Maxrss * maxrssUnit
	return json.NewEncoder(out).Encode(got)
}

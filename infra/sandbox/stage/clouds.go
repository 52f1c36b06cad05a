package stage

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"databricks-credential-rotation/infra/sandbox/iam"
	"databricks-credential-rotation/infra/sandbox/template"
	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/usagelogtest"
)

// pageSize is how many OAuth secrets Databricks lists in one page here. The
// simulator's own default is two, which is for tests of paging; a principal's
// five secrets fit into one page of any real list.
const pageSize = 100

// Clouds are the two simulated clouds, one clock, and who the rotator is in
// them.
type Clouds struct {
	Clock      *Clock
	Databricks *databrickstest.Server
	AWS        *awstest.Server
	// Analytics and Production are the account's workspaces.
	Analytics, Production *databrickstest.Workspace
	// Rotator is the rotator's service principal: account admin, and admin of
	// both workspaces. It has no OAuth secret. It trusts the roles
	// [RotateRole], [AuditRole] and [RevokeRole] by a federation policy each.
	Rotator databrickstest.Principal
	// UsageLog is the audit log, empty at first, which the warehouse [Warehouse]
	// is asked about.
	UsageLog *usagelogtest.Log
	// Topic is the stack's topic for summaries.
	Topic string
	// IAM decides on every call in AWS, by the policies of the template.
	IAM *iam.Account

	stack    *template.Stack
	queueURL string
}

// Warehouse is the SQL warehouse in the workspace analytics on which the usage
// log is asked.
const Warehouse = "audit"

// OpenClouds starts both simulators on loopback, with what the template makes in
// them.
func OpenClouds(seed uint64) (Clouds, error) { return openClouds(seed, nil) }

func openClouds(seed uint64, parameters map[string]string) (Clouds, error) {
	clock := &Clock{}
	c := Clouds{
		Clock:      clock,
		Databricks: databrickstest.New(databrickstest.Config{Now: clock.Now, Seed: seed, PageSize: pageSize}),
		AWS:        awstest.New(awstest.Config{Now: clock.Now, Seed: seed}),
		UsageLog:   &usagelogtest.Log{},
	}
	c.Analytics = c.Databricks.AddWorkspace("analytics")
	c.Production = c.Databricks.AddWorkspace("production")
	if err := c.Databricks.Listen(); err != nil {
		return c, fmt.Errorf("start the Databricks simulator: %w", err)
	}
	if err := c.AWS.Listen(); err != nil {
		c.Close()
		return c, fmt.Errorf("start the AWS emulator: %w", err)
	}
	c.Databricks.PublishKeys(c.AWS.Issuer(), c.AWS.JWKS)
	c.Rotator = c.Databricks.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "credential-rotator", AccountAdmin: true})
	c.Databricks.Assign(c.Rotator.ID, c.Analytics, true)
	c.Databricks.Assign(c.Rotator.ID, c.Production, true)
	for _, role := range []string{RotateRole, AuditRole, RevokeRole} {
		c.Databricks.AddFederationPolicy(c.Rotator.ID, databrickstest.FederationPolicy{
			Issuer:    c.AWS.Issuer(),
			Subject:   c.AWS.RoleARN(role),
			Audiences: []string{c.Databricks.AccountID()},
			JWKS:      c.AWS.JWKS,
		})
	}
	c.Analytics.AddWarehouse(Warehouse)
	c.Databricks.SetStatements(c.UsageLog.Statement)
	c.Databricks.StatementPolls(0) // grace is seconds here; nothing waits for a warehouse
	if err := c.createStack(parameters); err != nil {
		c.Close()
		return c, err
	}
	return c, nil
}

// Close ends both simulators.
func (c Clouds) Close() {
	c.AWS.Close()
	c.Databricks.Close()
}

// SecretsManager is the SDK's client, calling as a role.
func (c Clouds) SecretsManager(role string) *secretsmanager.Client {
	cfg := c.AWS.Config()
	cfg.Credentials = c.AWS.Role(role)
	return secretsmanager.NewFromConfig(cfg)
}

// Unknown lists the requests that either simulator did not understand.
func (c Clouds) Unknown() []string {
	return append(c.Databricks.Unknown(), c.AWS.Unknown()...)
}

// Forget drops the simulators' records of calls, which grow without end.
func (c Clouds) Forget() {
	c.Databricks.Faults().Reset()
	c.AWS.Faults().Reset()
}

// SlowDown has Databricks take that long to list, create or delete an OAuth
// secret. Token requests stay as fast as they are: applications make them all
// the time.
func (c Clouds) SlowDown(latency time.Duration) {
	for _, op := range []string{
		databrickstest.OpAccountListSecrets, databrickstest.OpWorkspaceListSecrets,
		databrickstest.OpAccountCreateSecret, databrickstest.OpWorkspaceCreateSecret,
		databrickstest.OpAccountDeleteSecret, databrickstest.OpWorkspaceDeleteSecret,
	} {
		c.Databricks.Faults().Add(faulttest.Fault{Op: op, Times: faulttest.Forever, Kind: faulttest.Slow, Delay: latency})
	}
}

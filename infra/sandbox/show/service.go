package show

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"databricks-credential-rotation/infra/sandbox/fleet"
	"databricks-credential-rotation/infra/sandbox/stage"
	"databricks-credential-rotation/infra/sandbox/terminal"
	"databricks-credential-rotation/shared/policy"
)

const (
	// sweepEvery is the schedule while serving; the template's is an hour.
	sweepEvery = time.Minute
	// servingPause keeps the readers from filling the simulators' memory, which
	// forget nothing that they gave out.
	servingPause = time.Second
)

// Service is how the system runs while it serves clients from outside.
type Service struct {
	// Interval is the age at which a credential is rotated, Grace how long its
	// predecessor stays valid.
	Interval, Grace time.Duration
}

// Serve keeps everything up for clients from outside, and sweeps on a
// schedule, until ctx ends.
func (s *Show) Serve(ctx context.Context, service Service) error {
	p := policy.Policy{Interval: service.Interval, Grace: service.Grace, Lifetime: lifetime}
	if err := s.stage.SetPolicy(ctx, p); err != nil {
		return err
	}
	s.stage.AWS.Background(true)
	s.config.Grace = service.Grace
	s.readers = s.newReaders(ctx, servingPause, service.Grace/2)
	s.book.Readers = s.readers.TokenRequests
	for _, m := range s.fleet.Managed {
		if s.fleet.Condition(m).Works {
			s.readers.Add(m.Name)
		}
	}
	s.tellCommands(service)
	tick := time.NewTicker(min(sweepEvery, service.Interval))
	defer tick.Stop()
	for {
		if err := s.sweepOnSchedule(ctx); err != nil {
			// A sweep that the end cut off has not failed.
			return cmp.Or(ctx.Err(), err)
		}
		stop := s.watch(func() string { return "serving until interrupted" })
		select {
		case <-tick.C:
			stop()
		case <-ctx.Done():
			stop()
			return ctx.Err()
		}
	}
}

// sweepOnSchedule says in one line what a sweep did.
func (s *Show) sweepOnSchedule(ctx context.Context) error {
	i, err := s.invoke(ctx, sweepEvent, "sweeping")
	if err != nil {
		return err
	}
	did := map[string][]string{}
	for name, outcome := range i.outcomes {
		status := outcome.Status
		did[status] = append(did[status], name)
	}
	var parts []string
	for _, status := range []string{"issued", "rotated", "retired", "overtaken", "failed", "blocked"} {
		if names := did[status]; len(names) > 0 {
			slices.Sort(names)
			parts = append(parts, s.screen.Paint(statusStyles[status], status)+" "+strings.Join(names, " "))
		}
	}
	s.screen.Line("  %s  %s; readers: %s", s.screen.Paint(terminal.Dim, time.Now().Format(time.TimeOnly)),
		strings.Join(parts, "; "), describe(s.readers.Count()))
	s.stage.Forget()
	return nil
}

// tellCommands prints what to paste into another terminal.
func (s *Show) tellCommands(service Service) {
	const secretEnv = `export $(aws secretsmanager get-secret-value --secret-id %s --query SecretString --output text |
    python3 -c 'import json,sys; print(*(f"{k}={v}" for k,v in json.load(sys.stdin).items() if k.startswith("DATABRICKS_")))')`
	s.screen.Heading("Try it yourself: paste into another terminal")
	s.screen.Line("  A sweep runs every %v, credentials are rotated at the age of %v, predecessors live %v on.\n",
		min(sweepEvery, service.Interval), service.Interval, service.Grace)
	paste := func(title string, lines ...string) {
		s.screen.Line("%s", s.screen.Paint(terminal.Dim, "# "+title))
		s.screen.Line("%s\n", strings.Join(lines, "\n"))
	}
	var exports []string
	for _, entry := range s.stage.Env(operatorRole) {
		exports = append(exports, "export "+entry)
	}
	paste("the AWS CLI, boto3 and every AWS SDK", exports...)
	paste("what is there",
		`aws secretsmanager list-secrets --filters Key=tag-key,Values=databricks-rotation --query 'SecretList[].Name'`,
		`aws secretsmanager get-secret-value --secret-id `+fleet.WorkspaceUser+` --query SecretString --output text`)
	paste("a workspace's service principal, in the environment of the Databricks SDKs and CLI",
		`unset DATABRICKS_ACCOUNT_ID; export DATABRICKS_AUTH_TYPE=oauth-m2m`, fmt.Sprintf(secretEnv, fleet.WorkspaceUser))
	paste("an account's service principal",
		`export DATABRICKS_AUTH_TYPE=oauth-m2m`, fmt.Sprintf(secretEnv, fleet.AccountAdmin))
	paste("as that account admin: how the rotator is set up, and whether the rotate function can be it", s.checkCommand())
	invoke := `aws lambda invoke --function-name rotate --cli-binary-format raw-in-base64-out --payload '%s' /dev/stdout`
	paste("the function: a sweep, what a sweep would do, and one secret now (AWS CLI 2; version 1 has no --cli-binary-format)",
		fmt.Sprintf(invoke, sweepEvent),
		fmt.Sprintf(invoke, `{"action":"sweep","dry_run":true}`),
		fmt.Sprintf(invoke, `{"action":"rotate","secrets":["`+fleet.WorkspaceUser+`"],"force":true}`))
	revoke := `aws lambda invoke --function-name revoke --cli-binary-format raw-in-base64-out --payload '%s' /dev/stdout`
	paste("a credential has leaked: what would be done, replace it now, lock its principal out, and let it in again",
		fmt.Sprintf(revoke, `{"mode":"replace","secret":"`+fleet.WorkspaceUser+`","reason":"drill","dry_run":true}`),
		fmt.Sprintf(revoke, `{"mode":"replace","secret":"`+fleet.WorkspaceUser+`","reason":"drill"}`),
		fmt.Sprintf(revoke, `{"mode":"lockout","secret":"`+fleet.ByProtocol+`","reason":"drill"}`),
		fmt.Sprintf(revoke, `{"mode":"release","secret":"`+fleet.ByProtocol+`","reason":"end of the drill"}`))
	paste("Secrets Manager's own rotation",
		`aws secretsmanager rotate-secret --secret-id `+fleet.ByProtocol+` --rotation-lambda-arn `+s.stage.FunctionARN("rotate"),
		`aws secretsmanager describe-secret --secret-id `+fleet.ByProtocol)
}

// checkCommand is the bootstrap that checks the set-up of this stage, with the
// AWS credentials of the rotate function.
func (s *Show) checkCommand() string {
	words := s.stage.Env(stage.RotateRole)
	words = append(words, "go run ./infra/bootstrap -check -try -account-admin",
		"-client-id "+s.stage.Rotator.ApplicationID, "-issuer "+s.stage.AWS.Issuer())
	for _, role := range []string{stage.RotateRole, stage.AuditRole, stage.RevokeRole} {
		words = append(words, "-subject "+s.stage.AWS.RoleARN(role))
	}
	return strings.Join(words, " \\\n  ")
}

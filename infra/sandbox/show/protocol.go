package show

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"databricks-credential-rotation/infra/sandbox/fleet"
	"databricks-credential-rotation/shared/awstest"
)

// playProtocol is the other door: Secrets Manager calls the same binary, step
// by step.
func (s *Show) playProtocol(ctx context.Context) error {
	s.screen.Heading("Secrets Manager rotates by its own protocol")
	rotated, err := s.rotateByProtocol(ctx, fleet.ByProtocol, true)
	if err != nil {
		return err
	}
	run := s.lastRotation(fleet.ByProtocol)
	member := s.member(fleet.ByProtocol)
	before, after := rotated.before[member.Name], rotated.after[member.Name]
	s.screen.Line("  %s, rotate-secret: %s in %v, OAuth secret %s", member.Name, strings.Join(run.Steps, ", "),
		rotated.took.Round(1e6), became(before, after))
	s.expect("the four steps replace the credential, and leave the predecessor its grace", func() error {
		switch {
		case run.Err != nil:
			return run.Err
		case len(run.Steps) != 4 || after.Version != run.Token || after.Current == before.Current || !after.Works:
			return errors.New("AWSCURRENT is not a new credential that works")
		case !slices.Contains(after.Live, before.Current):
			return errors.New("the predecessor is gone")
		}
		return nil
	}())

	trial, err := s.rotateByProtocol(ctx, fleet.Tested, false)
	if err != nil {
		return err
	}
	run = s.lastRotation(fleet.Tested)
	s.screen.Line("  %s, rotate-secret --no-rotate-immediately: %s only", fleet.Tested, strings.Join(run.Steps, ", "))
	s.expect("trying a configuration passes, and changes nothing", func() error {
		switch {
		case run.Err != nil:
			return run.Err
		case !run.Test || !slices.Equal(run.Steps, []string{"testSecret"}):
			return fmt.Errorf("the steps were %v", run.Steps)
		case len(trial.calls.Mutations) > 0:
			return fmt.Errorf("it made the calls %v", trial.calls.Mutations)
		}
		return nil
	}())
	return nil
}

// rotateByProtocol is a person at the console, and the service after that.
func (s *Show) rotateByProtocol(ctx context.Context, name string, immediately bool) (invocation, error) {
	defer s.watch(func() string { return "rotating by protocol" })()
	return s.observe(func() error {
		_, err := s.stage.SecretsManager(operatorRole).RotateSecret(ctx, &secretsmanager.RotateSecretInput{
			SecretId:          &name,
			RotationLambdaARN: aws.String(s.stage.FunctionARN("rotate")),
			RotationRules:     &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(30)},
			RotateImmediately: &immediately,
		})
		if err != nil {
			return fmt.Errorf("rotate-secret: %w", err)
		}
		// A rotation that fails is what the expectations are for.
		_ = s.stage.AWS.RunRotations(ctx)
		return nil
	})
}

func (s *Show) lastRotation(name string) awstest.Rotation {
	all := s.stage.AWS.Rotations(name)
	if len(all) == 0 {
		return awstest.Rotation{Err: errors.New("it was never called")}
	}
	return all[len(all)-1]
}

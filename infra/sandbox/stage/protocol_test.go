package stage_test

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"databricks-credential-rotation/infra/sandbox/stage"
	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/databrickstest"
)

// The rotation protocol, driven by Secrets Manager's RotateSecret, through the
// compiled function: federation, real sockets, real SDKs.
func TestProtocolThroughTheBinary(t *testing.T) {
	const token = "0b1c2d3e-0000-4000-8000-000000000001"

	t.Run("rotate immediately", func(t *testing.T) {
		w := newSecret(t)
		before := w.current()
		w.rotate(true)
		if after := w.current(); after.ID == before.ID {
			t.Error("AWSCURRENT did not move")
		}
		w.works()
	})
	t.Run("do not rotate immediately: testSecret alone", func(t *testing.T) {
		w := newSecret(t)
		before, live := w.current(), w.live()
		w.rotate(false)
		if w.current().ID != before.ID || w.live() != live {
			t.Error("a test changed something")
		}
		rotations := w.stage.AWS.Rotations(w.name)
		if last := rotations[len(rotations)-1]; last.Err != nil {
			t.Errorf("the test failed: %v", last.Err)
		}
	})
	t.Run("a repeated createSecret", func(t *testing.T) {
		w := newSecret(t)
		for _, step := range []string{"createSecret", "createSecret", "setSecret", "createSecret", "testSecret", "finishSecret", "finishSecret"} {
			w.step(step, token)
		}
		if n := w.live(); n != 2 {
			t.Errorf("%d OAuth secrets, want 2: the registered one and one issued", n)
		}
		w.works()
	})
	t.Run("an empty AWSPENDING", func(t *testing.T) {
		w := newSecret(t)
		w.failedRotation()
		pending, ok := w.stage.AWS.Labelled(w.name, "AWSPENDING")
		if !ok || pending.Value != "" {
			t.Fatalf("AWSPENDING is %+v, want an empty version", pending)
		}
		for _, step := range []string{"createSecret", "setSecret", "testSecret", "finishSecret"} {
			w.step(step, pending.ID)
		}
		if w.current().ID != pending.ID {
			t.Error("the version that was empty is not current")
		}
		w.works()
	})
	t.Run("a stale AWSPENDING", func(t *testing.T) {
		w := newSecret(t)
		w.stage.Clock.SetBack(26 * time.Hour)
		w.failedRotation()
		w.stage.Clock.SetBack(0)
		if err := w.tryRotate(true); err == nil {
			t.Fatal("Secrets Manager rotates over a pending version")
		}
		if _, err := w.stage.Invoke(t.Context(), "rotate", []byte(`{"action":"sweep"}`)); err != nil {
			t.Fatal(err)
		}
		w.rotate(true)
		w.works()
	})
}

// managed is one managed secret on a stage of its own.
type managed struct {
	t         *testing.T
	stage     *stage.Stage
	name      string
	principal databrickstest.Principal
}

func newSecret(t *testing.T) *managed {
	t.Helper()
	return registered(t, open(t), &secretsmanager.CreateSecretInput{
		Tags: []types.Tag{{Key: aws.String("databricks-rotation"), Value: aws.String("managed")}},
	})
}

// registered makes a principal with a credential, and the secret that holds it.
func registered(t *testing.T, s *stage.Stage, in *secretsmanager.CreateSecretInput) *managed {
	t.Helper()
	w := &managed{t: t, stage: s, name: "etl", principal: s.Databricks.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "etl"})}
	issued, err := s.Databricks.AddSecret(w.principal.ID, databrickstest.SecretSpec{Lifetime: 365 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	value, err := json.Marshal(map[string]string{
		"DATABRICKS_HOST": s.Databricks.AccountHost(), "DATABRICKS_ACCOUNT_ID": s.Databricks.AccountID(),
		"DATABRICKS_CLIENT_ID": w.principal.ApplicationID, "DATABRICKS_CLIENT_SECRET": issued.Value,
		"ROTATION_SERVICE_PRINCIPAL_ID": strconv.FormatInt(w.principal.ID, 10), "ROTATION_OAUTH_SECRET_ID": issued.ID,
	})
	if err != nil {
		t.Fatal(err)
	}
	in.Name, in.SecretString = &w.name, aws.String(string(value))
	if _, err := s.SecretsManager("operator").CreateSecret(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *managed) rotate(immediately bool) {
	w.t.Helper()
	if err := w.tryRotate(immediately); err != nil {
		w.t.Fatal(err)
	}
}

func (w *managed) tryRotate(immediately bool) error {
	_, err := w.stage.SecretsManager("operator").RotateSecret(w.t.Context(), &secretsmanager.RotateSecretInput{
		SecretId: &w.name, RotationLambdaARN: aws.String(w.stage.FunctionARN("rotate")), RotateImmediately: &immediately,
		RotationRules: &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(30)},
	})
	if err != nil {
		return err
	}
	return w.stage.AWS.RunRotations(w.t.Context())
}

// failedRotation is one whose function fails at its first step, as one that is
// out of order does. The version that Secrets Manager made stays AWSPENDING.
func (w *managed) failedRotation() {
	w.t.Helper()
	arn := w.stage.FunctionARN("rotate")
	w.stage.AWS.SetFunction(arn, func(context.Context, []byte) ([]byte, error) { return nil, errors.New("out of order") })
	if err := w.tryRotate(true); err == nil {
		w.t.Fatal("a rotation without a function succeeds")
	}
	w.stage.AWS.SetFunction(arn, func(ctx context.Context, event []byte) ([]byte, error) { return w.stage.Invoke(ctx, "rotate", event) })
}

// step is one call of the function as Secrets Manager makes it. The rotation
// token belongs to rotations that Secrets Manager itself runs.
func (w *managed) step(step, token string) {
	w.t.Helper()
	event, err := json.Marshal(map[string]string{"Step": step, "SecretId": w.name, "ClientRequestToken": token})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.stage.Invoke(w.t.Context(), "rotate", event); err != nil {
		w.t.Fatalf("%s: %v", step, err)
	}
}

func (w *managed) current() awstest.Version {
	w.t.Helper()
	v, ok := w.stage.AWS.Current(w.name)
	if !ok {
		w.t.Fatal("there is no AWSCURRENT")
	}
	return v
}

func (w *managed) live() int { return len(w.stage.Databricks.Secrets(w.principal.ID)) }

// works checks that what a reader gets authenticates.
func (w *managed) works() {
	w.t.Helper()
	var value map[string]string
	if err := json.Unmarshal([]byte(w.current().Value), &value); err != nil {
		w.t.Fatal(err)
	}
	if !w.stage.Databricks.Authenticates(value["DATABRICKS_CLIENT_ID"], value["DATABRICKS_CLIENT_SECRET"]) {
		w.t.Error("AWSCURRENT does not authenticate")
	}
}

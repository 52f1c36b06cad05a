package stage_test

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"

	"databricks-credential-rotation/infra/sandbox/stage"
	"databricks-credential-rotation/infra/sandbox/template"
	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/databrickstest"
)

// A principal that is registered by infra/managed-secret.yaml, with a key and
// with readers of two accounts: the first sweep issues its credential, the
// readers read it, and nobody else does.
func TestRegisteredByTemplate(t *testing.T) {
	s := openWith(t, stage.Config{Parameters: map[string]string{"SecretsKeyArn": secretsKey}})
	principal := s.Databricks.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "etl"})
	const here, there = "arn:aws:iam::123456789012:role/", "arn:aws:iam::" + otherAccount + ":role/"
	setting := template.Setting{Account: "123456789012", Region: "eu-west-1", StackName: "etl", Parameters: map[string]string{
		"DatabricksHost": s.Databricks.AccountHost(), "DatabricksAccountId": s.Databricks.AccountID(), "ClientId": principal.ApplicationID,
		"SecretName": "prod/etl", "KeyArn": secretsKey, "ReaderArns": here + "reader," + there + "reader",
	}}
	file := filepath.Join("..", "..", "managed-secret.yaml")
	described := properties(t, deployed(t, file, setting), "AWS::SecretsManager::Secret")
	in := &secretsmanager.CreateSecretInput{
		Name: text(described, "Name"), KmsKeyId: text(described, "KmsKeyId"), SecretString: text(described, "SecretString"),
	}
	tags, _ := described["Tags"].([]any) // without them the secret is not managed, and nothing below holds
	for _, tag := range tags {
		fields, ok := tag.(map[string]any)
		if !ok {
			t.Fatal("a tag is no mapping")
		}
		in.Tags = append(in.Tags, types.Tag{Key: text(fields, "Key"), Value: text(fields, "Value")})
	}
	owner := s.SecretsManager("operator")
	created, err := owner.CreateSecret(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	setting.Names = map[string]string{"Secret": *created.ARN}
	stack := deployed(t, file, setting)
	policy, err := json.Marshal(properties(t, stack, "AWS::SecretsManager::ResourcePolicy")["ResourcePolicy"])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := owner.PutResourcePolicy(t.Context(), &secretsmanager.PutResourcePolicyInput{SecretId: created.ARN, ResourcePolicy: aws.String(string(policy))}); err != nil {
		t.Fatal(err)
	}
	const account = `{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "kms:*", "Resource": "*"}`
	keyPolicy := func(statements ...string) {
		t.Helper()
		if err := s.IAM.SetResourcePolicy(secretsKey, `{"Version": "2012-10-17", "Statement": [`+strings.Join(statements, ",")+`]}`); err != nil {
			t.Fatal(err)
		}
	}
	keyPolicy(account)
	const all = `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": ["secretsmanager:*", "kms:*"], "Resource": "*"}}`
	for arn, policy := range map[string]string{
		there + "reader": all, there + "other": all,
		here + "reader": `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}}`,
	} {
		if err := s.IAM.AddRole(arn, policy); err != nil {
			t.Fatal(err)
		}
	}

	if err := s.RunSchedule(t.Context(), "rotate", "Sweep"); err != nil || len(s.Failures()) > 0 {
		t.Fatalf("%v %v", err, s.Failures())
	}
	client := func(role string) *secretsmanager.Client {
		cfg := s.AWS.Config()
		cfg.Credentials = s.AWS.Role(strings.TrimPrefix(role, here))
		if name, ok := strings.CutPrefix(role, there); ok {
			cfg.Credentials = s.AWS.ForeignRole(otherAccount, name)
		}
		return secretsmanager.NewFromConfig(cfg)
	}
	read := func(role string) (string, error) {
		out, err := client(role).GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: created.ARN})
		if err != nil {
			return "", err
		}
		return *out.SecretString, nil
	}
	refused := func(role, says string) {
		t.Helper()
		_, err := read(role)
		var refusal smithy.APIError
		if !errors.As(err, &refusal) || refusal.ErrorCode() != "AccessDeniedException" || !strings.Contains(refusal.ErrorMessage(), says) {
			t.Errorf("%s: %v, want %q", role, err, says)
		}
	}
	// The secret's policy is not the key's.
	refused(there+"reader", "Access to KMS is not allowed")
	refused(here+"reader", "Access to KMS is not allowed")
	refused(there+"other", "because no resource-based policy allows the secretsmanager:GetSecretValue action")

	statement, err := stack.Output("KeyStatement")
	if err != nil {
		t.Fatal(err)
	}
	keyPolicy(account, strings.Replace(statement, `"READERS"`, `"`+here+`reader","`+there+`reader"`, 1))
	for _, role := range []string{here + "reader", there + "reader"} {
		value, err := read(role)
		if err != nil {
			t.Errorf("%s: %v", role, err)
			continue
		}
		var fields map[string]string
		if err := json.Unmarshal([]byte(value), &fields); err != nil || !s.Databricks.Authenticates(fields["DATABRICKS_CLIENT_ID"], fields["DATABRICKS_CLIENT_SECRET"]) {
			t.Errorf("what %s reads does not authenticate: %v", role, err)
		}
		if _, err := client(role).PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: created.ARN, SecretString: aws.String("{}")}); err == nil {
			t.Errorf("%s writes", role)
		}
	}
	refused(there+"other", "because no resource-based policy allows the secretsmanager:GetSecretValue action")
}

// Where federation cannot be had the rotator's credential is a managed secret,
// which it rotates with the others. Its role then gets no web identity token.
func TestRotatorWithASecretOfItsOwn(t *testing.T) {
	s := openWith(t, stage.Config{Parameters: map[string]string{"RotatorClientId": "", "DatabricksAccountId": ""}})
	s.Clock.SetBack(80 * 24 * time.Hour)
	w := registered(t, s, &secretsmanager.CreateSecretInput{
		Tags: []types.Tag{{Key: aws.String("databricks-rotation"), Value: aws.String("managed")}},
	})
	issued, err := s.Databricks.AddSecret(s.Rotator.ID, databrickstest.SecretSpec{Lifetime: 365 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	value, err := json.Marshal(map[string]string{
		"DATABRICKS_HOST": s.Databricks.AccountHost(), "DATABRICKS_ACCOUNT_ID": s.Databricks.AccountID(),
		"DATABRICKS_CLIENT_ID": s.Rotator.ApplicationID, "DATABRICKS_CLIENT_SECRET": issued.Value,
	})
	if err != nil {
		t.Fatal(err)
	}
	own, err := s.SecretsManager("operator").CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{
		Name: aws.String("rotator"), SecretString: aws.String(string(value)),
		Tags: []types.Tag{{Key: aws.String("databricks-rotation"), Value: aws.String("managed")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Clock.SetBack(0)
	if err := s.Redeploy(t.Context(), "rotate", stage.Change{Environment: map[string]string{"ROTATOR_SECRET_ARN": *own.ARN}}); err != nil {
		t.Fatal(err)
	}
	before := w.current()
	if err := s.RunSchedule(t.Context(), "rotate", "Sweep"); err != nil || len(s.Failures()) > 0 {
		t.Fatalf("%v %v", err, s.Failures())
	}
	if w.current().ID == before.ID {
		t.Error("the other secret was not rotated")
	}
	w.works()
	if now, ok := s.AWS.Current("rotator"); !ok || now.Value == string(value) {
		t.Error("its own was not rotated")
	}
	if s.IAM.Allows(awstest.Access{Caller: s.AWS.RoleARN(stage.RotateRole), Action: "sts:GetWebIdentityToken", Resource: "*", Conditions: map[string][]string{
		"sts:IdentityTokenAudience": {s.Databricks.AccountID()}, "sts:DurationSeconds": {"300"},
	}}) {
		t.Error("the role gets a web identity token")
	}
}

func deployed(t *testing.T, file string, setting template.Setting) *template.Stack {
	t.Helper()
	stack, err := template.Open(file, setting)
	if err != nil {
		t.Fatal(err)
	}
	return stack
}

// properties are those of the only resource of a type.
func properties(t *testing.T, stack *template.Stack, kind string) map[string]any {
	t.Helper()
	found, err := stack.Resources(kind)
	if err != nil || len(found) != 1 {
		t.Fatalf("%d resources of type %s, %v", len(found), kind, err)
	}
	return found[0].Properties
}

func text(fields map[string]any, name string) *string {
	value, ok := fields[name].(string)
	if !ok {
		return nil
	}
	return &value
}

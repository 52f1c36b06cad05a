package stage_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"databricks-credential-rotation/infra/sandbox/iam"
	"databricks-credential-rotation/infra/sandbox/stage"
)

// The trust boundary: what a function may not do, tried with the compiled
// functions and with the credentials that they have.

const otherAccount = "210987654321"

// A function that runs as another function's role does not get through: each
// role has what its own function needs.
func TestAnotherFunctionsRole(t *testing.T) {
	tests := map[string]struct{ function, role, event, want string }{
		"rotate as audit":  {"rotate", stage.AuditRole, `{"action":"rotate","secrets":["etl"],"force":true}`, "not authorized to perform: secretsmanager:DescribeSecret"},
		"audit as rotate":  {"audit", stage.RotateRole, `{"action":"audit"}`, "not authorized to perform: s3:"},
		"audit as revoke":  {"audit", stage.RevokeRole, `{"action":"audit"}`, "not authorized to perform: s3:"},
		"revoke as rotate": {"revoke", stage.RotateRole, `{"mode":"revoke","secret":"etl","reason":"test"}`, "not authorized to perform: secretsmanager:TagResource"},
		"revoke as audit":  {"revoke", stage.AuditRole, `{"mode":"revoke","secret":"etl","reason":"test"}`, "not authorized to perform: secretsmanager:DescribeSecret"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newSecret(t)
			s := w.stage
			if err := s.Redeploy(t.Context(), test.function, stage.Change{Role: test.role}); err != nil {
				t.Fatal(err)
			}
			before := w.current()
			reply, err := s.Invoke(t.Context(), test.function, []byte(test.event))
			if text := fmt.Sprint(string(reply), err); !strings.Contains(text, test.want) {
				t.Errorf("%s, want that it says %q", text, test.want)
			}
			if w.current().ID != before.ID {
				t.Error("the credential was replaced")
			}
		})
	}
	t.Run("a role of no function", func(t *testing.T) {
		s := open(t)
		for _, role := range []string{"schedule", stage.ResponderRole, "operator"} {
			if err := s.Redeploy(t.Context(), "rotate", stage.Change{Role: role}); err == nil || !strings.Contains(err.Error(), "cannot be assumed by Lambda") {
				t.Errorf("%s: %v", role, err)
			}
		}
	})
	t.Run("the queue", func(t *testing.T) {
		s := open(t)
		for _, role := range []string{stage.AuditRole, stage.RevokeRole} {
			cfg := s.AWS.Config()
			cfg.Credentials = s.AWS.Role(role)
			_, err := sqs.NewFromConfig(cfg).ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
				QueueUrl: aws.String("https://sqs.eu-west-1.amazonaws.com/123456789012/" + stage.RotateQueue),
			})
			wantDenied(t, role, err, "sqs:ReceiveMessage")
		}
	})
}

// Without its tag no function touches a secret, whoever names it.
func TestUnmanagedSecret(t *testing.T) {
	for name, tags := range map[string][]types.Tag{
		"no tag":        nil,
		"another value": {{Key: aws.String("databricks-rotation"), Value: aws.String("off")}},
		"another key":   {{Key: aws.String("rotation"), Value: aws.String("managed")}},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			w := registered(t, s, &secretsmanager.CreateSecretInput{Tags: tags})
			before, live := w.current(), w.live()
			for function, event := range map[string]string{
				"rotate": `{"action":"rotate","secrets":["etl"],"force":true}`,
				"revoke": `{"mode":"replace","secret":"etl","reason":"test"}`,
			} {
				reply, err := s.Invoke(t.Context(), function, []byte(event))
				if text := fmt.Sprint(string(reply), err); !strings.Contains(text, "not authorized to perform: secretsmanager:DescribeSecret on resource: "+w.arn()) {
					t.Errorf("%s: %s", function, text)
				}
			}
			if w.current().ID != before.ID || w.live() != live {
				t.Error("something was changed")
			}
			// Nor do the roles by themselves, whatever the code asks for.
			for _, role := range []string{stage.RotateRole, stage.AuditRole, stage.RevokeRole} {
				api := s.SecretsManager(role)
				_, err := api.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &w.name})
				wantDenied(t, role, err, "secretsmanager:GetSecretValue")
				_, err = api.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: &w.name, SecretString: aws.String("{}")})
				wantDenied(t, role, err, "secretsmanager:PutSecretValue")
				// What could make it managed.
				_, err = api.TagResource(t.Context(), &secretsmanager.TagResourceInput{
					SecretId: &w.name, Tags: []types.Tag{{Key: aws.String("databricks-rotation"), Value: aws.String("managed")}},
				})
				wantDenied(t, role, err, "secretsmanager:TagResource")
				batch, err := api.BatchGetSecretValue(t.Context(), &secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{w.name}})
				if err != nil || len(batch.SecretValues) != 0 || len(batch.Errors) != 1 || aws.ToString(batch.Errors[0].ErrorCode) != "AccessDeniedException" {
					t.Errorf("%s: a batch with it: %+v, %v", role, batch, err)
				}
			}
		})
	}
}

// IAM takes the keys of tags for equal whatever their case, so its condition lets
// this one through. The functions do not.
func TestTagInAnotherCase(t *testing.T) {
	s := open(t)
	w := registered(t, s, &secretsmanager.CreateSecretInput{
		Tags: []types.Tag{{Key: aws.String("Databricks-Rotation"), Value: aws.String("managed")}},
	})
	before, live := w.current(), w.live()
	for function, event := range map[string]string{
		"rotate": `{"action":"rotate","secrets":["etl"],"force":true}`,
		"revoke": `{"mode":"replace","secret":"etl","reason":"test"}`,
	} {
		reply, err := s.Invoke(t.Context(), function, []byte(event))
		if text := fmt.Sprint(string(reply), err); !strings.Contains(text, "not managed: it lacks the tag databricks-rotation = managed") {
			t.Errorf("%s: %s", function, text)
		}
	}
	if w.current().ID != before.ID || w.live() != live {
		t.Error("something was changed")
	}
}

// The function revoke may set its own tag on a managed secret, and no other:
// access of people may hang on those.
func TestOnlyTheHoldIsTagged(t *testing.T) {
	w := newSecret(t)
	api := w.stage.SecretsManager(stage.RevokeRole)
	tag := func(keys ...string) error {
		in := &secretsmanager.TagResourceInput{SecretId: &w.name}
		for _, key := range keys {
			in.Tags = append(in.Tags, types.Tag{Key: aws.String(key), Value: aws.String("x")})
		}
		_, err := api.TagResource(t.Context(), in)
		return err
	}
	if err := tag("databricks-rotation-hold"); err != nil {
		t.Error(err)
	}
	wantDenied(t, "another tag", tag("team"), "secretsmanager:TagResource")
	wantDenied(t, "another tag beside it", tag("databricks-rotation-hold", "team"), "secretsmanager:TagResource")
	_, err := api.UntagResource(t.Context(), &secretsmanager.UntagResourceInput{SecretId: &w.name, TagKeys: []string{"databricks-rotation"}})
	wantDenied(t, "the managed tag", err, "secretsmanager:UntagResource")
}

// What a revocation holds, a rotation cannot write, even if it looked before.
func TestHeldSecretIsNotWritten(t *testing.T) {
	w := newSecret(t)
	s := w.stage
	_, err := s.SecretsManager(stage.RevokeRole).TagResource(t.Context(), &secretsmanager.TagResourceInput{
		SecretId: &w.name, Tags: []types.Tag{{Key: aws.String("databricks-rotation-hold"), Value: aws.String("revoked")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	api := s.SecretsManager(stage.RotateRole)
	_, err = api.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: &w.name, SecretString: aws.String("{}")})
	wantDenied(t, "a new version", err, "secretsmanager:PutSecretValue")
	id := w.current().ID
	_, err = api.UpdateSecretVersionStage(t.Context(), &secretsmanager.UpdateSecretVersionStageInput{
		SecretId: &w.name, VersionStage: aws.String("AWSPENDING"), MoveToVersionId: &id,
	})
	wantDenied(t, "a label", err, "secretsmanager:UpdateSecretVersionStage")
	if _, err := api.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &w.name}); err != nil {
		t.Errorf("it cannot be read: %v", err)
	}
}

func TestAnotherAccount(t *testing.T) {
	t.Run("its role reads a managed secret", func(t *testing.T) {
		w := newSecret(t)
		cfg := w.stage.AWS.Config()
		cfg.Credentials = w.stage.AWS.ForeignRole(otherAccount, "application")
		api := secretsmanager.NewFromConfig(cfg)
		role := "arn:aws:iam::" + otherAccount + ":role/application"
		if err := w.stage.IAM.AddRole(role, `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}`); err != nil {
			t.Fatal(err)
		}
		read := func() error {
			_, err := api.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String(w.arn())})
			return err
		}
		wantDenied(t, "without a policy of the secret", read(), "because no resource-based policy allows the secretsmanager:GetSecretValue action")
		if _, err := w.stage.SecretsManager("operator").PutResourcePolicy(t.Context(), &secretsmanager.PutResourcePolicyInput{
			SecretId: &w.name, ResourcePolicy: aws.String(`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": "` + role + `"},
				"Action": "secretsmanager:GetSecretValue", "Resource": "*"}}`),
		}); err != nil {
			t.Fatal(err)
		}
		if err := read(); err != nil {
			t.Errorf("with a policy of the secret: %v", err)
		}
		_, err := api.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: aws.String(w.arn()), SecretString: aws.String("{}")})
		wantDenied(t, "what the policy does not name", err, "because no resource-based policy allows the secretsmanager:PutSecretValue action")
	})
	t.Run("a secret of its", func(t *testing.T) {
		w := newSecret(t)
		theirs := strings.Replace(w.arn(), ":123456789012:", ":"+otherAccount+":", 1)
		_, err := w.stage.Invoke(t.Context(), "rotate", []byte(`{"action":"rotate","secrets":["`+theirs+`"],"force":true}`))
		if err == nil || !strings.Contains(err.Error(), "not authorized to perform: secretsmanager:DescribeSecret on resource: "+theirs) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("the bucket is its", func(t *testing.T) {
		// A bucket's name says nothing of its owner: who deletes a bucket may
		// find it made again by somebody else.
		w := newSecret(t)
		w.stage.AWS.GiveBucket(stage.DataBucket, otherAccount)
		if err := w.stage.IAM.SetResourcePolicy("arn:aws:s3:::"+stage.DataBucket, `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}}`); err != nil {
			t.Fatal(err)
		}
		before, live := w.current(), w.live()
		_, err := w.stage.Invoke(t.Context(), "rotate", []byte(`{"action":"rotate","secrets":["etl"],"force":true}`))
		if err == nil || !strings.Contains(err.Error(), "because no identity-based policy allows the s3:GetObject action") {
			t.Errorf("error %v", err)
		}
		for _, role := range []string{stage.RotateRole, stage.AuditRole, stage.RevokeRole} {
			cfg := w.stage.AWS.Config()
			cfg.Credentials = w.stage.AWS.Role(role)
			_, err := s3.NewFromConfig(cfg).PutObject(t.Context(), &s3.PutObjectInput{
				Bucket: aws.String(stage.DataBucket), Key: aws.String("trail/1"), Body: strings.NewReader("x"), IfNoneMatch: aws.String("*"),
			})
			var refusal smithy.APIError
			if !errors.As(err, &refusal) || refusal.ErrorCode() != "AccessDenied" {
				t.Errorf("%s writes its trail there: %v", role, err)
			}
		}
		if w.current().ID != before.ID || w.live() != live {
			t.Error("something was changed")
		}
	})
	t.Run("a role of the same name is the rotator to Databricks", func(t *testing.T) {
		s := open(t)
		cfg := s.AWS.Config()
		cfg.Credentials = s.AWS.ForeignRole(otherAccount, stage.RotateRole)
		if err := s.IAM.AddRole("arn:aws:iam::"+otherAccount+":role/"+stage.RotateRole, `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}`); err != nil {
			t.Fatal(err)
		}
		theirs := webIdentity(t, sts.NewFromConfig(cfg), s.Databricks.AccountID())
		if status := exchange(t, s, theirs); status == http.StatusOK {
			t.Error("Databricks takes the token of another account")
		}
		cfg.Credentials = s.AWS.Role(stage.RotateRole)
		if status := exchange(t, s, webIdentity(t, sts.NewFromConfig(cfg), s.Databricks.AccountID())); status != http.StatusOK {
			t.Errorf("Databricks refuses the rotator's own: status %d", status)
		}
	})
}

// A web identity token says who the rotator is to whoever holds it. The roles
// get one for Databricks alone, and for five minutes at most.
func TestWebIdentityForAnotherAudience(t *testing.T) {
	s := open(t)
	account := s.Databricks.AccountID()
	for _, role := range []string{stage.RotateRole, stage.AuditRole, stage.RevokeRole} {
		cfg := s.AWS.Config()
		cfg.Credentials = s.AWS.Role(role)
		api := sts.NewFromConfig(cfg)
		for name, test := range map[string]struct {
			audience []string
			seconds  int32
			denied   bool
		}{
			"Databricks":              {[]string{account}, 300, false},
			"another":                 {[]string{"https://example.com"}, 300, true},
			"Databricks and another":  {[]string{account, "https://example.com"}, 300, true},
			"a part of the right one": {[]string{account[:8]}, 300, true},
			"for longer":              {[]string{account}, 301, true},
		} {
			_, err := api.GetWebIdentityToken(t.Context(), &sts.GetWebIdentityTokenInput{
				Audience: test.audience, DurationSeconds: &test.seconds, SigningAlgorithm: aws.String("RS256"),
			})
			if !test.denied {
				if err != nil {
					t.Errorf("%s, %s: %v", role, name, err)
				}
				continue
			}
			var refusal smithy.APIError
			if !errors.As(err, &refusal) || refusal.ErrorCode() != "AccessDenied" || !strings.Contains(refusal.ErrorMessage(), "because no identity-based policy allows the sts:GetWebIdentityToken action") {
				t.Errorf("%s, %s: %v, want that it is denied", role, name, err)
			}
		}
	}
	t.Run("the function asks for another", func(t *testing.T) {
		w := newSecret(t)
		if err := w.stage.Redeploy(t.Context(), "rotate", stage.Change{Environment: map[string]string{"ROTATOR_AUDIENCE": "another"}}); err != nil {
			t.Fatal(err)
		}
		_, err := w.stage.Invoke(t.Context(), "rotate", []byte(`{"action":"rotate","secrets":["etl"],"force":true}`))
		if err == nil || !strings.Contains(err.Error(), "not authorized to perform: sts:GetWebIdentityToken") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("Databricks is given one for another", func(t *testing.T) {
		cfg := s.AWS.Config()
		cfg.Credentials = s.AWS.Role("operator") // who may have any
		if status := exchange(t, s, webIdentity(t, sts.NewFromConfig(cfg), "another")); status == http.StatusOK {
			t.Error("it takes it")
		}
	})
}

// Invariant 7: not even who may do everything writes one entry of the trail over
// another, nor anything without TLS.
func TestTrailIsAppendOnly(t *testing.T) {
	s := open(t)
	cfg := s.AWS.Config()
	cfg.Credentials = s.AWS.Role("operator")
	put := func(key string, match *string) error {
		_, err := s3.NewFromConfig(cfg).PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: aws.String(stage.DataBucket), Key: &key, Body: strings.NewReader("x"), IfNoneMatch: match,
		})
		return err
	}
	if err := put("trail/1", aws.String("*")); err != nil {
		t.Error(err)
	}
	err := put("trail/1", nil)
	var refusal smithy.APIError
	if !errors.As(err, &refusal) || refusal.ErrorCode() != "AccessDenied" || !strings.Contains(refusal.ErrorMessage(), "explicit deny in a resource-based policy") {
		t.Errorf("over it: %v", err)
	}
	if err := put("trail/1", aws.String("*")); err == nil {
		t.Error("an entry was written over another")
	}
	var seen *iam.Call
	s.IAM.Observe(func(c iam.Call) { seen = &c })
	if err := put("policy.yaml", nil); err != nil || seen == nil {
		t.Fatal(err)
	}
	plain := seen.Access
	plain.Conditions = maps.Clone(plain.Conditions)
	plain.Conditions["aws:SecureTransport"] = []string{"false"}
	if s.IAM.Allows(plain) {
		t.Error("it is done without TLS")
	}
}

// Who may invoke: schedules and Secrets Manager what they need to, responders the
// function revoke, and nobody else anything.
func TestWhoMayInvoke(t *testing.T) {
	s := openWith(t, stage.Config{Parameters: map[string]string{"ResponderArns": "arn:aws:iam::123456789012:role/operator"}})
	want := map[string][]string{
		"rotate": {"schedule", "secretsmanager.amazonaws.com"}, "audit": {"schedule"}, "revoke": {stage.ResponderRole},
	}
	callers := map[string]string{"secretsmanager.amazonaws.com": "secretsmanager.amazonaws.com", "scheduler.amazonaws.com": "scheduler.amazonaws.com"}
	for _, role := range []string{stage.RotateRole, stage.AuditRole, stage.RevokeRole, stage.ResponderRole, "schedule", "application", "nobody"} {
		callers[role] = s.AWS.RoleARN(role)
	}
	for _, function := range stage.Functions {
		var may []string
		for _, name := range slices.Sorted(maps.Keys(callers)) {
			if _, err := s.InvokeAs(t.Context(), callers[name], function, []byte(`{"action":"none"}`)); err == nil || !strings.Contains(err.Error(), "not authorized to perform: lambda:InvokeFunction") {
				may = append(may, name)
			}
		}
		if !slices.Equal(may, want[function]) {
			t.Errorf("%s may be invoked by %v, want %v", function, may, want[function])
		}
	}
	out, body := invokeAs(t, s, "application", "revoke", "RequestResponse", "{}")
	if out.StatusCode != http.StatusForbidden || out.Header.Get("X-Amzn-Errortype") != "AccessDeniedException" {
		t.Errorf("status %d: %s", out.StatusCode, body)
	}
}

func (w *managed) arn() string {
	w.t.Helper()
	out, err := w.stage.SecretsManager("operator").DescribeSecret(w.t.Context(), &secretsmanager.DescribeSecretInput{SecretId: &w.name})
	if err != nil {
		w.t.Fatal(err)
	}
	return *out.ARN
}

func wantDenied(t *testing.T, what string, err error, says string) {
	t.Helper()
	var refusal smithy.APIError
	if !errors.As(err, &refusal) || refusal.ErrorCode() != "AccessDeniedException" || !strings.Contains(refusal.ErrorMessage(), says) {
		t.Errorf("%s: %v, want that %s is denied", what, err, says)
	}
}

func webIdentity(t *testing.T, api *sts.Client, audience string) string {
	t.Helper()
	out, err := api.GetWebIdentityToken(t.Context(), &sts.GetWebIdentityTokenInput{
		Audience: []string{audience}, DurationSeconds: aws.Int32(300), SigningAlgorithm: aws.String("RS256"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return *out.WebIdentityToken
}

// exchange has Databricks exchange a web identity token for an access token of
// the rotator's.
func exchange(t *testing.T, s *stage.Stage, token string) int {
	t.Helper()
	form := "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token_type=urn:ietf:params:oauth:token-type:jwt&scope=all-apis&client_id=" +
		s.Rotator.ApplicationID + "&subject_token=" + token
	in, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Databricks.AccountHost()+"/oidc/accounts/"+s.Databricks.AccountID()+"/v1/token", strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	in.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	out, err := http.DefaultClient.Do(in)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	return out.StatusCode
}

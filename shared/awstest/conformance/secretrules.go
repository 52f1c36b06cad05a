package conformance

import (
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

var secretRules = []Rule{
	{Name: "a name that is taken is ResourceExistsException", check: func(t *trial) {
		s := t.secret("", "one")
		for _, value := range []string{"one", "two"} {
			_, err := t.secrets.CreateSecret(t.ctx, &secretsmanager.CreateSecretInput{Name: s.id, SecretString: &value})
			t.refused("CreateSecret", err, exists)
		}
	}},
	{Name: "a create that is repeated with its token succeeds again", check: func(t *trial) {
		in := &secretsmanager.CreateSecretInput{Name: &t.prefix, SecretString: aws.String("one"), ClientRequestToken: aws.String(t.token("a"))}
		first, err := t.secrets.CreateSecret(t.ctx, in)
		t.must("first create", err)
		second, err := t.secrets.CreateSecret(t.ctx, in)
		t.must("second create", err)
		t.equal("ARN", aws.ToString(second.ARN), aws.ToString(first.ARN))
	}},
	{Name: "a name has at most 512 characters", check: func(t *trial) {
		_, err := t.secrets.CreateSecret(t.ctx, &secretsmanager.CreateSecretInput{Name: aws.String(strings.Repeat("n", 513))})
		t.refused("CreateSecret", err, validation, invalidParameter)
	}},
	{Name: "a name with a space is refused", check: func(t *trial) {
		_, err := t.secrets.CreateSecret(t.ctx, &secretsmanager.CreateSecretInput{Name: aws.String(t.prefix + " b")})
		t.refused("CreateSecret", err, validation, invalidParameter)
	}},
	{Name: "tags are added, replaced and removed by key", check: func(t *trial) {
		s := t.secret("", "one", tagged("a", "1"), tagged("b", "2"))
		_, err := t.secrets.TagResource(t.ctx, &secretsmanager.TagResourceInput{SecretId: s.id, Tags: []types.Tag{tagged("b", "3"), tagged("c", "4")}})
		t.must("TagResource", err)
		_, err = t.secrets.UntagResource(t.ctx, &secretsmanager.UntagResourceInput{SecretId: s.id, TagKeys: []string{"a"}})
		t.must("UntagResource", err)
		got := map[string]string{}
		for _, tag := range s.describe().Tags {
			got[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
		}
		t.equal("tags", got, map[string]string{"b": "3", "c": "4"})
	}},
	{Name: "LastChangedDate moves with a put, a tag and a label", check: func(t *trial) {
		s := t.secret("", "one")
		last := aws.ToTime(s.describe().LastChangedDate)
		for what, change := range map[string]func() error{
			"put": func() error { _, err := s.tryPut("", "two"); return err },
			"tag": func() error {
				_, err := t.secrets.TagResource(t.ctx, &secretsmanager.TagResourceInput{SecretId: s.id, Tags: []types.Tag{tagged("k", "v")}})
				return err
			},
			"label": func() error { return s.move("mine", "", s.first) },
		} {
			time.Sleep(t.account.Tick)
			t.must(what, change())
			at := aws.ToTime(s.describe().LastChangedDate)
			t.equal("moved with a "+what, at.After(last), true)
			last = at
		}
	}},
	{Name: "a secret scheduled for deletion can be neither read nor written", check: func(t *trial) {
		s := t.secret("", "one")
		s.delete(7)
		_, err := s.get("", "")
		t.refused("GetSecretValue", err, invalidRequest)
		_, err = s.tryPut("", "two")
		t.refused("PutSecretValue", err, invalidRequest)
		t.equal("DeletedDate is described", s.describe().DeletedDate != nil, true)
	}},
	{Name: "the name of a secret scheduled for deletion is taken", check: func(t *trial) {
		s := t.secret("", "one")
		s.delete(7)
		_, err := t.secrets.CreateSecret(t.ctx, &secretsmanager.CreateSecretInput{Name: s.id, SecretString: aws.String("two")})
		t.refused("CreateSecret", err, invalidRequest)
	}},
	{Name: "a secret scheduled for deletion can be restored", check: func(t *trial) {
		s := t.secret("", "one")
		s.delete(30)
		_, err := t.secrets.RestoreSecret(t.ctx, &secretsmanager.RestoreSecretInput{SecretId: s.id})
		t.must("RestoreSecret", err)
		t.equal("value", s.value("", current), "one")
		t.equal("no DeletedDate", s.describe().DeletedDate == nil, true)
	}},
	{Name: "a recovery window has 7 to 30 days", check: func(t *trial) {
		s := t.secret("", "one")
		for _, days := range []int64{6, 31} {
			_, err := t.secrets.DeleteSecret(t.ctx, &secretsmanager.DeleteSecretInput{SecretId: s.id, RecoveryWindowInDays: &days})
			t.refused("DeleteSecret", err, invalidParameter, validation)
		}
	}},
	{Name: "a forced deletion takes no recovery window", check: func(t *trial) {
		s := t.secret("", "one")
		_, err := t.secrets.DeleteSecret(t.ctx, &secretsmanager.DeleteSecretInput{
			SecretId: s.id, RecoveryWindowInDays: aws.Int64(7), ForceDeleteWithoutRecovery: aws.Bool(true),
		})
		t.refused("DeleteSecret", err, invalidParameter, validation)
	}},
	{Name: "a forced deletion frees the name for another secret", check: func(t *trial) {
		s := t.secret("", "one")
		_, err := t.secrets.DeleteSecret(t.ctx, &secretsmanager.DeleteSecretInput{SecretId: s.id, ForceDeleteWithoutRecovery: aws.Bool(true)})
		t.must("DeleteSecret", err)
		_, err = s.get("", "")
		t.refused("GetSecretValue", err, notFound)
		again := t.secret("", "two")
		t.equal("it is another ARN", again.arn != s.arn, true)
		_, err = (&secret{trial: t, id: &s.arn}).get("", "")
		t.refused("GetSecretValue by the old ARN", err, notFound)
	}},
	{Name: "a forced deletion can be repeated", check: func(t *trial) {
		s := t.secret("", "one")
		for range 2 {
			_, err := t.secrets.DeleteSecret(t.ctx, &secretsmanager.DeleteSecretInput{SecretId: s.id, ForceDeleteWithoutRecovery: aws.Bool(true)})
			t.must("DeleteSecret", err)
		}
	}},
}

const somePolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`

var policyRules = []Rule{
	{Name: "a resource policy comes back as it was put", check: func(t *trial) {
		s := t.secret("", "one")
		_, err := t.secrets.PutResourcePolicy(t.ctx, &secretsmanager.PutResourcePolicyInput{SecretId: s.id, ResourcePolicy: aws.String(somePolicy)})
		t.must("PutResourcePolicy", err)
		out, err := t.secrets.GetResourcePolicy(t.ctx, &secretsmanager.GetResourcePolicyInput{SecretId: s.id})
		t.must("GetResourcePolicy", err)
		t.equal("policy", aws.ToString(out.ResourcePolicy), somePolicy)
	}},
	{Name: "a resource policy that is not JSON is refused", check: func(t *trial) {
		s := t.secret("", "one")
		_, err := t.secrets.PutResourcePolicy(t.ctx, &secretsmanager.PutResourcePolicyInput{SecretId: s.id, ResourcePolicy: aws.String("policy")})
		t.refused("PutResourcePolicy", err, "MalformedPolicyDocumentException", invalidParameter)
	}},
	{Name: "a deleted resource policy is gone", check: func(t *trial) {
		s := t.secret("", "one")
		_, err := t.secrets.PutResourcePolicy(t.ctx, &secretsmanager.PutResourcePolicyInput{SecretId: s.id, ResourcePolicy: aws.String(somePolicy)})
		t.must("PutResourcePolicy", err)
		_, err = t.secrets.DeleteResourcePolicy(t.ctx, &secretsmanager.DeleteResourcePolicyInput{SecretId: s.id})
		t.must("DeleteResourcePolicy", err)
		out, err := t.secrets.GetResourcePolicy(t.ctx, &secretsmanager.GetResourcePolicyInput{SecretId: s.id})
		t.must("GetResourcePolicy", err)
		t.equal("policy", aws.ToString(out.ResourcePolicy), "")
	}},
}

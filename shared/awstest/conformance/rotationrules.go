package conformance

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

func (s *secret) tryRotate(token string, change func(*secretsmanager.RotateSecretInput)) (string, error) {
	in := &secretsmanager.RotateSecretInput{SecretId: s.id, RotationLambdaARN: &s.account.Function}
	if token != "" {
		in.ClientRequestToken = &token
	}
	if change != nil {
		change(in)
	}
	out, err := s.secrets.RotateSecret(s.ctx, in)
	if err != nil {
		return "", err
	}
	return aws.ToString(out.VersionId), nil
}

func (s *secret) rotate(change func(*secretsmanager.RotateSecretInput)) string {
	version, err := s.tryRotate("", change)
	s.must("RotateSecret", err)
	return version
}

// settle waits for rotations; how they ended is seen in the secret.
func (s *secret) settle() { _ = s.account.Settle(s.ctx) }

var rotationRules = []Rule{
	{Name: "a secret without a rotation function cannot be rotated", check: func(t *trial) {
		s := t.secret("", "one")
		_, err := s.tryRotate("", func(in *secretsmanager.RotateSecretInput) { in.RotationLambdaARN = nil })
		t.refused("RotateSecret", err, invalidRequest, invalidParameter)
	}},
	{Name: "a rotation cannot have both an interval and a schedule", check: func(t *trial) {
		s := t.secret("", "one")
		_, err := s.tryRotate("", func(in *secretsmanager.RotateSecretInput) {
			in.RotationLambdaARN = aws.String("arn:aws:lambda:eu-west-1:123456789012:function:rotate")
			in.RotationRules = &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(1), ScheduleExpression: aws.String("rate(1 day)")}
		})
		t.refused("RotateSecret", err, invalidParameter, invalidRequest, validation)
	}},
	{Name: "an interval has 1 to 1000 days", check: func(t *trial) {
		s := t.secret("", "one")
		_, err := s.tryRotate("", func(in *secretsmanager.RotateSecretInput) {
			in.RotationLambdaARN = aws.String("arn:aws:lambda:eu-west-1:123456789012:function:rotate")
			in.RotationRules = &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(1001)}
		})
		t.refused("RotateSecret", err, invalidParameter, validation)
	}},
	{Name: "a rotation makes its version current and the old one previous", Rotates: true, check: func(t *trial) {
		s := t.secret("", "one")
		v2 := s.rotate(nil)
		s.settle()
		s.holds("after the rotation", labels{s.first: {previous}, v2: {current}})
	}},
	{Name: "a rotation sets LastRotatedDate and RotationEnabled", Rotates: true, check: func(t *trial) {
		s := t.secret("", "one")
		t.equal("before", s.describe().LastRotatedDate == nil, true)
		s.rotate(nil)
		s.settle()
		d := s.describe()
		t.equal("after", d.LastRotatedDate != nil, true)
		t.equal("enabled", aws.ToBool(d.RotationEnabled), true)
		t.equal("function", aws.ToString(d.RotationLambdaARN), t.account.Function)
	}},
	{Name: "the token of a rotation is the version's id", Rotates: true, check: func(t *trial) {
		s := t.secret("", "one")
		token := t.token("a")
		version, err := s.tryRotate(token, nil)
		t.must("RotateSecret", err)
		s.settle()
		t.equal("version", version, token)
		s.holds("after the rotation", labels{s.first: {previous}, token: {current}})
	}},
	{Name: "a failed rotation leaves AWSPENDING on an empty version", Rotates: true, check: func(t *trial) {
		s := t.secret("", "one", tagged("fail", ""))
		v2 := s.rotate(nil)
		s.settle()
		s.holds("after the failure", labels{s.first: {current}, v2: {pending}})
		_, err := s.get("", pending)
		t.refused("GetSecretValue", err, notFound)
		t.equal("no LastRotatedDate", s.describe().LastRotatedDate == nil, true)
	}},
	{Name: "a stuck AWSPENDING blocks the next rotation", Rotates: true, check: func(t *trial) {
		s := t.secret("", "one", tagged("fail", ""))
		s.rotate(nil)
		s.settle()
		_, err := s.tryRotate("", nil)
		t.refused("RotateSecret", err, invalidRequest)
	}},
	{Name: "removing AWSPENDING unblocks", Rotates: true, check: func(t *trial) {
		s := t.secret("", "one", tagged("fail", ""))
		v2 := s.rotate(nil)
		s.settle()
		t.must("removal", s.move(pending, v2, ""))
		_, err := s.tryRotate("", nil)
		t.must("RotateSecret", err)
	}},
	{Name: "RotateImmediately=false changes no value and leaves no AWSPENDING", Rotates: true, check: func(t *trial) {
		s := t.secret("", "one")
		s.rotate(func(in *secretsmanager.RotateSecretInput) {
			in.RotateImmediately = aws.Bool(false)
			in.RotationRules = &types.RotationRulesType{ScheduleExpression: aws.String("rate(10 days)")}
		})
		s.settle()
		s.holds("are as they were", labels{s.first: {current}})
		t.equal("next rotation", s.describe().NextRotationDate != nil, true)
	}},
	{Name: "a cancelled rotation is disabled and has no next date", Rotates: true, check: func(t *trial) {
		s := t.secret("", "one")
		s.rotate(func(in *secretsmanager.RotateSecretInput) {
			in.RotationRules = &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(30)}
		})
		s.settle()
		t.equal("next date before", s.describe().NextRotationDate != nil, true)
		_, err := t.secrets.CancelRotateSecret(t.ctx, &secretsmanager.CancelRotateSecretInput{SecretId: s.id})
		t.must("CancelRotateSecret", err)
		d := s.describe()
		t.equal("enabled", aws.ToBool(d.RotationEnabled), false)
		t.equal("next date after", d.NextRotationDate == nil, true)
	}},
}

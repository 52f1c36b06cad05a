package conformance

import (
	"bytes"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

const maxValue = 65536

var valueRules = []Rule{
	{Name: "GetSecretValue returns AWSCURRENT when nothing else is asked for", check: func(t *trial) {
		s := t.secret("", "one")
		s.put("two")
		t.equal("value", s.value("", ""), "two")
	}},
	{Name: "the value, its version and its labels come in one reply", check: func(t *trial) {
		s := t.secret("", "one")
		out, err := s.get("", current)
		t.must("GetSecretValue", err)
		t.equal("value", aws.ToString(out.SecretString), "one")
		t.equal("version", aws.ToString(out.VersionId), s.first)
		t.equal("labels", out.VersionStages, []string{current})
		t.equal("name", out.Name, s.id)
		t.equal("ARN", aws.ToString(out.ARN), s.arn)
		t.equal("has a date", out.CreatedDate != nil && !out.CreatedDate.IsZero(), true)
	}},
	{Name: "a binary value comes back as it was", check: func(t *trial) {
		s := t.secret("", "text")
		want := []byte{0, 255, 10}
		_, err := t.secrets.PutSecretValue(t.ctx, &secretsmanager.PutSecretValueInput{SecretId: s.id, SecretBinary: want})
		t.must("PutSecretValue", err)
		out, err := s.get("", current)
		t.must("GetSecretValue", err)
		t.equal("binary value", bytes.Equal(out.SecretBinary, want), true)
		t.equal("no text", out.SecretString == nil, true)
	}},
	{Name: "text and binary together are refused", check: func(t *trial) {
		s := t.secret("", "one")
		_, err := t.secrets.PutSecretValue(t.ctx, &secretsmanager.PutSecretValueInput{
			SecretId: s.id, SecretBinary: []byte("b"), SecretString: aws.String("s"),
		})
		t.refused("PutSecretValue", err, invalidParameter, invalidRequest)
	}},
	{Name: "a put without a value is refused", check: func(t *trial) {
		s := t.secret("", "one")
		_, err := t.secrets.PutSecretValue(t.ctx, &secretsmanager.PutSecretValueInput{SecretId: s.id})
		t.refused("PutSecretValue", err, invalidParameter, invalidRequest)
	}},
	{Name: "a value of 65,536 bytes is stored", check: func(t *trial) {
		s := t.secret("", "one")
		s.put(strings.Repeat("x", maxValue))
		t.equal("length", len(s.value("", current)), maxValue)
	}},
	{Name: "a value of 65,537 bytes is refused", check: func(t *trial) {
		s := t.secret("", "one")
		_, err := s.tryPut("", strings.Repeat("x", maxValue+1))
		t.refused("PutSecretValue", err, invalidParameter, invalidRequest, validation)
	}},
	{Name: "the limit counts bytes, not characters", check: func(t *trial) {
		s := t.secret("", "one")
		_, err := s.tryPut("", strings.Repeat("é", maxValue/2+1))
		t.refused("PutSecretValue", err, invalidParameter, invalidRequest, validation)
	}},
	{Name: "a missing secret is ResourceNotFoundException", check: func(t *trial) {
		s := &secret{trial: t, id: aws.String(t.prefix)}
		_, err := s.get("", "")
		t.refused("GetSecretValue", err, notFound)
		_, err = s.tryPut("", "value")
		t.refused("PutSecretValue", err, notFound)
		_, err = t.secrets.DescribeSecret(t.ctx, &secretsmanager.DescribeSecretInput{SecretId: s.id})
		t.refused("DescribeSecret", err, notFound)
	}},
	{Name: "a label that no version holds is ResourceNotFoundException", check: func(t *trial) {
		s := t.secret("", "one")
		_, err := s.get("", pending)
		t.refused("GetSecretValue", err, notFound)
	}},
	{Name: "a version that does not exist is ResourceNotFoundException", check: func(t *trial) {
		s := t.secret("", "one")
		_, err := s.get(t.token("none"), "")
		t.refused("GetSecretValue", err, notFound)
	}},
	{Name: "a version and a label that do not belong together are refused", check: func(t *trial) {
		s := t.secret("", "one")
		s.put("two")
		_, err := s.get(s.first, current)
		t.refused("GetSecretValue", err, invalidRequest, notFound)
		t.equal("a pair that does", s.value(s.first, previous), "one")
	}},
	{Name: "a secret without a value has none to get", check: func(t *trial) {
		s := t.secret("", "")
		_, err := s.get("", "")
		t.refused("GetSecretValue", err, notFound)
		s.holds("of an empty secret", labels{})
	}},
	{Name: "a secret is found by name, by ARN, and by ARN without its suffix", check: func(t *trial) {
		s := t.secret("", "one")
		for _, id := range []string{*s.id, s.arn, s.arn[:len(s.arn)-7]} {
			by := &secret{trial: t, id: aws.String(id)}
			t.equal("value by "+id, by.value("", current), "one")
		}
	}},
	{Name: "an ARN ends in the name, a hyphen and six characters", check: func(t *trial) {
		s := t.secret("/with/path", "one")
		before, after, found := strings.Cut(s.arn, ":secret:"+*s.id+"-")
		t.equal("the name is in it", found, true)
		t.equal("length of the suffix", len(after), 6)
		t.equal("service", strings.HasPrefix(before, "arn:aws:secretsmanager:"), true)
	}},
	{Name: "reading leaves the day as LastAccessedDate", check: func(t *trial) {
		s := t.secret("", "one")
		t.equal("before", s.describe().LastAccessedDate == nil, true)
		s.value("", current)
		at := s.describe().LastAccessedDate
		t.equal("after", at != nil, true)
		if at != nil {
			t.equal("time of day", at.UTC().Format("15:04:05"), "00:00:00")
		}
	}},
}

package conformance

import (
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

var versionRules = []Rule{
	{Name: "the ClientRequestToken becomes the version's id", check: func(t *trial) {
		s := t.secret("", "one")
		token := t.token("a")
		version, err := s.tryPut(token, "two")
		t.must("PutSecretValue", err)
		t.equal("version", version, token)
	}},
	{Name: "the same token with the same value changes nothing", check: func(t *trial) {
		s := t.secret("", "one")
		token := t.token("a")
		_, err := s.tryPut(token, "two", pending)
		t.must("first put", err)
		version, err := s.tryPut(token, "two", pending)
		t.must("second put", err)
		t.equal("version", version, token)
		s.holds("after both", labels{s.first: {current}, token: {pending}})
		t.equal("versions", len(s.versionIDs(true)), 2)
	}},
	{Name: "the same token with another value is ResourceExistsException", check: func(t *trial) {
		s := t.secret("", "one")
		token := t.token("a")
		_, err := s.tryPut(token, "two", pending)
		t.must("first put", err)
		_, err = s.tryPut(token, "three", pending)
		t.refused("second put", err, exists)
		t.equal("value", s.value(token, ""), "two")
	}},
	{Name: "a late repetition of a put does not move AWSCURRENT back", check: func(t *trial) {
		s := t.secret("", "one")
		token := t.token("a")
		_, err := s.tryPut(token, "two")
		t.must("first put", err)
		v3 := s.put("three")
		_, err = s.tryPut(token, "two")
		t.must("repetition", err)
		s.holds("after all", labels{token: {previous}, v3: {current}})
	}},
	{Name: "a token of 31 characters is refused", check: func(t *trial) {
		s := t.secret("", "one")
		_, err := s.tryPut(strings.Repeat("t", 31), "two")
		t.refused("put", err, invalidParameter, validation)
	}},
	{Name: "a token of 65 characters is refused", check: func(t *trial) {
		s := t.secret("", "one")
		_, err := s.tryPut(strings.Repeat("t", 65), "two")
		t.refused("put", err, invalidParameter, validation)
	}},
	{Name: "versions without labels are not described", check: func(t *trial) {
		s := t.secret("", "one")
		v2 := s.put("two")
		v3 := s.put("three")
		t.equal("described versions", slices.Sorted(maps.Keys(s.describe().VersionIdsToStages)), sorted(v2, v3))
	}},
	{Name: "versions without labels are listed on request only", check: func(t *trial) {
		s := t.secret("", "one")
		v2 := s.put("two")
		v3 := s.put("three")
		t.equal("by default", s.versionIDs(false), sorted(v2, v3))
		t.equal("with IncludeDeprecated", s.versionIDs(true), sorted(s.first, v2, v3))
	}},
	{Name: "a version without labels is readable by its id", check: func(t *trial) {
		s := t.secret("", "one")
		s.put("two")
		s.put("three")
		t.equal("value", s.value(s.first, ""), "one")
	}},
	{Name: "versions are listed in pages", check: func(t *trial) {
		s := t.secret("", "one")
		v2 := s.put("two")
		out, err := t.secrets.ListSecretVersionIds(t.ctx, &secretsmanager.ListSecretVersionIdsInput{SecretId: s.id, MaxResults: aws.Int32(1)})
		t.must("first page", err)
		t.equal("length of the first page", len(out.Versions), 1)
		t.equal("there is more", out.NextToken != nil, true)
		t.equal("all pages", s.versionIDs(false), sorted(s.first, v2))
	}},
	{Name: "UpdateSecret with a value is a put", check: func(t *trial) {
		s := t.secret("", "one")
		out, err := t.secrets.UpdateSecret(t.ctx, &secretsmanager.UpdateSecretInput{SecretId: s.id, SecretString: aws.String("two")})
		t.must("UpdateSecret", err)
		s.holds("after the update", labels{s.first: {previous}, aws.ToString(out.VersionId): {current}})
	}},
	{Name: "UpdateSecret without a value makes no version", check: func(t *trial) {
		s := t.secret("", "one")
		out, err := t.secrets.UpdateSecret(t.ctx, &secretsmanager.UpdateSecretInput{SecretId: s.id, Description: aws.String("text")})
		t.must("UpdateSecret", err)
		t.equal("version in the reply", out.VersionId == nil, true)
		s.holds("are as they were", labels{s.first: {current}})
		t.equal("description", aws.ToString(s.describe().Description), "text")
	}},
}

func sorted(ids ...string) []string {
	slices.Sort(ids)
	return ids
}

package conformance

import (
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// secret is a secret of one rule.
type secret struct {
	*trial
	id  *string
	arn string
	// first is the version that the value at creation became.
	first string
}

// secret makes one; an empty value is none.
func (t *trial) secret(suffix, value string, tags ...types.Tag) *secret {
	s := &secret{trial: t, id: aws.String(t.prefix + suffix)}
	in := &secretsmanager.CreateSecretInput{Name: s.id, Tags: tags}
	if value != "" {
		in.SecretString = &value
	}
	out, err := t.secrets.CreateSecret(t.ctx, in)
	t.must("CreateSecret", err)
	s.arn, s.first = aws.ToString(out.ARN), aws.ToString(out.VersionId)
	return s
}

func (s *secret) tryPut(token, value string, labels ...string) (string, error) {
	in := &secretsmanager.PutSecretValueInput{SecretId: s.id, SecretString: &value, VersionStages: labels}
	if token != "" {
		in.ClientRequestToken = &token
	}
	out, err := s.secrets.PutSecretValue(s.ctx, in)
	if err != nil {
		return "", err
	}
	return aws.ToString(out.VersionId), nil
}

func (s *secret) put(value string, labels ...string) string {
	version, err := s.tryPut("", value, labels...)
	s.must("PutSecretValue", err)
	return version
}

func (s *secret) move(label, from, to string) error {
	in := &secretsmanager.UpdateSecretVersionStageInput{SecretId: s.id, VersionStage: &label}
	if from != "" {
		in.RemoveFromVersionId = &from
	}
	if to != "" {
		in.MoveToVersionId = &to
	}
	_, err := s.secrets.UpdateSecretVersionStage(s.ctx, in)
	return err
}

// get reads by version, by label, by both or by neither.
func (s *secret) get(version, label string) (*secretsmanager.GetSecretValueOutput, error) {
	in := &secretsmanager.GetSecretValueInput{SecretId: s.id}
	if version != "" {
		in.VersionId = &version
	}
	if label != "" {
		in.VersionStage = &label
	}
	return s.secrets.GetSecretValue(s.ctx, in)
}

func (s *secret) value(version, label string) string {
	out, err := s.get(version, label)
	s.must("GetSecretValue", err)
	return aws.ToString(out.SecretString)
}

func (s *secret) describe() *secretsmanager.DescribeSecretOutput {
	out, err := s.secrets.DescribeSecret(s.ctx, &secretsmanager.DescribeSecretInput{SecretId: s.id})
	s.must("DescribeSecret", err)
	return out
}

// stages is which labels each version has, the labels sorted. Versions
// without any are left out: that they are not described is a rule of its own.
func (s *secret) stages() map[string][]string {
	stages := map[string][]string{}
	for version, labels := range s.describe().VersionIdsToStages {
		if len(labels) > 0 {
			slices.Sort(labels)
			stages[version] = labels
		}
	}
	return stages
}

// holds compares the labels of all versions.
func (s *secret) holds(what string, want map[string][]string) {
	s.equal("labels "+what, s.stages(), want)
}

// versionIDs lists the versions, sorted.
func (s *secret) versionIDs(deprecated bool) []string {
	ids := map[string]bool{}
	pages := secretsmanager.NewListSecretVersionIdsPaginator(s.secrets,
		&secretsmanager.ListSecretVersionIdsInput{SecretId: s.id, IncludeDeprecated: &deprecated})
	for pages.HasMorePages() {
		page, err := pages.NextPage(s.ctx)
		s.must("ListSecretVersionIds", err)
		for _, v := range page.Versions {
			ids[aws.ToString(v.VersionId)] = true
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

func (s *secret) delete(days int64) {
	_, err := s.secrets.DeleteSecret(s.ctx, &secretsmanager.DeleteSecretInput{SecretId: s.id, RecoveryWindowInDays: &days})
	s.must("DeleteSecret", err)
}

func tagged(key, value string) types.Tag { return types.Tag{Key: &key, Value: &value} }

// token is a ClientRequestToken that nobody else uses.
func (t *trial) token(suffix string) string {
	return t.prefix + "-token-" + suffix + strings.Repeat("0", 16)
}

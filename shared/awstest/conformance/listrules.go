package conformance

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// found lists the secrets of this rule that filters let through, by what
// their names have after the prefix, sorted. size is that of a page, zero for
// the default.
func (t *trial) found(size int32, in secretsmanager.ListSecretsInput) []string {
	if size > 0 {
		in.MaxResults = &size
	}
	var names []string
	pages := secretsmanager.NewListSecretsPaginator(t.secrets, &in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.ctx)
		t.must("ListSecrets", err)
		for _, s := range page.SecretList {
			if name, ours := strings.CutPrefix(aws.ToString(s.Name), t.prefix); ours {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

func filters(pairs ...string) secretsmanager.ListSecretsInput {
	var in secretsmanager.ListSecretsInput
	for i := 0; i < len(pairs); i += 2 {
		in.Filters = append(in.Filters, types.Filter{
			Key: types.FilterNameStringType(pairs[i]), Values: strings.Split(pairs[i+1], "|"),
		})
	}
	return in
}

var listRules = []Rule{
	{Name: "the filter name is a prefix, case-sensitive", check: func(t *trial) {
		t.secret("-apple", "v")
		t.secret("-APPLE", "v")
		t.secret("-pear", "v")
		t.equal("prefix", t.found(0, filters("name", t.prefix+"-app")), []string{"-apple"})
		t.equal("no prefix", t.found(0, filters("name", "apple")), []string{})
	}},
	{Name: "the filter tag-key is a prefix of a tag's key", check: func(t *trial) {
		t.secret("-a", "v", tagged("k"+t.prefix, "1"))
		t.secret("-b", "v", tagged("other", "1"))
		t.equal("whole", t.found(0, filters("tag-key", "k"+t.prefix)), []string{"-a"})
		t.equal("prefix", t.found(0, filters("tag-key", "k"+t.prefix[:len(t.prefix)-2])), []string{"-a"})
		t.equal("case", t.found(0, filters("tag-key", "K"+t.prefix)), []string{})
	}},
	{Name: "the filter tag-value is a prefix of a tag's value", check: func(t *trial) {
		t.secret("-a", "v", tagged("k", "v"+t.prefix))
		t.secret("-b", "v", tagged("v"+t.prefix, "k"))
		t.equal("whole", t.found(0, filters("tag-value", "v"+t.prefix)), []string{"-a"})
		t.equal("prefix", t.found(0, filters("tag-value", "v"+t.prefix[:len(t.prefix)-2])), []string{"-a"})
	}},
	{Name: "several filters must all match", check: func(t *trial) {
		t.secret("-a", "v", tagged("k"+t.prefix, "one"))
		t.secret("-b", "v", tagged("k"+t.prefix, "two"))
		t.equal("both", t.found(0, filters("tag-key", "k"+t.prefix, "tag-value", "one")), []string{"-a"})
	}},
	{Name: "of a filter's values any may match", check: func(t *trial) {
		t.secret("-a", "v")
		t.secret("-b", "v")
		t.secret("-c", "v")
		t.equal("either", t.found(0, filters("name", t.prefix+"-a|"+t.prefix+"-c")), []string{"-a", "-c"})
	}},
	{Name: "an exclamation mark negates a name", check: func(t *trial) {
		t.secret("-a", "v")
		t.secret("-b", "v")
		t.equal("another name", t.found(0, filters("name", "!"+t.prefix+"-a")), []string{"-b"})
	}},
	{Name: "an exclamation mark negates a tag, also for a secret that has none", check: func(t *trial) {
		t.secret("-a", "v", tagged("managed", "yes"))
		t.secret("-b", "v")
		t.secret("-c", "v", tagged("other", "yes"))
		t.equal("without the tag", t.found(0, filters("name", t.prefix, "tag-key", "!managed")), []string{"-b", "-c"})
	}},
	{Name: "the filter description is a prefix in any case", check: func(t *trial) {
		s := t.secret("-a", "v")
		_, err := t.secrets.UpdateSecret(t.ctx, &secretsmanager.UpdateSecretInput{SecretId: s.id, Description: aws.String("Word " + t.prefix)})
		t.must("UpdateSecret", err)
		t.equal("lower case", t.found(0, filters("description", "word "+t.prefix)), []string{"-a"})
	}},
	{Name: "the filter all finds words of any attribute in any case", check: func(t *trial) {
		t.secret("-a", "v", tagged("key", "the needle"))
		t.secret("-b", "v")
		t.equal("found", t.found(0, filters("name", t.prefix, "all", "NEEDLE")), []string{"-a"})
	}},
	{Name: "an unknown filter is refused", check: func(t *trial) {
		in := filters("colour", "red")
		_, err := t.secrets.ListSecrets(t.ctx, &in)
		t.refused("ListSecrets", err, validation, invalidParameter)
	}},
	{Name: "secrets are listed in pages, each once", check: func(t *trial) {
		for _, suffix := range []string{"-a", "-b", "-c", "-d", "-e"} {
			t.secret(suffix, "v")
		}
		t.equal("pages of two", t.found(2, filters("name", t.prefix)), []string{"-a", "-b", "-c", "-d", "-e"})
	}},
	{Name: "a page has at most 100 secrets", check: func(t *trial) {
		_, err := t.secrets.ListSecrets(t.ctx, &secretsmanager.ListSecretsInput{MaxResults: aws.Int32(101)})
		t.refused("ListSecrets", err, validation, invalidParameter)
	}},
	{Name: "a NextToken that was not given out is refused", check: func(t *trial) {
		_, err := t.secrets.ListSecrets(t.ctx, &secretsmanager.ListSecretsInput{NextToken: aws.String("nonsense")})
		t.refused("ListSecrets", err, "InvalidNextTokenException", invalidParameter)
	}},
	{Name: "a listing shows tags, dates and the versions' labels", check: func(t *trial) {
		s := t.secret("", "one", tagged("k", "v"))
		v2 := s.put("two")
		in := filters("name", t.prefix)
		out, err := t.secrets.ListSecrets(t.ctx, &in)
		t.must("ListSecrets", err)
		if len(out.SecretList) != 1 {
			t.errorf("found %d secrets, want 1", len(out.SecretList))
			return
		}
		e := out.SecretList[0]
		t.equal("labels", e.SecretVersionsToStages, labels{s.first: {previous}, v2: {current}})
		t.equal("number of tags", len(e.Tags), 1)
		t.equal("ARN", aws.ToString(e.ARN), s.arn)
		t.equal("has CreatedDate and LastChangedDate", e.CreatedDate != nil && e.LastChangedDate != nil, true)
		t.equal("has no LastRotatedDate", e.LastRotatedDate == nil, true)
	}},
	{Name: "the order by name can be asked for, both ways", check: func(t *trial) {
		t.secret("-b", "v")
		t.secret("-a", "v")
		t.secret("-c", "v")
		for order, want := range map[types.SortOrderType]string{types.SortOrderTypeAsc: "-a-b-c", types.SortOrderTypeDesc: "-c-b-a"} {
			in := filters("name", t.prefix)
			in.SortBy, in.SortOrder = types.SortByTypeName, order
			out, err := t.secrets.ListSecrets(t.ctx, &in)
			t.must("ListSecrets", err)
			got := ""
			for _, s := range out.SecretList {
				got += strings.TrimPrefix(aws.ToString(s.Name), t.prefix)
			}
			t.equal(string(order), got, want)
		}
	}},
	{Name: "secrets scheduled for deletion are listed on request only", check: func(t *trial) {
		t.secret("-a", "v")
		t.secret("-b", "v").delete(7)
		in := filters("name", t.prefix)
		t.equal("by default", t.found(0, in), []string{"-a"})
		in.IncludePlannedDeletion = aws.Bool(true)
		t.equal("on request", t.found(0, in), []string{"-a", "-b"})
	}},
}

func (t *trial) batch(in secretsmanager.BatchGetSecretValueInput) (values []string, failures map[string]string) {
	out, err := t.secrets.BatchGetSecretValue(t.ctx, &in)
	t.must("BatchGetSecretValue", err)
	for _, v := range out.SecretValues {
		values = append(values, aws.ToString(v.SecretString))
	}
	failures = map[string]string{}
	for _, e := range out.Errors {
		failures[aws.ToString(e.SecretId)] = aws.ToString(e.ErrorCode)
	}
	return values, failures
}

var batchRules = []Rule{
	{Name: "a batch read returns the values in the order asked for", check: func(t *trial) {
		a, b, c := t.secret("-a", "1"), t.secret("-b", "2"), t.secret("-c", "3")
		values, failures := t.batch(secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{*c.id, a.arn, *b.id}})
		t.equal("values", values, []string{"3", "1", "2"})
		t.equal("errors", failures, map[string]string{})
	}},
	{Name: "a batch read names the secrets that it could not read", check: func(t *trial) {
		a, none := t.secret("-a", "1"), t.prefix+"-none"
		values, failures := t.batch(secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{none, *a.id}})
		t.equal("values", values, []string{"1"})
		t.equal("errors", failures, map[string]string{none: notFound})
	}},
	{Name: "a batch read takes at most 20 secrets", check: func(t *trial) {
		ids := make([]string, 21)
		for i := range ids {
			ids[i] = t.prefix
		}
		_, err := t.secrets.BatchGetSecretValue(t.ctx, &secretsmanager.BatchGetSecretValueInput{SecretIdList: ids})
		t.refused("BatchGetSecretValue", err, validation, invalidParameter)
	}},
	{Name: "a batch read takes a list or filters, not both", check: func(t *trial) {
		in := secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{t.prefix}, Filters: filters("name", t.prefix).Filters}
		_, err := t.secrets.BatchGetSecretValue(t.ctx, &in)
		t.refused("BatchGetSecretValue", err, invalidParameter, invalidRequest)
	}},
	{Name: "a batch read by filters finds the secrets itself", check: func(t *trial) {
		t.secret("-a", "1")
		t.secret("-b", "2")
		values, _ := t.batch(secretsmanager.BatchGetSecretValueInput{Filters: filters("name", t.prefix+"-b").Filters})
		t.equal("values", values, []string{"2"})
	}},
}

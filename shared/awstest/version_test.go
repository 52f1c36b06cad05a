package awstest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/awstest"
)

func TestVersionsIsTheGroundTruth(t *testing.T) {
	f := newFleet(t)
	v1 := f.create(t, "a", "one")
	at1 := f.now
	f.now = f.now.Add(time.Hour)
	v2 := f.put(t, "a", "two")
	v3 := f.put(t, "a", "three")
	want := []awstest.Version{
		{ID: v1, Value: "one", CreatedAt: at1},
		{ID: v2, Value: "two", Labels: []string{"AWSPREVIOUS"}, CreatedAt: f.now},
		{ID: v3, Value: "three", Labels: []string{"AWSCURRENT"}, CreatedAt: f.now},
	}
	if diff := cmp.Diff(want, f.Versions("a")); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
	if v, ok := f.Current("a"); !ok || v.ID != v3 {
		t.Errorf("Current is %+v, %t", v, ok)
	}
	if _, ok := f.Current("b"); ok || f.Versions("b") != nil {
		t.Error("a secret that does not exist has versions")
	}
}

func TestOldVersionsAreDropped(t *testing.T) {
	f := newFleet(t)
	first := f.create(t, "a", "0")
	kept := f.put(t, "a", "kept", "mine")
	for i := range 98 {
		f.now = f.now.Add(time.Minute)
		f.put(t, "a", fmt.Sprint(i))
	}
	if n := len(f.Versions("a")); n != 100 {
		t.Fatalf("there are %d versions, want 100", n)
	}
	// Nothing is old enough to be dropped.
	_, err := f.sm.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: aws.String("a"), SecretString: aws.String("x")})
	wantCode(t, "the 101st version within a day", err, "LimitExceededException")

	f.now = f.now.Add(24*time.Hour - 97*time.Minute)
	last := f.put(t, "a", "last")
	versions := f.Versions("a")
	if n := len(versions); n != 100 {
		t.Errorf("there are %d versions, want 100", n)
	}
	if versions[0].ID == first {
		t.Error("the oldest version without a label is still there")
	}
	if versions[0].ID != kept {
		t.Error("a version with a label was dropped")
	}
	if versions[99].ID != last {
		t.Error("the new version is not the last")
	}
}

func TestPutRefusals(t *testing.T) {
	f := newFleet(t)
	f.create(t, "a", "one")
	before := f.Versions("a")
	for name, test := range map[string]struct {
		change func(*secretsmanager.PutSecretValueInput)
		code   string
	}{
		"no value":    {func(in *secretsmanager.PutSecretValueInput) { in.SecretString = nil }, "InvalidRequestException"},
		"empty value": {func(in *secretsmanager.PutSecretValueInput) { in.SecretString = aws.String("") }, "InvalidParameterException"},
		"both values": {func(in *secretsmanager.PutSecretValueInput) { in.SecretBinary = []byte("b") }, "InvalidParameterException"},
		"large value": {func(in *secretsmanager.PutSecretValueInput) { in.SecretString = aws.String(strings.Repeat("x", 65537)) }, "ValidationException"},
		"short token": {func(in *secretsmanager.PutSecretValueInput) { in.ClientRequestToken = aws.String("t") }, "InvalidParameterException"},
		"no labels":   {func(in *secretsmanager.PutSecretValueInput) { in.VersionStages = []string{} }, "ValidationException"},
		"21 labels": {func(in *secretsmanager.PutSecretValueInput) {
			in.VersionStages = strings.Split(strings.Repeat("l,", 20)+"l", ",")
		}, "ValidationException"},
		"rotation token": {func(in *secretsmanager.PutSecretValueInput) { in.RotationToken = aws.String(strings.Repeat("r", 36)) }, "InvalidParameterException"},
		"foreign ARN": {func(in *secretsmanager.PutSecretValueInput) {
			in.SecretId = aws.String("arn:aws:secretsmanager:us-east-1:123456789012:secret:a")
		}, "ResourceNotFoundException"},
	} {
		t.Run(name, func(t *testing.T) {
			in := &secretsmanager.PutSecretValueInput{SecretId: aws.String("a"), SecretString: aws.String("two")}
			test.change(in)
			_, err := f.sm.PutSecretValue(t.Context(), in)
			wantCode(t, name, err, test.code)
			if diff := cmp.Diff(before, f.Versions("a")); diff != "" {
				t.Errorf("versions changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestDeletionComesDue(t *testing.T) {
	f := newFleet(t)
	f.create(t, "a", "one")
	out, err := f.sm.DeleteSecret(t.Context(), &secretsmanager.DeleteSecretInput{SecretId: aws.String("a"), RecoveryWindowInDays: aws.Int64(7)})
	if err != nil {
		t.Fatal(err)
	}
	due := f.now.AddDate(0, 0, 7)
	if !out.DeletionDate.Equal(due) {
		t.Errorf("DeletionDate is %s, want %s", out.DeletionDate, due)
	}
	describe := func() error {
		_, err := f.sm.DescribeSecret(t.Context(), &secretsmanager.DescribeSecretInput{SecretId: aws.String("a")})
		return err
	}
	f.now = due.Add(-time.Millisecond)
	wantCode(t, "just before", describe(), "")
	f.now = due
	wantCode(t, "when it is due", describe(), "ResourceNotFoundException")
	if names := f.SecretNames(); len(names) > 0 {
		t.Errorf("there still is %q", names)
	}
	f.create(t, "a", "two")
	if got := f.value(t, "a"); got != "two" {
		t.Errorf("the name's next secret reads %q", got)
	}
}

func TestRefusalsOfASecretScheduledForDeletion(t *testing.T) {
	f := newFleet(t)
	f.create(t, "a", "one")
	if _, err := f.sm.DeleteSecret(t.Context(), &secretsmanager.DeleteSecretInput{SecretId: aws.String("a")}); err != nil {
		t.Fatal(err)
	}
	ctx, id := t.Context(), aws.String("a")
	for op, call := range map[string]func() error{
		"UpdateSecret": func() error {
			_, err := f.sm.UpdateSecret(ctx, &secretsmanager.UpdateSecretInput{SecretId: id, Description: id})
			return err
		},
		"TagResource": func() error {
			_, err := f.sm.TagResource(ctx, &secretsmanager.TagResourceInput{SecretId: id, Tags: []types.Tag{{Key: id, Value: id}}})
			return err
		},
		"RotateSecret": func() error {
			_, err := f.sm.RotateSecret(ctx, &secretsmanager.RotateSecretInput{SecretId: id})
			return err
		},
		"DeleteSecret": func() error {
			_, err := f.sm.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: id})
			return err
		},
	} {
		wantCode(t, op, call(), "InvalidRequestException")
	}
	out, err := f.sm.BatchGetSecretValue(ctx, &secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{"a"}})
	if err != nil || len(out.Errors) != 1 || aws.ToString(out.Errors[0].ErrorCode) != "InvalidRequestException" {
		t.Errorf("a batch read has errors %v, %v", out.Errors, err)
	}
}

// A listing that changes between its pages shows no secret twice and skips
// none that stays.
func TestPagesOfAListingThatChanges(t *testing.T) {
	for _, test := range []struct {
		name string
		in   secretsmanager.ListSecretsInput
		gone string
		want []string
	}{
		{"a listed secret goes", secretsmanager.ListSecretsInput{}, "a", []string{"a", "b", "c", "d"}},
		{"the last one listed goes", secretsmanager.ListSecretsInput{}, "b", []string{"a", "b", "c", "d"}},
		{"one to come goes", secretsmanager.ListSecretsInput{}, "c", []string{"a", "b", "d"}},
		{"backwards by name", secretsmanager.ListSecretsInput{SortBy: types.SortByTypeName, SortOrder: types.SortOrderTypeDesc}, "c", []string{"d", "c", "b", "a"}},
		{"backwards by creation", secretsmanager.ListSecretsInput{SortOrder: types.SortOrderTypeDesc}, "d", []string{"d", "c", "b", "a"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFleet(t)
			for _, name := range []string{"a", "b", "c", "d"} {
				f.create(t, name, "v")
			}
			test.in.MaxResults = aws.Int32(2)
			pages := secretsmanager.NewListSecretsPaginator(f.sm, &test.in)
			var got []string
			for pages.HasMorePages() {
				page, err := pages.NextPage(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range page.SecretList {
					got = append(got, aws.ToString(s.Name))
				}
				if len(got) > 2 {
					continue
				}
				if _, err := f.sm.DeleteSecret(t.Context(), &secretsmanager.DeleteSecretInput{SecretId: &test.gone}); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("listed (-want +got):\n%s", diff)
			}
		})
	}
}

// One seed and one sequence of calls give one result.
func TestSeed(t *testing.T) {
	run := func(seed uint64) string {
		s := awstest.New(awstest.Config{Seed: seed, Now: func() time.Time { return time.Unix(0, 0) }})
		arn, err := s.CreateSecret("a", "one", nil)
		if err != nil {
			t.Fatal(err)
		}
		return arn + s.Versions("a")[0].ID + s.Issuer()
	}
	if first, again := run(1), run(1); first != again {
		t.Error("the same seed gives different ids")
	}
	if run(1) == run(2) {
		t.Error("different seeds give the same ids")
	}
}

func BenchmarkPutAndGet(b *testing.B) {
	s := awstest.New(awstest.Config{})
	if _, err := s.CreateSecret("a", "one", nil); err != nil {
		b.Fatal(err)
	}
	client := secretsmanager.NewFromConfig(s.Config())
	in := &secretsmanager.PutSecretValueInput{
		SecretId: aws.String("a"), SecretString: aws.String("one"), ClientRequestToken: aws.String(strings.Repeat("t", 32)),
	}
	for b.Loop() {
		if _, err := client.PutSecretValue(b.Context(), in); err != nil {
			b.Fatal(err)
		}
		if _, err := client.GetSecretValue(b.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("a")}); err != nil {
			b.Fatal(err)
		}
	}
}

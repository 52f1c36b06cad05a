package managedsecret_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/secret"
)

// account is an AWS account in memory, and a store on it.
type account struct {
	*awstest.Server
	t      *testing.T
	client *secretsmanager.Client
	store  managedsecret.Store
}

func newAccount(t *testing.T) *account {
	t.Helper()
	a := &account{Server: awstest.New(awstest.Config{}), t: t}
	a.client = secretsmanager.NewFromConfig(a.Config())
	a.store = managedsecret.Store{API: a.client}
	t.Cleanup(func() {
		if unknown := a.Unknown(); len(unknown) > 0 {
			t.Errorf("calls that AWS does not know: %q", unknown)
		}
	})
	return a
}

// inBubble runs a test on virtual time: the SDK waits before it tries again.
func inBubble(t *testing.T, run func(t *testing.T, a *account)) {
	synctest.Test(t, func(t *testing.T) { run(t, newAccount(t)) })
}

var managed = types.Tag{Key: aws.String("databricks-rotation"), Value: aws.String("managed")}

// create makes a secret and returns its ARN. An empty value makes one without
// a version.
func (a *account) create(name, value string, tags ...types.Tag) string {
	a.t.Helper()
	in := &secretsmanager.CreateSecretInput{Name: &name, Tags: tags}
	if value != "" {
		in.SecretString = &value
	}
	out, err := a.client.CreateSecret(a.t.Context(), in)
	if err != nil {
		a.t.Fatal(err)
	}
	return aws.ToString(out.ARN)
}

// put gives the secret etl another version.
func (a *account) put(id, value string, labels ...string) {
	a.t.Helper()
	_, err := a.client.PutSecretValue(a.t.Context(), &secretsmanager.PutSecretValueInput{
		SecretId: aws.String("etl"), ClientRequestToken: &id, SecretString: &value, VersionStages: labels,
	})
	if err != nil {
		a.t.Fatal(err)
	}
}

func (a *account) count(op string) int {
	n := 0
	for _, c := range a.Faults().Calls() {
		if c.Op == op {
			n++
		}
	}
	return n
}

// versionID is an id as Secrets Manager wants it, of 32 characters.
func versionID(n int) string { return fmt.Sprintf("rotation-%023d", n) }

func tag(key, value string) types.Tag { return types.Tag{Key: &key, Value: &value} }

// The service filters by prefix, and key and value apart from each other.
func TestListTakesTheWholeTag(t *testing.T) {
	a := newAccount(t)
	want := map[string]bool{}
	for name, tags := range map[string][]types.Tag{
		"managed":          {managed},
		"managed too":      {tag("team", "data"), managed},
		"no tag":           nil,
		"another value":    {tag("databricks-rotation", "managed-by-hand")},
		"another key":      {tag("databricks-rotation-note", "managed")},
		"off":              {tag("databricks-rotation", "off")},
		"two half tags":    {tag("databricks-rotation", "off"), tag("rotation", "managed")},
		"capitals":         {tag("Databricks-Rotation", "Managed")},
		"both as prefixes": {tag("databricks-rotation-x", "managed-x")},
	} {
		name = "s/" + fmt.Sprintf("%x", name)
		arn := a.create(name, "{}", tags...)
		if len(tags) > 0 && tags[len(tags)-1] == managed {
			want[arn] = true
		}
		s, err := a.store.Describe(t.Context(), name)
		if err != nil || s.Managed != want[arn] || s.ARN != arn || s.Name != name {
			t.Errorf("Describe: %+v, %v, managed should be %v", s, err, want[arn])
		}
	}
	got := map[string]bool{}
	for s, err := range a.store.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got[s.ARN] = s.Managed
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) != 2 {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestListPages(t *testing.T) {
	inBubble(t, func(t *testing.T, a *account) {
		for i := range 205 {
			a.create(fmt.Sprintf("prod/%03d", i), "{}", managed)
		}
		a.Faults().Reset()
		seen := map[string]bool{}
		for s, err := range a.store.List(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			seen[s.Name] = true
		}
		if len(seen) != 205 || a.count("ListSecrets") != 3 {
			t.Errorf("%d secrets in %d pages, want 205 in 3", len(seen), a.count("ListSecrets"))
		}
		// Whoever stops early does not pay for the rest.
		a.Faults().Reset()
		for _, err := range a.store.List(t.Context()) {
			if err != nil {
				t.Error(err)
			}
			break
		}
		if n := a.count("ListSecrets"); n != 1 {
			t.Errorf("%d pages read for the first secret", n)
		}
		// An error ends the list and is no short list.
		a.Faults().Add(faulttest.Fault{Op: "ListSecrets", Skip: 1, Kind: faulttest.ServerError, Times: faulttest.Forever})
		var last error
		n := 0
		for _, err := range a.store.List(t.Context()) {
			if last != nil {
				t.Error("the list goes on after an error")
			}
			if last = err; err == nil {
				n++
			}
		}
		if last == nil || n != 100 {
			t.Errorf("%d secrets and %v, want 100 and an error", n, last)
		}
	})
}

func TestSecretState(t *testing.T) {
	a := newAccount(t)
	arn := a.create("etl", "v0", managed)
	a.put(versionID(1), "v1", "AWSCURRENT")
	a.put(versionID(2), "v2", "AWSPENDING")
	for s, err := range a.store.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		described, err := a.store.Describe(t.Context(), arn)
		if diff := cmp.Diff(s, described); err != nil || diff != "" {
			t.Errorf("list and describe differ: %v\n%s", err, diff)
		}
		first := a.Versions("etl")[0].ID
		for label, want := range map[string]string{
			managedsecret.Current: versionID(1), managedsecret.Previous: first, managedsecret.Pending: versionID(2), "other": "",
		} {
			if got := s.Holder(label); got != want {
				t.Errorf("%s is held by %q, want %q", label, got, want)
			}
		}
		if s.LastChanged.IsZero() || !s.LastRotated.IsZero() || s.Deleted || s.PrimaryRegion != "" {
			t.Errorf("%+v", s)
		}
	}
	if _, err := a.client.DeleteSecret(t.Context(), &secretsmanager.DeleteSecretInput{SecretId: &arn}); err != nil {
		t.Fatal(err)
	}
	if s, err := a.store.Describe(t.Context(), arn); err != nil || !s.Deleted {
		t.Errorf("scheduled for deletion: %+v, %v", s, err)
	}
	if _, err := a.store.Describe(t.Context(), "nobody"); !errors.Is(err, managedsecret.ErrNotFound) {
		t.Errorf("Describe of nobody: %v, want ErrNotFound", err)
	}
}

// canned answers in place of Secrets Manager with what the emulator has not.
type canned struct {
	managedsecret.API
	list     *secretsmanager.ListSecretsOutput
	describe *secretsmanager.DescribeSecretOutput
	batches  []*secretsmanager.BatchGetSecretValueOutput
	versions []*secretsmanager.ListSecretVersionIdsOutput
	puts     []*secretsmanager.PutSecretValueInput
}

func (c *canned) ListSecrets(context.Context, *secretsmanager.ListSecretsInput, ...func(*secretsmanager.Options)) (*secretsmanager.ListSecretsOutput, error) {
	return c.list, nil
}

func (c *canned) DescribeSecret(context.Context, *secretsmanager.DescribeSecretInput, ...func(*secretsmanager.Options)) (*secretsmanager.DescribeSecretOutput, error) {
	return c.describe, nil
}

func (c *canned) BatchGetSecretValue(context.Context, *secretsmanager.BatchGetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.BatchGetSecretValueOutput, error) {
	next := c.batches[0]
	c.batches = c.batches[1:]
	return next, nil
}

//nolint:revive // the name is the SDK's
func (c *canned) ListSecretVersionIds(context.Context, *secretsmanager.ListSecretVersionIdsInput, ...func(*secretsmanager.Options)) (*secretsmanager.ListSecretVersionIdsOutput, error) {
	next := c.versions[0]
	c.versions = c.versions[1:]
	return next, nil
}

func (c *canned) PutSecretValue(_ context.Context, in *secretsmanager.PutSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.PutSecretValueOutput, error) {
	c.puts = append(c.puts, in)
	return &secretsmanager.PutSecretValueOutput{}, nil
}

// A replica cannot be written: it is told from its primary, which also has a
// primary region, its own.
func TestReplicas(t *testing.T) {
	for region, want := range map[string]string{"": "", "eu-central-1": "", "us-east-1": "us-east-1"} {
		arn, primary := "arn:aws:secretsmanager:eu-central-1:123456789012:secret:etl-AbCdEf", &region
		if region == "" {
			primary = nil
		}
		store := managedsecret.Store{API: &canned{
			list: &secretsmanager.ListSecretsOutput{SecretList: []types.SecretListEntry{{
				ARN: &arn, PrimaryRegion: primary, Tags: []types.Tag{managed},
			}}},
			describe: &secretsmanager.DescribeSecretOutput{ARN: &arn, PrimaryRegion: primary},
		}}
		for s, err := range store.List(t.Context()) {
			if err != nil || s.PrimaryRegion != want {
				t.Errorf("List with primary region %q: %q, %v, want %q", region, s.PrimaryRegion, err, want)
			}
		}
		if s, err := store.Describe(t.Context(), arn); err != nil || s.PrimaryRegion != want {
			t.Errorf("Describe with primary region %q: %q, %v, want %q", region, s.PrimaryRegion, err, want)
		}
	}
}

func TestCurrentVersions(t *testing.T) {
	a := newAccount(t)
	var arns []string
	for i := range 41 {
		arns = append(arns, a.create(fmt.Sprintf("prod/%02d", i), fmt.Sprintf("value %d", i), managed))
	}
	empty := a.create("empty", "", managed)
	gone := arns[0][:len(arns[0])-6] + "Nobody"
	a.Faults().Reset()
	versions, errs := a.store.CurrentVersions(t.Context(), append(arns, empty, gone))
	if n := a.count("BatchGetSecretValue"); n != 3 {
		t.Errorf("%d calls for 43 secrets, want 3 of at most 20", n)
	}
	for i, arn := range arns {
		current, _ := a.Current(fmt.Sprintf("prod/%02d", i))
		want := managedsecret.Version{ID: current.ID, Labels: current.Labels, CreatedAt: current.CreatedAt, Value: secret.New(current.Value)}
		if diff := cmp.Diff(want, versions[arn], byContent, cmpopts.EquateApproxTime(time.Millisecond)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", arn, diff)
		}
	}
	if len(versions) != len(arns) || len(errs) != 2 {
		t.Errorf("%d versions and errors %v", len(versions), errs)
	}
	for _, arn := range []string{empty, gone} {
		if !errors.Is(errs[arn], managedsecret.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", arn, errs[arn])
		}
	}
}

// Invariant 10: a batch that fails does not take the others with it.
func TestCurrentVersionsOfAFailedBatch(t *testing.T) {
	inBubble(t, func(t *testing.T, a *account) {
		var arns []string
		for i := range 45 {
			arns = append(arns, a.create(fmt.Sprintf("prod/%02d", i), "v", managed))
		}
		// The SDK tries each call three times.
		a.Faults().Add(faulttest.Fault{Op: "BatchGetSecretValue", Skip: 1, Times: 3, Kind: faulttest.ReplyLost})
		versions, errs := a.store.CurrentVersions(t.Context(), arns)
		for i, arn := range arns {
			_, read := versions[arn]
			if failed := i >= 20 && i < 40; failed != (errs[arn] != nil) || failed == read {
				t.Errorf("secret %d: read %v, error %v", i, read, errs[arn])
			}
		}
		if len(versions)+len(errs) != len(arns) {
			t.Errorf("%d versions, %d errors for %d secrets", len(versions), len(errs), len(arns))
		}
	})
}

// A batch may be given in pieces.
func TestCurrentVersionsOverPages(t *testing.T) {
	entry := func(arn string) types.SecretValueEntry {
		return types.SecretValueEntry{ARN: &arn, VersionId: &arn, SecretString: aws.String("v")}
	}
	store := managedsecret.Store{API: &canned{batches: []*secretsmanager.BatchGetSecretValueOutput{
		{SecretValues: []types.SecretValueEntry{entry("a")}, NextToken: aws.String("1")},
		{NextToken: aws.String("2")},
		{
			SecretValues: []types.SecretValueEntry{entry("b")},
			Errors:       []types.APIErrorType{{SecretId: aws.String("c"), ErrorCode: aws.String("DecryptionFailure"), Message: aws.String("no")}},
		},
	}}}
	versions, errs := store.CurrentVersions(t.Context(), []string{"a", "b", "c", "d"})
	if len(versions) != 2 || versions["a"].ID != "a" || versions["b"].ID != "b" {
		t.Errorf("versions %+v", versions)
	}
	if len(errs) != 2 || errs["c"].Error() != "reading AWSCURRENT: DecryptionFailure: no" || !errors.Is(errs["d"], managedsecret.ErrNotFound) {
		t.Errorf("errors %v", errs)
	}
}

// byContent compares secrets, which == does not.
var byContent = cmp.Comparer(func(a, b secret.Text) bool { return a.Equal(b) })

func TestVersions(t *testing.T) {
	inBubble(t, func(t *testing.T, a *account) {
		arn := a.create("etl", "v0", managed)
		for i := 1; i <= 3; i++ {
			time.Sleep(2 * time.Millisecond) // versions are told apart by the millisecond
			a.put(versionID(i), fmt.Sprintf("v%d", i), "AWSCURRENT")
		}
		all, err := a.store.Versions(t.Context(), arn)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range all {
			got = append(got, fmt.Sprintf("%s %v %v", v.ID, v.Labels, v.Value.IsZero()))
		}
		want := []string{
			versionID(3) + " [AWSCURRENT] true",
			versionID(2) + " [AWSPREVIOUS] true",
			versionID(1) + " [] true", // a label is not what keeps a version
			a.Versions("etl")[0].ID + " [] true",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}

		if v, err := a.store.CurrentVersion(t.Context(), arn); err != nil || v.ID != versionID(3) || v.Value.Reveal() != "v3" {
			t.Errorf("CurrentVersion: %+v, %v", v, err)
		}
		if v, err := a.store.Version(t.Context(), arn, versionID(1)); err != nil || v.Value.Reveal() != "v1" || len(v.Labels) != 0 {
			t.Errorf("Version without a label: %+v, %v", v, err)
		}
		if _, err := a.store.Version(t.Context(), arn, versionID(9)); !errors.Is(err, managedsecret.ErrNotFound) {
			t.Errorf("Version that is not there: %v, want ErrNotFound", err)
		}
		if _, err := a.store.Versions(t.Context(), "nobody"); !errors.Is(err, managedsecret.ErrNotFound) {
			t.Errorf("Versions of nobody: %v, want ErrNotFound", err)
		}
		if _, err := a.store.CurrentVersion(t.Context(), a.create("empty", "", managed)); !errors.Is(err, managedsecret.ErrNotFound) {
			t.Errorf("CurrentVersion of a secret without one: %v, want ErrNotFound", err)
		}
	})
}

func TestVersionsOverPages(t *testing.T) {
	page := func(next string, ids ...string) *secretsmanager.ListSecretVersionIdsOutput {
		out := &secretsmanager.ListSecretVersionIdsOutput{}
		if next != "" {
			out.NextToken = &next
		}
		for i, id := range ids {
			at := time.Date(2026, 3, 1, 0, i, 0, 0, time.UTC)
			out.Versions = append(out.Versions, types.SecretVersionsListEntry{VersionId: &id, CreatedDate: &at})
		}
		return out
	}
	store := managedsecret.Store{API: &canned{versions: []*secretsmanager.ListSecretVersionIdsOutput{
		page("1", "older", "newer"), page("2"), page("", "older too"),
	}}}
	all, err := store.Versions(t.Context(), "arn")
	var ids []string
	for _, v := range all {
		ids = append(ids, v.ID)
	}
	if diff := cmp.Diff([]string{"newer", "older", "older too"}, ids); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestMoveLabel(t *testing.T) {
	const v1, v2, v3 = 1, 2, 3
	tests := map[string]struct {
		label    string
		from, to int // zero is none
		fault    faulttest.Kind
		ok       bool
		holder   string
	}{
		"promote":                           {label: "AWSCURRENT", from: v1, to: v2, ok: true, holder: versionID(v2)},
		"promote with the reply lost":       {label: "AWSCURRENT", from: v1, to: v2, fault: faulttest.ReplyLost, ok: true, holder: versionID(v2)},
		"promote with the request lost":     {label: "AWSCURRENT", from: v1, to: v2, fault: faulttest.RequestLost, ok: true, holder: versionID(v2)},
		"promote again":                     {label: "AWSCURRENT", from: v3, to: v1, ok: true, holder: versionID(v1)},
		"promote what another run replaced": {label: "AWSCURRENT", from: v3, to: v2, holder: versionID(v1)},
		"promote what is not there":         {label: "AWSCURRENT", from: v1, to: 9, holder: versionID(v1)},
		"take away":                         {label: "AWSPENDING", from: v2, ok: true},
		"take away with the reply lost":     {label: "AWSPENDING", from: v2, fault: faulttest.ReplyLost, ok: true},
		"take away again":                   {label: "AWSPENDING", from: v3, ok: true, holder: versionID(v2)},
		"take away what must stay":          {label: "AWSCURRENT", from: v1, holder: versionID(v1)},
	}
	id := func(n int) string {
		if n == 0 {
			return ""
		}
		return versionID(n)
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, a *account) {
				arn := a.create("etl", "v0", managed)
				a.put(versionID(v3), "v3", "AWSCURRENT")
				a.put(versionID(v1), "v1", "AWSCURRENT")
				a.put(versionID(v2), "v2", "AWSPENDING")
				if test.fault != 0 {
					a.Faults().Add(faulttest.Fault{Op: "UpdateSecretVersionStage", Kind: test.fault})
				}
				err := a.store.MoveLabel(t.Context(), arn, test.label, id(test.from), id(test.to))
				if (err == nil) != test.ok {
					t.Errorf("%v, want success %v", err, test.ok)
				}
				holder, _ := a.Labelled("etl", test.label)
				if holder.ID != test.holder {
					t.Errorf("%s is held by %q, want %q", test.label, holder.ID, test.holder)
				}
			})
		})
	}
}

// An error says what AWS said and no more, and whether time ran out.
func TestErrors(t *testing.T) {
	inBubble(t, func(t *testing.T, a *account) {
		arn := a.create("etl", "v0", managed)
		_, err := a.store.Version(t.Context(), arn, versionID(1))
		var reduced *managedsecret.Error
		if !errors.As(err, &reduced) || reduced.Code != "ResourceNotFoundException" ||
			err.Error() != "reading version "+versionID(1)+": ResourceNotFoundException: "+reduced.Message {
			t.Errorf("%v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := a.store.Describe(ctx, arn); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled: %v", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		a.Faults().Add(faulttest.Fault{Kind: faulttest.Timeout})
		if _, err := a.store.CurrentVersion(ctx, arn); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			t.Errorf("out of time: %v", err)
		}
		if got := (&managedsecret.Error{Code: "X"}).Error(); got != "X" {
			t.Errorf("an error without a message reads %q", got)
		}
	})
}

// The deployed roles may read tagged secrets only, so that IAM refuses what
// lacks the tag before the function can see that it does. The error says where
// to look.
func TestDeniedNamesTheTag(t *testing.T) {
	a := newAccount(t)
	arn := a.create("etl", "{}")
	a.SetAuthorizer(func(_ context.Context, access awstest.Access) error {
		if access.Conditions["aws:ResourceTag/databricks-rotation"] == nil && access.Action != "secretsmanager:BatchGetSecretValue" {
			return errors.New("no identity-based policy allows it")
		}
		return nil
	})
	_, described := a.store.Describe(t.Context(), "etl")
	_, misspelt := a.store.Describe(t.Context(), "elt")
	_, denied := a.store.CurrentVersions(t.Context(), []string{arn})
	for name, err := range map[string]error{"described": described, "misspelt": misspelt, "read in a batch": denied[arn]} {
		if err == nil || !strings.Contains(err.Error(), "AccessDeniedException: ") || !strings.Contains(err.Error(), "the tag databricks-rotation = managed") {
			t.Errorf("%s: %v does not name the tag", name, err)
		}
	}
}

// Package managedsecret is AWS Secrets Manager as the rotation uses it: the
// secrets that are registered by a tag, their versions, and the two writes
// that change which version is current.
//
// There is no other store. Versions and their staging labels are the state of
// a rotation, and a write names the version that it expects to replace, so
// that two runs at once cannot both succeed.
package managedsecret

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"

	"databricks-credential-rotation/shared/secret"
)

// A secret with this tag is managed.
const (
	TagKey   = "databricks-rotation"
	TagValue = "managed"
)

// Staging labels of Secrets Manager.
const (
	Current  = "AWSCURRENT"
	Previous = "AWSPREVIOUS"
	Pending  = "AWSPENDING"
)

// batchSize is the most secrets that BatchGetSecretValue reads at once.
const batchSize = 20

var (
	// ErrNotFound means that there is no such secret or version.
	ErrNotFound = errors.New("not found")
	// ErrVersionExists means that another run has written this version with
	// another value.
	ErrVersionExists = errors.New("the version exists with another value")
	// ErrNotWritten means that Secrets Manager refused a write for certain.
	ErrNotWritten = errors.New("not written")
	// ErrDenied means that IAM, or a value's key, refused a call.
	ErrDenied = errors.New("access denied")
)

// Secret is a secret without its values.
type Secret struct {
	ARN, Name string
	// Managed tells whether the secret has the tag.
	Managed bool
	// Labels maps each labelled version's id to its staging labels.
	Labels map[string][]string
	// LastRotated is when Secrets Manager last finished a rotation by its own
	// protocol, LastChanged when anything about the secret last changed.
	LastRotated, LastChanged time.Time
	// Deleted tells that the secret is scheduled for deletion.
	Deleted bool
	// BoundTo is the application id of the only service principal whose
	// credential may be put there, empty if it is not bound.
	BoundTo string
	// Hold is set if nothing may be issued for the secret.
	Hold *Hold
	// PrimaryRegion is set if this is a replica of a secret elsewhere, which
	// cannot be written here.
	PrimaryRegion string
}

// Holder returns the id of the version that holds a label, empty if none does.
func (s Secret) Holder(label string) string {
	for id, labels := range s.Labels {
		if slices.Contains(labels, label) {
			return id
		}
	}
	return ""
}

// Version is one version of a secret.
type Version struct {
	ID        string
	Labels    []string
	CreatedAt time.Time
	// Value is zero for a version that was made without one, or listed only.
	Value secret.Text
}

// API is what the store calls of Secrets Manager.
type API interface {
	secretsmanager.ListSecretsAPIClient
	secretsmanager.ListSecretVersionIdsAPIClient
	DescribeSecret(context.Context, *secretsmanager.DescribeSecretInput, ...func(*secretsmanager.Options)) (*secretsmanager.DescribeSecretOutput, error)
	GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
	BatchGetSecretValue(context.Context, *secretsmanager.BatchGetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.BatchGetSecretValueOutput, error)
	PutSecretValue(context.Context, *secretsmanager.PutSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.PutSecretValueOutput, error)
	TagResource(context.Context, *secretsmanager.TagResourceInput, ...func(*secretsmanager.Options)) (*secretsmanager.TagResourceOutput, error)
	UntagResource(context.Context, *secretsmanager.UntagResourceInput, ...func(*secretsmanager.Options)) (*secretsmanager.UntagResourceOutput, error)
	UpdateSecretVersionStage(context.Context, *secretsmanager.UpdateSecretVersionStageInput, ...func(*secretsmanager.Options)) (*secretsmanager.UpdateSecretVersionStageOutput, error)
}

// BindingKey is the tag that binds a managed secret to one service principal,
// by its application id. Who may write a secret's value can name any principal
// in it; who may not set tags as well cannot get a credential of another one.
const BindingKey = "databricks-client-id"

// Pace decides when the next write may be sent.
type Pace interface {
	// Wait returns when a write may be sent, or with the context's error.
	Wait(ctx context.Context) error
	// Answered notes an answer that was no complaint about the pace.
	Answered()
	// Throttled notes that Secrets Manager asked to slow down.
	Throttled(after time.Duration)
}

// Store reads and writes managed secrets.
type Store struct {
	API API
	// Writes is the pace of writes, nil for none. Secrets Manager takes 50 a
	// second in a region, of everybody there, and no wish can change that.
	Writes Pace
}

// wait keeps the pace of writes.
func (s Store) wait(ctx context.Context) error {
	if s.Writes == nil {
		return nil
	}
	if err := s.Writes.Wait(ctx); err != nil {
		return fmt.Errorf("not sent: no time was left for it: %w", err)
	}
	return nil
}

// note tells the pace how a write went.
func (s Store) note(throttled bool) {
	switch {
	case s.Writes == nil:
	case throttled:
		s.Writes.Throttled(0)
	default:
		s.Writes.Answered()
	}
}

func isThrottled(err error) bool {
	return retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}.IsErrorThrottle(err) == aws.TrueTernary
}

// List yields every managed secret, a page of 100 at a time.
func (s Store) List(ctx context.Context) iter.Seq2[Secret, error] {
	return func(yield func(Secret, error) bool) {
		pages := secretsmanager.NewListSecretsPaginator(s.API, &secretsmanager.ListSecretsInput{
			MaxResults: aws.Int32(100),
			Filters: []types.Filter{
				{Key: types.FilterNameStringTypeTagKey, Values: []string{TagKey}},
				{Key: types.FilterNameStringTypeTagValue, Values: []string{TagValue}},
			},
		})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(Secret{}, fmt.Errorf("listing the managed secrets: %w", reduce(err)))
				return
			}
			for _, entry := range page.SecretList {
				secret := Secret{
					ARN: aws.ToString(entry.ARN), Name: aws.ToString(entry.Name),
					Managed: isManaged(entry.Tags), Labels: entry.SecretVersionsToStages,
					LastRotated: aws.ToTime(entry.LastRotatedDate), LastChanged: aws.ToTime(entry.LastChangedDate),
					Deleted: entry.DeletedDate != nil, Hold: holdOf(entry.Tags), BoundTo: tagged(entry.Tags, BindingKey),
				}
				if primary := aws.ToString(entry.PrimaryRegion); primary != "" && !inRegion(secret.ARN, primary) {
					secret.PrimaryRegion = primary
				}
				// The service matches key and value by prefix and apart from
				// each other; only both together count.
				if secret.Managed && !yield(secret, nil) {
					return
				}
			}
		}
	}
}

// Describe reads one secret by name or ARN, managed or not.
func (s Store) Describe(ctx context.Context, id string) (Secret, error) {
	out, err := s.API.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &id})
	if err != nil {
		return Secret{}, fmt.Errorf("describing the secret: %w", reduce(err))
	}
	secret := Secret{
		ARN: aws.ToString(out.ARN), Name: aws.ToString(out.Name),
		Managed: isManaged(out.Tags), Labels: out.VersionIdsToStages,
		LastRotated: aws.ToTime(out.LastRotatedDate), LastChanged: aws.ToTime(out.LastChangedDate),
		Deleted: out.DeletedDate != nil, Hold: holdOf(out.Tags), BoundTo: tagged(out.Tags, BindingKey),
	}
	if primary := aws.ToString(out.PrimaryRegion); primary != "" && !inRegion(secret.ARN, primary) {
		secret.PrimaryRegion = primary
	}
	return secret, nil
}

// CurrentVersions reads AWSCURRENT of many secrets, twenty with each call. A
// secret that cannot be read has its own error; both maps are by ARN.
func (s Store) CurrentVersions(ctx context.Context, arns []string) (map[string]Version, map[string]error) {
	versions, errs := map[string]Version{}, map[string]error{}
	for batch := range slices.Chunk(arns, batchSize) {
		failed := s.readBatch(ctx, batch, versions, errs)
		for _, arn := range batch {
			if _, ok := versions[arn]; ok || errs[arn] != nil {
				continue
			}
			if failed == nil {
				failed = fmt.Errorf("%w: the secret has no current version", ErrNotFound)
			}
			errs[arn] = fmt.Errorf("reading AWSCURRENT: %w", failed)
		}
	}
	return versions, errs
}

// readBatch adds what one batch gives, or some of it and an error.
func (s Store) readBatch(ctx context.Context, batch []string, versions map[string]Version, errs map[string]error) error {
	pages := secretsmanager.NewBatchGetSecretValuePaginator(s.API, &secretsmanager.BatchGetSecretValueInput{SecretIdList: batch})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return reduce(err)
		}
		for _, entry := range page.SecretValues {
			versions[aws.ToString(entry.ARN)] = Version{
				ID: aws.ToString(entry.VersionId), Labels: entry.VersionStages,
				CreatedAt: aws.ToTime(entry.CreatedDate), Value: secret.New(aws.ToString(entry.SecretString)),
			}
		}
		for _, entry := range page.Errors {
			errs[aws.ToString(entry.SecretId)] = fmt.Errorf("reading AWSCURRENT: %w", newError(aws.ToString(entry.ErrorCode), aws.ToString(entry.Message)))
		}
	}
	return nil
}

// CurrentVersion reads AWSCURRENT of one secret.
func (s Store) CurrentVersion(ctx context.Context, arn string) (Version, error) {
	return s.get(ctx, &secretsmanager.GetSecretValueInput{SecretId: &arn, VersionStage: aws.String(Current)})
}

// Version reads one version by its id, labelled or not.
func (s Store) Version(ctx context.Context, arn, versionID string) (Version, error) {
	return s.get(ctx, &secretsmanager.GetSecretValueInput{SecretId: &arn, VersionId: &versionID})
}

func (s Store) get(ctx context.Context, in *secretsmanager.GetSecretValueInput) (Version, error) {
	out, err := s.API.GetSecretValue(ctx, in)
	if err != nil {
		return Version{}, fmt.Errorf("reading version %s: %w", aws.ToString(in.VersionId)+aws.ToString(in.VersionStage), reduce(err))
	}
	return Version{
		ID: aws.ToString(out.VersionId), Labels: out.VersionStages,
		CreatedAt: aws.ToTime(out.CreatedDate), Value: secret.New(aws.ToString(out.SecretString)),
	}, nil
}

// Versions lists every version that Secrets Manager still has, without labels
// too, newest first and without values.
func (s Store) Versions(ctx context.Context, arn string) ([]Version, error) {
	var all []Version
	pages := secretsmanager.NewListSecretVersionIdsPaginator(s.API, &secretsmanager.ListSecretVersionIdsInput{
		SecretId: &arn, IncludeDeprecated: aws.Bool(true), MaxResults: aws.Int32(100),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing the versions: %w", reduce(err))
		}
		for _, v := range page.Versions {
			all = append(all, Version{ID: aws.ToString(v.VersionId), Labels: v.VersionStages, CreatedAt: aws.ToTime(v.CreatedDate)})
		}
	}
	slices.SortStableFunc(all, func(a, b Version) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return all, nil
}

// MoveLabel moves a staging label from one version to another; an empty to
// only removes it. If from does not hold the label, nothing is changed, and
// that is an error unless the label is already where it should be: then an
// earlier attempt has moved it, whose reply was lost.
func (s Store) MoveLabel(ctx context.Context, arn, label, from, to string) error {
	in := &secretsmanager.UpdateSecretVersionStageInput{SecretId: &arn, VersionStage: &label}
	if from != "" {
		in.RemoveFromVersionId = &from
	}
	if to != "" {
		in.MoveToVersionId = &to
	}
	if err := s.wait(ctx); err != nil {
		return fmt.Errorf("moving %s: %w", label, err)
	}
	_, err := s.API.UpdateSecretVersionStage(ctx, in)
	s.note(err != nil && isThrottled(err))
	if err == nil {
		return nil
	}
	if now, describeErr := s.Describe(ctx, arn); describeErr == nil {
		holder := now.Holder(label)
		if to != "" && holder == to || to == "" && holder != from {
			return nil
		}
	}
	return fmt.Errorf("moving %s: %w", label, reduce(err))
}

func isManaged(tags []types.Tag) bool { return tagged(tags, TagKey) == TagValue }

// tagged returns a tag's value, empty if there is no such tag.
func tagged(tags []types.Tag, key string) string {
	for _, t := range tags {
		if aws.ToString(t.Key) == key {
			return aws.ToString(t.Value)
		}
	}
	return ""
}

const codeAccessDenied = "AccessDeniedException"

// Error is a refusal by Secrets Manager, reduced to its code and message.
type Error struct {
	Code, Message string
	kind          error
}

func (e *Error) Error() string {
	text := e.Code
	if e.Message != "" {
		text += ": " + e.Message
	}
	// The functions' roles see tagged secrets only. To them one that lacks the
	// tag, one that does not exist and one under a key that they may not use
	// all look the same.
	if e.Code == codeAccessDenied {
		text += fmt.Sprintf(" (does the secret exist, with the tag %s = %s, and is its own KMS key, if it has one, the stack's SecretsKeyArn?)", TagKey, TagValue)
	}
	return text
}

// Unwrap gives the sentinel that the error stands for.
func (e *Error) Unwrap() error { return e.kind }

// reduce keeps an AWS error's code and message and drops the request around
// it.
func reduce(err error) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		for _, end := range []error{context.Canceled, context.DeadlineExceeded} {
			if errors.Is(err, end) {
				return fmt.Errorf("no reply from Secrets Manager in time: %w", end)
			}
		}
		return errors.New("no reply from Secrets Manager")
	}
	return newError(api.ErrorCode(), api.ErrorMessage())
}

func newError(code, message string) *Error {
	e := &Error{Code: code, Message: message}
	switch e.Code {
	case "ResourceNotFoundException":
		e.kind = ErrNotFound
	case "ResourceExistsException":
		e.kind = ErrVersionExists
	case codeAccessDenied, "DecryptionFailure":
		e.kind = ErrDenied
	}
	return e
}

package managedsecret

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// HoldKey is the tag that keeps every run from issuing a credential, whatever
// its value: the role that rotates may not write a secret that has it. A tag is
// no version: it costs no write of a value, and a person can take it off.
const HoldKey = "databricks-rotation-hold"

// HoldKind says why a secret is held.
type HoldKind string

// Kinds of holds.
const (
	// Revoked means that the credential was deleted and nothing was to replace
	// it.
	Revoked HoldKind = "revoked"
	// LockedOut means that the principal was also switched off.
	LockedOut HoldKind = "locked-out"
)

// Hold is a revocation that lasts until somebody releases it.
type Hold struct {
	// Kind is LockedOut if the tag does not say: the stricter of the two.
	Kind HoldKind
	// Since is when the revocation began, zero if the tag does not say.
	Since time.Time
}

func (h Hold) String() string { return string(h.Kind) + " " + h.Since.UTC().Format(time.RFC3339) }

// holdOf reads a tag that a person may have written: any value holds, and so
// does the key in another case, for IAM compares keys without it and refuses to
// write such a secret.
func holdOf(tags []types.Tag) *Hold {
	var held *Hold
	for _, t := range tags {
		key := aws.ToString(t.Key)
		if !strings.EqualFold(key, HoldKey) || held != nil && key != HoldKey {
			continue
		}
		h := Hold{Kind: LockedOut}
		kind, since, _ := strings.Cut(aws.ToString(t.Value), " ")
		if HoldKind(kind) == Revoked {
			h.Kind = Revoked
		}
		if at, err := time.Parse(time.RFC3339, since); err == nil && key == HoldKey {
			h.Since = at
		}
		held = &h
	}
	return held
}

// SetHold puts a hold on a secret, in the place of the one that may be there.
func (s Store) SetHold(ctx context.Context, arn string, h Hold) error {
	_, err := s.API.TagResource(ctx, &secretsmanager.TagResourceInput{
		SecretId: &arn, Tags: []types.Tag{{Key: aws.String(HoldKey), Value: aws.String(h.String())}},
	})
	if err != nil {
		return fmt.Errorf("setting the tag %s: %w", HoldKey, reduce(err))
	}
	return nil
}

// ClearHold takes the hold off a secret; one that is not there is no error.
func (s Store) ClearHold(ctx context.Context, arn string) error {
	_, err := s.API.UntagResource(ctx, &secretsmanager.UntagResourceInput{SecretId: &arn, TagKeys: []string{HoldKey}})
	if err != nil {
		return fmt.Errorf("removing the tag %s: %w", HoldKey, reduce(err))
	}
	return nil
}

package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"databricks-credential-rotation/shared/bucket"
)

// Objects is where documents are.
type Objects interface {
	Read(ctx context.Context, key string, most int64) (bucket.Object, error)
	Location(key string) string
}

// Document is a deployment's policy where it lies.
type Document struct {
	// Objects is nil if the deployment has no document of its own and goes by
	// the default.
	Objects Objects
	Key     string
	Log     *slog.Logger
}

// Open is the policy at a key of a bucket, or the default if the bucket has no
// name.
func Open(api bucket.API, bucketName, key string, log *slog.Logger) Document {
	// While a function starts, Lambda gives it more of a CPU than later. What
	// goes wrong here goes wrong again in Parse, where it is told.
	_, _ = loadSchema()
	d := Document{Key: key, Log: log}
	if bucketName != "" {
		d.Objects = bucket.Bucket{API: api, Name: bucketName}
	}
	return d
}

// Read returns the policy as it is now, and logs which version that is. It is
// called at every invocation: what a function remembered from the one before
// may have been withdrawn.
func (d Document) Read(ctx context.Context) (Policy, error) {
	if d.Objects == nil {
		d.Log.InfoContext(ctx, "policy", "policy", "default")
		return Parse(DefaultDocument)
	}
	location := d.Objects.Location(d.Key)
	object, err := d.Objects.Read(ctx, d.Key, MaxSize)
	switch {
	case errors.Is(err, bucket.ErrNotFound), errors.Is(err, bucket.ErrDenied):
		return Policy{}, fmt.Errorf("%w; put a document there, or take the key out of the stack's parameters to go by the default", err)
	case err != nil:
		return Policy{}, err
	}
	p, err := Parse(object.Body)
	if err != nil {
		if object.VersionID != "" {
			location += ", version " + object.VersionID
		}
		return Policy{}, fmt.Errorf("%s: %w", location, err)
	}
	d.Log.InfoContext(ctx, "policy", "policy", location, "policy_version", object.VersionID, "policy_changed", object.ModifiedAt)
	return p, nil
}

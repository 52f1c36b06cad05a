package revocation

import (
	"context"
	"log/slog"

	"databricks-credential-rotation/shared/policy"
)

// OrDefault is a policy that is always there: a mistake in the document must
// not stand between a leaked credential and its successor. All that a
// replacement takes from it is the lifetime.
func OrDefault(read func(context.Context) (policy.Policy, error), log *slog.Logger) func(context.Context) (policy.Policy, error) {
	return func(ctx context.Context) (policy.Policy, error) {
		p, err := read(ctx)
		if err != nil {
			log.WarnContext(ctx, "the policy cannot be used; this revocation goes by the default", "error", err.Error())
			return policy.Default(), nil
		}
		return p, nil
	}
}

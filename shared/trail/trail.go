// Package trail records every change to a credential, before and after it.
//
// An entry is written before a change, and the change does not happen if the
// entry cannot be written. Entries name secrets by their ids, never by value.
package trail

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// Phase says on which side of the change an entry stands.
type Phase string

// The phases of a change.
const (
	Before Phase = "before"
	After  Phase = "after"
)

// Entry is one record.
type Entry struct {
	Phase Phase
	// Action is what is done: issue, store, promote, retire, discard, clear.
	Action string
	// Why is the reason for it.
	Why string
	// Door is the way the run came in: sweep, protocol, queue, direct.
	Door string
	// Secret is the managed secret's name.
	Secret string
	// ClientID is the service principal's application id.
	ClientID string
	// OAuthSecretID and VersionID name what is changed, when they are known.
	OAuthSecretID, VersionID string
	// Err is why the change failed, after it.
	Err error
}

// Trail keeps entries.
type Trail interface {
	// Record returns once the entry is safe.
	Record(context.Context, Entry) error
}

// Log is a trail in the structured log, nil for the default one. Entries are
// written whatever level the log is set to: a level is for people who read too
// much, and an entry left out would be a change without one.
type Log struct{ Logger *slog.Logger }

// Record implements [Trail]. Unlike the logger's own methods it returns the
// error of a handler that could not write.
func (l Log) Record(ctx context.Context, e Entry) error {
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("phase", string(e.Phase)),
		slog.String("action", e.Action),
		slog.String("why", e.Why),
		slog.String("door", e.Door),
		slog.String("secret", e.Secret),
		slog.String("client_id", e.ClientID),
	}
	if e.OAuthSecretID != "" {
		attrs = append(attrs, slog.String("oauth_secret_id", e.OAuthSecretID))
	}
	if e.VersionID != "" {
		attrs = append(attrs, slog.String("version_id", e.VersionID))
	}
	if e.Phase == After {
		outcome := "done"
		if e.Err != nil {
			outcome, level = "failed", slog.LevelError
			attrs = append(attrs, slog.String("error", e.Err.Error()))
		}
		attrs = append(attrs, slog.String("outcome", outcome))
	}
	logger := l.Logger
	if logger == nil {
		logger = slog.Default()
	}
	record := slog.NewRecord(time.Now(), level, "trail", 0)
	record.AddAttrs(attrs...)
	if err := logger.Handler().Handle(ctx, record); err != nil {
		return fmt.Errorf("writing the trail to the log: %w", err)
	}
	return nil
}

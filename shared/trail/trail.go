// Package trail records every change to a credential, before and after it.
//
// An entry is written before a change, and the change does not happen if the
// entry cannot be written. Entries name secrets by their ids, never by value.
package trail

import (
	"context"
	"log/slog"
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

// Log is a trail in the structured log.
type Log struct{ Logger *slog.Logger }

// Record implements [Trail]. A log has no way to say that it failed.
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
	l.Logger.LogAttrs(ctx, level, "trail", attrs...)
	return nil
}

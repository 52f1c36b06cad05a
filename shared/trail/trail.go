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
	// Action is what is done, in a word or two of the function that does it:
	// issue, prune, switch off.
	Action string
	// Why is the reason for it.
	Why string
	// Door is the way the run came in, such as sweep, audit or revocation.
	Door string
	// RequestedBy is who asked for the change, where a person did.
	RequestedBy string
	// Secret is the managed secret's name.
	Secret string
	// ClientID is the service principal's application id.
	ClientID string
	// User is the name of the person whose credential it is.
	User string
	// Host is the Databricks host on which the change is made.
	Host string
	// OAuthSecretID, TokenID and VersionID name what is changed, when they are
	// known.
	OAuthSecretID, TokenID, VersionID string
	// Err is why the change failed, after it.
	Err error
}

// attrs are the entry's fields, those that are set, under the names that they
// have in every trail.
func (e Entry) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("phase", string(e.Phase)), slog.String("action", e.Action), slog.String("why", e.Why), slog.String("door", e.Door)}
	for _, field := range []struct{ key, value string }{
		{"requested_by", e.RequestedBy},
		{"secret", e.Secret},
		{"client_id", e.ClientID},
		{"user", e.User},
		{"host", e.Host},
		{"oauth_secret_id", e.OAuthSecretID},
		{"token_id", e.TokenID},
		{"version_id", e.VersionID},
	} {
		if field.value != "" {
			attrs = append(attrs, slog.String(field.key, field.value))
		}
	}
	if e.Phase != After {
		return attrs
	}
	if e.Err != nil {
		return append(attrs, slog.String("outcome", "failed"), slog.String("error", e.Err.Error()))
	}
	return append(attrs, slog.String("outcome", "done"))
}

// Trail keeps entries.
type Trail interface {
	// Record returns once the entry is safe.
	Record(context.Context, Entry) error
}

// Level is the level of an entry, unless it tells of a failure.
const Level = slog.LevelInfo

// Log is a trail in the structured log, nil for the default one. Entries are
// written whatever level the logger is set to: a level is for people who read
// too much, and an entry left out would be a change without one. Lambda drops
// lines by their level too, so the template takes no level above [Level].
type Log struct{ Logger *slog.Logger }

// Record implements [Trail]. Unlike the logger's own methods it returns the
// error of a handler that could not write.
func (l Log) Record(ctx context.Context, e Entry) error {
	level := Level
	if e.Phase == After && e.Err != nil {
		level = slog.LevelError
	}
	logger := l.Logger
	if logger == nil {
		logger = slog.Default()
	}
	record := slog.NewRecord(time.Now(), level, "trail", 0)
	record.AddAttrs(e.attrs()...)
	if err := logger.Handler().Handle(ctx, record); err != nil {
		return fmt.Errorf("writing the trail to the log: %w", err)
	}
	return nil
}

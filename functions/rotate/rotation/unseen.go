package rotation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/usagelog"
)

// UsageLog is what the engine needs of the audit log: for each handover the
// readers that have not come back since.
type UsageLog interface {
	Unseen(ctx context.Context, now time.Time, handovers []usagelog.Handover) ([][]usagelog.Reader, error)
}

const (
	// askTimeout is how long a run waits for the usage log. A warehouse that
	// stands still takes a minute or more to start.
	askTimeout = 3 * time.Minute
	// askMargin is what must be left of a run's time when the log has answered.
	askMargin = stopMargin + time.Minute
	// mostReaders is how many readers of a predecessor are named.
	mostReaders = 10
)

// Question is what the usage log is asked about a predecessor.
type Question struct {
	OAuthSecretID string
	Handover      usagelog.Handover
}

// Extension is a predecessor that stays past its grace.
type Extension struct {
	OAuthSecretID string
	SupersededAt  time.Time
	// Until is when it goes whatever the log says.
	Until time.Time
}

// Unseen is a predecessor past its grace that may still be in use.
type Unseen struct {
	OAuthSecretID string `json:"oauth_secret_id"`
	// KeptUntil is when it goes at the latest, zero if it goes now.
	KeptUntil time.Time `json:"kept_until,omitzero"`
	// Readers are those that have not come back, the latest first, and More
	// counts those that are not named.
	Readers []usagelog.Reader `json:"readers"`
	More    int               `json:"more_readers,omitempty"`
}

// replaced decides what becomes of a predecessor. It returns until when it is
// kept, zero if it goes. When that is over depends on the past alone, so that
// grace is extended once and not again, with nothing to remember.
func (p *Plan) replaced(by policy.Policy, o Observation, s databricks.OAuthSecret, at time.Time) time.Time {
	over := at.Add(by.Grace)
	last := over.Add(by.ExtendGrace)
	unseen, asked := o.Unseen[s.ID]
	switch {
	case o.Now.Before(over):
		return over
	case o.CanAsk && !asked:
		p.Ask = append(p.Ask, Question{s.ID, usagelog.Handover{ClientID: o.Current.Credential.ClientID, Made: s.CreateTime, At: at}})
		return last
	case len(unseen) > 0 && o.Now.Before(last):
		p.Extended = append(p.Extended, Extension{s.ID, at, last})
		return last
	case len(unseen) > 0:
		p.retire(o, Retirement{s.ID, fmt.Sprintf("its grace period is over, though %d readers have not come back", len(unseen)), Predecessor})
	default:
		p.retire(o, Retirement{s.ID, "its grace period is over", Predecessor})
	}
	return time.Time{}
}

// makeRoom ends what is past its grace and was only left for readers that may
// never come, the oldest first, where a new credential needs the place.
func (m *making) makeRoom() {
	waiting := slices.Clone(m.Extended)
	for _, q := range m.Ask {
		waiting = append(waiting, Extension{OAuthSecretID: q.OAuthSecretID, SupersededAt: q.Handover.At})
	}
	slices.SortStableFunc(waiting, func(a, b Extension) int { return a.SupersededAt.Compare(b.SupersededAt) })
	for _, w := range waiting {
		if len(m.live)-len(m.Retire) < databricks.MaxSecrets {
			return
		}
		if m.o.doubts(w.OAuthSecretID) {
			continue
		}
		m.retire(m.o, Retirement{w.OAuthSecretID, "its grace period is over, and its place is needed", Predecessor})
		m.Extended = slices.DeleteFunc(m.Extended, func(e Extension) bool { return e.OAuthSecretID == w.OAuthSecretID })
		m.Ask = slices.DeleteFunc(m.Ask, func(q Question) bool { return q.OAuthSecretID == w.OAuthSecretID })
	}
}

// asks are the questions for which the plan of a secret is postponed. A
// credential that does not authenticate is replaced at once.
func (r *run) asks(p Plan) []Question {
	if r.asking != unasked || p.Issue != nil && p.Issue.Reason == Dead {
		return nil
	}
	return p.Ask
}

// asking is how far a run has got with the usage log.
type asking int

const (
	// neverAsks is a run that looks at one secret only, and leaves what is past
	// its grace to the next sweep.
	neverAsks asking = iota
	unasked
	answered
	failed
)

// ask asks the usage log once for all that is due. If it does not answer,
// what is due goes all the same: how long a predecessor lives was promised.
func (r *run) ask(ctx context.Context, questions []Question) {
	if len(questions) == 0 {
		return
	}
	limit := askTimeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)-askMargin)
	}
	handovers := make([]usagelog.Handover, len(questions))
	for i, q := range questions {
		handovers[i] = q.Handover
	}
	err := errors.New("no time is left for it")
	var readers [][]usagelog.Reader
	if limit > 0 {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		readers, err = r.Usage.Unseen(ctx, r.now(), handovers)
	}
	if err == nil && len(readers) != len(questions) {
		err = errors.New("it has not answered all of it")
	}
	if err != nil {
		r.asking = failed
		r.Log.WarnContext(ctx, "the usage log cannot tell who still uses what is past its grace, which is ended unseen",
			"oauth_secrets", len(questions), "error", err.Error())
		return
	}
	r.asking, r.unseen = answered, map[string][]usagelog.Reader{}
	for i, q := range questions {
		r.unseen[q.OAuthSecretID] = readers[i]
	}
}

// warn tells of each predecessor that may still be in use, before anything is
// done about it.
func (r *run) warn(ctx context.Context, o Observation, p Plan) []Unseen {
	var all []Unseen
	add := func(id string, until time.Time) {
		readers := o.Unseen[id]
		if len(readers) == 0 {
			return
		}
		u := Unseen{OAuthSecretID: id, KeptUntil: until, Readers: readers[:min(len(readers), mostReaders)], More: max(0, len(readers)-mostReaders)}
		all = append(all, u)
		attrs := []slog.Attr{
			slog.String("secret", o.Secret.Name), slog.String("client_id", o.Current.Credential.ClientID), slog.String("oauth_secret_id", id),
			slog.Int("readers", len(readers)), slog.Any("not_seen_since", u.Readers),
		}
		if r.dry {
			attrs = append(attrs, slog.Bool("dry_run", true))
		}
		if until.IsZero() {
			r.Log.LogAttrs(ctx, slog.LevelWarn, "a predecessor may still be in use, and is ended now", attrs...)
		} else {
			r.Log.LogAttrs(ctx, slog.LevelWarn, "a predecessor may still be in use, and is kept for longer", append(attrs, slog.Time("kept_until", until))...)
		}
	}
	for _, e := range p.Extended {
		add(e.OAuthSecretID, e.Until)
	}
	for _, gone := range p.Retire {
		add(gone.ID, time.Time{})
	}
	return all
}

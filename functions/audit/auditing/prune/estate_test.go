package prune_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/trail"
)

const (
	day    = 24 * time.Hour
	client = "0c5e3a1f-7d24-4c8e-9b6a-1f2e3d4c5b6a"
	other  = "5d5c9a52-97f1-4b46-a61c-5b1b9ad2f001"
)

var start = time.Date(2026, 6, 1, 6, 0, 0, 0, time.UTC)

// estate is an estate in memory. A call on the id in broken fails as told.
type estate struct {
	now      time.Time
	tokens   map[string]inventory.Token
	secrets  map[string][]inventory.OAuthSecret
	recorded map[string][]string
	lastUsed map[string]time.Time
	fail     func(op, id string) (before, after error)
	deletes  map[string]int
	trail    []trail.Entry
	trailErr error
}

func (e *estate) call(op, id string, do func()) error {
	var before, after error
	if e.fail != nil {
		before, after = e.fail(op, id)
	}
	if before == nil {
		do()
	}
	return errors.Join(before, after)
}

func (e *estate) Token(_ context.Context, _ int64, id string) (t inventory.Token, err error) {
	err = e.call("read", id, func() { t = e.tokens[id] })
	if err == nil && t.ID == "" {
		err = fmt.Errorf("reading: %w", databricks.ErrNotFound)
	}
	return t, err
}

func (e *estate) DeleteToken(_ context.Context, _ int64, id string) error {
	return e.call("delete", id, func() { delete(e.tokens, id); e.deletes[id]++ })
}

func (e *estate) SetTokenScopes(_ context.Context, _ int64, id string, scopes []string) error {
	return e.call("narrow", id, func() {
		t := e.tokens[id]
		t.Scopes = scopes
		e.tokens[id] = t
	})
}

func (e *estate) Secrets(_ context.Context, clientID string) (list []inventory.OAuthSecret, err error) {
	err = e.call("list", clientID, func() { list = e.secrets[clientID] })
	return list, err
}

func (e *estate) DeleteSecret(_ context.Context, clientID, id string) error {
	return e.call("delete", id, func() {
		e.deletes[id]++
		e.secrets[clientID] = slices.DeleteFunc(slices.Clone(e.secrets[clientID]), func(s inventory.OAuthSecret) bool { return s.ID == id })
	})
}

func (e *estate) Recorded(_ context.Context, clientID string) ([]string, error) {
	return e.recorded[clientID], nil
}

func (e *estate) LastUsed(_ context.Context, clientID string, _ time.Time) (time.Time, error) {
	return e.lastUsed[clientID], nil
}

func (e *estate) Host(s finding.Subject) string {
	return fmt.Sprintf("https://%d.example.com", s.Workspace)
}

func (e *estate) Record(_ context.Context, entry trail.Entry) error {
	if e.trailErr != nil {
		return e.trailErr
	}
	e.trail = append(e.trail, entry)
	return nil
}

// newEstate has a hundred credentials in use, and of those that nobody uses
// one of each kind.
func newEstate() *estate {
	e := &estate{
		now: start, tokens: map[string]inventory.Token{}, secrets: map[string][]inventory.OAuthSecret{}, recorded: map[string][]string{},
		lastUsed: map[string]time.Time{}, deletes: map[string]int{},
	}
	token := func(id string, used time.Time) inventory.Token {
		return inventory.Token{ID: id, Workspace: 1, Owner: "ann@example.com", CreatedAt: start.Add(-100 * day), ExpiresAt: start.Add(300 * day), LastUsedAt: used, Scopes: []string{"sql"}}
	}
	for i := range 100 {
		id := fmt.Sprintf("used%02d", i)
		e.tokens[id] = token(id, start.Add(-2*day))
	}
	e.tokens["stale"] = token("stale", start.Add(-61*day))
	e.tokens["never"] = token("never", time.Time{})
	wide := token("wide", start.Add(-2*day))
	wide.Scopes, wide.Autoscope, wide.Inferred = nil, "COMPLETED", []string{"sql", "jobs"}
	e.tokens["wide"] = wide
	watched := token("watched", start.Add(-2*day))
	watched.Scopes, watched.Autoscope, watched.Inferred = nil, "RUNNING", []string{"sql"}
	e.tokens["watched"] = watched
	secret := func(id string) inventory.OAuthSecret {
		return inventory.OAuthSecret{ID: id, CreatedAt: start.Add(-100 * day), ExpiresAt: start.Add(300 * day)}
	}
	e.secrets[client] = []inventory.OAuthSecret{secret("current"), secret("grace"), secret("foreign")}
	e.secrets[other] = []inventory.OAuthSecret{secret("busy")}
	e.recorded[client] = []string{"current", "grace"}
	e.lastUsed[other] = start.Add(-day)
	return e
}

// inventory is what an audit sees.
func (e *estate) inventory() *inventory.Inventory {
	inv := &inventory.Inventory{TakenAt: e.now, UsageSince: e.now.Add(-60 * day), Usage: map[string]inventory.Usage{}}
	for _, t := range e.tokens {
		inv.Tokens = append(inv.Tokens, t)
	}
	for _, c := range []string{client, other} {
		inv.Principals = append(inv.Principals, inventory.Principal{ClientID: c, Name: c, Active: true, Secrets: e.secrets[c]})
		if last := e.lastUsed[c]; !last.IsZero() {
			inv.Usage[c] = inventory.Usage{Last: last, Events: 1}
		}
	}
	inv.Managed = []inventory.Managed{{ARN: "arn", ClientID: client, OAuthSecretID: "current", Predecessors: []string{"grace"}, Recorded: e.recorded[client]}}
	return inv
}

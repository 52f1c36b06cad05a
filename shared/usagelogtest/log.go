// Package usagelogtest is an audit log in memory that answers the statements
// of package usagelog, computed in plain Go. A check in infra/sqlcheck holds it
// to what Spark answers to the same statements over the same events.
package usagelogtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"databricks-credential-rotation/shared/usagelog"
)

// Event is a row of the log, of the columns that the statements read.
type Event struct {
	ID        string
	At        time.Time
	Workspace int64
	// Address may carry a port. Empty texts stand for NULL here.
	Address, Agent string
	// Identity is a user name or an application id.
	Identity        string
	Service, Action string
	Params          map[string]string
	// Status is zero where the log has none.
	Status int
}

// MarshalJSON writes the event as a row of the table that Databricks documents.
func (e Event) MarshalJSON() ([]byte, error) {
	null := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	var status any
	if e.Status != 0 {
		status = e.Status
	}
	level := "WORKSPACE_LEVEL"
	if e.Workspace == 0 {
		level = "ACCOUNT_LEVEL"
	}
	return json.Marshal(map[string]any{
		"account_id": "3f0a1b2c-0000-4000-8000-000000000000", "workspace_id": fmt.Sprint(e.Workspace), "version": "2.0",
		"event_time": e.At.UTC().Format("2006-01-02T15:04:05.000000Z"), "event_date": e.At.UTC().Format(time.DateOnly),
		"source_ip_address": null(e.Address), "user_agent": null(e.Agent), "session_id": nil,
		"user_identity": map[string]any{"email": null(e.Identity), "subject_name": nil},
		"service_name":  e.Service, "action_name": e.Action, "request_id": e.ID, "request_params": e.Params,
		"response":    map[string]any{"status_code": status, "error_message": nil, "result": nil},
		"audit_level": level, "event_id": e.ID, "identity_metadata": map[string]any{"run_by": nil, "run_as": nil},
	})
}

// Log is an audit log. Its zero value is empty, and it is safe for concurrent
// use.
type Log struct {
	mu     sync.Mutex
	events []Event
}

// Add appends events. One without an id gets the next number.
func (l *Log) Add(events ...Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		if e.ID == "" {
			e.ID = fmt.Sprintf("event-%08d", len(l.events))
		}
		// The log is accurate to a microsecond.
		e.At = e.At.UTC().Truncate(time.Microsecond)
		l.events = append(l.events, e)
	}
}

// Events are all events.
func (l *Log) Events() []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events)
}

// answer is one statement's counterpart.
type answer struct {
	columns    string
	parameters string
	rows       func(events []event, p *parameters) [][]string
}

var answers = map[string]answer{
	usagelog.SQL("usage"):      {"identity first_seen last_seen events work", "by_action", activities},
	usagelog.SQL("addresses"):  {"identity address first_seen last_seen events recent_events", "recent token_logins", addresses},
	usagelog.SQL("agents"):     {"identity agent example first_seen last_seen events recent_events", "recent token_logins", agents},
	usagelog.SQL("bursts"):     {"kind subject first_seen last_seen events counterparts examples actions", "actions failed by threshold window", bursts},
	usagelog.SQL("awakenings"): {"identity silent_since awake_at address agent", "recent dormant", awakenings},
	usagelog.SQL("changes"):    {"identity action target target_group first_seen last_seen events address", "ours actions group_actions groups target_keys group_keys", changes},
	usagelog.SQL("unseen"): {
		"identity looked_from replaced_at address agent last_seen events", "handovers actions client_keys ours", unseen,
	},
	usagelog.SQL("after_revocation"): {"subject revoked_at first_seen last_seen events late_events addresses actions", "revoked slack token_keys", lateUses},
}

const common = "table from from_date until nobody"

// Statement answers a statement. One that package usagelog does not have is an
// error, and so is a parameter that is missing.
func (l *Log) Statement(statement string, params map[string]string) (columns []string, rows [][]string, err error) {
	a, ok := answers[statement]
	if !ok {
		return nil, nil, fmt.Errorf("[UNKNOWN_STATEMENT] the audit log in memory has no answer to this statement")
	}
	p := &parameters{values: params}
	for _, name := range append(strings.Fields(common), strings.Fields(a.parameters)...) {
		if _, ok := params[name]; !ok {
			p.fail("[UNBOUND_SQL_PARAMETER] there is no parameter %s", name)
		}
	}
	from, until, firstDay := p.micros("from"), p.micros("until"), p.values["from_date"]
	nobody := p.list("nobody")
	var window []event
	for _, e := range l.Events() {
		if t := e.At.UnixMicro(); t >= from && t < until && e.At.Format(time.DateOnly) >= firstDay {
			window = append(window, read(e, nobody))
		}
	}
	if p.err == nil {
		rows = a.rows(window, p)
	}
	if p.err != nil {
		return nil, nil, p.err
	}
	return strings.Fields(a.columns), rows, nil
}

// parameters are a statement's, read as the statement casts them. The first
// fault is kept.
type parameters struct {
	values map[string]string
	err    error
}

func (p *parameters) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

func (p *parameters) micros(name string) int64 {
	n, err := strconv.ParseInt(p.values[name], 10, 64)
	if err != nil {
		p.fail("[CAST_INVALID_INPUT] parameter %s is no number", name)
	}
	return n
}

// list splits as Spark does: the empty text is a list of one empty text.
func (p *parameters) list(name string) []string { return strings.Split(p.values[name], ",") }

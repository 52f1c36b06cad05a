package usagelog

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/secret"
)

// lookBack is how long before a credential was replaced its readers are looked
// for: a week, so that whoever comes once a week is known. Who was silent for
// longer has mostly been started anew by then, and has read the secret anew.
const lookBack = 7 * 24 * time.Hour

// Handover is the moment when a credential was replaced by another one of the
// same principal.
type Handover struct {
	// ClientID is the principal's application id.
	ClientID string
	// Made is when the replaced one was created, zero if that is not known.
	// Nobody can have used it before.
	Made time.Time
	// At is when its successor became current.
	At time.Time
}

// from is from when on the log is looked at.
func (h Handover) from() time.Time {
	if from := h.At.Add(-lookBack); h.Made.Before(from) {
		return from
	}
	return h.Made
}

// Reader is an address from which a program got access tokens.
type Reader struct {
	Address string `json:"address"`
	// Agent is the first word of its user agent, up to a slash.
	Agent string `json:"agent,omitempty"`
	// Last is when it last got one.
	Last time.Time `json:"last"`
}

// String names the reader in a message.
func (r Reader) String() string {
	if r.Agent == "" {
		return r.Address
	}
	return r.Address + " (" + r.Agent + ")"
}

// Log answers statements; [databricks.Client] does.
type Log interface {
	Query(ctx context.Context, w databricks.Warehouse, s databricks.Statement) (databricks.Table, error)
}

// Source is an audit log where it can be read.
type Source struct {
	Log       Log
	Warehouse databricks.Warehouse
	// Table is the audit log, empty for [DefaultTable].
	Table string
}

// Unseen asks the log, once for all handovers, for the readers that got access
// tokens of the principal in the week before and none since, the latest first.
// The list has an element for each handover.
//
// The log names the principal and the address, never the OAuth secret. So one
// that has come back proves little: it may have come with either. But one that
// has not is one of whom nobody knows that he has read the new one.
func (s Source) Unseen(ctx context.Context, now time.Time, handovers []Handover) ([][]Reader, error) {
	statement := unseenStatement(s.Table, now, handovers)
	table, err := s.Log.Query(ctx, s.Warehouse, statement)
	if err != nil {
		return nil, err
	}
	if table.Truncated {
		return nil, fmt.Errorf("query %s: only the first %d rows were read", statement.Name, len(table.Rows))
	}
	type row struct {
		key    string
		reader Reader
	}
	rows, err := Decode(table, "identity looked_from replaced_at address agent last_seen events", func(r *Row) row {
		found := row{key: r.Text() + "=" + strconv.FormatInt(r.Number(), 10) + "=" + strconv.FormatInt(r.Number(), 10)}
		found.reader = Reader{Address: r.Text(), Agent: program(r.Text()), Last: r.Time()}
		r.Number()
		return found
	})
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", statement.Name, err)
	}
	byKey := map[string][]Reader{}
	for _, found := range rows {
		byKey[found.key] = append(byKey[found.key], found.reader)
	}
	all := make([][]Reader, len(handovers))
	for i, h := range handovers {
		all[i] = byKey[h.item()]
	}
	return all, nil
}

// maxAgent is how much of a program's name is kept, in bytes.
const maxAgent = 60

// program makes a name fit to be shown: whoever sends a request names himself,
// and may have put anything there.
func program(name string) string {
	if secret.Resembles(name) {
		return secret.Placeholder
	}
	if len(name) > maxAgent {
		name = strings.ToValidUTF8(name[:maxAgent], "") + "…"
	}
	return name
}

// item is a handover as the statement takes it.
func (h Handover) item() string {
	return strings.ToLower(h.ClientID) + "=" + Micros(h.from()) + "=" + Micros(h.At)
}

func unseenStatement(table string, now time.Time, handovers []Handover) databricks.Statement {
	from := now
	var items []string
	for _, h := range handovers {
		if h.from().Before(from) {
			from = h.from()
		}
		if !strings.ContainsAny(h.ClientID, ",=") {
			items = append(items, h.item())
		}
	}
	window := Window{Table: table, From: from, Until: now}
	return window.Statement("readers not seen since", "unseen", map[string]string{
		"handovers": strings.Join(items, ","), "actions": Actions(TokenGrant), "client_keys": List(Names.ClientKeys), "ours": databricks.Agent,
	})
}

// UnseenStatement is the statement of [Source.Unseen], for whoever wants to run
// it elsewhere.
func UnseenStatement(now time.Time, handovers []Handover) databricks.Statement {
	return unseenStatement("", now, handovers)
}

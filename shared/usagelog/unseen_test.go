package usagelog_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/usagelog"
	"databricks-credential-rotation/shared/usagelogtest"
)

const (
	etl = "00000001-1111-4222-8333-000000000001"
	bi  = "00000002-1111-4222-8333-000000000002"
	day = 24 * time.Hour
)

var now = time.Date(2026, 11, 20, 6, 0, 0, 0, time.UTC)

// memory is a log that answers in memory, and counts.
type memory struct {
	usagelogtest.Log
	asked int
	// change has the answer be another one.
	change func(*databricks.Table)
	err    error
}

func (m *memory) Query(_ context.Context, _ databricks.Warehouse, s databricks.Statement) (databricks.Table, error) {
	m.asked++
	if m.err != nil {
		return databricks.Table{}, m.err
	}
	columns, rows, err := m.Statement(s.SQL, s.Parameters)
	table := databricks.Table{Columns: columns}
	for _, row := range rows {
		var values []*string
		for _, v := range row {
			values = append(values, &v)
		}
		table.Rows = append(table.Rows, values)
	}
	if m.change != nil {
		m.change(&table)
	}
	return table, err
}

func (m *memory) token(ago time.Duration, identity, address, agent string) {
	m.Add(usagelogtest.Event{
		At: now.Add(-ago), Identity: identity, Address: address, Agent: agent, Service: "accounts", Action: "mintOAuthToken", Status: 200,
	})
}

func TestUnseen(t *testing.T) {
	m := &memory{}
	handovers := []usagelog.Handover{
		{ClientID: etl, Made: now.Add(-30 * day), At: now.Add(-day)},
		{ClientID: strings.ToUpper(bi), At: now.Add(-2 * day)},
		{ClientID: etl, Made: now.Add(-3 * day), At: now.Add(-2 * day)},
		{ClientID: "a,b=c", At: now},
		{ClientID: bi, At: now.Add(-20 * day)},
	}
	m.token(9*day, etl, "203.0.113.1", "curl/8")      // longer ago than a week before
	m.token(7*day, etl, "203.0.113.2", "curl/8")      // before the third was made
	m.token(50*time.Hour, etl, "203.0.113.3", "py/1") // missing in both
	m.token(30*time.Hour, etl, "203.0.113.4", "")     // between the two
	m.token(time.Hour, bi, "203.0.113.5", "go/1")
	got, err := usagelog.Source{Log: m}.Unseen(t.Context(), now, handovers)
	if err != nil {
		t.Fatal(err)
	}
	var said [][]string
	for _, readers := range got {
		var names []string
		for _, r := range readers {
			names = append(names, r.String())
		}
		said = append(said, names)
	}
	want := [][]string{{"203.0.113.4", "203.0.113.3 (py)", "203.0.113.2 (curl)"}, nil, {"203.0.113.3 (py)"}, nil, nil}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("readers (-want +got):\n%s", diff)
	}
	if m.asked != 1 {
		t.Errorf("%d statements for %d handovers", m.asked, len(handovers))
	}
	if last := got[0][0].Last; !last.Equal(now.Add(-30 * time.Hour)) {
		t.Errorf("last seen %v", last)
	}
}

// A part of an answer must not pass for the whole: who is missing in it may be
// in the rest.
func TestUnseenFails(t *testing.T) {
	for name, m := range map[string]*memory{
		"no answer":     {err: errors.New("denied")},
		"cut off":       {change: func(t *databricks.Table) { t.Truncated = true }},
		"other columns": {change: func(t *databricks.Table) { t.Columns[0] = "who" }},
		"a NULL":        {change: func(t *databricks.Table) { t.Rows[0][3] = nil }},
		"no number":     {change: func(t *databricks.Table) { t.Rows[0][5] = t.Rows[0][0] }},
	} {
		m.token(2*day, etl, "203.0.113.1", "curl")
		if got, err := (usagelog.Source{Log: m}).Unseen(t.Context(), now, []usagelog.Handover{{ClientID: etl, At: now.Add(-day)}}); err == nil {
			t.Errorf("%s: answered %v", name, got)
		}
	}
}

func TestUnseenStatement(t *testing.T) {
	s := usagelog.UnseenStatement(now, []usagelog.Handover{{ClientID: etl, At: now.Add(-day)}, {ClientID: bi, Made: now.Add(-9 * day), At: now.Add(-3 * day)}})
	for _, fault := range usagelogtest.Faults(s) {
		t.Error(fault)
	}
	if want := now.Add(-9 * day).Format(time.DateOnly); s.Parameters["from_date"] != want {
		t.Errorf("looks from %s, want %s", s.Parameters["from_date"], want)
	}
	if ours := s.Parameters["ours"]; ours != databricks.Agent {
		t.Errorf("leaves out %q", ours)
	}
}

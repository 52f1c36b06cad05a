package usagelog_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/usagelog"
)

type tableOf databricks.Table

func (a tableOf) Query(context.Context, databricks.Warehouse, databricks.Statement) (databricks.Table, error) {
	return databricks.Table(a), nil
}

// Invariant 6: a program names itself, and may do so by its credential. It is
// shown neither that nor at any length.
func TestAgentsAreFitToBeShown(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	h := usagelog.Handover{ClientID: "c", Made: at.Add(-time.Hour), At: at}
	table := tableOf{Columns: strings.Fields("identity looked_from replaced_at address agent last_seen events")}
	for _, agent := range []string{"", "python-requests", "my-dapi0123456789abcdef0123456789abcdef", strings.Repeat("ä", 100)} {
		row := []string{"c", usagelog.Micros(h.Made), usagelog.Micros(at), "192.0.2.1", agent, strconv.Itoa(0), "1"}
		values := make([]*string, len(row))
		for i := range row {
			values[i] = &row[i]
		}
		table.Rows = append(table.Rows, values)
	}
	readers, err := usagelog.Source{Log: table}.Unseen(t.Context(), at.Add(time.Hour), []usagelog.Handover{h})
	if err != nil {
		t.Fatal(err)
	}
	var agents []string
	for _, r := range readers[0] {
		agents = append(agents, r.Agent)
	}
	if diff := cmp.Diff([]string{"", "python-requests", "[secret]", strings.Repeat("ä", 30) + "…"}, agents); diff != "" {
		t.Errorf("agents (-want +got):\n%s", diff)
	}
}

package usage_test

import (
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/audit/auditing/usage"
	"databricks-credential-rotation/shared/databricks"
)

// Just before a removal the log is asked again, and silence is not taken for
// disuse.
func TestLastUses(t *testing.T) {
	w := newWorld(t)
	w.call(9*day, etl, "jobs.runNow")
	w.call(2*day, strings.ToUpper(etl), "jobs.runNow")
	w.call(time.Hour, etl, "jobs.runNow", refused)
	w.question.Policy = w.policy
	got, err := usage.LastUses(t.Context(), w.client, w.warehouse, w.question)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(map[string]time.Time{etl: now.Add(-2 * day)}, got); diff != "" {
		t.Error(diff)
	}

	if _, err := usage.LastUses(t.Context(), w.client, databricks.Warehouse{}, w.question); err == nil {
		t.Error("no warehouse, and no error")
	}
	w.server.SetStatements(nil)
	if _, err := usage.LastUses(t.Context(), w.client, w.warehouse, w.question); err == nil {
		t.Error("no answer, and no error")
	}
	cut := answers{w, "usage", databricks.Table{Truncated: true}}
	if _, err := usage.LastUses(t.Context(), cut, w.warehouse, w.question); err == nil {
		t.Error("not all rows, and no error")
	}
}

func TestSince(t *testing.T) {
	w := newWorld(t)
	if o := w.ask(); !o.Complete() || !o.Since().Equal(now) {
		t.Errorf("an empty log is complete %v since %v", o.Complete(), o.Since())
	}
	w.call(20*day, etl, "jobs.runNow")
	w.call(9*day, alice, "jobs.runNow")
	if o := w.ask(); !o.Since().Equal(now.Add(-20 * day)) {
		t.Errorf("a young log is good since %v", o.Since())
	}
	w.server.SetStatements(nil)
	if o := w.ask(); o.Complete() {
		t.Error("no answer is complete")
	}
}

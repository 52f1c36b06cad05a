package usage_test

import (
	"context"
	"encoding/json"
	"testing"

	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/functions/audit/auditing/rule"
	"databricks-credential-rotation/functions/audit/auditing/usage"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/policy"
)

type everything databricks.Table

func (e everything) Query(context.Context, databricks.Warehouse, databricks.Statement) (databricks.Table, error) {
	return databricks.Table(e), nil
}

// FuzzTable answers every statement with the same table, whatever it is. What
// has other columns than a statement asks for is not read.
func FuzzTable(f *testing.F) {
	for _, columns := range []string{
		`["identity","first_seen","last_seen","events","work"]`,
		`["identity","address","first_seen","last_seen","events","recent_events"]`,
		`["identity","agent","example","first_seen","last_seen","events","recent_events"]`,
		`["kind","subject","first_seen","last_seen","events","counterparts","examples","actions"]`,
		`["identity","silent_since","awake_at","address","agent"]`,
		`["identity","action","target","target_group","first_seen","last_seen","events","address"]`,
		`["subject","revoked_at","first_seen","last_seen","events","late_events","addresses","actions"]`,
	} {
		f.Add(columns, `[["a","1","2","3","4","5","6","7"],["a",null],["address","","9223372036854775807","-1","1","1","x,y","z"]]`)
		f.Add(columns, `[["1","1","1","1","1"],["1","1","1","1","1","1"],["token:1","1","1","1","1","1","1","1"]]`)
	}
	q := usage.Question{Now: now, Policy: policy.Default(), Revoked: []usage.Revocation{{Subject: etl, At: now}}}
	f.Fuzz(func(t *testing.T, columns, rows string) {
		var table everything
		if json.Unmarshal([]byte(columns), &table.Columns) != nil || json.Unmarshal([]byte(rows), &table.Rows) != nil {
			t.Skip()
		}
		o := usage.Ask(t.Context(), table, databricks.Warehouse{ID: "abc"}, q)
		if len(o.Missing) == 0 {
			t.Error("one table answered every statement")
		}
		for _, found := range o.Findings(inventory.Inventory{}, q.Policy, rule.Place{}) {
			if found.Subject.Kind == "" || found.Remedy == "" {
				t.Errorf("finding %+v", found)
			}
		}
		o.Usage()
	})
}

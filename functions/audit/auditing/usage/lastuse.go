package usage

import (
	"context"
	"fmt"
	"slices"
	"time"

	"databricks-credential-rotation/shared/databricks"
)

// Complete tells whether the log told what every identity uses. Otherwise that
// one is not in it proves nothing.
func (o Observation) Complete() bool {
	return !slices.ContainsFunc(o.Missing, func(m Missing) bool { return m.Check == checkUsage })
}

// Since is how far back the log can be trusted to tell of everybody's use: to
// its first event at all, for a table that was switched on late begins late.
func (o Observation) Since() time.Time {
	first := o.Until
	for _, a := range o.Activities {
		if a.First.Before(first) {
			first = a.First
		}
	}
	if first.Before(o.From) {
		return o.From
	}
	return first
}

// LastUses asks the log once more when each identity was last used, for a look
// just before something is removed.
func LastUses(ctx context.Context, log Log, w databricks.Warehouse, q Question) (map[string]time.Time, error) {
	if w.ID == "" {
		return nil, errNoWarehouse
	}
	q = q.defaults()
	each := q.queries()[0]
	table, err := log.Query(ctx, w, each.Statement)
	if err != nil {
		return nil, err
	}
	if table.Truncated {
		return nil, fmt.Errorf("only the first %d rows were read", len(table.Rows))
	}
	var o Observation
	if err := each.decode(&o, table); err != nil {
		return nil, err
	}
	last := make(map[string]time.Time, len(o.Activities))
	for _, a := range o.Activities {
		last[a.Identity] = a.Last
	}
	return last, nil
}

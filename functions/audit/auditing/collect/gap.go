package collect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/shared/databricks"
)

// gaps are what could not be read. What failed alike is one gap: an account
// that does not let its 10,000 service principals be read is one thing to mend.
type gaps struct {
	mu   sync.Mutex
	list map[gapKind]*gap
}

// gapKind is what makes two failures alike.
type gapKind struct {
	where, what, cause string
}

type gap struct {
	why   string
	count int
	// names are the first few of those affected.
	names []string
}

// gapNames is how many of those affected a gap names.
const gapNames = 5

// gap notes that something could not be read.
func (r *run) gap(ctx context.Context, where, what, name string, err error) {
	if ctx.Err() != nil {
		// Whatever the call says of its end, this is why.
		err = errTime
	}
	r.gaps.add(where, what, name, err)
}

// add notes that something could not be read. The name says of what, and is
// empty if what says it all.
func (g *gaps) add(where, what, name string, err error) {
	why := err.Error()
	kind := gapKind{where, what, cause(err, why)}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.list == nil {
		g.list = map[gapKind]*gap{}
	}
	one, ok := g.list[kind]
	if !ok {
		one = &gap{why: why}
		g.list[kind] = one
	}
	one.count++
	if name != "" {
		one.names = append(one.names, name)
		// The same few are named whatever the order in which calls end.
		if slices.Sort(one.names); len(one.names) > gapNames {
			one.names = one.names[:gapNames]
		}
	}
}

// all returns the gaps in a fixed order.
func (g *gaps) all() []inventory.Gap {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []inventory.Gap
	for kind, one := range g.list {
		what := kind.what
		if len(one.names) > 0 {
			what += " of " + strings.Join(one.names, ", ")
			if more := one.count - len(one.names); more > 0 {
				what += fmt.Sprintf(" and %d more", more)
			}
		}
		all = append(all, inventory.Gap{Where: kind.where, What: what, Why: one.why})
	}
	slices.SortFunc(all, func(a, b inventory.Gap) int {
		return cmp.Or(cmp.Compare(a.Where, b.Where), cmp.Compare(a.What, b.What), cmp.Compare(a.Why, b.Why))
	})
	return all
}

// errTime is why what an audit did not get to was not read.
var errTime = errors.New("the time ran out before it was read")

// cause is what two failures have in common: not the message, which may name
// what it is about.
func cause(err error, why string) string {
	var e *databricks.Error
	if !errors.As(err, &e) || e.Status == 0 {
		return why
	}
	return fmt.Sprintf("%s %d %s", e.Op, e.Status, e.Code)
}

// Package usage asks Databricks' audit log what credentials are used for, and
// reports uses that nobody authorized.
//
// The questions are the statements in sql, in Spark SQL, which aggregate in
// the warehouse. What an address belongs to is decided here: Spark knows no
// network prefixes, least of all of IPv6, and the distinct addresses of one
// principal are few.
package usage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"databricks-credential-rotation/shared/databricks"
)

// Observation is what the log answered. Identities are application ids or user
// names, in lower case.
type Observation struct {
	// From is where the log was read from, Recent where recent events begin.
	From, Recent, Until time.Time

	Activities             []Activity
	Addresses, Agents      []Sighting
	Failures, ACLChanges   []Burst
	Awakenings             []Awakening
	Creations, AdminGrants []Change
	LateUses               []LateUse

	// Missing are the checks that could not be made, or not wholly.
	Missing []Missing
}

// Missing is a check that could not be made.
type Missing struct{ Check, Why string }

// Activity is what an identity did.
type Activity struct {
	Identity    string
	First, Last time.Time
	Events      int64
	// Work are services, or service.action.
	Work []string
}

// Sighting is an address or a program from which an identity's credentials
// were used recently.
type Sighting struct {
	Identity, Value string
	// Example is a whole user agent.
	Example        string
	First, Last    time.Time
	Events, Recent int64
}

// Burst is too much of something at once.
type Burst struct {
	// ByAddress tells that Subject is an address rather than an identity.
	ByAddress   bool
	Subject     string
	First, Last time.Time
	Events      int64
	// Counterparts is how many addresses, or identities, took part; Examples
	// are some of them.
	Counterparts int64
	Examples     []string
	Actions      []string
}

// Awakening is the first use of a principal after a long silence.
type Awakening struct {
	Identity string
	// Silent is when it was used before, zero if the log does not know.
	Silent, Awake  time.Time
	Address, Agent string
}

// Change is something that an identity did to a target.
type Change struct {
	Identity, Action, Target, Group string
	First, Last                     time.Time
	Events                          int64
	Address                         string
}

// LateUse is use after a revocation.
type LateUse struct {
	// Subject is an identity, or TokenID a personal access token.
	Subject, TokenID     string
	Revoked, First, Last time.Time
	// Late are those of the events for which no access token from before the
	// revocation can account.
	Events, Late       int64
	Addresses, Actions []string
}

// Log answers statements; [databricks.Client] does.
type Log interface {
	Query(ctx context.Context, w databricks.Warehouse, s databricks.Statement) (databricks.Table, error)
}

const (
	// A small warehouse runs more statements one after the other anyway.
	atOnce = 3
	// readBudget leaves an audit time to be judged and published when the
	// warehouse does not answer.
	readBudget = 7 * time.Minute
)

var errNoWarehouse = errors.New("no warehouse is configured")

// Ask asks the log. What could not be asked is in the observation's Missing:
// an audit is worth having without it.
func Ask(ctx context.Context, log Log, w databricks.Warehouse, q Question) Observation {
	q = q.defaults()
	o := Observation{From: q.from(), Recent: q.recent(), Until: q.Now}
	queries := q.queries()
	if w.ID == "" {
		for _, each := range queries {
			o.miss(each, errNoWarehouse)
		}
		return o
	}
	ctx, cancel := context.WithTimeout(ctx, readBudget)
	defer cancel()
	var (
		wg    sync.WaitGroup
		slots = make(chan struct{}, atOnce)
		mu    sync.Mutex
	)
	for _, each := range queries {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			table, err := log.Query(ctx, w, each.Statement)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				err = each.decode(&o, table)
			}
			if err == nil && table.Truncated {
				err = fmt.Errorf("only the first %d rows were read", len(table.Rows))
			}
			if err != nil {
				o.miss(each, err)
			}
		})
	}
	wg.Wait()
	slices.SortFunc(o.Missing, func(a, b Missing) int { return cmp.Compare(a.Check, b.Check) })
	return o
}

func (o *Observation) miss(q query, why error) {
	for _, check := range q.checks {
		o.Missing = append(o.Missing, Missing{Check: check, Why: why.Error()})
	}
}

// row reads the values of one row. The first fault is kept.
type row struct {
	values []*string
	next   int
	err    error
}

func (r *row) text() string {
	v := r.values[r.next]
	r.next++
	if v == nil {
		r.fail("is NULL")
		return ""
	}
	return *v
}

func (r *row) list() []string {
	text := r.text()
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

func (r *row) number() int64 { return r.integer(r.text()) }

func (r *row) integer(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		r.fail("is no number")
	}
	return n
}

func (r *row) time() time.Time { return r.parse(r.text()) }

func (r *row) parse(text string) time.Time { return time.UnixMicro(r.integer(text)).UTC() }

func (r *row) fail(how string) {
	if r.err == nil {
		r.err = fmt.Errorf("column %d of a reply %s", r.next, how)
	}
}

// decode reads a table of exactly the given columns.
func decode[T any](table databricks.Table, columns string, read func(*row) T) ([]T, error) {
	want := strings.Fields(columns)
	if !slices.Equal(table.Columns, want) {
		return nil, fmt.Errorf("the reply has other columns than %s", strings.Join(want, ", "))
	}
	all := make([]T, 0, len(table.Rows))
	for _, values := range table.Rows {
		if len(values) != len(want) {
			return nil, fmt.Errorf("a row of the reply has %d values for %d columns", len(values), len(want))
		}
		r := &row{values: values}
		v := read(r)
		if r.err != nil {
			return nil, r.err
		}
		all = append(all, v)
	}
	return all, nil
}

func decodeActivities(o *Observation, t databricks.Table) (err error) {
	o.Activities, err = decode(t, "identity first_seen last_seen events work", func(r *row) Activity {
		return Activity{Identity: r.text(), First: r.time(), Last: r.time(), Events: r.number(), Work: r.list()}
	})
	return err
}

func decodeAddresses(o *Observation, t databricks.Table) (err error) {
	o.Addresses, err = decode(t, "identity address first_seen last_seen events recent_events", func(r *row) Sighting {
		return Sighting{Identity: r.text(), Value: r.text(), First: r.time(), Last: r.time(), Events: r.number(), Recent: r.number()}
	})
	return err
}

func decodeAgents(o *Observation, t databricks.Table) (err error) {
	o.Agents, err = decode(t, "identity agent example first_seen last_seen events recent_events", func(r *row) Sighting {
		return Sighting{
			Identity: r.text(), Value: r.text(), Example: r.text(), First: r.time(), Last: r.time(), Events: r.number(), Recent: r.number(),
		}
	})
	return err
}

func decodeFailures(o *Observation, t databricks.Table) (err error) {
	o.Failures, err = decodeBursts(t)
	return err
}

func decodeACLChanges(o *Observation, t databricks.Table) (err error) {
	o.ACLChanges, err = decodeBursts(t)
	return err
}

func decodeBursts(t databricks.Table) ([]Burst, error) {
	return decode(t, "kind subject first_seen last_seen events counterparts examples actions", func(r *row) Burst {
		return Burst{
			ByAddress: r.text() == "address", Subject: r.text(), First: r.time(), Last: r.time(), Events: r.number(),
			Counterparts: r.number(), Examples: r.list(), Actions: r.list(),
		}
	})
}

func decodeAwakenings(o *Observation, t databricks.Table) (err error) {
	o.Awakenings, err = decode(t, "identity silent_since awake_at address agent", func(r *row) Awakening {
		a := Awakening{Identity: r.text()}
		if silent := r.text(); silent != "" {
			a.Silent = r.parse(silent)
		}
		a.Awake, a.Address, a.Agent = r.time(), r.text(), r.text()
		return a
	})
	return err
}

func decodeCreations(o *Observation, t databricks.Table) (err error) {
	o.Creations, err = decodeChanges(t)
	return err
}

func decodeGrants(o *Observation, t databricks.Table) (err error) {
	o.AdminGrants, err = decodeChanges(t)
	return err
}

func decodeChanges(t databricks.Table) ([]Change, error) {
	return decode(t, "identity action target target_group first_seen last_seen events address", func(r *row) Change {
		return Change{
			Identity: r.text(), Action: r.text(), Target: r.text(), Group: r.text(), First: r.time(), Last: r.time(),
			Events: r.number(), Address: r.text(),
		}
	})
}

func decodeLateUse(o *Observation, t databricks.Table) (err error) {
	o.LateUses, err = decode(t, "subject revoked_at first_seen last_seen events late_events addresses actions", func(r *row) LateUse {
		u := LateUse{
			Subject: r.text(), Revoked: r.time(), First: r.time(), Last: r.time(), Events: r.number(), Late: r.number(),
			Addresses: r.list(), Actions: r.list(),
		}
		if id, ok := strings.CutPrefix(u.Subject, tokenPrefix); ok {
			u.Subject, u.TokenID = "", id
		}
		return u
	})
	return err
}

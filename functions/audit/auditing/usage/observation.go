// Package usage asks Databricks' audit log what credentials are used for, and
// reports uses that nobody authorized.
//
// The questions are the statements of package usagelog, which aggregate in the
// warehouse. What an address belongs to is decided here: Spark knows no
// network prefixes, least of all of IPv6, and the distinct addresses of one
// principal are few.
package usage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/usagelog"
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

func decodeActivities(o *Observation, t databricks.Table) (err error) {
	o.Activities, err = usagelog.Decode(t, "identity first_seen last_seen events work", func(r *usagelog.Row) Activity {
		return Activity{Identity: r.Text(), First: r.Time(), Last: r.Time(), Events: r.Number(), Work: r.List()}
	})
	return err
}

func decodeAddresses(o *Observation, t databricks.Table) (err error) {
	o.Addresses, err = usagelog.Decode(t, "identity address first_seen last_seen events recent_events", func(r *usagelog.Row) Sighting {
		return Sighting{Identity: r.Text(), Value: r.Text(), First: r.Time(), Last: r.Time(), Events: r.Number(), Recent: r.Number()}
	})
	return err
}

func decodeAgents(o *Observation, t databricks.Table) (err error) {
	o.Agents, err = usagelog.Decode(t, "identity agent example first_seen last_seen events recent_events", func(r *usagelog.Row) Sighting {
		return Sighting{
			Identity: r.Text(), Value: r.Text(), Example: r.Text(), First: r.Time(), Last: r.Time(), Events: r.Number(), Recent: r.Number(),
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
	return usagelog.Decode(t, "kind subject first_seen last_seen events counterparts examples actions", func(r *usagelog.Row) Burst {
		return Burst{
			ByAddress: r.Text() == "address", Subject: r.Text(), First: r.Time(), Last: r.Time(), Events: r.Number(),
			Counterparts: r.Number(), Examples: r.List(), Actions: r.List(),
		}
	})
}

func decodeAwakenings(o *Observation, t databricks.Table) (err error) {
	o.Awakenings, err = usagelog.Decode(t, "identity silent_since awake_at address agent", func(r *usagelog.Row) Awakening {
		return Awakening{Identity: r.Text(), Silent: r.OptionalTime(), Awake: r.Time(), Address: r.Text(), Agent: r.Text()}
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
	return usagelog.Decode(t, "identity action target target_group first_seen last_seen events address", func(r *usagelog.Row) Change {
		return Change{
			Identity: r.Text(), Action: r.Text(), Target: r.Text(), Group: r.Text(), First: r.Time(), Last: r.Time(),
			Events: r.Number(), Address: r.Text(),
		}
	})
}

func decodeLateUse(o *Observation, t databricks.Table) (err error) {
	o.LateUses, err = usagelog.Decode(t, "subject revoked_at first_seen last_seen events late_events addresses actions", func(r *usagelog.Row) LateUse {
		u := LateUse{
			Subject: r.Text(), Revoked: r.Time(), First: r.Time(), Last: r.Time(), Events: r.Number(), Late: r.Number(),
			Addresses: r.List(), Actions: r.List(),
		}
		if id, ok := strings.CutPrefix(u.Subject, tokenPrefix); ok {
			u.Subject, u.TokenID = "", id
		}
		return u
	})
	return err
}

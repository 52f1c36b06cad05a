// Package collect fills an inventory: it reads who and what can open
// Databricks, from the account, from its workspaces, and from Secrets Manager.
//
// What cannot be read is a gap of the inventory and stops nothing else. An
// audit that runs out of time says what it did not get to.
package collect

import (
	"context"
	"iter"
	"log/slog"
	"sync"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/secret"
)

// Databricks is what is read of Databricks.
type Databricks interface {
	Workspaces(ctx context.Context, account databricks.Host) ([]databricks.Workspace, error)
	WorkspaceAssignments(ctx context.Context, account databricks.Host, workspace int64) ([]databricks.WorkspaceAssignment, error)
	HostInfo(ctx context.Context, host databricks.Host) (databricks.HostInfo, error)
	Users(ctx context.Context, host databricks.Host) iter.Seq2[databricks.Member, error]
	ServicePrincipals(ctx context.Context, host databricks.Host) iter.Seq2[databricks.Member, error]
	Groups(ctx context.Context, host databricks.Host) iter.Seq2[databricks.Group, error]
	Group(ctx context.Context, host databricks.Host, id string) (databricks.Group, error)
	ListSecrets(ctx context.Context, host databricks.Host, principal string) ([]databricks.OAuthSecret, error)
	FederationPolicies(ctx context.Context, account databricks.Host, principal string) ([]databricks.FederationPolicy, error)
	PrincipalRules(ctx context.Context, host databricks.Host, accountID, applicationID string) (databricks.RuleSet, error)
	CustomApps(ctx context.Context, account databricks.Host) ([]databricks.App, error)
	PublishedApps(ctx context.Context, account databricks.Host) ([]databricks.App, error)
	Tokens(ctx context.Context, workspace databricks.Host) ([]databricks.Token, error)
	ObjectPermissions(ctx context.Context, workspace databricks.Host, kind, id string) ([]databricks.Permission, error)
	Grants(ctx context.Context, workspace databricks.Host, kind, name string) ([]databricks.Grant, error)
	Metastore(ctx context.Context, workspace databricks.Host) (string, error)
	Verify(ctx context.Context, host databricks.Host, clientID string, clientSecret secret.Text, scopes []string) error
}

// Store is what is read of Secrets Manager.
type Store interface {
	List(ctx context.Context) iter.Seq2[managedsecret.Secret, error]
	CurrentVersions(ctx context.Context, arns []string) (map[string]managedsecret.Version, map[string]error)
	CurrentVersion(ctx context.Context, arn string) (managedsecret.Version, error)
	Versions(ctx context.Context, arn string) ([]managedsecret.Version, error)
	Version(ctx context.Context, arn, versionID string) (managedsecret.Version, error)
}

// Collector reads estates.
type Collector struct {
	Databricks Databricks
	Store      Store
	// Account is the account console. Without one, an inventory is what the
	// workspaces alone show.
	Account databricks.Host
	// Try has every current credential tried, with one token request each.
	Try bool
	Log *slog.Logger
	// Now is the clock, nil for [time.Now].
	Now func() time.Time
	// Workers is how many calls are under way at once, zero for 24. How fast they
	// are made is for the client's pace to say.
	Workers int
	// Reserve is how long before the context's deadline collecting ends, for
	// what comes after it; zero for two minutes.
	Reserve time.Duration
}

const (
	// defaultWorkers keeps a hundred calls a second going with calls of a
	// quarter of a second.
	defaultWorkers = 24
	// defaultReserve is for judging, removing and publishing.
	defaultReserve = 2 * time.Minute
)

// run is one look at an estate.
type run struct {
	*Collector
	policy policy.Policy
	now    time.Time
	slots  chan struct{}
	gaps   gaps

	mu     sync.Mutex
	strs   interner
	inv    *inventory.Inventory
	places []*place
	people directory
	groups *graph
	// known are the parts of the account that could be read whole.
	known struct{ people, principals bool }
	// held are the managed secrets' current credentials, until they are tried.
	held []*holding
}

// Collect reads the estate as the policy bounds it. What the usage log tells
// is not in it.
func (c *Collector) Collect(ctx context.Context, p policy.Policy) *inventory.Inventory {
	workers := c.Workers
	if workers <= 0 {
		workers = defaultWorkers
	}
	r := &run{Collector: c, policy: p, now: c.clock()(), slots: make(chan struct{}, workers)}
	r.inv = &inventory.Inventory{TakenAt: r.now.UTC(), AccountID: c.Account.AccountID}
	r.strs = newInterner()
	r.people = newDirectory()
	r.groups = newGraph(true)

	if deadline, ok := ctx.Deadline(); ok {
		reserve := c.Reserve
		if reserve <= 0 {
			reserve = defaultReserve
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-reserve))
		defer cancel()
	}

	// Each step needs what the one before it found. What tells most about
	// credentials comes first, for the case that time runs out.
	r.together(ctx, r.readAccount, r.readManaged)
	r.findPlaces(ctx)
	r.each(ctx, r.places, r.readPlace)
	r.settleMembership()
	r.nameOwners()
	r.readPrincipals(ctx)
	r.readGrants(ctx)
	r.finishManaged(ctx)
	r.finish()
	r.log(ctx)
	return r.inv
}

func (c *Collector) clock() func() time.Time {
	if c.Now != nil {
		return c.Now
	}
	return time.Now
}

// together runs steps at the same time. Steps are not calls: they take no slot
// of their own.
func (r *run) together(ctx context.Context, steps ...func(context.Context)) {
	var running sync.WaitGroup
	for _, step := range steps {
		running.Go(func() { step(ctx) })
	}
	running.Wait()
}

// each does something about every place, as many at once as there are slots.
func (r *run) each(ctx context.Context, places []*place, do func(context.Context, *place)) {
	forEach(r.slots, places, func(p *place) { do(ctx, p) })
}

// forEach works on all of a list, on as many at once as there are slots.
func forEach[T any](slots chan struct{}, list []T, do func(T)) {
	var running sync.WaitGroup
	for _, one := range list {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			do(one)
		})
	}
	running.Wait()
}

// hasAccount tells whether there is an account console to ask.
func (r *run) hasAccount() bool { return r.Account.URL != "" }

// account is where the account's gaps are.
func (r *run) account() string {
	if r.hasAccount() {
		return r.Account.URL
	}
	return "account"
}

package fleet

import "time"

const day = 24 * time.Hour

// Fate is what the first sweep must do to a managed secret.
type Fate string

// Fates.
const (
	// Rotated secrets have grown old, or expire soon.
	Rotated Fate = "rotated"
	// Issued ones get their first credential.
	Issued Fate = "issued"
	// Adopted ones hold a credential that somebody put there by hand.
	Adopted Fate = "adopted"
	// Unchanged ones are young.
	Unchanged Fate = "unchanged"
	// Retired ones are young, and have a predecessor whose grace is over.
	Retired Fate = "retired"
	// Full ones have five OAuth secrets, most of them somebody else's.
	Full Fate = "full"
	// Inactive ones belong to a principal that is switched off.
	Inactive Fate = "inactive"
)

// Replaces tells whether the credential must be another one after the sweep.
func (f Fate) Replaces() bool { return f == Rotated || f == Issued || f == Adopted }

// Blocked tells whether the sweep must report the secret instead.
func (f Fate) Blocked() bool { return f == Full || f == Inactive }

// place is where a principal is managed.
type place int

const (
	account place = iota
	analytics
	production
)

// entry is a managed secret to be. What it leaves out is as usual: issued by a
// rotation, for 90 days, unrestricted.
type entry struct {
	name  string
	at    place
	fate  Fate
	story string
	// age is how long ago the current credential was issued.
	age time.Duration
	// lifetime is the credential's, 90 days when zero.
	lifetime time.Duration
	scopes   []string
	// admin makes the principal an account admin.
	admin bool
	// foreign is how many OAuth secrets other people made for the principal.
	foreign int
	// predecessor is how old the credential is that the current one replaced;
	// zero for none that is still alive.
	predecessor time.Duration
	// byHand holds what a person knows, and a key of the team's own.
	byHand bool
}

// The secrets that are picked out by name.
const (
	// AccountAdmin and WorkspaceUser are for a client to try, one at each level.
	AccountAdmin  = "platform/terraform"
	WorkspaceUser = "etl/ingest"
	// Tested is the one whose configuration is tried.
	Tested = "jobs/runner"
	// Interrupted is the one whose rotation was killed an hour ago.
	Interrupted = "etl/streaming"
	// ByProtocol is the one that Secrets Manager rotates.
	ByProtocol = "payments/ledger"
	// unmanaged has everything that a managed secret has, but the tag.
	unmanaged = "finance/close"
)

// TeamKey is a key that is not the rotation's, in the secret that was filled by
// hand.
const TeamKey = "OWNING_TEAM"

const teamValue = "vendor-management"

var roster = []entry{
	{name: AccountAdmin, at: account, fate: Rotated, age: 40 * day, admin: true, story: "overdue"},
	{name: "platform/scim-sync", at: account, fate: Rotated, age: 33 * day, story: "overdue"},
	{name: WorkspaceUser, at: analytics, fate: Rotated, age: 61 * day, story: "overdue"},
	{name: Interrupted, at: analytics, fate: Rotated, age: 31 * day, story: "overdue, its last rotation died"},
	{name: "dbt/nightly", at: production, fate: Rotated, age: 35 * day, scopes: []string{"sql"}, story: "overdue, scope sql"},
	{name: "bi/dashboards", at: production, fate: Rotated, age: 45 * day, scopes: []string{"dashboards", "sql"}, story: "overdue, scopes dashboards and sql"},
	{name: "partners/exchange", at: production, fate: Rotated, age: 6 * day, lifetime: 6*day + 12*time.Hour, story: "expires in 12 hours"},
	{name: "vendors/connector", at: analytics, fate: Adopted, age: 200 * day, lifetime: 730 * day, byHand: true, story: "filled by hand, of unknown age"},
	{name: "web/portal", at: account, fate: Issued, story: "registered, never issued"},
	{name: "ml/training", at: analytics, fate: Unchanged, age: 12 * day, story: "young"},
	{name: Tested, at: account, fate: Unchanged, age: 3 * day, story: "young"},
	{name: ByProtocol, at: production, fate: Unchanged, age: 20 * day, story: "young"},
	{name: "ops/monitoring", at: analytics, fate: Retired, age: 2 * time.Hour, predecessor: 32 * day, story: "predecessor past its grace"},
	{name: "legacy/reports", at: account, fate: Full, age: 50 * day, foreign: 4, story: "overdue, four secrets of others"},
	{name: "legacy/exports", at: production, fate: Inactive, age: 55 * day, story: "overdue, principal switched off"},
}

var unmanagedEntry = entry{name: unmanaged, at: production, fate: Unchanged, age: 100 * day, lifetime: 730 * day, story: "not managed"}

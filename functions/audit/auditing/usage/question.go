package usage

import (
	"strconv"
	"strings"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/usagelog"
)

const (
	day = 24 * time.Hour
	// defaultRecent is how long an event stays a finding: a week, so that one
	// missed audit misses nothing.
	defaultRecent = 7 * day
	// DefaultHistory is what recent events are compared with, and how far back
	// usage is counted. Longer history costs more of the warehouse's time.
	DefaultHistory = 60 * day
	// accessTokenLife is how long a token lives that was issued before its
	// credential was revoked.
	accessTokenLife = time.Hour
)

// Question is what an audit asks the log.
type Question struct {
	// Table is the audit log, empty for [usagelog.DefaultTable].
	Table string
	Now   time.Time
	// Recent and History are how far back to look, zero for the defaults.
	Recent, History time.Duration
	Policy          policy.Policy
	// Ours are the identities by which this product itself works: what they
	// make is not made by somebody else.
	Ours []string
	// Revoked are the revocations that still hold.
	Revoked []Revocation
}

// Revocation says that something should not have been used since.
type Revocation struct {
	// Subject is an application id or user name; TokenID, in its place, a
	// personal access token.
	Subject, TokenID string
	At               time.Time
}

func (r Revocation) key() string {
	if r.TokenID != "" {
		return tokenPrefix + r.TokenID
	}
	return strings.ToLower(r.Subject)
}

const tokenPrefix = "token:"

// The checks that the log serves, as a report names those that could not be
// made.
const (
	checkUsage        = "what each identity uses"
	checkNetworks     = "addresses outside the policy's networks"
	checkNewAddresses = "addresses seen for the first time"
	checkNewAgents    = "programs seen for the first time"
	checkFailures     = "failed authentications in bursts"
	checkACLs         = "changes of access-control lists in bursts"
	checkAwakenings   = "dormant principals that woke"
	checkCreations    = "secrets and tokens made outside this system"
	checkGrants       = "grants of admin rights"
	checkRevoked      = "use after revocation"
)

// query is one statement with what it is for and where its rows go.
type query struct {
	databricks.Statement
	checks []string
	decode func(*Observation, databricks.Table) error
}

func (q Question) defaults() Question {
	if q.Recent <= 0 {
		q.Recent = defaultRecent
	}
	if q.History <= 0 {
		q.History = DefaultHistory
	}
	// Silence shorter than the history cannot be told from a first use.
	q.History = max(q.History, q.Policy.Audit.DormantAfter+q.Recent)
	return q
}

func (q Question) from() time.Time   { return q.Now.Add(-q.History) }
func (q Question) recent() time.Time { return q.Now.Add(-q.Recent) }

// Statements are all that is asked, for whoever wants to run them elsewhere.
func (q Question) Statements() []databricks.Statement {
	var statements []databricks.Statement
	for _, each := range q.defaults().queries() {
		statements = append(statements, each.Statement)
	}
	return statements
}

func (q Question) queries() []query {
	audit := q.Policy.Audit
	queries := []query{
		q.query("what each identity uses", "usage", q.from(), map[string]string{"by_action": byAction()},
			decodeActivities, checkUsage),
		q.query("addresses", "addresses", q.from(), map[string]string{"recent": usagelog.Micros(q.recent()), "token_logins": usagelog.Actions(usagelog.TokenLogin)},
			decodeAddresses, checkNetworks, checkNewAddresses),
		q.query("programs", "agents", q.from(), map[string]string{"recent": usagelog.Micros(q.recent()), "token_logins": usagelog.Actions(usagelog.TokenLogin)},
			decodeAgents, checkNewAgents),
		q.query("secrets and tokens made", "changes", q.recent(), map[string]string{
			"actions": usagelog.Actions(usagelog.TokenCreation, usagelog.SecretCreation), "group_actions": "", "groups": "",
			"target_keys": usagelog.List(usagelog.Names.TargetKeys), "group_keys": usagelog.List(usagelog.Names.GroupKeys), "ours": lowerList(q.Ours),
		}, decodeCreations, checkCreations),
		q.query("grants of admin rights", "changes", q.recent(), map[string]string{
			"actions": usagelog.Actions(usagelog.AdminGrant), "group_actions": usagelog.Actions(usagelog.GroupGrant), "groups": usagelog.List(usagelog.Names.AdminGroups),
			"target_keys": usagelog.List(usagelog.Names.TargetKeys), "group_keys": usagelog.List(usagelog.Names.GroupKeys), "ours": "",
		}, decodeGrants, checkGrants),
	}
	if limit := audit.Bursts.FailedAuthentications; limit > 0 {
		queries = append(queries, q.query("failed authentications", "bursts", q.recent(),
			burstParameters(usagelog.Actions(usagelog.Authentication), true, "identity,address", limit, audit.Bursts.Window), decodeFailures, checkFailures))
	}
	if limit := audit.Bursts.ACLChanges; limit > 0 {
		queries = append(queries, q.query("changes of access-control lists", "bursts", q.recent(),
			burstParameters(usagelog.Actions(usagelog.ACLChange), false, "identity", limit, audit.Bursts.Window), decodeACLChanges, checkACLs))
	}
	if audit.DormantAfter > 0 {
		queries = append(queries, q.query("dormant principals", "awakenings", q.from(),
			map[string]string{"recent": usagelog.Micros(q.recent()), "dormant": usagelog.Microseconds(audit.DormantAfter)}, decodeAwakenings, checkAwakenings))
	}
	if revoked, first := q.revoked(); revoked != "" {
		queries = append(queries, q.query("use after revocation", "after_revocation", first, map[string]string{
			"revoked": revoked, "slack": usagelog.Microseconds(accessTokenLife), "token_keys": usagelog.List(usagelog.Names.TokenKeys),
		}, decodeLateUse, checkRevoked))
	}
	return queries
}

// query puts together what all statements have in common.
func (q Question) query(
	name, file string, from time.Time, parameters map[string]string, decode func(*Observation, databricks.Table) error, checks ...string,
) query {
	window := usagelog.Window{Table: q.Table, From: from, Until: q.Now}
	return query{Statement: window.Statement(name, file, parameters), checks: checks, decode: decode}
}

func burstParameters(actions string, failed bool, by string, threshold int, window time.Duration) map[string]string {
	return map[string]string{
		"actions": actions, "failed": strconv.FormatBool(failed), "by": by,
		"threshold": strconv.Itoa(threshold), "window": usagelog.Microseconds(window),
	}
}

// revoked is the parameter that lists the revocations, and the time of the
// first of them that the log is asked about.
func (q Question) revoked() (parameter string, first time.Time) {
	var items []string
	for _, r := range q.Revoked {
		key := r.key()
		if key == "" || strings.ContainsAny(key, ",=") {
			continue
		}
		if len(items) == 0 || r.At.Before(first) {
			first = r.At
		}
		items = append(items, key+"="+usagelog.Micros(r.At))
	}
	if first.Before(q.from()) {
		first = q.from()
	}
	return strings.Join(items, ","), first
}

func lowerList(values []string) string { return strings.ToLower(usagelog.List(values)) }

// Usage is what the log tells of each identity, for the inventory.
func (o Observation) Usage() map[string]inventory.Usage {
	all := make(map[string]inventory.Usage, len(o.Activities))
	for _, a := range o.Activities {
		u := inventory.Usage{Last: a.Last, Events: a.Events}
		u.Scopes, u.Unmapped = needed(a.Work)
		all[a.Identity] = u
	}
	return all
}

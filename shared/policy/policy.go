// Package policy is what the owner of a deployment decides, in one document:
// how old credentials may grow, what each principal needs, what an audit finds
// fault with, what may be removed, and how much of it at once.
//
// [Parse] reads a document. What a document leaves out keeps its default,
// which [Default] returns.
package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const day = 24 * time.Hour

// Policy holds for a whole deployment. The tags are the fields' places in the
// document.
type Policy struct {
	// Interval is the age at which a credential is rotated.
	Interval time.Duration `policy:"rotation.interval"`
	// Grace is how long a predecessor stays valid after its successor became
	// current. It must cover the slowest reader: whoever holds a credential
	// for longer than this without reading it again will be refused.
	Grace time.Duration `policy:"rotation.grace"`
	// ExtendGrace is how much longer, once, a predecessor stays valid if the
	// usage log knows readers that have not come back since its successor became
	// current. Zero is not at all.
	ExtendGrace time.Duration `policy:"rotation.extend_grace"`
	// Lifetime is at most how long an OAuth secret lives if nothing else ends
	// it, in whole days. The secret's actual lifetime is shorter by less than
	// a day, by which the rotation knows its own.
	Lifetime time.Duration `policy:"rotation.lifetime"`

	// Roles say what a job or a query needs, by name.
	Roles map[string]Role `policy:"roles"`
	// Principals carry roles. A principal that is not here is rotated all the
	// same; nothing is known of what it needs.
	Principals []Principal `policy:"principals"`
	Audit      Audit       `policy:"audit"`
	Prune      Prune       `policy:"prune"`
	Budgets    Budgets     `policy:"budgets"`
}

// Role is what a kind of work needs in both layers: the scopes of its OAuth
// secrets and tokens, and the rights of its principal. It is the most that a
// principal with this role should have.
type Role struct {
	Description  string       `policy:"description"`
	Scopes       []string     `policy:"scopes"`
	Entitlements []string     `policy:"entitlements"`
	Groups       []string     `policy:"groups"`
	Admin        Admin        `policy:"admin"`
	Permissions  []Permission `policy:"permissions"`
	Grants       []Grant      `policy:"grants"`
}

// Admin is how far a principal may administer.
type Admin string

// What a role may administer. A document that does not say is one that says
// none.
const (
	AdminNone      Admin = "none"
	AdminWorkspace Admin = "workspace"
	AdminAccount   Admin = "account"
)

// Permission is an entry in the access-control list of a workspace object.
type Permission struct {
	Object Object `policy:"object"`
	// Level is the permission level, such as CAN_USE.
	Level string `policy:"level"`
}

// Grant is what Unity Catalog allows on a securable.
type Grant struct {
	Securable  Securable `policy:"securable"`
	Privileges []string  `policy:"privileges"`
}

// Object is a workspace object with an access-control list, as the path of the
// permissions API names it: written "warehouses/abc123".
type Object struct{ Type, ID string }

// String is the object's form in a document.
func (o Object) String() string { return o.Type + "/" + o.ID }

// Securable is an object of Unity Catalog: written "schema main.raw".
type Securable struct{ Type, Name string }

// String is the securable's form in a document.
func (s Securable) String() string { return s.Type + " " + s.Name }

// Principal is a service principal that the policy knows.
type Principal struct {
	// ClientID is its application id, a UUID in lower case.
	ClientID string `policy:"client_id"`
	// Role is the name of one of [Policy.Roles], empty for none.
	Role string `policy:"role"`
	// Owner is whom its findings are for, in the reader's words.
	Owner string `policy:"owner"`
	// Exclusive says that every OAuth secret of the principal is ours:
	// foreign ones are removed.
	Exclusive bool `policy:"exclusive"`
	// OnAWS says that its work runs on AWS, so that it could federate and
	// needs no secret.
	OnAWS bool `policy:"on_aws"`
}

// Audit is what an audit looks at, and what it finds fault with.
type Audit struct {
	// Workspaces are hosts or ids of workspaces, empty for all of them.
	Workspaces []string `policy:"workspaces,all"`
	// Objects and Securables are those whose access-control lists are read:
	// nothing lists everything that a principal can touch.
	Objects    []Object    `policy:"objects"`
	Securables []Securable `policy:"securables"`
	// MaxSecretAge is the age from which an OAuth secret is old.
	MaxSecretAge time.Duration `policy:"max_secret_age"`
	// ExpiringWithin is how long before its expiry a credential is reported.
	ExpiringWithin time.Duration `policy:"expiring_within"`
	// MaxTokenLifetime is how long a personal access token may live.
	MaxTokenLifetime time.Duration `policy:"max_token_lifetime"`
	// MaxAccessTokenTTL and MaxRefreshTokenTTL bound the tokens of OAuth apps.
	MaxAccessTokenTTL  time.Duration `policy:"max_access_token_ttl"`
	MaxRefreshTokenTTL time.Duration `policy:"max_refresh_token_ttl"`
	// UnusedAfter is how long after its last use a credential counts as
	// unused.
	UnusedAfter time.Duration `policy:"unused_after"`
	// DormantAfter is how long a principal must have been silent for its next
	// use to be reported.
	DormantAfter time.Duration `policy:"dormant_after"`
	// BroadScopes are scopes that nothing should have unless its role says so.
	BroadScopes []string `policy:"broad_scopes"`
	// Networks are the addresses that credentials may be used from, empty for
	// any.
	Networks []netip.Prefix `policy:"networks"`
	// KnownAgents are beginnings of user agents that are no news when they are
	// seen for the first time.
	KnownAgents []string `policy:"known_agents"`
	// AutomationUsers are patterns of user names behind which is a program,
	// with * for anything.
	AutomationUsers []string `policy:"automation_users"`
	// TrustedIssuers are the identity providers that federation policies may
	// name, empty for any.
	TrustedIssuers []string `policy:"trusted_issuers"`
	Bursts         Bursts   `policy:"bursts"`
}

// Bursts are how many events of one principal within the window are too many.
type Bursts struct {
	FailedAuthentications int           `policy:"failed_authentications"`
	ACLChanges            int           `policy:"acl_changes"`
	Window                time.Duration `policy:"window"`
}

// Mode says whether something is done or only reported.
type Mode string

// The modes.
const (
	Report  Mode = "report"
	Enforce Mode = "enforce"
)

// Prune is what an audit may remove and narrow.
type Prune struct {
	Mode Mode `policy:"mode"`
	// RightSize is the mode of narrowing scopes in place.
	RightSize Mode `policy:"right_size"`
	// UnusedAfter is how long after its last use a credential may be removed.
	UnusedAfter time.Duration `policy:"unused_after"`
	// NeverUsedAfter is the age at which one that was never used may be.
	NeverUsedAfter time.Duration `policy:"never_used_after"`
	// Notice is how long before its removal a credential was first reported.
	Notice time.Duration `policy:"notice"`
	Exempt []Exemption   `policy:"exempt"`
}

// Exemption keeps a credential, or all credentials of somebody, from being
// pruned. Exactly one of the first four is set.
type Exemption struct {
	TokenID       string `policy:"token_id"`
	OAuthSecretID string `policy:"oauth_secret_id"`
	ClientID      string `policy:"client_id"`
	User          string `policy:"user"`
	Reason        string `policy:"reason"`
	// Until is the last day on which it holds, in UTC; zero for always.
	Until Date `policy:"until"`
}

// Date is a day in UTC, the zero value for none.
type Date struct{ time.Time }

// String is the day's form in a document, empty for none.
func (d Date) String() string {
	if d.IsZero() {
		return ""
	}
	return d.Format(time.DateOnly)
}

// Active tells whether the exemption holds at a time. One that has ended is no
// fault of a policy: time alone must not stop a rotation.
func (e Exemption) Active(now time.Time) bool {
	return e.Until.IsZero() || now.Before(e.Until.AddDate(0, 0, 1))
}

// Budgets bound what one run removes.
type Budgets struct {
	// Rotate is for what a sweep concludes is superfluous: orphans, foreign
	// OAuth secrets of exclusive principals, and what only an old version
	// names. Predecessors are not counted: as many go as were rotated.
	Rotate Budget `policy:"rotate"`
	// Prune is for audits.
	Prune Budget `policy:"prune"`
}

// Budget is how many credentials one run may remove: at most Count, and at
// most Share (a fraction) of those that it looked at. Zero is no limit, which
// no document can ask for.
type Budget struct {
	Count int     `policy:"count"`
	Share float64 `policy:"share"`
}

// Allows tells whether a run that looked at so many credentials may remove so
// many of them. One may always go as far as Share is concerned: otherwise a
// small estate could never be tidied.
func (b Budget) Allows(remove, of int) bool {
	if b.Count > 0 && remove > b.Count {
		return false
	}
	return b.Share <= 0 || remove <= 1 || float64(remove) <= b.Share*float64(of)*(1+1e-9)
}

// String says the budget in words for reports.
func (b Budget) String() string {
	var parts []string
	if b.Count > 0 {
		parts = append(parts, fmt.Sprintf("%d credentials", b.Count))
	}
	if b.Share > 0 {
		parts = append(parts, formatShare(b.Share))
	}
	if len(parts) == 0 {
		return "no limit"
	}
	return strings.Join(parts, ", ")
}

// Principal finds a service principal by its application id.
func (p Policy) Principal(clientID string) (Principal, bool) {
	i := slices.IndexFunc(p.Principals, func(q Principal) bool { return q.ClientID == clientID })
	if i < 0 {
		return Principal{}, false
	}
	return p.Principals[i], true
}

// RoleOf finds the role of a service principal by its application id.
func (p Policy) RoleOf(clientID string) (Role, bool) {
	principal, ok := p.Principal(clientID)
	if !ok || principal.Role == "" {
		return Role{}, false
	}
	role, ok := p.Roles[principal.Role]
	return role, ok
}

// Exclusive tells whether every OAuth secret of a service principal is ours.
func (p Policy) Exclusive(clientID string) bool {
	principal, _ := p.Principal(clientID)
	return principal.Exclusive
}

// Subject is a credential as exemptions name it. What is not known is empty.
type Subject struct{ TokenID, OAuthSecretID, ClientID, User string }

// Exemption finds what keeps a credential from being pruned now.
func (p Prune) Exemption(s Subject, now time.Time) (Exemption, bool) {
	i := slices.IndexFunc(p.Exempt, func(e Exemption) bool {
		return e.Active(now) && (matches(e.TokenID, s.TokenID) || matches(e.OAuthSecretID, s.OAuthSecretID) ||
			matches(e.ClientID, s.ClientID) || matches(e.User, s.User))
	})
	if i < 0 {
		return Exemption{}, false
	}
	return p.Exempt[i], true
}

func matches(exempt, subject string) bool { return exempt != "" && strings.EqualFold(exempt, subject) }

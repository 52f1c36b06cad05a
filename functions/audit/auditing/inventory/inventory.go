// Package inventory is what an audit knows of an estate: every credential
// that opens Databricks, who holds it, and what it could do. It is plain data;
// package collect fills it and the rules read it.
//
// Times are UTC. A zero time means "never" or "not known", as the field says.
package inventory

import "time"

// Inventory is one look at the whole estate.
type Inventory struct {
	TakenAt   time.Time
	AccountID string

	Workspaces []Workspace
	People     []Person
	Principals []Principal
	Tokens     []Token
	Apps       []App
	// Federation are the account's own federation policies; those of a service
	// principal are with it.
	Federation []FederationPolicy
	// Objects are the objects and securables that the policy lists, with who
	// may do what to them.
	Objects []Object
	// Managed are the secrets in Secrets Manager that the rotation looks after.
	Managed []Managed
	// Usage is what the usage log tells of each identity, by application id or
	// user name; nil if no warehouse is configured.
	Usage map[string]Usage
	// UsageSince is where the usage log's window begins.
	UsageSince time.Time
	// Gaps are what could not be read. A gap is a finding, not silence.
	Gaps []Gap
}

// Gap is a part of the estate that could not be read.
type Gap struct {
	// Where is a workspace's host, the account, or AWS; What is what is missing.
	Where, What string
	// Why is the reduced error, without any value.
	Why string
}

// Workspace is a workspace of the account.
type Workspace struct {
	ID   int64
	Name string
	Host string
}

// Person is a human user.
type Person struct {
	// ID is the account's SCIM id.
	ID       string
	UserName string
	Active   bool
	Groups   []string
	// AccountAdmin is held directly or through a group.
	AccountAdmin bool
	// Assignments are by workspace id.
	Assignments map[int64]Assignment
}

// Assignment is what an identity may do in one workspace.
type Assignment struct {
	Admin        bool
	Entitlements []string
	Groups       []string
	// ID is the identity's SCIM id in that workspace.
	ID string
}

// Principal is a service principal: an identity of automation.
type Principal struct {
	// ID is the numeric SCIM id, ClientID the application id.
	ID, ClientID string
	Name         string
	Active       bool
	Groups       []string
	// AccountAdmin is held directly or through a group.
	AccountAdmin bool
	Assignments  map[int64]Assignment
	// Managers are who may make credentials for it: user, group or application
	// names as the rule set gives them.
	Managers []string
	// SecretsUnknown, FederationUnknown and ManagersUnknown tell that the list
	// could not be read: that it is empty proves nothing. A gap says why.
	SecretsUnknown, FederationUnknown, ManagersUnknown bool
	Secrets                                            []OAuthSecret
	// Federation are the policies under which somebody else's token is
	// accepted for this principal.
	Federation []FederationPolicy
}

// OAuthSecret is an OAuth secret of a service principal.
type OAuthSecret struct {
	ID        string
	CreatedAt time.Time
	// ExpiresAt is zero for a secret that does not expire.
	ExpiresAt time.Time
	// Scopes are empty for an unrestricted secret.
	Scopes []string
}

// Token is a personal access token.
type Token struct {
	ID        string
	Workspace int64
	Comment   string
	// OwnerID is the owner's SCIM id in the workspace. Owner is the user name,
	// or the application id if Automation, or empty if nobody has that id any
	// more.
	OwnerID    string
	Owner      string
	Automation bool
	// OwnerUnknown tells that an empty Owner means nothing, because the
	// workspace's directory could not be read.
	OwnerUnknown bool
	// CreatedBy is the user name of whoever made it.
	CreatedBy string
	CreatedAt time.Time
	// ExpiresAt is zero for a token that does not expire.
	ExpiresAt time.Time
	// LastUsedAt is accurate to a day; zero is never, or not known.
	LastUsedAt time.Time
	// Scopes are empty for an unrestricted token.
	Scopes []string
	// Autoscope is Databricks' own word for how far it is with watching the
	// token, without the prefix AUTOSCOPE_STATE_: COMPLETED, RUNNING, DISABLED …
	Autoscope string
	// Inferred are the scopes that the token was seen to need.
	Inferred []string
}

// App is an OAuth application registered with the account.
type App struct {
	// ID is the integration id.
	ID       string
	ClientID string
	Name     string
	// Published is Databricks' own application; it has no scopes of its own.
	Published    bool
	RedirectURLs []string
	Scopes       []string
	// UserScopes are those that users may authorize it for.
	UserScopes []string
	// Creator is a user name, empty if nobody has that id any more.
	CreatorID string
	Creator   string
	// CreatorUnknown tells that an empty Creator means nothing, because the
	// account's users could not be read.
	CreatorUnknown bool
	CreatedAt      time.Time
	AccessTTL      time.Duration
	RefreshTTL     time.Duration
	SingleUse      bool
}

// FederationPolicy lets the holder of somebody else's token in.
type FederationPolicy struct {
	ID           string
	Description  string
	Issuer       string
	Audiences    []string
	Subject      string
	SubjectClaim string
	CreatedAt    time.Time
}

// Object is something that an access list protects.
type Object struct {
	// Kind and Name are as in the policy: "warehouses" and "abc123", or
	// "schema" and "main.raw".
	Kind, Name string
	Workspace  int64
	// Grants are who may do what: the second layer.
	Grants []Grant
}

// Grant is one entry of an access list.
type Grant struct {
	// Identity is a user name, an application id or a group name.
	Identity  string
	Group     bool
	Level     string   // of an object, such as CAN_USE
	Privilege []string // of a securable, such as SELECT
	Inherited bool
}

// Managed is a secret in Secrets Manager under rotation.
type Managed struct {
	ARN, Name string
	// Err says why it could not be read, for a secret that could not.
	Err           string
	Host          string
	ClientID      string
	OAuthSecretID string
	IssuedAt      time.Time
	ExpiresAt     time.Time
	// Predecessors are OAuth secret ids in or past their grace period.
	Predecessors []string
	// Recorded are the OAuth secret ids that any version names. Versions other
	// than the current one are read only if the principal has an OAuth secret
	// that the current one does not name.
	Recorded []string
	// RecordedUnknown tells that not all versions could be read: an OAuth
	// secret that is not in Recorded may be recorded all the same.
	RecordedUnknown bool
	// Tried tells that the current credential was tried, Authenticates how it
	// went.
	Tried, Authenticates bool
	// Held tells that it is held since a revocation, by whichever mode or by
	// hand: nothing is issued for it until somebody releases it.
	Held bool
}

// Usage is what the usage log tells of one identity within the window that
// was asked for.
type Usage struct {
	Last   time.Time
	Events int64
	// Scopes are those that the calls seen needed.
	Scopes []string
	// Unmapped are services of the log, or service.action, of which it is not
	// known what scope they need. While there are any, Scopes is not all that
	// was needed.
	Unmapped []string
}

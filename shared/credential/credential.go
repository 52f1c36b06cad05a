// Package credential is the value of a managed secret: the credential that
// applications read, and beside it what the rotation needs to remember.
//
// The value is one flat JSON object. The DATABRICKS_ keys carry the names that
// the Databricks SDKs, CLI and Terraform provider read from the environment;
// the ROTATION_ keys are bookkeeping, and no client reads them as
// configuration. Keys that this package does not know are kept as they are.
//
//	{
//	  "DATABRICKS_HOST":               "https://dbc-1a2b.cloud.databricks.com",
//	  "DATABRICKS_ACCOUNT_ID":         "…",     only for the account console's host
//	  "DATABRICKS_CLIENT_ID":          "…",     the service principal's application id
//	  "DATABRICKS_CLIENT_SECRET":      "dose…", absent until the first issue
//	  "ROTATION_SERVICE_PRINCIPAL_ID": "4711",  the principal's numeric id
//	  "ROTATION_OAUTH_SECRET_ID":      "9f…",   which OAuth secret this is
//	  "ROTATION_SCOPES":               "jobs sql", or "all-apis"
//	  "ROTATION_ISSUED_AT":            "2026-03-01T03:00:00Z",
//	  "ROTATION_EXPIRES_AT":           "2026-05-29T11:12:13Z",
//	  "ROTATION_PREDECESSORS":         "1c…=2026-02-01T03:00:04Z 77…"
//	}
//
// Readers that want other keys get them by a layout, which the value itself
// states, so that one read says all:
//
//	"ROTATION_LAYOUT": "airflow"            conn_type, host, login, password, extra
//	"ROTATION_LAYOUT": "dbt"                host, client_id, client_secret, auth_type
//	"ROTATION_LAYOUT": "DatabricksSPSecret" accountId, clientId, clientSecret, servicePrincipalId, oauthSecretId
//	"ROTATION_LAYOUT": "custom"             keys of your own, by
//	"ROTATION_KEYS":   "host=DB_HOST client_id=DB_USER client_secret=DB_PASSWORD"
//
// It says what the next write is to look like. A value is read by whichever
// layout is there, so the setting may be changed at any time. Two layouts with a
// blank between them are written side by side, for as long as readers move from
// one to the other; the keys of one that is no longer set are removed with the
// next write. DatabricksSPSecret is recognised without a setting. It has no
// host: it is the account console's, unless DATABRICKS_HOST names another.
//
// Because the current value names the predecessors that may still be alive,
// one read tells a sweep everything about a secret.
package credential

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"databricks-credential-rotation/shared/secret"
)

// Keys of the value. See the package documentation.
const (
	KeyHost               = "DATABRICKS_HOST"
	KeyAccountID          = "DATABRICKS_ACCOUNT_ID"
	KeyClientID           = "DATABRICKS_CLIENT_ID"
	KeyClientSecret       = "DATABRICKS_CLIENT_SECRET"
	KeyServicePrincipalID = "ROTATION_SERVICE_PRINCIPAL_ID"
	KeyOAuthSecretID      = "ROTATION_OAUTH_SECRET_ID"
	KeyScopes             = "ROTATION_SCOPES"
	KeyIssuedAt           = "ROTATION_ISSUED_AT"
	KeyExpiresAt          = "ROTATION_EXPIRES_AT"
	KeyPredecessors       = "ROTATION_PREDECESSORS"
	KeyLayout             = "ROTATION_LAYOUT"
	KeyKeys               = "ROTATION_KEYS"
)

// MaxSize is the largest value that Secrets Manager stores, in bytes.
const MaxSize = 65536

// Credential is a managed secret's value.
type Credential struct {
	// Host is where the principal lives: the account console or a workspace.
	Host string
	// AccountID is set for the account console's host and empty for a
	// workspace's.
	AccountID string
	// ClientID is the service principal's application id.
	ClientID string
	// ClientSecret is zero in a registration that was never issued.
	ClientSecret secret.Text

	// ServicePrincipalID is the principal's numeric SCIM id, empty while it is
	// not known.
	ServicePrincipalID string
	// OAuthSecretID names the OAuth secret that ClientSecret belongs to, empty
	// if somebody else put it here.
	OAuthSecretID string
	// Scopes restrict the OAuth secret; all-apis is unrestricted. None means
	// that nobody has said.
	Scopes []string
	// IssuedAt and ExpiresAt bound the OAuth secret's life, zero if unknown.
	IssuedAt, ExpiresAt time.Time
	// Predecessors are OAuth secrets of the same principal that this one
	// replaced and that may still be alive.
	Predecessors []Predecessor

	// unknown are the keys that are somebody else's. They may well hold
	// secrets, so they are kept as such.
	unknown map[string]secret.Text
	// form is the layout, the same for a successor.
	form form
}

// Predecessor is an OAuth secret that was current once.
type Predecessor struct {
	OAuthSecretID string
	// SupersededAt is when its successor became current. Zero means: when the
	// version that holds this credential became current, which the writer of a
	// version cannot know yet.
	SupersededAt time.Time
}

// AccountLevel tells whether the principal is managed through the account
// console rather than through a workspace.
func (c Credential) AccountLevel() bool { return c.AccountID != "" }

// Issued tells whether there is a credential to use, not just a registration.
func (c Credential) Issued() bool { return !c.ClientSecret.IsZero() }

// Encode writes the value, unknown keys included.
func (c Credential) Encode() (secret.Text, error) {
	members := make(map[string]json.RawMessage, len(c.unknown)+10)
	for key, raw := range c.unknown {
		members[key] = json.RawMessage(raw.Reveal())
	}
	set := func(key, value string) error {
		if value == "" {
			return nil
		}
		raw, err := marshal(value)
		members[key] = raw
		return err
	}
	own, err := c.members()
	if err != nil {
		return secret.Text{}, err
	}
	own[KeyScopes] = strings.Join(c.Scopes, " ")
	own[KeyIssuedAt] = formatTime(c.IssuedAt)
	own[KeyExpiresAt] = formatTime(c.ExpiresAt)
	own[KeyPredecessors] = formatPredecessors(c.Predecessors)
	for key, value := range own {
		if err := set(key, value); err != nil {
			return secret.Text{}, fmt.Errorf("encoding %s: %w", key, err)
		}
	}
	out, err := marshal(members)
	if err != nil {
		return secret.Text{}, fmt.Errorf("encoding the secret's value: %w", err)
	}
	if len(out) > MaxSize {
		return secret.Text{}, fmt.Errorf("the secret's value would be %d bytes long, Secrets Manager stores %d: shorten the keys that are not the rotation's", len(out), MaxSize)
	}
	return secret.New(string(out)), nil
}

// marshal writes JSON without the escapes that HTML wants: they would rewrite,
// and lengthen, what somebody else put into the value.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// Successor returns the credential that takes this one's place: the same
// principal, the same unknown keys, this one's OAuth secret first among the
// predecessors that are still alive.
func (c Credential) Successor(alive func(oauthSecretID string) bool) Credential {
	next := c
	next.ClientSecret = secret.Text{}
	next.OAuthSecretID = ""
	next.IssuedAt, next.ExpiresAt = time.Time{}, time.Time{}
	next.Predecessors = nil
	if c.OAuthSecretID != "" {
		next.Predecessors = append(next.Predecessors, Predecessor{OAuthSecretID: c.OAuthSecretID})
	}
	for _, p := range c.Predecessors {
		if p.OAuthSecretID != c.OAuthSecretID && alive(p.OAuthSecretID) {
			next.Predecessors = append(next.Predecessors, p)
		}
	}
	return next
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func formatPredecessors(list []Predecessor) string {
	entries := make([]string, 0, len(list))
	for _, p := range list {
		entry := p.OAuthSecretID
		if !p.SupersededAt.IsZero() {
			entry += "=" + formatTime(p.SupersededAt)
		}
		entries = append(entries, entry)
	}
	return strings.Join(entries, " ")
}

// AllAPIs is the scope of a secret that may do whatever its principal may.
const AllAPIs = "all-apis"

// NormalizeScopes sorts scopes and drops duplicates.
func NormalizeScopes(scopes []string) []string {
	out := slices.Clone(scopes)
	slices.Sort(out)
	return slices.Compact(out)
}

package revocation

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"databricks-credential-rotation/shared/event"
	"databricks-credential-rotation/shared/pattern"
	"databricks-credential-rotation/shared/secret"
)

// Mode says how far a revocation goes.
type Mode string

// Modes of a revocation.
const (
	// Replace issues a new credential, proves it and makes it current, and then
	// deletes everything else of ours at once. Applications go on.
	Replace Mode = "replace"
	// Revoke deletes and issues nothing. If the current credential goes, the
	// managed secret is held: no sweep issues another.
	Revoke Mode = "revoke"
	// Lockout also switches the service principal off, which ends the access
	// tokens that it has already been given.
	Lockout Mode = "lockout"
	// Release ends what revoke and lockout have left: the principal is switched
	// on, the hold taken off, and a new credential issued.
	Release Mode = "release"
)

// Acknowledgement is what a requester has to have thought of.
type Acknowledgement string

// What can be acknowledged.
const (
	// OwnIdentity is the service principal by which this product works.
	OwnIdentity Acknowledgement = "rotator"
	// LastAdmin is the last principal or person that can administer a host.
	LastAdmin Acknowledgement = "last-admin"
)

// Request is one revocation. Exactly one of the selectors is set: Secret,
// ServicePrincipal, OAuthSecretID, SHA256, TokenID, TokensOf.
type Request struct {
	Mode Mode
	// Secret is a managed secret's name or ARN.
	Secret string
	// ServicePrincipal is a client id, a numeric id, or a display name that
	// only one principal has.
	ServicePrincipal string
	// OAuthSecretID is the id, not the value, of an OAuth secret.
	OAuthSecretID string
	// SHA256 is the hash, in hex, of the value that leaked.
	SHA256 string
	// TokenID is the id of a personal access token at Host.
	TokenID string
	// TokensOf is a person or principal, all of whose personal access tokens
	// at Host are meant: a user name, a client id, or a numeric id.
	TokensOf string

	// Host and AccountID say where to look for what no managed secret names.
	Host, AccountID string
	// IncludeForeign extends the revocation to OAuth secrets of the principal
	// that somebody else made, and allows one that is not managed.
	IncludeForeign bool
	DryRun         bool
	// Acknowledge names the dangers that the requester accepts.
	Acknowledge []Acknowledgement
	// Reason and RequestedBy go into the trail.
	Reason, RequestedBy string
}

// Acknowledges tells whether the requester has accepted a danger.
func (r Request) Acknowledges(a Acknowledgement) bool { return slices.Contains(r.Acknowledge, a) }

// Tokens tells whether the request is about personal access tokens.
func (r Request) Tokens() bool { return r.TokenID != "" || r.TokensOf != "" }

// One tells whether the request names one OAuth secret rather than a place
// where all are suspect.
func (r Request) One() bool { return r.OAuthSecretID != "" || r.SHA256 != "" }

// Selector is the request's selector, for a reader.
func (r Request) Selector() string {
	for _, s := range r.selectors() {
		if *s.value != "" {
			return s.name + " " + *s.value
		}
	}
	return "nothing"
}

type selector struct {
	name  string
	value *string
}

func (r *Request) selectors() []selector {
	return []selector{
		{"secret", &r.Secret},
		{"service_principal", &r.ServicePrincipal},
		{"oauth_secret_id", &r.OAuthSecretID},
		{"sha256", &r.SHA256},
		{"token_id", &r.TokenID},
		{"tokens_of", &r.TokensOf},
	}
}

const maxText = 500

var (
	hashPattern = pattern.New(`^[0-9a-f]{64}$`)
	idPattern   = pattern.New(`^[A-Za-z0-9_-]{1,128}$`)
	uuidPattern = pattern.New(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	arnOrName   = pattern.New(`^[A-Za-z0-9/_+=.@:-]{1,1000}$`)
)

// ParseRequest reads a request and reports every mistake in it, by field. A
// value is never repeated: somebody may have pasted the credential itself.
//
//	{
//	  "mode": "replace | revoke | lockout | release",
//
//	  one of:
//	  "secret": "name or ARN of a managed secret",
//	  "service_principal": "client id, numeric id or unique display name",
//	  "oauth_secret_id": "id of an OAuth secret",
//	  "sha256": "hash of the leaked value, in hex",
//	  "token_id": "id of a personal access token",
//	  "tokens_of": "user name, client id or numeric id",
//
//	  "reason": "for the trail",
//	  "requested_by": "optional",
//	  "host": "https://…", "account_id": "…",
//	  "include_foreign": false,
//	  "acknowledge": ["rotator", "last-admin"],
//	  "dry_run": false
//	}
func ParseRequest(payload []byte) (Request, error) {
	var r Request
	faults, err := r.decode(payload)
	if err != nil {
		return Request{}, fmt.Errorf("request: %w; nothing was changed", err)
	}
	if err := event.Join("request", append(faults, r.check(faults)...)); err != nil {
		return Request{}, err
	}
	return r, nil
}

// decode fills the fields.
func (r *Request) decode(payload []byte) ([]event.Fault, error) {
	fields := event.Fields{
		"mode": &r.Mode, "host": &r.Host, "account_id": &r.AccountID, "include_foreign": &r.IncludeForeign,
		"dry_run": &r.DryRun, "acknowledge": &r.Acknowledge, "reason": &r.Reason, "requested_by": &r.RequestedBy,
	}
	for _, s := range r.selectors() {
		fields[s.name] = s.value
	}
	return event.Decode(payload, fields)
}

// check reports what is wrong with the fields, leaving out those that could
// not even be read.
func (r *Request) check(unread []event.Fault) []event.Fault {
	var faults []event.Fault
	add := func(field, format string, args ...any) {
		if !slices.ContainsFunc(unread, func(f event.Fault) bool { return f.Field == field }) {
			faults = append(faults, event.Fault{Field: field, What: fmt.Sprintf(format, args...)})
		}
	}
	modes := []Mode{Replace, Revoke, Lockout, Release}
	switch {
	case r.Mode == "":
		add("mode", "is missing: replace, revoke, lockout or release")
	case !slices.Contains(modes, r.Mode):
		add("mode", "must be replace, revoke, lockout or release")
	}
	r.checkSelector(add, unread)
	switch {
	case strings.TrimSpace(r.Reason) == "":
		add("reason", "is missing: say in a few words why, for the trail")
	default:
		checkText(add, "reason", r.Reason)
	}
	checkText(add, "requested_by", r.RequestedBy)
	for i, a := range r.Acknowledge {
		if a != OwnIdentity && a != LastAdmin {
			add(fmt.Sprintf("acknowledge[%d]", i), "must be %s or %s", OwnIdentity, LastAdmin)
		}
	}
	if r.Host != "" && !isHostURL(r.Host) {
		add("host", "must be a URL such as https://dbc-1a2b.cloud.databricks.com, without a path")
	}
	switch {
	case r.AccountID != "" && !uuidPattern.MatchString(r.AccountID):
		add("account_id", "must be a UUID in lower case")
	case r.AccountID != "" && r.Host == "":
		add("account_id", "needs host, the account console's URL")
	case r.AccountID != "" && r.Tokens():
		add("account_id", "does not go with personal access tokens: host must be the workspace that they belong to")
	}
	return faults
}

func (r *Request) checkSelector(add func(field, format string, args ...any), unread []event.Fault) {
	var given []string
	for _, s := range r.selectors() {
		if *s.value != "" || slices.ContainsFunc(unread, func(f event.Fault) bool { return f.Field == s.name && !f.Unknown }) {
			given = append(given, s.name)
		}
	}
	switch len(given) {
	case 0:
		add("a selector", "is missing: say what leaked by one of %s", strings.Join(selectorNames(), ", "))
		return
	case 1:
	default:
		add(strings.Join(given, " and "), "exclude each other: give one selector")
		return
	}
	if secret.Resembles(r.Secret + " " + r.ServicePrincipal + " " + r.OAuthSecretID + " " + r.SHA256 + " " + r.TokenID + " " + r.TokensOf) {
		add(given[0], "holds what looks like a credential itself: send its hash as sha256, and treat the value as leaked to wherever this event is kept")
		return
	}
	switch {
	case r.Secret != "" && !arnOrName.MatchString(r.Secret):
		add("secret", "must be the name or ARN of a secret")
	case r.SHA256 != "" && !hashPattern.MatchString(r.SHA256):
		add("sha256", "must be 64 hex digits in lower case: the hash of the value, never the value")
	case r.OAuthSecretID != "" && !idPattern.MatchString(r.OAuthSecretID):
		add("oauth_secret_id", "must be an OAuth secret's id, of letters and digits")
	case r.TokenID != "" && !idPattern.MatchString(r.TokenID):
		add("token_id", "must be a token's id, of letters and digits")
	case r.ServicePrincipal != "":
		checkText(add, "service_principal", r.ServicePrincipal)
	case r.TokensOf != "":
		checkText(add, "tokens_of", r.TokensOf)
	}
	if r.Tokens() {
		if r.Host == "" {
			add("host", "is missing: the URL of the workspace that the token belongs to")
		}
		if r.Mode != Revoke && r.Mode != "" {
			add("mode", "must be revoke for a personal access token: nobody but its holder can put another in its place")
		}
	}
	if r.One() && r.Mode == Release {
		add(given[0], "cannot be released: name the secret or the service_principal")
	}
}

func selectorNames() []string {
	var names []string
	for _, s := range new(Request).selectors() {
		names = append(names, s.name)
	}
	return names
}

// checkText keeps out of trail and messages what would not be one line of
// text, and a credential.
func checkText(add func(field, format string, args ...any), field, text string) {
	switch {
	case len(text) > maxText:
		add(field, "must have at most %d bytes", maxText)
	case strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }):
		add(field, "must be one line of printable text")
	case secret.Resembles(text):
		add(field, "holds what looks like a credential itself: leave it out")
	}
}

func isHostURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil &&
		u.Path == "" && u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" && !secret.Resembles(s)
}

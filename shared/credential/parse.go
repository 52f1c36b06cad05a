package credential

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"databricks-credential-rotation/shared/pattern"
	"databricks-credential-rotation/shared/secret"
)

var (
	uuidPattern     = pattern.New(`^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)
	numericPattern  = pattern.New(`^[1-9][0-9]{0,19}$`)
	secretIDPattern = pattern.New(`^[A-Za-z0-9_-]{1,128}$`)
	scopePattern    = pattern.New(`^[a-z0-9][a-z0-9._:-]{0,99}$`)
	hostPattern     = pattern.New(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?$`)
)

// ownKeys are the keys that an error may name. Any other may be a secret that
// somebody put on the wrong side of the colon.
var ownKeys = []string{
	KeyHost, KeyAccountID, KeyClientID, KeyClientSecret, KeyServicePrincipalID,
	KeyOAuthSecretID, KeyScopes, KeyIssuedAt, KeyExpiresAt, KeyPredecessors, KeyLayout, KeyKeys,
}

// Parse reads a managed secret's value. The error lists every fault by the
// name of its key and never shows a value: any of them may be a secret that
// somebody put under the wrong key.
func Parse(value secret.Text) (Credential, error) {
	members, err := decodeObject(value.Reveal())
	if err != nil {
		return Credential{}, err
	}
	p := parser{members: members, faulty: map[string]bool{}}
	p.form = form{
		setting: strings.Join(strings.Fields(p.take(KeyLayout)), " "), keys: strings.Join(strings.Fields(p.take(KeyKeys)), " "),
	}
	if p.form.setting == "" {
		p.form.detected = detect(members)
	}
	written, others, err := p.form.layouts()
	if err != nil {
		return Credential{}, errors.Join(append(p.faults, err)...)
	}
	l := p.source(written, others)
	p.l = l
	c := Credential{
		Host:               p.part(l.host),
		ClientID:           strings.ToLower(p.part(l.id)), // as every list of Databricks has it
		ClientSecret:       secret.New(p.part(l.secret)),
		ServicePrincipalID: p.either(l.principal, KeyServicePrincipalID),
		OAuthSecretID:      p.either(l.oauthSecret, KeyOAuthSecretID),
		form:               p.form,
	}
	if c.Host == "" && l.name == LayoutExternal && p.has(l.account) {
		c.Host = defaultConsole
	}
	c.Host = p.host(c.Host)
	if !l.workspace(c) {
		c.AccountID = p.part(l.account)
	}
	p.match(l.account, c.AccountID, uuidPattern, "a UUID")
	if c.ClientID == "" {
		why := "is missing: it is the service principal's application id, a UUID"
		if p.form.setting == "" && c.Host == "" {
			// Nothing is where it is looked for.
			why += "; if it is under another key, " + KeyLayout + " says so"
		}
		p.fault(l.label(l.id), why)
	}
	p.match(l.id, c.ClientID, uuidPattern, "the service principal's application id, a UUID")
	p.match(cmp.Or(l.principal, KeyServicePrincipalID), c.ServicePrincipalID, numericPattern, "the service principal's numeric id")
	p.match(cmp.Or(l.oauthSecret, KeyOAuthSecretID), c.OAuthSecretID, secretIDPattern, "an OAuth secret's id")
	p.level(c)
	p.agree(c, l, written)
	c.Scopes = p.scopes(p.take(KeyScopes))
	c.IssuedAt = p.time(KeyIssuedAt, p.take(KeyIssuedAt))
	c.ExpiresAt = p.time(KeyExpiresAt, p.take(KeyExpiresAt))
	c.Predecessors = p.predecessors(p.take(KeyPredecessors))
	if c.OAuthSecretID != "" && !c.Issued() && !p.faulty[l.label(l.secret)] {
		p.fault(cmp.Or(l.oauthSecret, KeyOAuthSecretID), "names an OAuth secret, but "+l.label(l.secret)+" is missing: restore it, or remove both to have a new one issued")
	}
	if len(p.faults) > 0 {
		return Credential{}, errors.Join(p.faults...)
	}
	p.leave(c, l, written, others)
	if len(p.members) > 0 {
		c.unknown = make(map[string]secret.Text, len(p.members))
		for key, raw := range p.members {
			c.unknown[key] = secret.New(string(raw))
		}
	}
	return c, nil
}

// decodeObject reads one JSON object and refuses what encoding/json lets pass:
// a key that comes twice and text behind the object.
func decodeObject(text string) (map[string]json.RawMessage, error) {
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("the value is empty: it must be a JSON object")
	}
	dec := json.NewDecoder(strings.NewReader(text))
	open, err := dec.Token()
	if err != nil || open != json.Delim('{') {
		return nil, errors.New("the value is not a JSON object")
	}
	members := map[string]json.RawMessage{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, notJSON(dec)
		}
		key, _ := token.(string)
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, notJSON(dec)
		}
		if _, twice := members[key]; twice {
			return nil, twiceError(key, dec)
		}
		members[key] = raw
	}
	if _, err := dec.Token(); err != nil {
		return nil, notJSON(dec)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the value goes on behind its JSON object")
	}
	return members, nil
}

func twiceError(key string, dec *json.Decoder) error {
	if slices.Contains(ownKeys, key) {
		return fmt.Errorf("%s comes twice", key)
	}
	return fmt.Errorf("a key that is not the rotation's comes twice, the second time near byte %d", dec.InputOffset())
}

// notJSON replaces the decoder's own error, which quotes its input.
func notJSON(dec *json.Decoder) error {
	return fmt.Errorf("the value is not valid JSON near byte %d", dec.InputOffset())
}

type parser struct {
	members map[string]json.RawMessage
	form    form
	// l is the layout that the value is read by.
	l      layout
	faulty map[string]bool
	faults []error
}

// fault reports the first fault of a key; others follow from it.
func (p *parser) fault(key, why string) {
	if p.faulty[key] {
		return
	}
	p.faulty[key] = true
	p.faults = append(p.faults, fmt.Errorf("%s %s", key, why))
}

// part takes a part of the credential by its key in the layout.
func (p *parser) part(key string) string {
	if key == "" {
		return ""
	}
	return p.takeAs(key, p.l.label(key))
}

// either takes what the layout may have a key of its own for, beside the
// bookkeeping's.
func (p *parser) either(own, bookkeeping string) string {
	text := p.take(bookkeeping)
	other := p.part(own)
	if text != "" && other != "" && text != other {
		p.fault(bookkeeping, "says something else than "+own+": correct the one that is wrong, or remove it")
	}
	return cmp.Or(other, text)
}

// take removes a known key and returns its string.
func (p *parser) take(key string) string { return p.takeAs(key, key) }

func (p *parser) takeAs(key, label string) string {
	raw, ok := p.members[key]
	if !ok {
		return ""
	}
	delete(p.members, key)
	var s string
	if bytes.Equal(raw, []byte("null")) || json.Unmarshal(raw, &s) != nil {
		p.fault(label, "must be a string")
		return ""
	}
	return strings.TrimSpace(s)
}

func (p *parser) match(key, value string, pattern *pattern.Pattern, what string) {
	if value != "" && !pattern.MatchString(value) {
		p.fault(p.l.label(key), "must be "+what)
	}
}

// host checks the form only; whether the rotator may talk to a host is for
// the Databricks client to decide.
func (p *parser) host(text string) string {
	label := p.l.label(p.l.host)
	if text == "" {
		p.fault(label, "is missing: it is the URL of the workspace or of the account console")
		return ""
	}
	host, fault := parseHost(text)
	if fault != "" {
		p.fault(label, fault)
	}
	return host
}

// parseHost returns scheme and host, or what is wrong.
func parseHost(text string) (host, fault string) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return "", "must be a URL of the form https://host"
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		return "", "must begin with https://"
	}
	host = strings.ToLower(u.Host)
	if !hostPattern.MatchString(host) {
		return "", "must be a URL of the form https://host"
	}
	return u.Scheme + "://" + host, ""
}

// normalizeHost is the host in the form that credentials have, or the text.
func normalizeHost(text string) string {
	if host, fault := parseHost(text); fault == "" {
		return host
	}
	return text
}

func isConsole(host string) bool {
	name := strings.TrimPrefix(host, "https://")
	return strings.HasPrefix(name, "accounts.") || strings.HasPrefix(name, "accounts-")
}

// level holds the account id against the host: the account console needs one,
// a workspace must not carry one, or the SDKs take it for the console.
func (p *parser) level(c Credential) {
	account := p.l.label(p.l.account)
	switch console := isConsole(c.Host); {
	case console && c.AccountID == "":
		p.fault(account, "is missing: the account console's host needs it")
	case !console && strings.HasPrefix(c.Host, "https://") && c.AccountID != "":
		p.fault(account, "belongs to the account console's host only: remove it, or set "+p.l.label(p.l.host)+" to the console's URL")
	}
}

func (p *parser) scopes(text string) []string {
	scopes := strings.Fields(text)
	for _, s := range scopes {
		if !scopePattern.MatchString(s) {
			p.fault(KeyScopes, "must be scope names with blanks between them")
			return nil
		}
	}
	return NormalizeScopes(scopes)
}

func (p *parser) time(key, text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	t, err := parseTime(text)
	if err != nil {
		p.fault(key, "must be a time such as 2026-03-01T03:00:00Z")
	}
	return t
}

// parseTime refuses times that cannot be written again: the zero time, and
// those that another time zone moves out of the four-digit years.
func parseTime(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, errors.New("not a time")
	}
	if t = t.UTC(); t.IsZero() || t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}, errors.New("not a time of these days")
	}
	return t, nil
}

func (p *parser) predecessors(text string) []Predecessor {
	var list []Predecessor
	for _, entry := range strings.Fields(text) {
		id, at, dated := strings.Cut(entry, "=")
		if !secretIDPattern.MatchString(id) {
			p.fault(KeyPredecessors, "must be OAuth secret ids, each with =time or without, with blanks between them")
			return nil
		}
		pred := Predecessor{OAuthSecretID: id}
		if dated {
			t, err := parseTime(at)
			if err != nil {
				p.fault(KeyPredecessors, "has an entry whose time does not read like 2026-03-01T03:00:00Z")
				return nil
			}
			pred.SupersededAt = t
		}
		list = append(list, pred)
	}
	return list
}

package credential

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"databricks-credential-rotation/shared/secret"
)

var (
	uuidPattern     = regexp.MustCompile(`^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)
	numericPattern  = regexp.MustCompile(`^[1-9][0-9]{0,19}$`)
	secretIDPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
	scopePattern    = regexp.MustCompile(`^[a-z0-9][a-z0-9._:-]{0,99}$`)
	hostPattern     = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?$`)
)

// ownKeys are the keys that an error may name. Any other may be a secret that
// somebody put on the wrong side of the colon.
var ownKeys = []string{
	KeyHost, KeyAccountID, KeyClientID, KeyClientSecret, KeyServicePrincipalID,
	KeyOAuthSecretID, KeyScopes, KeyIssuedAt, KeyExpiresAt, KeyPredecessors,
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
	c := Credential{
		Host:               p.take(KeyHost),
		AccountID:          p.take(KeyAccountID),
		ClientID:           strings.ToLower(p.take(KeyClientID)), // as every list of Databricks has it
		ClientSecret:       secret.New(p.take(KeyClientSecret)),
		ServicePrincipalID: p.take(KeyServicePrincipalID),
		OAuthSecretID:      p.take(KeyOAuthSecretID),
	}
	c.Host = p.host(c.Host)
	p.match(KeyAccountID, c.AccountID, uuidPattern, "a UUID")
	if c.ClientID == "" {
		p.fault(KeyClientID, "is missing: it is the service principal's application id, a UUID")
	}
	p.match(KeyClientID, c.ClientID, uuidPattern, "the service principal's application id, a UUID")
	p.match(KeyServicePrincipalID, c.ServicePrincipalID, numericPattern, "the service principal's numeric id")
	p.match(KeyOAuthSecretID, c.OAuthSecretID, secretIDPattern, "an OAuth secret's id")
	p.level(c)
	c.Scopes = p.scopes(p.take(KeyScopes))
	c.IssuedAt = p.time(KeyIssuedAt, p.take(KeyIssuedAt))
	c.ExpiresAt = p.time(KeyExpiresAt, p.take(KeyExpiresAt))
	c.Predecessors = p.predecessors(p.take(KeyPredecessors))
	if c.OAuthSecretID != "" && !c.Issued() && !p.faulty[KeyClientSecret] {
		p.fault(KeyOAuthSecretID, "names an OAuth secret, but "+KeyClientSecret+" is missing: restore it, or remove both to have a new one issued")
	}
	if len(p.faults) > 0 {
		return Credential{}, errors.Join(p.faults...)
	}
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
	faulty  map[string]bool
	faults  []error
}

// fault reports the first fault of a key; others follow from it.
func (p *parser) fault(key, why string) {
	if p.faulty[key] {
		return
	}
	p.faulty[key] = true
	p.faults = append(p.faults, fmt.Errorf("%s %s", key, why))
}

// take removes a known key and returns its string.
func (p *parser) take(key string) string {
	raw, ok := p.members[key]
	if !ok {
		return ""
	}
	delete(p.members, key)
	var s string
	if bytes.Equal(raw, []byte("null")) || json.Unmarshal(raw, &s) != nil {
		p.fault(key, "must be a string")
		return ""
	}
	return strings.TrimSpace(s)
}

func (p *parser) match(key, value string, pattern *regexp.Regexp, what string) {
	if value != "" && !pattern.MatchString(value) {
		p.fault(key, "must be "+what)
	}
}

// host checks the form only; whether the rotator may talk to a host is for
// the Databricks client to decide.
func (p *parser) host(text string) string {
	if text == "" {
		p.fault(KeyHost, "is missing: it is the URL of the workspace or of the account console")
		return ""
	}
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		p.fault(KeyHost, "must be a URL of the form https://host")
		return ""
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		p.fault(KeyHost, "must begin with https://")
		return ""
	}
	host := strings.ToLower(u.Host)
	if !hostPattern.MatchString(host) {
		p.fault(KeyHost, "must be a URL of the form https://host")
		return ""
	}
	return u.Scheme + "://" + host
}

// level holds the account id against the host: the account console needs one,
// a workspace must not carry one, or the SDKs take it for the console.
func (p *parser) level(c Credential) {
	name := strings.TrimPrefix(c.Host, "https://")
	switch console := strings.HasPrefix(name, "accounts.") || strings.HasPrefix(name, "accounts-"); {
	case console && c.AccountID == "":
		p.fault(KeyAccountID, "is missing: the account console's host needs it")
	case !console && strings.HasPrefix(c.Host, "https://") && c.AccountID != "":
		p.fault(KeyAccountID, "belongs to the account console's host only: remove it, or set "+KeyHost+" to the console's URL")
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

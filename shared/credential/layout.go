package credential

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"databricks-credential-rotation/shared/pattern"
)

// Layouts that [KeyLayout] may name.
const (
	// LayoutEnv has the names of environment variables. It is the default.
	LayoutEnv = "env"
	// LayoutExternal is the value of Secrets Manager's managed external secrets
	// of that type. It is recognised without a setting.
	LayoutExternal = "DatabricksSPSecret"
	// LayoutAirflow is a connection of Apache Airflow.
	LayoutAirflow = "airflow"
	// LayoutDBT has the names of a dbt profile.
	LayoutDBT = "dbt"
	// LayoutCustom has the keys that [KeyKeys] gives.
	LayoutCustom = "custom"
)

// defaultConsole is where a principal is managed whose value names no host,
// which the layout DatabricksSPSecret does not.
const defaultConsole = "https://accounts.cloud.databricks.com"

// layout is the keys under which readers expect the parts of a credential.
type layout struct {
	name                      string
	host, account, id, secret string
	// principal and oauthSecret are empty if the layout leaves them to the
	// bookkeeping.
	principal, oauthSecret string
	// bareHost leaves https:// away.
	bareHost bool
	// fixed are strings that readers need and that are the same for every
	// credential. They are written if the value lacks them.
	fixed map[string]string
}

func builtIn() []layout {
	return []layout{
		{name: LayoutEnv, host: KeyHost, account: KeyAccountID, id: KeyClientID, secret: KeyClientSecret},
		{
			name: LayoutExternal, host: KeyHost, account: "accountId", id: "clientId", secret: "clientSecret",
			principal: "servicePrincipalId", oauthSecret: "oauthSecretId",
		},
		{
			name: LayoutAirflow, host: "host", account: KeyAccountID, id: "login", secret: "password", bareHost: true,
			fixed: map[string]string{"conn_type": "databricks", "extra": `{"service_principal_oauth": true}`},
		},
		{
			name: LayoutDBT, host: "host", account: KeyAccountID, id: "client_id", secret: "client_secret", bareHost: true,
			fixed: map[string]string{"auth_type": "oauth"},
		},
	}
}

// roles maps each key to the part that it holds.
func (l layout) roles() map[string]string {
	roles := map[string]string{}
	for key, role := range map[string]string{
		l.host: "host", l.account: "account_id", l.id: "client_id", l.secret: "client_secret",
		l.principal: "service_principal_id", l.oauthSecret: "oauth_secret_id",
	} {
		if key != "" {
			roles[key] = role
		}
	}
	return roles
}

// label names a key in an error. Keys of a custom layout are somebody's own
// words, and words may be secrets.
func (l layout) label(key string) string {
	if l.name == LayoutCustom && !slices.Contains(ownKeys, key) {
		return "the key that " + KeyKeys + " gives for " + l.roles()[key]
	}
	return key
}

func (l layout) hostText(host string) string {
	if l.bareHost {
		return strings.TrimPrefix(host, "https://")
	}
	return host
}

var keyPattern = pattern.New(`^[A-Za-z][A-Za-z0-9_.-]{0,63}$`)

// parseKeys reads a custom layout, such as "host=DB_HOST client_id=DB_USER
// client_secret=DB_PASSWORD".
func parseKeys(text string) (layout, error) {
	l := layout{name: LayoutCustom, host: KeyHost, account: KeyAccountID}
	given := map[string]bool{}
	for _, entry := range strings.Fields(text) {
		role, key, _ := strings.Cut(entry, "=")
		to := map[string]*string{"host": &l.host, "account_id": &l.account, "client_id": &l.id, "client_secret": &l.secret}[role]
		switch {
		case to == nil || given[role]:
			return layout{}, errors.New("must name host, account_id, client_id and client_secret, each once at most, such as client_id=USER")
		case !keyPattern.MatchString(key) || strings.HasPrefix(key, "ROTATION_"):
			return layout{}, fmt.Errorf("gives for %s what cannot be a key: a letter, then letters, digits, _ . and -, not beginning with ROTATION_", role)
		}
		*to, given[role] = key, true
	}
	if l.id == "" || l.secret == "" {
		return layout{}, errors.New("must name client_id and client_secret, such as client_id=USER client_secret=PASSWORD")
	}
	if len(l.roles()) < 4 {
		return layout{}, errors.New("gives one key for two parts")
	}
	return l, nil
}

// form is how a value is laid out: what it says of that, and what was seen.
type form struct {
	setting, keys string
	// detected is the layout of a value that says nothing.
	detected string
}

// Equal lets credentials be compared in tests.
func (f form) Equal(other form) bool { return f == other }

// layouts returns those that are written, and all others that are known.
func (f form) layouts() (written, others []layout, err error) {
	known := builtIn()
	if f.keys != "" {
		custom, err := parseKeys(f.keys)
		if err != nil {
			return nil, nil, &formError{KeyKeys, err}
		}
		known = append(known, custom)
	}
	names := strings.Fields(f.setting)
	if len(names) == 0 {
		names = []string{LayoutEnv}
		if f.detected != "" {
			names = []string{f.detected}
		}
	}
	if len(names) > 2 {
		return nil, nil, &formError{KeyLayout, errors.New("must be one layout, or two for as long as readers move from one to the other")}
	}
	roles := map[string]string{}
	for i, name := range names {
		at := slices.IndexFunc(known, func(l layout) bool { return l.name == name })
		switch {
		case at < 0 && name == LayoutCustom:
			return nil, nil, &formError{KeyKeys, errors.New("is missing: it gives the keys of the layout " + LayoutCustom)}
		case at < 0 || slices.Contains(names[:i], name):
			return nil, nil, &formError{KeyLayout, fmt.Errorf("must be %s, %s, %s, %s or %s, or two of them", LayoutEnv, LayoutExternal, LayoutAirflow, LayoutDBT, LayoutCustom)}
		}
		parts := known[at].roles()
		maps.Copy(parts, known[at].fixed)
		for key, role := range parts {
			if other, ok := roles[key]; ok && other != role {
				return nil, nil, &formError{KeyLayout, fmt.Errorf("names two layouts that use one key for %s and for %s", min(role, other), max(role, other))}
			}
			roles[key] = role
		}
		written = append(written, known[at])
	}
	for _, l := range known {
		if !slices.Contains(names, l.name) {
			others = append(others, l)
		}
	}
	return written, others, nil
}

// formError is a fault in one of the keys that say how a value is laid out.
type formError struct {
	key   string
	cause error
}

func (e *formError) Error() string { return e.key + " " + e.cause.Error() }
func (e *formError) Unwrap() error { return e.cause }

// detect tells the layout of a value that says nothing.
func detect(members map[string]json.RawMessage) string {
	_, env := members[KeyClientID]
	if _, external := members["clientId"]; external && !env {
		return LayoutExternal
	}
	return ""
}

// source is the layout that a value is read by: the first that is set and
// there. A setting that was changed names what is to be written, so what is
// there may be another.
func (p *parser) source(written, others []layout) layout {
	for _, l := range written {
		if p.has(l.id) {
			return l
		}
	}
	if p.form.setting != "" {
		for _, l := range others {
			if p.has(l.id) && p.has(l.secret) {
				return l
			}
		}
	}
	return written[0]
}

func (p *parser) has(key string) bool { _, ok := p.members[key]; return ok }

// agree takes the keys of the layouts that are set beside the source. They say
// the same, or nobody knows which is right.
func (p *parser) agree(c Credential, source layout, written []layout) {
	for _, l := range written {
		for _, part := range []struct{ key, sourceKey, now string }{
			{l.host, source.host, c.Host},
			{l.account, source.account, c.AccountID},
			{l.id, source.id, c.ClientID},
			{l.secret, source.secret, c.ClientSecret.Reveal()},
			{l.principal, source.principal, c.ServicePrincipalID},
			{l.oauthSecret, source.oauthSecret, c.OAuthSecretID},
		} {
			if part.key == "" || part.key == part.sourceKey || !p.has(part.key) || l.workspace(c) && part.key == l.account {
				continue
			}
			text := p.takeAs(part.key, l.label(part.key))
			if part.key == l.id {
				text = strings.ToLower(text)
			}
			if part.key == l.host {
				text = normalizeHost(text)
			}
			if text != part.now {
				p.fault(l.label(part.key), "says something else than "+cmpLabel(source, part.sourceKey)+": correct the one that is wrong, or remove it")
			}
		}
	}
}

func cmpLabel(l layout, key string) string {
	if key == "" {
		return "the bookkeeping"
	}
	return l.label(key)
}

// workspace tells that the layout's account id is not the credential's: a
// workspace's host must not carry one, and DatabricksSPSecret always has one.
func (l layout) workspace(c Credential) bool {
	return l.name == LayoutExternal && strings.HasPrefix(c.Host, "https://") && !isConsole(c.Host)
}

// leave drops the keys of layouts that were set once: those that hold this
// very credential. After the next rotation they would hold a dead one.
func (p *parser) leave(c Credential, source layout, written, others []layout) {
	if p.form.setting == "" || !c.Issued() {
		return
	}
	used := map[string]bool{}
	for _, l := range written {
		for key := range l.roles() {
			used[key] = true
		}
		for key := range l.fixed {
			used[key] = true
		}
	}
	for _, l := range others {
		// What the value was read by has been taken already.
		if l.name != source.name && p.text(l.secret) != c.ClientSecret.Reveal() {
			continue
		}
		for key, now := range map[string]string{
			l.host: c.Host, l.account: c.AccountID, l.id: c.ClientID, l.secret: c.ClientSecret.Reveal(),
			l.principal: c.ServicePrincipalID, l.oauthSecret: c.OAuthSecretID,
		} {
			text := p.text(key)
			if key == l.host {
				text = normalizeHost(text)
			}
			if key != "" && !used[key] && text != "" && (text == now || key == l.id && strings.EqualFold(text, now)) {
				delete(p.members, key)
			}
		}
		for key, fixed := range l.fixed {
			if !used[key] && p.text(key) == fixed {
				delete(p.members, key)
			}
		}
	}
}

// text is a member's string, empty if it is none.
func (p *parser) text(key string) string {
	var s string
	if raw, ok := p.members[key]; !ok || bytes.Equal(raw, []byte("null")) || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return strings.TrimSpace(s)
}

// members are the keys by which readers and the rotation itself find the parts
// of a credential, in each layout that is set.
func (c Credential) members() (map[string]string, error) {
	written, _, err := c.form.layouts()
	if err != nil {
		return nil, err
	}
	members := map[string]string{}
	bookkeeping := false
	for _, l := range written {
		for key, text := range l.fixed {
			if _, ok := c.unknown[key]; !ok {
				members[key] = text
			}
		}
		members[l.host], members[l.id], members[l.secret] = l.hostText(c.Host), c.ClientID, c.ClientSecret.Reveal()
		if !l.workspace(c) {
			members[l.account] = c.AccountID
		}
		if l.principal == "" {
			bookkeeping = true
			continue
		}
		members[l.principal], members[l.oauthSecret] = c.ServicePrincipalID, c.OAuthSecretID
	}
	if bookkeeping {
		members[KeyServicePrincipalID], members[KeyOAuthSecretID] = c.ServicePrincipalID, c.OAuthSecretID
	}
	members[KeyLayout], members[KeyKeys] = c.form.setting, c.form.keys
	return members, nil
}

package revocation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/secret"
)

// target is one service principal and what of it is meant.
type target struct {
	host               databricks.Host
	id, clientID, name string
	// known tells that the directory was read; active and admin are from there.
	known, active, admin bool
	// secrets are the principal's managed secrets that the request is about.
	secrets []*managed
	// others are those of the same principal that it is not about. Their
	// credentials are not touched.
	others []*managed
	// former are managed secrets of another principal by now, of which a version
	// holds what is named.
	former []*managed
	// leak is the credential that the request names, nil if it names a place.
	leak *leak
}

// leak is one OAuth secret.
type leak struct {
	// id is empty if nobody recorded it, versionID if no version holds it.
	id, arn, versionID string
	// value is zero if no version holds it.
	value  secret.Text
	scopes []string
}

func (t *target) String() string {
	switch {
	case t.name != "" && t.name != t.clientID:
		return fmt.Sprintf("service principal %s (%s)", t.name, t.clientID)
	default:
		return "service principal " + t.clientID
	}
}

// refusal is the error of a request that could not be begun.
func refusal(format string, args ...any) error {
	return fmt.Errorf(format+"; nothing was changed", args...)
}

// resolve finds what the request is about. It only reads.
func (i *invocation) resolve(ctx context.Context) (*target, error) {
	var t *target
	var err error
	switch req := i.req; {
	case req.Secret != "":
		t, err = i.bySecret(ctx)
	case req.ServicePrincipal != "":
		t, err = i.byPrincipal(ctx)
	case req.SHA256 != "":
		t, err = i.byValue(ctx)
	default:
		t, err = i.byOAuthSecret(ctx)
	}
	if err != nil {
		return nil, err
	}
	if i.req.Mode == Lockout || i.req.Mode == Release {
		// The principal is locked out, with every secret that it has.
		t.secrets, t.others = append(t.secrets, t.others...), nil
	}
	return t, i.identify(ctx, t)
}

// identify reads the principal in the directory. It may fail where the
// principal's id is known and nothing else is needed.
func (i *invocation) identify(ctx context.Context, t *target) error {
	if t.known {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	var p databricks.ServicePrincipal
	var err error
	if t.id != "" {
		p, err = i.Databricks.Principal(ctx, t.host, t.id)
	} else {
		p, err = i.Databricks.FindPrincipal(ctx, t.host, t.clientID)
	}
	switch {
	case err != nil && (t.id == "" || i.req.Mode == Release):
		// Whether it is to be switched on must be known.
		return refusal("%s: %w", t, err)
	case err != nil:
		i.reply.Warnings = append(i.reply.Warnings, fmt.Sprintf("%s could not be read in the directory: %v", t, err))
		return nil
	case p.ApplicationID != t.clientID:
		return refusal("%s: its managed secret says that its id is %s, but that is %s; correct the one that is wrong, or name the service_principal", t, t.id, p.ApplicationID)
	}
	t.id, t.name, t.known, t.active, t.admin = p.ID, p.DisplayName, true, p.Active, p.Admin
	return nil
}

func (i *invocation) bySecret(ctx context.Context) (*target, error) {
	m, err := i.read(ctx, i.req.Secret)
	if err != nil {
		return nil, refusal("%w", err)
	}
	t := targetOf(m)
	ctx, cancel := context.WithTimeout(ctx, 3*stepTimeout)
	defer cancel()
	all, unread, err := i.fleet(ctx)
	if err == nil {
		err = errors.Join(unread...)
	}
	if err != nil {
		// The one that is named can be revoked all the same.
		i.reply.Warnings = append(i.reply.Warnings, fmt.Sprintf("whether other managed secrets are of the same principal could not be told: %v", err))
		if i.req.IncludeForeign {
			return nil, refusal("include_foreign needs to know every managed secret, or it would delete what another one holds: %w", err)
		}
	}
	t.take(all)
	return t, nil
}

func targetOf(m *managed) *target {
	c := m.current.credential
	return &target{
		host: databricks.Host{URL: c.Host, AccountID: c.AccountID}, id: c.ServicePrincipalID, clientID: c.ClientID,
		secrets: []*managed{m},
	}
}

// take adds the principal's other managed secrets. One that holds the very
// value that leaked is meant too.
func (t *target) take(all []*managed) {
	for _, m := range all {
		switch c := m.current.credential; {
		case c.ClientID != t.clientID || slices.ContainsFunc(t.secrets, func(s *managed) bool { return s.secret.ARN == m.secret.ARN }):
		case t.leak != nil && !t.leak.value.IsZero() && c.ClientSecret.Equal(t.leak.value):
			t.secrets = append(t.secrets, m)
		default:
			t.others = append(t.others, m)
		}
	}
}

// byPrincipal looks for a client id, a numeric id or a name, first among the
// managed secrets and then in the directories.
func (i *invocation) byPrincipal(ctx context.Context) (*target, error) {
	all, unread, err := i.fleet(ctx)
	if err != nil {
		return nil, refusal("%w", err)
	}
	if len(unread) > 0 {
		if i.req.IncludeForeign {
			return nil, refusal("include_foreign needs to know every managed secret, or it would delete what another one holds: %w", errors.Join(unread...))
		}
		i.reply.Warnings = append(i.reply.Warnings, fmt.Sprintf("managed secrets that could not be read, and may be of the same principal: %v", errors.Join(unread...)))
	}
	who := i.req.ServicePrincipal
	clientID, isID := strings.ToLower(who), uuidPattern.MatchString(strings.ToLower(who))
	var found []databricks.ServicePrincipal
	foundAt := map[string]databricks.Host{}
	asked := i.hosts(all)
	if !isID {
		if found, err = i.search(ctx, asked, who, all, foundAt); err != nil {
			return nil, err
		}
		switch len(found) {
		case 0:
			return nil, refusal("service_principal: no service principal has the id or the name %s; looked at %s", who, list(asked))
		case 1:
			clientID = found[0].ApplicationID
		default:
			var ids []string
			for _, p := range found {
				ids = append(ids, p.ApplicationID)
			}
			slices.Sort(ids)
			return nil, refusal("service_principal: the name %s is not unique: %s; give one of these client ids", who, strings.Join(ids, ", "))
		}
	}
	var mine []*managed
	for _, m := range all {
		if m.current.credential.ClientID == clientID {
			mine = append(mine, m)
		}
	}
	if len(mine) > 0 {
		t := targetOf(mine[0])
		t.secrets = mine
		return t, nil
	}
	return i.unmanaged(ctx, clientID, asked, foundAt)
}

// unmanaged is a principal that no managed secret names.
func (i *invocation) unmanaged(ctx context.Context, clientID string, asked []databricks.Host, foundAt map[string]databricks.Host) (*target, error) {
	switch {
	case !i.req.IncludeForeign && i.req.Mode != Release:
		return nil, refusal("service_principal: no managed secret is of %s: everything of it is somebody else's; set include_foreign to revoke it all the same", clientID)
	case i.req.Mode == Replace:
		return nil, refusal("service_principal: no managed secret is of %s, so a new credential would reach nobody; use revoke or lockout", clientID)
	}
	if host, ok := foundAt[clientID]; ok {
		asked = []databricks.Host{host}
	}
	var errs []error
	for _, host := range asked {
		p, err := i.Databricks.FindPrincipal(ctx, host, clientID)
		if err == nil {
			return &target{
				host: host, id: p.ID, clientID: p.ApplicationID, name: p.DisplayName, known: true, active: p.Active, admin: p.Admin,
			}, nil
		}
		errs = append(errs, err)
	}
	return nil, refusal("service_principal: %s is not found at %s: %w", clientID, list(asked), errors.Join(errs...))
}

// search finds principals by numeric id or by name, once each.
func (i *invocation) search(ctx context.Context, hosts []databricks.Host, who string, all []*managed, foundAt map[string]databricks.Host) ([]databricks.ServicePrincipal, error) {
	if len(hosts) == 0 {
		return nil, refusal("host is missing: no managed secret says where to look for service principal %s", who)
	}
	numeric := !strings.ContainsFunc(who, func(c rune) bool { return c < '0' || c > '9' })
	var found []databricks.ServicePrincipal
	add := func(host databricks.Host, p databricks.ServicePrincipal) {
		if _, twice := foundAt[p.ApplicationID]; !twice {
			foundAt[p.ApplicationID] = host
			found = append(found, p)
		}
	}
	for _, m := range all {
		if c := m.current.credential; numeric && c.ServicePrincipalID == who {
			add(databricks.Host{URL: c.Host, AccountID: c.AccountID}, databricks.ServicePrincipal{ApplicationID: c.ClientID})
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	var errs []error
	for _, host := range hosts {
		if numeric {
			p, err := i.Databricks.Principal(ctx, host, who)
			switch {
			case err == nil:
				add(host, p)
			case !errors.Is(err, databricks.ErrNotFound):
				errs = append(errs, err)
			}
		}
		named, err := i.Databricks.PrincipalsNamed(ctx, host, who)
		if err != nil {
			errs = append(errs, err)
		}
		for _, p := range named {
			add(host, p)
		}
	}
	if len(errs) > 0 {
		// On a host that did not answer there may be another one of the name.
		return nil, refusal("service_principal: whether %s is one principal could not be told; give its client id: %w", who, errors.Join(errs...))
	}
	return found, nil
}

// hosts are where to look for what no managed secret names: the request's, or
// all of the fleet, account consoles first.
func (i *invocation) hosts(all []*managed) []databricks.Host {
	if i.req.Host != "" {
		return []databricks.Host{{URL: i.req.Host, AccountID: i.req.AccountID}}
	}
	var hosts []databricks.Host
	for _, m := range all {
		c := m.current.credential
		if h := (databricks.Host{URL: c.Host, AccountID: c.AccountID}); !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	slices.SortStableFunc(hosts, func(a, b databricks.Host) int { return len(b.AccountID) - len(a.AccountID) })
	return hosts
}

func list(hosts []databricks.Host) string {
	var names []string
	for _, h := range hosts {
		names = append(names, h.URL)
	}
	if len(names) == 0 {
		return "no host"
	}
	return strings.Join(names, ", ")
}

// byValue matches the hash against every version of every managed secret, the
// current ones first: what leaks is mostly in use.
func (i *invocation) byValue(ctx context.Context) (*target, error) {
	t, all, unread, err := i.everywhere(ctx, func(v version) bool { return matches(v.credential.ClientSecret, i.req.SHA256) })
	if err != nil {
		return nil, refusal("sha256: %w", err)
	}
	if t != nil {
		return t, nil
	}
	rest := ""
	if unread != nil {
		rest = fmt.Sprintf("; and this could not be read: %v", unread)
	}
	return nil, refusal("sha256: no version holds a value with this hash: looked in %d secrets and %d versions%s; if the value ends in a line break, so must what is hashed; name the secret or the service_principal instead", len(all), i.reply.LookedIn.Versions, rest)
}

// matches also knows the hash of a value that a shell has ended by a line
// break.
func matches(value secret.Text, hash string) bool {
	return !value.IsZero() && (value.SHA256() == hash || secret.New(value.Reveal()+"\n").SHA256() == hash)
}

// everywhere looks for a credential in all managed secrets: in what is current,
// and if it is not there, in all versions. It returns the fleet, with all
// versions if they were read, and what could not be read.
func (i *invocation) everywhere(ctx context.Context, is func(version) bool) (found *target, all []*managed, unread, err error) {
	all, failed, err := i.fleet(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	look := func(versions func(*managed) []version) *target {
		i.reply.LookedIn = &LookedIn{Secrets: len(all)}
		for _, m := range all {
			for _, v := range versions(m) {
				i.reply.LookedIn.Versions++
				if found == nil && is(v) {
					if found = targetOf(m); v.credential.ClientID != found.clientID {
						// The managed secret has changed hands, and what leaked
						// is the other principal's.
						found = targetOf(&managed{secret: m.secret, current: v})
						found.secrets, found.former = nil, []*managed{m}
					}
					found.leak = &leak{v.credential.OAuthSecretID, m.secret.ARN, v.id, v.credential.ClientSecret, v.credential.Scopes}
					found.take(all)
				}
			}
		}
		return found
	}
	if look(func(m *managed) []version { return []version{m.current} }) != nil {
		return found, all, errors.Join(failed...), nil
	}
	if err := i.remember(ctx, all...); err != nil {
		failed = append(failed, err)
	}
	return look(func(m *managed) []version { return m.versions }), all, errors.Join(failed...), nil
}

// byOAuthSecret finds which principal an OAuth secret is of: by what the
// managed secrets record, and else by what Databricks lists of their
// principals.
func (i *invocation) byOAuthSecret(ctx context.Context) (*target, error) {
	id := i.req.OAuthSecretID
	t, all, unread, err := i.everywhere(ctx, func(v version) bool { return v.credential.OAuthSecretID == id })
	if err != nil {
		return nil, refusal("oauth_secret_id: %w", err)
	}
	if t != nil {
		return t, nil
	}
	errs := []error{unread}
	asked := map[string]bool{}
	for _, m := range all {
		t := targetOf(m)
		if asked[t.clientID] {
			continue
		}
		asked[t.clientID] = true
		if t.id == "" {
			p, err := i.Databricks.FindPrincipal(ctx, t.host, t.clientID)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			t.id = p.ID
		}
		listed, err := i.Databricks.ListSecrets(ctx, t.host, t.id)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if slices.ContainsFunc(listed, func(s databricks.OAuthSecret) bool { return s.ID == id }) {
			// Whose it is turns out at the first look.
			t.leak, t.secrets = &leak{id: id}, nil
			t.take(all)
			return t, nil
		}
	}
	rest := ""
	if err := errors.Join(errs...); err != nil {
		rest = fmt.Sprintf(", and this could not be read: %v", err)
	}
	return nil, refusal("oauth_secret_id: no version and no managed principal has it: looked in %d secrets and %d versions, and at %d principals%s; name the service_principal instead",
		i.reply.LookedIn.Secrets, i.reply.LookedIn.Versions, len(asked), rest)
}

package collect

import (
	"context"
	"errors"
	"slices"
	"strings"

	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/shared/databricks"
)

// readPrincipals reads what there is no list of for all service principals:
// their OAuth secrets, federation policies and managers. That is nearly all of
// the calls of a large audit, so the lists that matter most come first.
func (r *run) readPrincipals(ctx context.Context) {
	var all []*identity
	for _, one := range r.people.all {
		if one.principal != nil {
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b *identity) int { return strings.Compare(a.principal.ClientID, b.principal.ClientID) })
	forEach(r.slots, all, func(one *identity) { r.readSecrets(ctx, one) })
	forEach(r.slots, all, func(one *identity) { r.readFederation(ctx, one) })

	withToken := map[string]bool{}
	for _, t := range r.inv.Tokens {
		if t.Automation {
			withToken[t.Owner] = true
		}
	}
	forEach(r.slots, all, func(one *identity) {
		p := one.principal
		// Who could make credentials for a principal that has none, and can do
		// nothing of note, is nobody's worry.
		if p.AccountAdmin || p.SecretsUnknown || len(p.Secrets) > 0 || len(p.Federation) > 0 || withToken[p.ClientID] {
			r.readManagers(ctx, one)
		}
	})
}

// hosts are where an identity's credentials are listed, best first. A
// workspace shows those of the principals that the rotator manages.
func (r *run) hosts(one *identity) []databricks.Host {
	if one.ofAccount {
		return []databricks.Host{r.Account}
	}
	var all []databricks.Host
	for _, p := range one.places {
		all = append(all, p.host)
	}
	return all
}

// idAt is the identity's SCIM id on a host.
func (one *identity) idAt(host databricks.Host) string {
	if !one.ofAccount {
		for _, p := range one.places {
			if p.host == host {
				return one.assignments()[p.id].ID
			}
		}
	}
	return one.id()
}

func (r *run) readSecrets(ctx context.Context, one *identity) {
	var list []databricks.OAuthSecret
	err := errors.New("no host lists them")
	for _, host := range r.hosts(one) {
		if ctx.Err() != nil {
			err = errTime
			break
		}
		if list, err = r.Databricks.ListSecrets(ctx, host, one.idAt(host)); err == nil || !errors.Is(err, databricks.ErrDenied) {
			break
		}
	}
	switch {
	case errors.Is(err, databricks.ErrNotFound) && ctx.Err() == nil:
		return // deleted since: there is nothing left to open
	case err != nil:
		one.principal.SecretsUnknown = true
		r.gap(ctx, r.at(one), "the OAuth secrets", one.label(), err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range list {
		if ended(s.ExpireTime, r.now) {
			continue
		}
		one.principal.Secrets = append(one.principal.Secrets, inventory.OAuthSecret{
			ID: s.ID, CreatedAt: s.CreateTime.UTC(), ExpiresAt: s.ExpireTime.UTC(), Scopes: r.strs.list(s.Scopes),
		})
	}
	one.principal.Secrets = slices.Clip(one.principal.Secrets)
}

func (r *run) readFederation(ctx context.Context, one *identity) {
	if !one.ofAccount {
		// That there is no account console to ask is a gap already.
		one.principal.FederationUnknown = true
		return
	}
	err := errTime
	var list []databricks.FederationPolicy
	if ctx.Err() == nil {
		list, err = r.Databricks.FederationPolicies(ctx, r.Account, one.id())
	}
	switch {
	case errors.Is(err, databricks.ErrNotFound):
		return
	case err != nil:
		one.principal.FederationUnknown = true
		r.gap(ctx, r.account(), "the federation policies", one.label(), err)
		return
	}
	for _, p := range list {
		one.principal.Federation = append(one.principal.Federation, federation(p))
	}
}

func (r *run) readManagers(ctx context.Context, one *identity) {
	err := errors.New("no host lists them")
	var rules databricks.RuleSet
	for _, host := range r.hosts(one) {
		if ctx.Err() != nil {
			err = errTime
			break
		}
		if rules, err = r.Databricks.PrincipalRules(ctx, host, r.inv.AccountID, one.name()); err == nil || !errors.Is(err, databricks.ErrDenied) {
			break
		}
	}
	switch {
	case errors.Is(err, databricks.ErrNotFound):
		return
	case err != nil:
		one.principal.ManagersUnknown = true
		r.gap(ctx, r.at(one), "the managers", one.label(), err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	one.principal.Managers = r.strs.list(rules.With(databricks.RoleManager))
}

// at is where a principal's gaps are.
func (r *run) at(one *identity) string {
	if one.ofAccount || len(one.places) == 0 {
		return r.account()
	}
	return one.places[0].host.URL
}

// label names an identity for a reader.
func (one *identity) label() string {
	if one.principal != nil && one.principal.Name != "" {
		return one.principal.Name + " (" + one.principal.ClientID + ")"
	}
	return one.name()
}

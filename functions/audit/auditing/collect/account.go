package collect

import (
	"context"
	"errors"
	"slices"

	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/shared/databricks"
)

// readAccount reads what only the account knows.
func (r *run) readAccount(ctx context.Context) {
	if !r.hasAccount() {
		r.gap(ctx, r.account(), "everything that only the account console knows: account admins, account groups, OAuth apps, federation policies, assignments", "", errNoAccount)
		return
	}
	r.together(ctx, r.readMembers, r.readGroups, r.readApps, r.readAccountFederation)
}

var errNoAccount = errors.New("no account console is configured: it takes AccountConsole and DatabricksAccountId")

// readMembers reads the account's service principals and people.
func (r *run) readMembers(ctx context.Context) {
	read := func(automation bool) bool {
		list, what := r.Databricks.Users, "users"
		if automation {
			list, what = r.Databricks.ServicePrincipals, "service principals"
		}
		for m, err := range list(ctx, r.Account) {
			if err != nil {
				r.gap(ctx, r.account(), "the account's "+what, "", err)
				return false
			}
			if m.Name == "" {
				continue
			}
			r.mu.Lock()
			one := r.people.add(m, automation, r.strs)
			one.ofAccount = true
			if slices.Contains(m.Roles, databricks.RoleAccountAdmin) {
				one.makeAdmin()
			}
			r.mu.Unlock()
		}
		return true
	}
	r.known.principals = read(true)
	r.known.people = read(false)
}

func (i *identity) makeAdmin() {
	if i.person != nil {
		i.person.AccountAdmin = true
	} else {
		i.principal.AccountAdmin = true
	}
}

// readGroups reads the account's groups. The list may leave the members out,
// so a group without any is asked for its own.
func (r *run) readGroups(ctx context.Context) {
	var bare []databricks.Group
	for g, err := range r.Databricks.Groups(ctx, r.Account) {
		if err != nil {
			r.gap(ctx, r.account(), "the account's groups", "", err)
			break
		}
		if len(g.Members) == 0 {
			bare = append(bare, g)
			continue
		}
		r.mu.Lock()
		r.groups.add(g)
		r.mu.Unlock()
	}
	forEach(r.slots, bare, func(g databricks.Group) {
		full, err := r.Databricks.Group(ctx, r.Account, g.ID)
		switch {
		case errors.Is(err, databricks.ErrNotFound):
			return // deleted since
		case err != nil:
			r.gap(ctx, r.account(), "the members", "group "+g.Name, err)
			full = g
		}
		full.ID = g.ID
		r.mu.Lock()
		r.groups.add(full)
		r.mu.Unlock()
	})
}

func (r *run) readApps(ctx context.Context) {
	for _, list := range []struct {
		what string
		read func(context.Context, databricks.Host) ([]databricks.App, error)
	}{{"the custom OAuth apps", r.Databricks.CustomApps}, {"the published OAuth apps", r.Databricks.PublishedApps}} {
		apps, err := list.read(ctx, r.Account)
		if err != nil {
			r.gap(ctx, r.account(), list.what, "", err)
			continue
		}
		for _, a := range apps {
			r.mu.Lock()
			r.inv.Apps = append(r.inv.Apps, inventory.App{
				ID: a.ID, ClientID: a.ClientID, Name: a.Name, Published: a.Published,
				RedirectURLs: a.RedirectURLs, Scopes: r.strs.list(a.Scopes), UserScopes: r.strs.list(a.UserScopes),
				CreatorID: a.CreatorID, Creator: a.Creator, CreatedAt: a.CreateTime.UTC(),
				AccessTTL: a.AccessTTL, RefreshTTL: a.RefreshTTL, SingleUse: a.SingleUse,
			})
			r.mu.Unlock()
		}
	}
}

func (r *run) readAccountFederation(ctx context.Context) {
	list, err := r.Databricks.FederationPolicies(ctx, r.Account, "")
	if err != nil {
		r.gap(ctx, r.account(), "the account's federation policies", "", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range list {
		r.inv.Federation = append(r.inv.Federation, federation(p))
	}
}

func federation(p databricks.FederationPolicy) inventory.FederationPolicy {
	return inventory.FederationPolicy{
		ID: p.ID, Description: p.Description, Issuer: p.Issuer, Audiences: p.Audiences,
		Subject: p.Subject, SubjectClaim: p.SubjectClaim, CreatedAt: p.CreateTime.UTC(),
	}
}

// settleMembership works out, from what the account told, who is in which
// group, who is an account admin, and who may do what in which workspace.
func (r *run) settleMembership() {
	type assigned struct {
		workspace int64
		admin     bool
	}
	byMember := map[string][]assigned{}
	for _, p := range r.places {
		for _, a := range p.assigned {
			byMember[a.MemberID] = append(byMember[a.MemberID], assigned{p.id, a.Admin})
		}
		p.assigned = nil
	}
	for _, one := range r.people.all {
		if !one.ofAccount {
			continue
		}
		groups := r.groups.above(one.id(), nil)
		if list := r.strs.list(names(groups)); one.person != nil {
			one.person.Groups = list
		} else {
			one.principal.Groups = list
		}
		members := []string{one.id()}
		for _, g := range groups {
			members = append(members, g.ID)
			if slices.Contains(g.Roles, databricks.RoleAccountAdmin) {
				one.makeAdmin()
			}
		}
		for _, m := range members {
			for _, a := range byMember[m] {
				one.assign(a.workspace, inventory.Assignment{Admin: a.admin})
			}
		}
	}
	for _, one := range r.people.all {
		for id, a := range one.assignments() {
			if a.ID == "" {
				a.ID = one.id()
				one.assignments()[id] = a
			}
		}
	}
}

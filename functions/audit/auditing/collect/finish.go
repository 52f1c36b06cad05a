package collect

import (
	"cmp"
	"context"
	"log/slog"
	"slices"

	"databricks-credential-rotation/functions/audit/auditing/inventory"
)

// finish names the owners and puts everything in order: the same estate gives
// the same inventory.
func (r *run) finish() {
	inv := r.inv
	for _, p := range r.places {
		inv.Workspaces = append(inv.Workspaces, inventory.Workspace{ID: p.id, Name: p.name, Host: p.host.URL})
	}
	for i := range inv.Apps {
		r.nameCreator(&inv.Apps[i])
	}
	for _, one := range r.people.all {
		if one.person != nil {
			inv.People = append(inv.People, *one.person)
		} else {
			slices.SortFunc(one.principal.Secrets, func(a, b inventory.OAuthSecret) int {
				return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
			})
			inv.Principals = append(inv.Principals, *one.principal)
		}
	}
	for _, h := range r.held {
		inv.Managed = append(inv.Managed, h.Managed)
	}
	r.held = nil
	inv.Gaps = r.gaps.all()

	slices.SortFunc(inv.Workspaces, func(a, b inventory.Workspace) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(inv.People, func(a, b inventory.Person) int { return cmp.Compare(a.UserName, b.UserName) })
	slices.SortFunc(inv.Principals, func(a, b inventory.Principal) int { return cmp.Compare(a.ClientID, b.ClientID) })
	slices.SortFunc(inv.Tokens, func(a, b inventory.Token) int {
		return cmp.Or(cmp.Compare(a.Workspace, b.Workspace), cmp.Compare(a.ID, b.ID))
	})
	slices.SortFunc(inv.Apps, func(a, b inventory.App) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(inv.Federation, func(a, b inventory.FederationPolicy) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(inv.Objects, func(a, b inventory.Object) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Workspace, b.Workspace))
	})
	slices.SortFunc(inv.Managed, func(a, b inventory.Managed) int { return cmp.Compare(a.ARN, b.ARN) })
}

// nameOwners says whose each token is.
func (r *run) nameOwners() {
	places := map[int64]*place{}
	for _, p := range r.places {
		places[p.id] = p
	}
	for i := range r.inv.Tokens {
		r.nameOwner(&r.inv.Tokens[i], places[r.inv.Tokens[i].Workspace])
	}
}

// nameOwner says whose a token is. An id that neither the workspace nor the
// account knows is nobody's, if both could be read.
func (r *run) nameOwner(t *inventory.Token, p *place) {
	one, ok := p.otherIDs[t.OwnerID]
	if !ok {
		one, ok = r.people.byID[t.OwnerID]
	}
	if !ok {
		t.OwnerUnknown = t.OwnerID == "" || !p.directoryKnown || r.hasAccount() && !r.accountKnown()
		return
	}
	t.Owner, t.Automation = one.name(), one.principal != nil
}

// accountKnown tells that the account's whole directory could be read.
func (r *run) accountKnown() bool { return r.known.people && r.known.principals }

// nameCreator says who registered an OAuth app.
func (r *run) nameCreator(a *inventory.App) {
	if one, ok := r.people.byID[a.CreatorID]; ok {
		a.Creator = one.name()
		return
	}
	switch {
	case a.CreatorID == "":
		a.CreatorUnknown = a.Creator == ""
	case r.accountKnown():
		a.Creator = ""
	default:
		a.CreatorUnknown = a.Creator == ""
	}
}

// log writes one line about what was found.
func (r *run) log(ctx context.Context) {
	if r.Log == nil {
		return
	}
	inv := r.inv
	secrets := 0
	for _, p := range inv.Principals {
		secrets += len(p.Secrets)
	}
	r.Log.LogAttrs(ctx, slog.LevelInfo, "inventory taken", slog.Int("workspaces", len(inv.Workspaces)),
		slog.Int("people", len(inv.People)), slog.Int("service_principals", len(inv.Principals)), slog.Int("oauth_secrets", secrets),
		slog.Int("tokens", len(inv.Tokens)), slog.Int("managed_secrets", len(inv.Managed)), slog.Int("gaps", len(inv.Gaps)),
		slog.Duration("took", r.clock()().Sub(r.now)))
}

package collect

import (
	"context"
	"errors"
	"slices"
	"strings"

	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/policy"
)

// readGrants reads the access lists that the policy names, itself or in its
// roles.
func (r *run) readGrants(ctx context.Context) {
	objects := slices.Clone(r.policy.Audit.Objects)
	securables := slices.Clone(r.policy.Audit.Securables)
	for _, role := range r.policy.Roles {
		for _, p := range role.Permissions {
			objects = append(objects, p.Object)
		}
		for _, g := range role.Grants {
			securables = append(securables, g.Securable)
		}
	}
	slices.SortFunc(objects, func(a, b policy.Object) int { return strings.Compare(a.String(), b.String()) })
	slices.SortFunc(securables, func(a, b policy.Securable) int { return strings.Compare(a.String(), b.String()) })
	forEach(r.slots, slices.Compact(objects), func(o policy.Object) { r.readObject(ctx, o) })
	r.readSecurables(ctx, slices.Compact(securables))
}

// readObject looks for an object in every workspace: the policy does not say
// in which it is, and ids are of one workspace.
func (r *run) readObject(ctx context.Context, o policy.Object) {
	found, failed := false, false
	for _, p := range r.places {
		if p.down {
			continue
		}
		if ctx.Err() != nil {
			r.gap(ctx, p.host.URL, "the permissions", o.String(), errTime)
			failed = true
			continue
		}
		list, err := r.Databricks.ObjectPermissions(ctx, p.host, o.Type, o.ID)
		switch {
		case errors.Is(err, databricks.ErrNotFound):
			continue
		case err != nil:
			r.gap(ctx, p.host.URL, "the permissions", o.String(), err)
			failed = true
			continue
		}
		found = true
		object := inventory.Object{Kind: o.Type, Name: o.ID, Workspace: p.id}
		for _, a := range list {
			object.Grants = append(object.Grants, inventory.Grant{Identity: a.Name, Group: a.Group, Level: a.Level, Inherited: a.Inherited})
		}
		r.addObject(object)
	}
	if !found && !failed && len(r.places) > 0 {
		r.gap(ctx, "policy", "the permissions", o.String(), errors.New("no workspace that was read has it"))
	}
}

func (r *run) addObject(o inventory.Object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inv.Objects = append(r.inv.Objects, o)
}

// readSecurables reads the grants of Unity Catalog, by its API rather than by
// a statement over information_schema: that needs no warehouse, tells what is
// inherited, and one call is one securable. A metastore serves many
// workspaces, so one of each is asked.
func (r *run) readSecurables(ctx context.Context, securables []policy.Securable) {
	if len(securables) == 0 {
		return
	}
	r.each(ctx, r.places, func(ctx context.Context, p *place) {
		if p.down {
			return
		}
		id, err := r.Databricks.Metastore(ctx, p.host)
		if err != nil && !errors.Is(err, databricks.ErrNotFound) {
			r.gap(ctx, p.host.URL, "the grants of Unity Catalog", "", err)
		}
		p.metastore = id
	})
	metastores := map[string][]*place{}
	for _, p := range r.places {
		if p.metastore != "" {
			metastores[p.metastore] = append(metastores[p.metastore], p)
		}
	}
	forEach(r.slots, securables, func(s policy.Securable) {
		found, failed := false, false
		for _, places := range metastores {
			ok, err := r.readSecurable(ctx, s, places)
			if err != nil {
				r.gap(ctx, places[0].host.URL, "the grants", s.String(), err)
				failed = true
			}
			found = found || ok
		}
		if !found && !failed && len(metastores) > 0 {
			r.gap(ctx, "policy", "the grants", s.String(), errors.New("no metastore that was read has it"))
		}
	})
}

// readSecurable asks the workspaces of one metastore until one may tell.
func (r *run) readSecurable(ctx context.Context, s policy.Securable, places []*place) (found bool, last error) {
	for _, p := range places {
		if ctx.Err() != nil {
			return false, errTime
		}
		list, err := r.Databricks.Grants(ctx, p.host, s.Type, s.Name)
		switch {
		case errors.Is(err, databricks.ErrNotFound):
			return false, nil
		case err != nil:
			last = err
			continue
		}
		r.addObject(inventory.Object{Kind: s.Type, Name: s.Name, Workspace: p.id, Grants: r.grants(list)})
		return true, nil
	}
	return false, last
}

// grants joins the privileges of each identity, its own and inherited ones
// apart.
func (r *run) grants(list []databricks.Grant) []inventory.Grant {
	var all []inventory.Grant
	for _, g := range list {
		inherited := g.InheritedFrom != ""
		i := slices.IndexFunc(all, func(have inventory.Grant) bool { return have.Identity == g.Name && have.Inherited == inherited })
		if i < 0 {
			i = len(all)
			_, known := r.people.named(g.Name)
			// Unity Catalog does not say what a name is. A user's is an
			// address, a service principal's its application id.
			all = append(all, inventory.Grant{Identity: g.Name, Group: !known && !strings.Contains(g.Name, "@"), Inherited: inherited})
		}
		all[i].Privilege = append(all[i].Privilege, g.Privilege)
	}
	for _, g := range all {
		slices.Sort(g.Privilege)
	}
	return all
}

package rule

import (
	"maps"
	"slices"
	"strings"

	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/shared/policy"
)

// held is what a principal has of one object by one entry of its access list.
type held struct {
	object *inventory.Object
	grant  *inventory.Grant
}

// access lists every entry that gives a principal something, directly or
// through a group that not everybody is in. Entries of the groups of admins
// are left out: they are what an admin is.
func (e *Estate) access() map[string][]held {
	members := map[string][]string{}
	for i := range e.Principals {
		p := &e.Principals[i]
		for _, g := range groupsOf(p) {
			members[g] = append(members[g], p.ClientID)
		}
	}
	all := map[string][]held{}
	for i := range e.Objects {
		o := &e.Objects[i]
		for j := range o.Grants {
			g := &o.Grants[j]
			switch {
			case !g.Group:
				if e.principals[g.Identity] != nil {
					all[g.Identity] = append(all[g.Identity], held{o, g})
				}
			case g.Identity != "admins" && !everyone(g.Identity):
				for _, client := range members[g.Identity] {
					all[client] = append(all[client], held{o, g})
				}
			}
		}
	}
	return all
}

// eachAccess makes a check of a function over principals with what they hold.
func eachAccess(r Rule, judge func(e *Estate, p *inventory.Principal, has []held, match func(workspace int64, m *match))) check {
	return check{r, func(e *Estate, r Rule, say func(finding.Finding)) {
		access := e.access()
		eachPrincipal(r, func(e *Estate, p *inventory.Principal, match func(int64, *match)) {
			judge(e, p, access[p.ClientID], match)
		}).find(e, r, say)
	}}
}

func (h held) what() string {
	if len(h.grant.Privilege) > 0 {
		return strings.Join(h.grant.Privilege, ", ")
	}
	return h.grant.Level
}

func (h held) through() string {
	if h.grant.Group {
		return "group " + h.grant.Identity
	}
	return "itself"
}

// over is what an entry gives beyond a role, nil for nothing.
func (h held) over(role policy.Role) []string {
	if h.grant.Level != "" {
		for _, p := range role.Permissions {
			if p.Object.Type == h.object.Kind && p.Object.ID == h.object.Name && !exceeds(h.grant.Level, p.Level) {
				return nil
			}
		}
		return []string{h.grant.Level}
	}
	var allowed []string
	for _, g := range role.Grants {
		if within(h.object.Kind, h.object.Name, g.Securable.Type, g.Securable.Name) {
			for _, p := range g.Privileges {
				allowed = append(allowed, privilege(p))
			}
		}
	}
	var over []string
	for _, p := range h.grant.Privilege {
		// All privileges are all but the right to manage.
		if !slices.Contains(allowed, privilege(p)) && (privilege(p) == "MANAGE" || !slices.Contains(allowed, "ALL_PRIVILEGES")) {
			over = append(over, p)
		}
	}
	return over
}

func accessChecks() []check {
	return []check{
		eachAccess(Rule{
			ID: "acl-beyond-role", Title: "Permission beyond the principal's role", Severity: finding.High, Practice: TwoLayers,
			What:   "The access list of an object in the policy's lists (`audit.objects`, `audit.securables`) gives a service principal, itself or through a group, more than its role does.",
			Why:    "Scopes limit what a credential may call; this limits what the calls reach. A thief gets both.",
			Remedy: "Take <over> on <kind> <name> from <identity>, or add it to the role.",
		}, func(e *Estate, p *inventory.Principal, has []held, match func(int64, *match)) {
			role, ok := e.roleOf(p.ClientID)
			if !ok {
				return
			}
			for _, h := range has {
				// An inherited entry is found where it was made, if that is in
				// the lists.
				if h.grant.Inherited && e.listedAbove(h.object) {
					continue
				}
				over := h.over(role)
				if len(over) == 0 {
					continue
				}
				m := because("object", h.object.Kind+" "+h.object.Name, "has", h.what(), "beyond the role", strings.Join(over, ", "), "through", h.through()).
					with("over", over).with("kind", h.object.Kind).with("name", h.object.Name).with("identity", h.grant.Identity)
				m.detail = strings.Join([]string{h.object.Kind, h.object.Name, h.grant.Identity}, "\x00")
				m.command = e.takeBack(h, over, m)
				match(h.object.Workspace, m)
			}
		}),
		eachAccess(Rule{
			ID: "entitlement-beyond-role", Title: "Entitlement beyond the principal's role", Severity: finding.Medium, Practice: TwoLayers,
			What:    "In a workspace a service principal has an entitlement that its role in the policy does not have. Those that every member of a workspace has as it comes (workspace-access, databricks-sql-access, workspace-consume) do not count.",
			Why:     "Entitlements such as allow-cluster-create open parts of a workspace that no access list closes.",
			Remedy:  "Take <over> from <client> in the workspace <workspace>, or add it to the role.",
			Command: `DATABRICKS_HOST=<host> databricks service-principals patch <local> --json '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":<operations>}'`,
		}, func(e *Estate, p *inventory.Principal, _ []held, match func(int64, *match)) {
			role, ok := e.roleOf(p.ClientID)
			if !ok {
				return
			}
			for _, id := range slices.Sorted(maps.Keys(p.Assignments)) {
				a := p.Assignments[id]
				var over []string
				var operations []map[string]string
				for _, entitlement := range a.Entitlements {
					if !slices.Contains(role.Entitlements, entitlement) && !slices.Contains(usualEntitlements, entitlement) {
						over = append(over, entitlement)
						operations = append(operations, map[string]string{"op": "remove", "path": `entitlements[value eq "` + entitlement + `"]`})
					}
				}
				// What an admin may do no entitlement limits; that he is one is
				// another finding.
				if len(over) > 0 && !a.Admin {
					match(id, because("workspace", e.workspaceName(id), "beyond the role", strings.Join(over, ", ")).with("over", over).with("operations", operations))
				}
			}
		}),
		eachAccess(Rule{
			ID: "group-beyond-role", Title: "Group membership beyond the principal's role", Severity: finding.Medium, Practice: TwoLayers,
			What:   "A service principal is in a group that its role in the policy does not have. The groups that everybody is in do not count.",
			Why:    "It has whatever the group is given, now and later, on objects that nobody listed here.",
			Remedy: "Take <client> out of <over>, or add the group to the role.",
		}, func(e *Estate, p *inventory.Principal, _ []held, match func(int64, *match)) {
			role, ok := e.roleOf(p.ClientID)
			if !ok {
				return
			}
			// A membership that makes an admin is the admin rules' to report.
			over := beyond(groupsOf(p), append(slices.Clone(role.Groups), "admins"))
			if len(over) > 0 {
				match(0, because("beyond the role", strings.Join(over, ", "), "the role has", strings.Join(role.Groups, ", ")).with("over", over))
			}
		}),
		{Rule{
			ID: "acl-everyone", Title: "Object that everybody can use", Severity: finding.Medium, Practice: TwoLayers,
			What:   "The access list of an object in the policy's lists has an entry for a group that everybody is in.",
			Why:    "The second layer is open: any credential with the right scope reaches the object.",
			Remedy: "Take <what> on <kind> <name> from the group <identity>, and grant it to those who need it.",
		}, func(e *Estate, r Rule, say func(finding.Finding)) {
			for i := range e.Objects {
				o := &e.Objects[i]
				for j := range o.Grants {
					g := &o.Grants[j]
					if !g.Group || !everyone(g.Identity) || g.Inherited && e.listedAbove(o) {
						continue
					}
					h := held{o, g}
					m := because("group", g.Identity, "has", h.what())
					m.with("what", h.what()).with("kind", o.Kind).with("name", o.Name).with("identity", g.Identity)
					take := r
					take.Command = e.takeBack(h, g.Privilege, m)
					say(take.Finding(finding.Subject{Kind: finding.Object, ID: o.Kind + "/" + o.Name, Name: o.Name, Workspace: o.Workspace}, g.Identity, "", m.values, m.evidence...))
				}
			}
		}},
		eachAccess(Rule{
			ID: "layers-permission-without-scope", Title: "Permission that no credential's scopes reach", Severity: finding.Low, Practice: TwoLayers,
			What:   "An access list gives a service principal something for which none of its credentials has a scope.",
			Why:    "The two layers contradict each other: either the permission is left over, or somebody is about to widen a credential to use it.",
			Remedy: "Take the permission on <objects> from <client>, or give its role the scope <scopes>.",
		}, func(e *Estate, p *inventory.Principal, has []held, match func(int64, *match)) {
			scopes, all := e.scopesOf(p)
			// Under a federation policy a principal can ask for any scope.
			if all || len(scopes) == 0 || len(p.Federation) > 0 || p.FederationUnknown || p.SecretsUnknown {
				return
			}
			dead := map[string][]string{}
			for _, h := range has {
				behind, ok := scopesBehind[h.object.Kind]
				if !ok || h.grant.Group || slices.ContainsFunc(behind, func(s string) bool { return slices.Contains(scopes, s) }) {
					continue
				}
				dead[h.object.Kind] = append(dead[h.object.Kind], h.object.Name+" ("+h.what()+")")
			}
			for _, kind := range slices.Sorted(maps.Keys(dead)) {
				m := because("permissions", kind+" "+strings.Join(dead[kind], ", "), "scopes", strings.Join(scopes, " "), "one of these is needed", strings.Join(scopesBehind[kind], ", ")).
					with("objects", dead[kind]).with("scopes", strings.Join(scopesBehind[kind], " or "))
				m.detail = kind
				match(0, m)
			}
		}),
		eachAccess(Rule{
			ID: "layers-scope-without-permission", Title: "Scope with no permission behind it", Severity: finding.Low, Practice: TwoLayers,
			What:   "A service principal's credentials have a scope for workspaces while it is in none; or a scope for a kind of object on which its role counts, and not one of the role's objects, all of which were read, lets it in.",
			Why:    "The two layers contradict each other: the scope is left over, or a permission got lost and the work is failing.",
			Remedy: "Take the scope <scope> from the credentials of <client>, or grant it what its role says.",
		}, func(e *Estate, p *inventory.Principal, has []held, match func(int64, *match)) {
			scopes, all := e.scopesOf(p)
			if all {
				return
			}
			role, _ := e.roleOf(p.ClientID)
			nowhere := e.gapless && len(e.Workspaces) > 0 && len(p.Assignments) == 0
			for _, s := range scopes {
				if nowhere && slices.Contains(workspaceScopes, s) {
					m := because("scope", s, "workspaces", "none").with("scope", s)
					m.detail = s
					match(0, m)
					continue
				}
				wanted, complete := e.wanted(s, role)
				if len(wanted) == 0 || !complete || e.isAdmin(p) || slices.ContainsFunc(wanted, func(o *inventory.Object) bool {
					return e.opens(o, has)
				}) {
					continue
				}
				var names []string
				for _, o := range wanted {
					names = append(names, o.Kind+" "+o.Name)
				}
				m := because("scope", s, "no permission on", strings.Join(names, ", ")).with("scope", s)
				m.detail = s
				match(0, m)
			}
		}),
	}
}

// scopesOf are the scopes of all live credentials of a principal together, and
// whether one of them is unrestricted. What the rotation has replaced does not
// count.
func (e *Estate) scopesOf(p *inventory.Principal) (scopes []string, all bool) {
	for _, s := range e.liveSecrets(p) {
		if !e.replaced(s) {
			scopes, all = append(scopes, s.Scopes...), all || unrestricted(s.Scopes)
		}
	}
	for _, t := range e.liveTokens(p) {
		scopes, all = append(scopes, t.Scopes...), all || unrestricted(t.Scopes)
	}
	slices.Sort(scopes)
	return slices.Compact(scopes), all
}

func (e *Estate) isAdmin(p *inventory.Principal) bool {
	for _, a := range p.Assignments {
		if a.Admin {
			return true
		}
	}
	return p.AccountAdmin
}

// wanted are the objects that a role counts on and a scope reaches, and
// whether the access lists of all of them were read.
func (e *Estate) wanted(scope string, role policy.Role) (wanted []*inventory.Object, complete bool) {
	complete = true
	want := func(kind, name string) {
		if !slices.Contains(scopesBehind[kind], scope) {
			return
		}
		found := e.objects[kind+" "+name]
		complete = complete && len(found) > 0
		wanted = append(wanted, found...)
	}
	for _, p := range role.Permissions {
		want(p.Object.Type, p.Object.ID)
	}
	for _, g := range role.Grants {
		want(g.Securable.Type, g.Securable.Name)
	}
	return wanted, complete
}

// opens tells whether an object lets in a principal that holds what it holds.
func (e *Estate) opens(o *inventory.Object, has []held) bool {
	return slices.ContainsFunc(has, func(h held) bool {
		return h.object == o || securable(o.Kind) && within(o.Kind, o.Name, h.object.Kind, h.object.Name)
	}) || slices.ContainsFunc(o.Grants, func(g inventory.Grant) bool { return g.Group && everyone(g.Identity) })
}

// listedAbove tells whether what an object inherits from was read too.
func (e *Estate) listedAbove(o *inventory.Object) bool {
	if !securable(o.Kind) {
		return false
	}
	return slices.ContainsFunc(e.Objects, func(other inventory.Object) bool {
		return (other.Kind != o.Kind || other.Name != o.Name) && within(o.Kind, o.Name, other.Kind, other.Name)
	})
}

// maxSpeltOut is how many entries of an access list a command spells out. A
// longer one nobody checks before pasting it.
const maxSpeltOut = 25

// takeBack is the command that takes an entry, or the privileges beyond a
// role, out of an access list. It gives the match the values that it needs.
func (e *Estate) takeBack(h held, privileges []string, m *match) string {
	m.with("host", e.host(h.object.Workspace))
	if h.grant.Level == "" {
		changes := []map[string]any{{"principal": h.grant.Identity, "remove": privileges}}
		m.with("changes", changes)
		return `DATABRICKS_HOST=<host> databricks grants update <kind> <name> --json '{"changes":<changes>}'`
	}
	if h.grant.Inherited || len(h.object.Grants) > maxSpeltOut {
		return ""
	}
	// The API replaces the list as a whole, so what stays is spelt out.
	stays := []map[string]string{}
	for i := range h.object.Grants {
		g := &h.object.Grants[i]
		if g == h.grant || g.Inherited || g.Level == "" {
			continue
		}
		kind := "user_name"
		switch {
		case g.Group:
			kind = "group_name"
		case e.principals[g.Identity] != nil:
			kind = "service_principal_name"
		}
		stays = append(stays, map[string]string{kind: g.Identity, "permission_level": g.Level})
	}
	m.with("stays", stays)
	return `DATABRICKS_HOST=<host> databricks permissions set <kind> <name> --json '{"access_control_list":<stays>}'`
}

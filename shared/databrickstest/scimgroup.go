package databrickstest

import (
	"net/http"
	"strconv"
)

// The groups that every workspace has. Their ids are the workspace's own and
// the one after.
const (
	adminsGroup = "admins"
	usersGroup  = "users"
)

type scimMeta struct {
	ResourceType string `json:"resourceType"`
}

// scimGroup is a group on the wire.
type scimGroup struct {
	Schemas      []string    `json:"schemas"`
	ID           string      `json:"id"`
	AccountID    string      `json:"account_id,omitempty"`
	DisplayName  string      `json:"displayName"`
	Meta         scimMeta    `json:"meta"`
	Members      []scimValue `json:"members,omitempty"`
	Roles        []scimValue `json:"roles,omitempty"`
	Entitlements []scimValue `json:"entitlements,omitempty"`
	Groups       []scimValue `json:"groups,omitempty"`
}

// groupsHere are the groups that the host knows. The account knows its own, a
// workspace its own and those of the account that are assigned to it.
func (r *request) groupsHere() []*group {
	w := r.site.workspace
	var here []*group
	if w != nil {
		here = append(here,
			&group{id: w.ID, name: adminsGroup, workspace: w},
			&group{id: w.ID + 1, name: usersGroup, workspace: w})
	}
	for _, g := range r.server.groupOrder {
		_, assigned := g.workspaces[w]
		if g.workspace == w || w != nil && g.workspace == nil && assigned {
			here = append(here, g)
		}
	}
	return here
}

func (r *request) scimGroup(g *group, members bool) scimGroup {
	out := scimGroup{
		Schemas:     []string{scimGroupSchema},
		ID:          strconv.FormatInt(g.id, 10),
		DisplayName: g.name,
		Meta:        scimMeta{"Group"},
	}
	if g.workspace != nil {
		out.Meta.ResourceType = "WorkspaceGroup"
	}
	if members {
		for _, id := range r.membersOf(g) {
			if value, ok := r.memberValue(id); ok {
				out.Members = append(out.Members, value)
			}
		}
	}
	for _, parent := range g.groups {
		out.Groups = append(out.Groups, groupValue(parent.id, parent.name, true))
	}
	w := r.site.workspace
	if w == nil {
		out.AccountID = r.server.config.AccountID
		out.Groups = nil
		if g.accountAdmin {
			out.Roles = []scimValue{{Type: "direct", Value: accountAdmin}}
		}
		return out
	}
	out.Entitlements = g.entitlementsIn(w)
	return out
}

// membersOf are the ids of a group's direct members. Of the two groups that
// every workspace has, they are those assigned to it.
func (r *request) membersOf(g *group) []int64 {
	w := g.workspace
	if w == nil || g.id != w.ID && g.id != w.ID+1 {
		return g.members
	}
	var ids []int64
	add := func(id int64, m *membership) {
		if admin, assigned := m.workspaces[w]; assigned && (admin || g.name == usersGroup) {
			ids = append(ids, id)
		}
	}
	for _, human := range []bool{false, true} {
		for _, p := range r.roster(human) {
			add(p.id, &p.membership)
		}
	}
	for _, member := range r.server.groupOrder {
		add(member.id, &member.membership)
	}
	return ids
}

func (r *request) memberValue(id int64) (scimValue, bool) {
	text := strconv.FormatInt(id, 10)
	if g := r.server.groups[id]; g != nil {
		return scimValue{Display: g.name, Value: text, Ref: "Groups/" + text}, true
	}
	p := r.server.principals[id]
	if p == nil || p.view(r.stale).deleted {
		return scimValue{}, false
	}
	value := scimValue{Display: p.displayName, Value: text, Ref: "ServicePrincipals/" + text}
	if p.human() {
		value.Ref = "Users/" + text
	}
	return value, true
}

// listGroups answers a page of groups, on the account's host without their
// members.
func listGroups(r *request) (reply, *failure) {
	if err := r.requireAdmin(); err != nil {
		return reply{}, err
	}
	fields := func(g *group) scimFields {
		return scimFields{id: strconv.FormatInt(g.id, 10), displayName: g.name}
	}
	return scimList(r, r.groupsHere(), fields, func(g *group) any {
		return r.scimGroup(g, r.site.workspace != nil)
	})
}

func getGroup(r *request) (reply, *failure) {
	if err := r.requireAdmin(); err != nil {
		return reply{}, err
	}
	for _, g := range r.groupsHere() {
		if strconv.FormatInt(g.id, 10) == r.param("group") {
			resource, err := r.attributes(r.scimGroup(g, true))
			return reply{http.StatusOK, resource}, err
		}
	}
	return reply{}, missing("group %s does not exist", r.param("group"))
}

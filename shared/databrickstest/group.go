package databrickstest

import (
	"slices"
)

// Group is a group of the account, or of one workspace.
type Group struct {
	// ID is the SCIM id.
	ID   int64
	Name string
	// AccountAdmin is held by all members, those of member groups too.
	AccountAdmin bool
	// Workspace is where a workspace's own group is; nil for the account's.
	Workspace *Workspace
}

// GroupSpec describes a new group without members.
type GroupSpec struct {
	Name string
	// AccountAdmin grants the role account_admin.
	AccountAdmin bool
	// Workspace makes a workspace's own group; nil one of the account.
	Workspace *Workspace
}

// group is a group as the server keeps it.
type group struct {
	id           int64
	name         string
	accountAdmin bool
	workspace    *Workspace // whose own it is; nil for the account's
	members      []int64    // people, service principals and groups
	membership
}

// membership is where an identity or a group belongs.
type membership struct {
	workspaces   map[*Workspace]bool // true for ADMIN
	entitlements map[*Workspace][]string
	groups       []*group // those that it is a direct member of
}

// ancestors are the groups that a member is in, itself or through others, the
// nearest first.
func (m *membership) ancestors() []*group {
	if len(m.groups) == 0 {
		return nil
	}
	all := slices.Clone(m.groups)
	for i := 0; i < len(all); i++ {
		for _, g := range all[i].groups {
			if !slices.Contains(all, g) {
				all = append(all, g)
			}
		}
	}
	return all
}

// in tells whether a member is in the workspace, and as an admin, itself or
// through a group.
func (m *membership) in(w *Workspace) (member, admin bool) {
	admin, member = m.workspaces[w]
	for _, g := range m.ancestors() {
		groupAdmin, assigned := g.workspaces[w]
		member = member || assigned
		admin = admin || groupAdmin
	}
	return member, admin
}

func (m *membership) assign(w *Workspace, admin bool) {
	if m.workspaces == nil {
		m.workspaces = map[*Workspace]bool{}
	}
	m.workspaces[w] = admin
}

// isAccountAdmin tells whether the identity has the role account_admin, itself
// or through a group.
func (p *principal) isAccountAdmin() bool {
	return p.accountAdmin || slices.ContainsFunc(p.ancestors(), func(g *group) bool { return g.accountAdmin })
}

// AddGroup adds a group without members.
func (s *Server) AddGroup(spec GroupSpec) Group {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := &group{id: s.freshID(), name: spec.Name, accountAdmin: spec.AccountAdmin, workspace: spec.Workspace}
	s.groups[g.id] = g
	s.groupOrder = append(s.groupOrder, g)
	return Group{ID: g.id, Name: g.name, AccountAdmin: g.accountAdmin, Workspace: g.workspace}
}

// AddMember makes a person, a service principal or a group a member of the
// group. One that would contain itself is not added.
func (s *Server) AddMember(groupID, memberID int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, m := s.groups[groupID], s.membership(memberID)
	if g == nil || m == nil || slices.Contains(g.members, memberID) {
		return
	}
	if memberID == groupID || slices.ContainsFunc(g.ancestors(), func(a *group) bool { return a.id == memberID }) {
		return
	}
	g.members = append(g.members, memberID)
	m.groups = append(m.groups, g)
	s.rosters++
}

// membership returns where an identity or a group belongs; nil if there is
// none of that id.
func (s *Server) membership(id int64) *membership {
	if p := s.principals[id]; p != nil {
		return &p.membership
	}
	if g := s.groups[id]; g != nil {
		return &g.membership
	}
	return nil
}

// Entitle sets what the person, service principal or group may do in the
// workspace beyond being there, in place of "workspace-access" alone.
func (s *Server) Entitle(id int64, w *Workspace, entitlements ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.membership(id)
	if m == nil {
		return
	}
	if m.entitlements == nil {
		m.entitlements = map[*Workspace][]string{}
	}
	m.entitlements[w] = slices.Clone(entitlements)
}

package databrickstest

import (
	"net/http"
	"slices"
	"strconv"
)

type assignmentPrincipal struct {
	ID               int64  `json:"principal_id"`
	DisplayName      string `json:"display_name,omitempty"`
	UserName         string `json:"user_name,omitempty"`
	ServicePrincipal string `json:"service_principal_name,omitempty"`
	Group            string `json:"group_name,omitempty"`
}

type assignment struct {
	Principal   assignmentPrincipal `json:"principal"`
	Permissions []string            `json:"permissions"`
}

// listAssignments answers who is assigned to a workspace, all at once: those
// that are in it through a group are not told.
func listAssignments(r *request) (reply, *failure) {
	if err := r.requireAdmin(); err != nil {
		return reply{}, err
	}
	w, err := r.pathWorkspace()
	if err != nil {
		return reply{}, err
	}
	list := struct {
		Assignments []assignment `json:"permission_assignments,omitempty"`
	}{}
	add := func(m *membership, id int64) {
		admin, assigned := m.workspaces[w]
		if !assigned {
			return
		}
		level := "USER"
		if admin {
			level = "ADMIN"
		}
		list.Assignments = append(list.Assignments, assignment{r.assigned(id), []string{level}})
	}
	for _, all := range [][]*principal{r.roster(false), r.roster(true)} {
		for _, p := range all {
			add(&p.membership, p.id)
		}
	}
	for _, g := range r.server.groupOrder {
		add(&g.membership, g.id)
	}
	return reply{http.StatusOK, list}, nil
}

// putAssignment makes a member of a workspace of somebody, or none any more if
// there are no permissions.
func putAssignment(r *request) (reply, *failure) {
	if err := r.requireAdmin(); err != nil {
		return reply{}, err
	}
	w, err := r.pathWorkspace()
	if err != nil {
		return reply{}, err
	}
	id, _ := strconv.ParseInt(r.param("principal"), 10, 64) // there is no identity 0
	m := r.server.membership(id)
	if p := r.server.principals[id]; m == nil || p != nil && p.now.deleted {
		return reply{}, missing("principal %s does not exist", r.param("principal"))
	}
	var body struct {
		Permissions []string `json:"permissions"`
	}
	if err := r.decode(&body); err != nil {
		return reply{}, err
	}
	for _, p := range body.Permissions {
		if p != "USER" && p != "ADMIN" {
			return reply{}, invalid("permission %q is neither USER nor ADMIN", p)
		}
	}
	if len(body.Permissions) == 0 {
		delete(m.workspaces, w)
	} else {
		m.assign(w, slices.Contains(body.Permissions, "ADMIN"))
	}
	r.server.rosters++
	return reply{http.StatusOK, assignment{r.assigned(id), body.Permissions}}, nil
}

// assigned describes who is assigned.
func (r *request) assigned(id int64) assignmentPrincipal {
	if g := r.server.groups[id]; g != nil {
		return assignmentPrincipal{ID: g.id, DisplayName: g.name, Group: g.name}
	}
	p := r.server.principals[id]
	return assignmentPrincipal{ID: p.id, DisplayName: p.displayName, UserName: p.userName, ServicePrincipal: p.applicationID}
}

// pathWorkspace returns the workspace in the path.
func (r *request) pathWorkspace() (*Workspace, *failure) {
	text := r.param("workspace")
	for _, w := range r.server.workspaces {
		if strconv.FormatInt(w.ID, 10) == text {
			return w, nil
		}
	}
	return nil, missing("workspace %s does not exist", text)
}

package databrickstest

import (
	"net/http"
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
	add := func(m *membership, who assignmentPrincipal) {
		admin, assigned := m.workspaces[w]
		if !assigned {
			return
		}
		level := "USER"
		if admin {
			level = "ADMIN"
		}
		list.Assignments = append(list.Assignments, assignment{who, []string{level}})
	}
	for _, all := range [][]*principal{r.roster(false), r.roster(true)} {
		for _, p := range all {
			add(&p.membership, assignmentPrincipal{
				ID: p.id, DisplayName: p.displayName, UserName: p.userName, ServicePrincipal: p.applicationID,
			})
		}
	}
	for _, g := range r.server.groupOrder {
		add(&g.membership, assignmentPrincipal{ID: g.id, DisplayName: g.name, Group: g.name})
	}
	return reply{http.StatusOK, list}, nil
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

package databrickstest

import (
	"net/http"
	"slices"
	"strings"
)

// Access is one entry of an object's access list.
type Access struct {
	// Who is the id of a person, a service principal or a group, or [Admins] or
	// [Users].
	Who int64
	// Level is such as "CAN_USE".
	Level string
	// Inherited are the objects that it comes from; none for one of its own.
	Inherited []string
}

// Admins and Users stand for the groups that every workspace has.
const (
	Admins int64 = -1
	Users  int64 = -2
)

// objectKinds are the types of objects that have an access list: as the
// reply's object_type names them, and what comes before the id in object_id.
var objectKinds = map[string]struct{ name, prefix string }{
	"alerts":           {"alert", "/sql/alerts/"},
	"apps":             {"apps", "/apps/"},
	"authorization":    {"tokens", "/authorization/"},
	"clusters":         {"cluster", "/clusters/"},
	"cluster-policies": {"cluster-policy", "/cluster-policies/"},
	"dashboards":       {"dashboard", "/dashboards/"},
	"directories":      {"directory", "/directories/"},
	"experiments":      {"mlflowExperiment", "/experiments/"},
	"files":            {"file", "/files/"},
	"genie":            {"genie", "/genie/"},
	"instance-pools":   {"instance-pool", "/instance-pools/"},
	"jobs":             {"job", "/jobs/"},
	"notebooks":        {"notebook", "/notebooks/"},
	"pipelines":        {"pipelines", "/pipelines/"},
	"queries":          {"query", "/sql/queries/"},
	"registered-models": {
		"registered-model", "/registered-models/",
	},
	"repos":             {"repo", "/repos/"},
	"serving-endpoints": {"serving-endpoint", "/serving-endpoints/"},
	"warehouses":        {"warehouses", "/sql/warehouses/"},
}

// SetAccess makes an object of the workspace, named by type and id such as
// "warehouses/abc123", or gives it another access list.
func (w *Workspace) SetAccess(object string, list ...Access) {
	list = slices.Clone(list)
	w.site.server.mu.Lock()
	defer w.site.server.mu.Unlock()
	if w.objects == nil {
		w.objects = map[string][]Access{}
	}
	w.objects[object] = list
}

type permissionInfo struct {
	Level     string   `json:"permission_level"`
	Inherited bool     `json:"inherited"`
	From      []string `json:"inherited_from_object,omitempty"`
}

type accessInfo struct {
	User             string           `json:"user_name,omitempty"`
	Group            string           `json:"group_name,omitempty"`
	ServicePrincipal string           `json:"service_principal_name,omitempty"`
	DisplayName      string           `json:"display_name,omitempty"`
	Permissions      []permissionInfo `json:"all_permissions"`
}

// getPermissions answers an object's access list: one entry for everyone on
// it, in the order in which they came.
func getPermissions(r *request) (reply, *failure) {
	kind, id := r.param("kind"), r.param("object")
	about, ok := objectKinds[kind]
	if !ok {
		return reply{}, invalid("%q is not a type of objects", kind)
	}
	w := r.site.workspace
	list, ok := w.objects[kind+"/"+id]
	if !ok {
		return reply{}, missing("%s %s does not exist", about.name, id)
	}
	if _, admin := r.caller.in(w); !admin && !r.has(list, "CAN_MANAGE", "IS_OWNER") {
		return reply{}, denied("%s may not manage %s %s", r.caller, about.name, id)
	}
	answer := struct {
		ID   string        `json:"object_id"`
		Type string        `json:"object_type"`
		List []*accessInfo `json:"access_control_list,omitempty"`
	}{ID: about.prefix + id, Type: about.name}
	seen := map[int64]*accessInfo{}
	for _, a := range list {
		info := seen[a.Who]
		if info == nil {
			if info, ok = r.accessInfo(a.Who); !ok {
				continue
			}
			seen[a.Who] = info
			answer.List = append(answer.List, info)
		}
		info.Permissions = append(info.Permissions, permissionInfo{a.Level, len(a.Inherited) > 0, a.Inherited})
	}
	return reply{http.StatusOK, answer}, nil
}

func (r *request) accessInfo(who int64) (*accessInfo, bool) {
	switch g := r.server.groups[who]; {
	case who == Admins:
		return &accessInfo{Group: adminsGroup}, true
	case who == Users:
		return &accessInfo{Group: usersGroup}, true
	case g != nil:
		return &accessInfo{Group: g.name}, true
	}
	p := r.server.principals[who]
	if p == nil || p.now.deleted {
		return nil, false
	}
	return &accessInfo{User: p.userName, ServicePrincipal: p.applicationID, DisplayName: p.displayName}, true
}

// has tells whether an access list gives the caller one of the levels, by
// itself or through a group; any level will do if none is named.
func (r *request) has(list []Access, levels ...string) bool {
	w := r.site.workspace
	_, admin := r.caller.in(w)
	return slices.ContainsFunc(list, func(a Access) bool {
		if len(levels) > 0 && !slices.Contains(levels, a.Level) {
			return false
		}
		return a.Who == r.caller.id || a.Who == Users || a.Who == Admins && admin ||
			slices.ContainsFunc(r.caller.ancestors(), func(g *group) bool { return g.id == a.Who })
	})
}

// Grant is what an identity may do with a securable of Unity Catalog.
type Grant struct {
	// Who is the id of a person, a service principal or a group.
	Who        int64
	Privileges []string
}

// SetGrants makes a securable of the account's metastore, named by type and
// full name such as "schema main.raw", or gives it other grants. A catalog's and
// a schema's are inherited by what they contain.
func (s *Server) SetGrants(securable string, grants ...Grant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var g register[Grant]
	for _, grant := range grants {
		if name := s.granteeName(grant.Who); name != "" {
			g.put(name, &Grant{grant.Who, slices.Clone(grant.Privileges)}, s.behaviour.lagReads)
		}
	}
	s.securables[securable] = &g
}

// granteeName is how Unity Catalog names an identity or a group.
func (s *Server) granteeName(id int64) string {
	if g := s.groups[id]; g != nil {
		return g.name
	}
	if p := s.principals[id]; p != nil {
		return p.name()
	}
	return ""
}

type grantInfo struct {
	Principal   string   `json:"principal"`
	PrincipalID int64    `json:"principal_id"`
	Privileges  []string `json:"privileges"`
}

// getGrants answers who may do what with a securable: all at once, or paged
// when the query has max_results.
func getGrants(r *request) (reply, *failure) {
	if err := r.requireAdmin(); err != nil {
		return reply{}, err
	}
	kind, name := strings.ToLower(r.param("kind")), r.param("object")
	g := r.server.securables[kind+" "+name]
	if g == nil {
		return reply{}, missing("%s %q does not exist", kind, name)
	}
	size, err := r.grantsPage(g)
	if err != nil {
		return reply{}, err
	}
	rows, next, err := page(r, "grants-"+kind+"-"+name, size, g, func(g *Grant) grantInfo {
		info := grantInfo{r.server.granteeName(g.Who), g.Who, g.Privileges}
		if p := r.server.principals[g.Who]; p != nil && p.now.deleted {
			info.Principal = "" // only the id is left
		}
		return info
	})
	if err != nil {
		return reply{}, err
	}
	if who := r.query.Get("principal"); who != "" {
		rows = slices.DeleteFunc(rows, func(g grantInfo) bool { return g.Principal != who })
	}
	return reply{http.StatusOK, struct {
		Grants []grantInfo `json:"privilege_assignments,omitempty"`
		Next   string      `json:"next_page_token,omitempty"`
	}{rows, next}}, nil
}

// leastGrants is the least max_results that is not zero.
const leastGrants = 150

func (r *request) grantsPage(g *register[Grant]) (int, *failure) {
	if !r.query.Has("max_results") {
		return len(g.rows) + 1, nil // more than there are: one page
	}
	n, err := r.number("max_results", 0)
	if err != nil || n < 0 || n > 0 && n < leastGrants {
		return 0, invalid("max_results %q is neither 0 nor at least %d", r.query.Get("max_results"), leastGrants)
	}
	return r.server.config.PageSize, nil
}

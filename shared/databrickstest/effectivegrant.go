package databrickstest

import (
	"net/http"
	"slices"
	"strings"
)

// effectivePrivilege is a privilege and, when it is inherited, whence.
type effectivePrivilege struct {
	Privilege string `json:"privilege"`
	FromType  string `json:"inherited_from_type,omitempty"`
	FromName  string `json:"inherited_from_name,omitempty"`
}

// effectiveGrant is what somebody may do with a securable, all told.
type effectiveGrant struct {
	Principal  string               `json:"principal"`
	Privileges []effectivePrivilege `json:"privileges"`
}

// getEffectiveGrants answers who may do what with a securable, by grants on it
// and on those that contain it, paged as [getGrants] is.
func getEffectiveGrants(r *request) (reply, *failure) {
	if err := r.requireAdmin(); err != nil {
		return reply{}, err
	}
	kind, name := strings.ToLower(r.param("kind")), r.param("object")
	own := r.server.securables[kind+" "+name]
	if own == nil {
		return reply{}, missing("%s %q does not exist", kind, name)
	}
	size, err := r.grantsPage(own)
	if err != nil {
		return reply{}, err
	}
	var all register[effectiveGrant]
	r.addEffective(&all, own, "", "")
	for _, above := range containers(kind, name) {
		if g := r.server.securables[above]; g != nil {
			kind, name, _ := strings.Cut(above, " ")
			r.addEffective(&all, g, strings.ToUpper(kind), name)
		}
	}
	if !r.query.Has("max_results") {
		size = len(all.rows) + 1
	}
	rows, next, err := page(r, "effective-"+kind+"-"+name, size, &all, func(g *effectiveGrant) effectiveGrant { return *g })
	if err != nil {
		return reply{}, err
	}
	if who := r.query.Get("principal"); who != "" {
		rows = slices.DeleteFunc(rows, func(g effectiveGrant) bool { return g.Principal != who })
	}
	return reply{http.StatusOK, struct {
		Grants []effectiveGrant `json:"privilege_assignments,omitempty"`
		Next   string           `json:"next_page_token,omitempty"`
	}{rows, next}}, nil
}

// addEffective adds the grants of a securable. Of those who were deleted only
// an id is left, which effective grants do not show.
func (r *request) addEffective(all *register[effectiveGrant], g *register[Grant], fromType, fromName string) {
	for grant := range g.all(r.stale) {
		name := r.server.granteeName(grant.Who)
		if p := r.server.principals[grant.Who]; name == "" || p != nil && p.now.deleted {
			continue
		}
		next := effectiveGrant{Principal: name}
		if have := all.get(name, false); have != nil {
			next.Privileges = slices.Clone(have.Privileges)
		}
		for _, p := range grant.Privileges {
			next.Privileges = append(next.Privileges, effectivePrivilege{p, fromType, fromName})
		}
		all.put(name, &next, false)
	}
}

// containers are the securables that contain one, the nearest first: catalogs
// contain schemas, and those everything else with a name of three parts.
func containers(kind, name string) []string {
	part := strings.Split(name, ".")
	switch {
	case kind == "schema" && len(part) == 2:
		return []string{"catalog " + part[0]}
	case len(part) == 3:
		return []string{"schema " + part[0] + "." + part[1], "catalog " + part[0]}
	default:
		return nil
	}
}

// getMetastore answers which metastore the workspace uses: all use the
// account's one.
func getMetastore(r *request) (reply, *failure) {
	return reply{http.StatusOK, struct {
		ID        string `json:"metastore_id"`
		Workspace int64  `json:"workspace_id"`
		Catalog   string `json:"default_catalog_name"`
	}{r.server.config.AccountID, r.site.workspace.ID, "main"}}, nil
}

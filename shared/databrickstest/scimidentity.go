package databrickstest

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
)

const (
	accountAdmin    = "account_admin"
	workspaceAccess = "workspace-access"
)

// scimIdentity is a service principal or a person on the wire: with roles on
// the account's host, with entitlements and groups on a workspace's.
type scimIdentity struct {
	Schemas       []string    `json:"schemas"`
	ID            string      `json:"id"`
	AccountID     string      `json:"account_id,omitempty"`
	ApplicationID string      `json:"applicationId,omitempty"`
	UserName      string      `json:"userName,omitempty"` // of a person, and of Me
	DisplayName   string      `json:"displayName,omitempty"`
	Active        bool        `json:"active"`
	Emails        []scimValue `json:"emails,omitempty"`
	Roles         []scimValue `json:"roles,omitempty"`
	Entitlements  []scimValue `json:"entitlements,omitempty"`
	Groups        []scimValue `json:"groups,omitempty"`
}

func (r *request) scim(p *principal) scimIdentity {
	out := scimIdentity{
		Schemas:       []string{scimPrincipalSchema},
		ID:            strconv.FormatInt(p.id, 10),
		ApplicationID: p.applicationID,
		UserName:      p.userName,
		DisplayName:   p.displayName,
		Active:        p.view(r.stale).active,
	}
	if p.human() {
		out.Schemas = []string{scimUserSchema}
		out.Emails = []scimValue{{Type: "work", Value: p.userName, Primary: true}}
	}
	w := r.site.workspace
	if w == nil {
		out.AccountID = r.server.config.AccountID
		if p.accountAdmin {
			out.Roles = []scimValue{{Type: "direct", Value: accountAdmin}}
		}
		return out
	}
	out.Entitlements = p.entitlementsIn(w)
	if _, admin := p.in(w); admin {
		out.Groups = append(out.Groups, groupValue(w.ID, adminsGroup, p.workspaces[w]))
	}
	out.Groups = append(out.Groups, groupValue(w.ID+1, usersGroup, true))
	for _, g := range p.ancestors() {
		if g.workspace == nil || g.workspace == w {
			out.Groups = append(out.Groups, groupValue(g.id, g.name, slices.Contains(p.groups, g)))
		}
	}
	return out
}

// entitlementsIn are a member's own entitlements in a workspace.
func (m *membership) entitlementsIn(w *Workspace) []scimValue {
	names, ok := m.entitlements[w]
	if !ok {
		names = []string{workspaceAccess}
	}
	var values []scimValue
	for _, name := range names {
		values = append(values, scimValue{Value: name})
	}
	return values
}

func groupValue(id int64, name string, direct bool) scimValue {
	text := strconv.FormatInt(id, 10)
	value := scimValue{Display: name, Type: "direct", Value: text, Ref: "Groups/" + text}
	if !direct {
		value.Type = "indirect"
	}
	return value
}

func (r *request) identityFields(p *principal) scimFields {
	return scimFields{
		id:            strconv.FormatInt(p.id, 10),
		applicationID: p.applicationID,
		userName:      p.userName,
		displayName:   p.displayName,
		active:        p.view(r.stale).active,
	}
}

func listIdentities(r *request, human bool) (reply, *failure) {
	if err := r.requireAdmin(); err != nil {
		return reply{}, err
	}
	match, err := r.filter()
	if err != nil {
		return reply{}, err
	}
	all, found := r.named(match, human)
	if !found {
		all = r.roster(human)
	}
	return scimList(r, all, r.identityFields, func(p *principal) any { return r.scim(p) })
}

// named returns those that a filter names outright, by id, application id or
// user name, without a look at the others; false for a filter that does not.
func (r *request) named(match filter, human bool) ([]*principal, bool) {
	var all []*principal
	for _, group := range match {
		p, ok := r.identified(group)
		if !ok {
			return nil, false
		}
		if p != nil && p.human() == human && !p.view(r.stale).deleted && r.knows(p) && !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b *principal) int { return cmp.Compare(a.seq, b.seq) })
	return all, len(match) > 0
}

// identified returns the one identity that comparisons which all must hold can
// be about, nil if there is none; false when they leave it open.
func (r *request) identified(group []comparison) (*principal, bool) {
	for _, c := range group {
		switch c.attribute {
		case "id":
			id, _ := strconv.ParseInt(c.value, 10, 64) // there is no identity 0
			return r.server.principals[id], true
		case "applicationid":
			if p := r.server.byApplication[c.value]; p != nil {
				return p, true
			}
		case "username":
			if p := r.server.byUserName[c.value]; p != nil {
				return p, true
			}
		}
	}
	return nil, false
}

// resource returns the service principal, or the person, in the path if the
// host knows them.
func (r *request) resource(human bool) (*principal, *failure) {
	if err := r.requireAdmin(); err != nil {
		return nil, err
	}
	kind, text := "service principal", r.param("sp")
	if human {
		kind, text = "user", r.param("user")
	}
	id, _ := strconv.ParseInt(text, 10, 64) // there is no identity 0
	if p := r.server.principals[id]; p != nil && p.human() == human && !p.view(r.stale).deleted && r.knows(p) {
		return p, nil
	}
	return nil, missing("%s %s does not exist", kind, text)
}

func getIdentity(r *request, human bool) (reply, *failure) {
	p, err := r.resource(human)
	if err != nil {
		return reply{}, err
	}
	resource, err := r.attributes(r.scim(p))
	return reply{http.StatusOK, resource}, err
}

func listPrincipals(r *request) (reply, *failure) { return listIdentities(r, false) }
func getPrincipal(r *request) (reply, *failure)   { return getIdentity(r, false) }
func patchPrincipal(r *request) (reply, *failure) { return patchIdentity(r, false) }
func listUsers(r *request) (reply, *failure)      { return listIdentities(r, true) }
func getUser(r *request) (reply, *failure)        { return getIdentity(r, true) }
func patchUser(r *request) (reply, *failure)      { return patchIdentity(r, true) }

// getMe tells a caller who it is. Any scope will do: it is how a consumer
// proves that its token works.
func getMe(r *request) (reply, *failure) {
	me := r.scim(r.caller)
	me.Schemas = []string{scimUserSchema}
	if me.ApplicationID != "" {
		me.UserName, me.ApplicationID = me.ApplicationID, ""
	}
	shown, err := r.attributes(me)
	return reply{http.StatusOK, shown}, err
}

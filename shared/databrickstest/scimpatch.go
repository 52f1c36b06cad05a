package databrickstest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

type scimOperation struct {
	Op    string          `json:"op"`
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value"`
}

// is tells whether the operation does that to the attribute.
func (o scimOperation) is(op, path string) bool {
	return strings.EqualFold(o.Op, op) && o.Path == path
}

// values are those that an operation adds.
func (o scimOperation) values() []string {
	var wrapped []struct {
		Value string `json:"value"`
	}
	if json.Unmarshal(o.Value, &wrapped) != nil {
		return nil
	}
	var all []string
	for _, v := range wrapped {
		all = append(all, v.Value)
	}
	return all
}

// operations reads the body of a SCIM PATCH.
func (r *request) operations() ([]scimOperation, *failure) {
	var body struct {
		Schemas    []string        `json:"schemas"`
		Operations []scimOperation `json:"Operations"`
	}
	if err := r.decode(&body); err != nil {
		return nil, err
	}
	if !slices.Equal(body.Schemas, []string{scimPatchSchema}) {
		return nil, invalidValue("schemas is not [%q]", scimPatchSchema)
	}
	if len(body.Operations) == 0 {
		return nil, invalidValue("there are no operations")
	}
	return body.Operations, nil
}

// patchIdentity replaces active and, on the account's host, adds the role
// account_admin. Nothing else may be changed here.
func patchIdentity(r *request, human bool) (reply, *failure) {
	p, err := r.resource(human)
	if err != nil {
		return reply{}, err
	}
	operations, err := r.operations()
	if err != nil {
		return reply{}, err
	}
	active, admin := p.now.active, p.accountAdmin
	for _, op := range operations {
		switch {
		case op.is("replace", "active"):
			var ok bool
			if active, ok = scimBool(op.Value); !ok {
				return reply{}, invalidValue("active is neither true nor false")
			}
		case op.is("add", "roles") && r.site.workspace == nil:
			if !slices.Equal(op.values(), []string{accountAdmin}) {
				return reply{}, invalidValue("roles that are added are not [{%q: %q}]", "value", accountAdmin)
			}
			admin = true
		default:
			return reply{}, invalidValue("operation %q on %q is not simulated: only replace on active, and on the account's host add on roles, are", op.Op, op.Path)
		}
	}
	p.accountAdmin = admin
	r.server.setActive(p, active)
	return reply{http.StatusOK, struct{}{}}, nil
}

// patchGroup adds members to the workspace's own group admins.
func patchGroup(r *request) (reply, *failure) {
	if err := r.requireAdmin(); err != nil {
		return reply{}, err
	}
	w := r.site.workspace
	if r.param("group") != strconv.FormatInt(w.ID, 10) {
		return reply{}, invalidValue("members of group %s are not changed in the simulator: only those of %s are", r.param("group"), adminsGroup)
	}
	operations, err := r.operations()
	if err != nil {
		return reply{}, err
	}
	var joining []*membership
	for _, op := range operations {
		if !op.is("add", "members") {
			return reply{}, invalidValue("operation %q on %q is not simulated: only add on members is", op.Op, op.Path)
		}
		if len(op.values()) == 0 {
			return reply{}, invalidValue("members are not a list of values")
		}
		for _, value := range op.values() {
			id, _ := strconv.ParseInt(value, 10, 64) // there is no identity 0
			p := r.server.principals[id]
			if p == nil || p.now.deleted || !r.knows(p) {
				return reply{}, missing("member %s does not exist", value)
			}
			joining = append(joining, &p.membership)
		}
	}
	for _, m := range joining {
		m.assign(w, true)
	}
	r.server.rosters++
	return reply{http.StatusNoContent, nil}, nil
}

// createPrincipal makes a service principal. Whoever makes one manages it; on
// a workspace's host it is a member of the workspace as well.
func createPrincipal(r *request) (reply, *failure) {
	if err := r.requireAdmin(); err != nil {
		return reply{}, err
	}
	var body struct {
		Schemas     []string `json:"schemas"`
		DisplayName string   `json:"displayName"`
		Active      bool     `json:"active"`
	}
	if err := r.decode(&body); err != nil {
		return reply{}, err
	}
	switch {
	case body.Schemas != nil && !slices.Equal(body.Schemas, []string{scimPrincipalSchema}):
		return reply{}, invalidValue("schemas is not [%q]", scimPrincipalSchema)
	case body.DisplayName == "":
		return reply{}, invalidValue("displayName is missing")
	}
	p := r.server.addPrincipal(PrincipalSpec{DisplayName: body.DisplayName, Inactive: !body.Active})
	p.grants = []roleGrant{{roleManager, r.caller.id}}
	if w := r.site.workspace; w != nil {
		p.assign(w, false)
		r.server.rosters++
	}
	return reply{http.StatusCreated, r.scim(p)}, nil
}

// scimBool reads a truth value in the forms that clients send it in: bare, as
// a string, and wrapped as a one-valued attribute.
func scimBool(raw json.RawMessage) (value, ok bool) {
	var wrapped []struct {
		Value json.RawMessage `json:"value"`
	}
	if json.Unmarshal(raw, &wrapped) == nil && len(wrapped) == 1 {
		raw = wrapped[0].Value
	}
	switch strings.ToLower(strings.Trim(string(raw), `"`)) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

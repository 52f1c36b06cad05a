package databrickstest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// scimPageSize is the longest page of a SCIM list.
const scimPageSize = 100

const (
	scimListSchema      = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	scimPatchSchema     = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	scimPrincipalSchema = "urn:ietf:params:scim:schemas:core:2.0:ServicePrincipal"
	scimUserSchema      = "urn:ietf:params:scim:schemas:core:2.0:User"
)

// scimValue is one entry of a multi-valued attribute.
type scimValue struct {
	Display string `json:"display,omitempty"`
	Type    string `json:"type,omitempty"`
	Value   string `json:"value,omitempty"`
	Ref     string `json:"$ref,omitempty"`
}

// scimPrincipal is a service principal on the wire: with roles on the
// account's host, with entitlements and groups on a workspace's.
type scimPrincipal struct {
	Schemas       []string    `json:"schemas"`
	ID            string      `json:"id"`
	AccountID     string      `json:"account_id,omitempty"`
	ApplicationID string      `json:"applicationId,omitempty"`
	UserName      string      `json:"userName,omitempty"` // of Me
	DisplayName   string      `json:"displayName,omitempty"`
	Active        bool        `json:"active"`
	Roles         []scimValue `json:"roles,omitempty"`
	Entitlements  []scimValue `json:"entitlements,omitempty"`
	Groups        []scimValue `json:"groups,omitempty"`
}

func (r *request) scim(p *principal) scimPrincipal {
	out := scimPrincipal{
		Schemas:       []string{scimPrincipalSchema},
		ID:            strconv.FormatInt(p.id, 10),
		ApplicationID: p.applicationID,
		DisplayName:   p.displayName,
		Active:        p.view(r.stale).active,
	}
	w := r.site.workspace
	if w == nil {
		out.AccountID = r.server.config.AccountID
		if p.accountAdmin {
			out.Roles = []scimValue{{Type: "direct", Value: "account_admin"}}
		}
		return out
	}
	out.Entitlements = []scimValue{{Value: "workspace-access"}}
	if p.workspaces[w] {
		// A workspace's admins are its group of that name; the id is the
		// workspace's own, there being no other group.
		group := strconv.FormatInt(w.ID, 10)
		out.Groups = []scimValue{{Display: "admins", Type: "direct", Value: group, Ref: "Groups/" + group}}
	}
	return out
}

func listPrincipals(r *request) (reply, *failure) {
	if err := r.requireAdmin(); err != nil {
		return reply{}, err
	}
	start, err := r.number("startIndex", 1)
	if err != nil {
		return reply{}, err
	}
	count, err := r.number("count", scimPageSize)
	if err != nil {
		return reply{}, err
	}
	var match filter
	if text := r.query.Get("filter"); text != "" {
		if match, err = parseFilter(text); err != nil {
			return reply{}, err
		}
	}
	list := struct {
		Schemas      []string        `json:"schemas"`
		TotalResults int             `json:"totalResults"`
		StartIndex   int             `json:"startIndex"`
		ItemsPerPage int             `json:"itemsPerPage"`
		Resources    []scimPrincipal `json:"Resources"`
	}{Schemas: []string{scimListSchema}, StartIndex: max(start, 1), Resources: []scimPrincipal{}}
	count = min(max(count, 0), scimPageSize)
	for _, p := range r.visible() {
		resource := r.scim(p)
		if !match.matches(resource) {
			continue
		}
		list.TotalResults++
		if list.TotalResults >= list.StartIndex && len(list.Resources) < count {
			list.Resources = append(list.Resources, resource)
		}
	}
	list.ItemsPerPage = len(list.Resources)
	return reply{http.StatusOK, list}, nil
}

func (r *request) number(name string, absent int) (int, *failure) {
	text := r.query.Get(name)
	if text == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, invalidValue("%s %q is not a number", name, text)
	}
	return n, nil
}

func invalidValue(format string, args ...any) *failure {
	f := invalid(format, args...)
	f.scim = "invalidValue"
	return f
}

// resource returns the service principal in the path if the host knows it.
func (r *request) resource() (*principal, *failure) {
	if err := r.requireAdmin(); err != nil {
		return nil, err
	}
	text := r.param("sp")
	id, _ := strconv.ParseInt(text, 10, 64) // there is no service principal 0
	if p := r.server.principals[id]; p != nil && !p.human() && !p.view(r.stale).deleted && r.knows(p) {
		return p, nil
	}
	return nil, missing("service principal %s does not exist", text)
}

func getPrincipal(r *request) (reply, *failure) {
	p, err := r.resource()
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, r.scim(p)}, nil
}

// patchPrincipal replaces active, the one attribute that may be changed here.
func patchPrincipal(r *request) (reply, *failure) {
	p, err := r.resource()
	if err != nil {
		return reply{}, err
	}
	var body struct {
		Schemas    []string `json:"schemas"`
		Operations []struct {
			Op    string          `json:"op"`
			Path  string          `json:"path"`
			Value json.RawMessage `json:"value"`
		} `json:"Operations"`
	}
	if err := r.decode(&body); err != nil {
		return reply{}, err
	}
	if !slices.Equal(body.Schemas, []string{scimPatchSchema}) {
		return reply{}, invalidValue("schemas is not [%q]", scimPatchSchema)
	}
	if len(body.Operations) == 0 {
		return reply{}, invalidValue("there are no operations")
	}
	active := p.now.active
	for _, op := range body.Operations {
		if !strings.EqualFold(op.Op, "replace") || op.Path != "active" {
			return reply{}, invalidValue("operation %q on %q is not simulated: only replace on active is", op.Op, op.Path)
		}
		var ok bool
		if active, ok = scimBool(op.Value); !ok {
			return reply{}, invalidValue("active is neither true nor false")
		}
	}
	r.server.setActive(p, active)
	return reply{http.StatusOK, struct{}{}}, nil
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

// getMe tells a caller who it is. Any scope will do: it is how a consumer
// proves that its token works.
func getMe(r *request) (reply, *failure) {
	me := r.scim(r.caller)
	me.Schemas = []string{scimUserSchema}
	me.UserName, me.ApplicationID = me.ApplicationID, ""
	return reply{http.StatusOK, me}, nil
}

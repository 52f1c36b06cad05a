package databrickstest

import (
	"net/http"
	"strconv"
	"strings"
)

// bearer returns the request's bearer token, empty when there is none.
func bearer(in *http.Request) string {
	scheme, value, _ := strings.Cut(in.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return value
}

// callerOf names the owner of the request's bearer token, whatever the token
// is still good for.
func (h *site) callerOf(in *http.Request) string {
	value := bearer(in)
	if value == "" {
		return ""
	}
	s := h.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tokens[value]; t != nil {
		return t.principal.name()
	}
	if t := h.tokenOf(value); t != nil {
		return t.owner.name()
	}
	return ""
}

// authenticate finds the caller by the bearer token and checks what every
// operation wants of it: that it lives, belongs here and has the scope.
func (r *request) authenticate() *failure {
	value := bearer(r.Request)
	if value == "" {
		return unauthenticated("no bearer token was sent")
	}
	t := r.server.tokens[value]
	personal := r.site.tokenOf(value)
	if personal != nil {
		t = personal.access()
	}
	switch {
	case t == nil:
		return unauthenticated("the access token is not known")
	case !t.expires.IsZero() && !r.now.Before(t.expires):
		return unauthenticated("the access token expired at %s", stamp(t.expires))
	case !t.principal.now.active:
		return unauthenticated("%s is not active", t.principal)
	case t.workspace != nil && t.workspace != r.site.workspace:
		return unauthenticated("the access token is good for workspace %d only", t.workspace.ID)
	}
	r.token, r.caller = t, t.principal
	if w := r.site.workspace; w != nil {
		if !r.knows(r.caller) {
			return denied("%s is not assigned to workspace %d", r.caller, w.ID)
		}
	}
	if personal != nil {
		personal.use(r.now, r.route.scope)
	}
	if !t.has(r.route.scope) {
		return denied("Provided OAuth token does not have required scopes: %s", r.route.scope)
	}
	return nil
}

// requireAdmin wants an admin of the host: of the account or the workspace.
func (r *request) requireAdmin() *failure {
	if w := r.site.workspace; w != nil {
		if _, admin := r.caller.in(w); !admin {
			return denied("%s is not ADMIN of workspace %d", r.caller, w.ID)
		}
		return nil
	}
	if !r.caller.isAccountAdmin() {
		return denied("%s does not have the role account_admin", r.caller)
	}
	return nil
}

// managed returns the service principal in the path if the caller may manage
// its secrets.
func (r *request) managed() (*principal, *failure) {
	if err := r.requireAdmin(); err != nil {
		return nil, err
	}
	text := r.param("sp")
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, invalid("service principal id %q is not a number", text)
	}
	p := r.server.principals[id]
	if p == nil || p.human() || p.view(r.stale).deleted {
		return nil, missing("service principal %d does not exist", id)
	}
	if w := r.site.workspace; w != nil {
		if !r.knows(p) {
			return nil, denied("service principal %d is not assigned to workspace %d", id, w.ID)
		}
		if !p.managedBy(r.caller) {
			return nil, denied("%s does not have the role servicePrincipal.manager on service principal %d",
				r.caller, id)
		}
	}
	return p, nil
}

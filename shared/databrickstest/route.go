package databrickstest

import (
	"net/http"
	"strings"
)

// Operations, as [faulttest.Call] and [faulttest.Fault] name them. Discovery
// of a host is one operation on both levels; all others are named apart.
const (
	OpAccountCreateSecret = "POST /api/2.0/accounts/{account}/servicePrincipals/{sp}/credentials/secrets"
	OpAccountListSecrets  = "GET /api/2.0/accounts/{account}/servicePrincipals/{sp}/credentials/secrets"
	OpAccountDeleteSecret = "DELETE /api/2.0/accounts/{account}/servicePrincipals/{sp}/credentials/secrets/{secret}"

	OpWorkspaceCreateSecret = "POST /api/2.0/accounts/servicePrincipals/{sp}/credentials/secrets"
	OpWorkspaceListSecrets  = "GET /api/2.0/accounts/servicePrincipals/{sp}/credentials/secrets"
	OpWorkspaceDeleteSecret = "DELETE /api/2.0/accounts/servicePrincipals/{sp}/credentials/secrets/{secret}"

	OpAccountListPrincipals = "GET /api/2.0/accounts/{account}/scim/v2/ServicePrincipals"
	OpAccountGetPrincipal   = "GET /api/2.0/accounts/{account}/scim/v2/ServicePrincipals/{sp}"
	OpAccountPatchPrincipal = "PATCH /api/2.0/accounts/{account}/scim/v2/ServicePrincipals/{sp}"

	OpWorkspaceListPrincipals = "GET /api/2.0/preview/scim/v2/ServicePrincipals"
	OpWorkspaceGetPrincipal   = "GET /api/2.0/preview/scim/v2/ServicePrincipals/{sp}"
	OpWorkspacePatchPrincipal = "PATCH /api/2.0/preview/scim/v2/ServicePrincipals/{sp}"
	OpWorkspaceMe             = "GET /api/2.0/preview/scim/v2/Me"

	OpListTokens       = "GET /api/2.0/token-management/tokens"
	OpGetToken         = "GET /api/2.0/token-management/tokens/{token}"
	OpPatchToken       = "PATCH /api/2.0/token-management/tokens/{token}"
	OpDeleteToken      = "DELETE /api/2.0/token-management/tokens/{token}"
	OpCreateOBOToken   = "POST /api/2.0/token-management/on-behalf-of/tokens"
	OpListOwnTokens    = "GET /api/2.0/token/list"
	OpCreateOwnToken   = "POST /api/2.0/token/create"
	OpDeleteOwnToken   = "POST /api/2.0/token/delete"
	OpGetWorkspaceConf = "GET /api/2.0/workspace-conf"

	OpAccountToken   = "POST /oidc/accounts/{account}/v1/token"
	OpWorkspaceToken = "POST /oidc/v1/token"

	OpDiscoverHost           = "GET /.well-known/databricks-config"
	OpDiscoverAccountOAuth   = "GET /oidc/accounts/{account}/.well-known/oauth-authorization-server"
	OpDiscoverWorkspaceOAuth = "GET /oidc/.well-known/oauth-authorization-server"
)

// route is one operation on one kind of host.
type route struct {
	op       string
	method   string
	segments []string
	dialect  dialect
	query    []string // the parameters that it takes
	scope    string   // the OAuth scope that a bearer token needs; empty is any
	public   bool     // no bearer token wanted
	free     bool     // not counted against the rate limit
	create   bool     // counted against the limit of creates
	// prepare runs before serve, without the server's lock; nil is nothing.
	prepare func(*request)
	// serve runs under the server's lock.
	serve func(*request) (reply, *failure)
}

const (
	secretsScope = "authentication"
	tokensScope  = "authentication"
	confScope    = "settings"
	scimScope    = "scim"
)

var (
	secretsQuery = []string{"page_size", "page_token"}
	scimQuery    = []string{"startIndex", "count", "filter"}
	tokensQuery  = []string{"created_by_id", "created_by_username"}
	confQuery    = []string{"keys"}
)

var accountRoutes = routes(
	route{op: OpAccountCreateSecret, scope: secretsScope, create: true, serve: createSecret},
	route{op: OpAccountListSecrets, scope: secretsScope, query: secretsQuery, serve: listSecrets},
	route{op: OpAccountDeleteSecret, scope: secretsScope, serve: deleteSecret},
	route{op: OpAccountListPrincipals, scope: scimScope, dialect: scimDialect, query: scimQuery, serve: listPrincipals},
	route{op: OpAccountGetPrincipal, scope: scimScope, dialect: scimDialect, serve: getPrincipal},
	route{op: OpAccountPatchPrincipal, scope: scimScope, dialect: scimDialect, serve: patchPrincipal},
	route{op: OpAccountToken, dialect: oauthDialect, public: true, prepare: verifySubject, serve: issueAccessToken},
	route{op: OpDiscoverHost, public: true, free: true, serve: discoverHost},
	route{op: OpDiscoverAccountOAuth, public: true, free: true, serve: discoverOAuth},
)

var workspaceRoutes = routes(
	route{op: OpWorkspaceCreateSecret, scope: secretsScope, create: true, serve: createSecret},
	route{op: OpWorkspaceListSecrets, scope: secretsScope, query: secretsQuery, serve: listSecrets},
	route{op: OpWorkspaceDeleteSecret, scope: secretsScope, serve: deleteSecret},
	route{op: OpWorkspaceListPrincipals, scope: scimScope, dialect: scimDialect, query: scimQuery, serve: listPrincipals},
	route{op: OpWorkspaceGetPrincipal, scope: scimScope, dialect: scimDialect, serve: getPrincipal},
	route{op: OpWorkspacePatchPrincipal, scope: scimScope, dialect: scimDialect, serve: patchPrincipal},
	route{op: OpWorkspaceMe, dialect: scimDialect, serve: getMe},
	route{op: OpListTokens, scope: tokensScope, query: tokensQuery, serve: listTokens},
	route{op: OpGetToken, scope: tokensScope, serve: getToken},
	route{op: OpPatchToken, scope: tokensScope, serve: patchToken},
	route{op: OpDeleteToken, scope: tokensScope, serve: deleteToken},
	route{op: OpCreateOBOToken, scope: tokensScope, create: true, serve: createOBOToken},
	route{op: OpListOwnTokens, scope: tokensScope, serve: listOwnTokens},
	route{op: OpCreateOwnToken, scope: tokensScope, create: true, serve: createOwnToken},
	route{op: OpDeleteOwnToken, scope: tokensScope, serve: deleteOwnToken},
	route{op: OpGetWorkspaceConf, scope: confScope, query: confQuery, serve: getWorkspaceConf},
	route{op: OpWorkspaceToken, dialect: oauthDialect, public: true, prepare: verifySubject, serve: issueAccessToken},
	route{op: OpDiscoverHost, public: true, free: true, serve: discoverHost},
	route{op: OpDiscoverWorkspaceOAuth, public: true, free: true, serve: discoverOAuth},
)

func routes(all ...route) []*route {
	table := make([]*route, len(all))
	for i := range all {
		r := &all[i]
		var pattern string
		r.method, pattern, _ = strings.Cut(r.op, " ")
		r.segments = strings.Split(pattern, "/")
		table[i] = r
	}
	return table
}

// find returns the route for a method and a path cut at its slashes. When the
// path exists with other methods only, those are returned.
func find(table []*route, method string, path []string) (_ *route, allow []string) {
	for _, r := range table {
		if !r.matches(path) {
			continue
		}
		if r.method == method {
			return r, nil
		}
		allow = append(allow, r.method)
	}
	return nil, allow
}

func (r *route) matches(path []string) bool {
	if len(path) != len(r.segments) {
		return false
	}
	for i, want := range r.segments {
		if strings.HasPrefix(want, "{") {
			if path[i] == "" {
				return false
			}
		} else if path[i] != want {
			return false
		}
	}
	return true
}

// param returns the part of the path at {name}, empty when the route has none.
func (r *route) param(path []string, name string) string {
	for i, segment := range r.segments {
		if len(segment) == len(name)+2 && segment[0] == '{' && segment[1:len(segment)-1] == name {
			return path[i]
		}
	}
	return ""
}

// target is what a call is about, the account apart: the first thing that its
// path names.
func (r *route) target(path []string) string {
	for i, segment := range r.segments {
		if strings.HasPrefix(segment, "{") && segment != "{account}" {
			return path[i]
		}
	}
	return ""
}

func (r *route) read() bool {
	return r.method == http.MethodGet || r.dialect == oauthDialect
}

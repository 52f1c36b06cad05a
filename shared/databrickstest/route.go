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

	OpAccountListPrincipals  = "GET /api/2.0/accounts/{account}/scim/v2/ServicePrincipals"
	OpAccountGetPrincipal    = "GET /api/2.0/accounts/{account}/scim/v2/ServicePrincipals/{sp}"
	OpAccountCreatePrincipal = "POST /api/2.0/accounts/{account}/scim/v2/ServicePrincipals"
	OpAccountPatchPrincipal  = "PATCH /api/2.0/accounts/{account}/scim/v2/ServicePrincipals/{sp}"

	OpAccountListUsers  = "GET /api/2.0/accounts/{account}/scim/v2/Users"
	OpAccountGetUser    = "GET /api/2.0/accounts/{account}/scim/v2/Users/{user}"
	OpAccountPatchUser  = "PATCH /api/2.0/accounts/{account}/scim/v2/Users/{user}"
	OpAccountListGroups = "GET /api/2.0/accounts/{account}/scim/v2/Groups"
	OpAccountGetGroup   = "GET /api/2.0/accounts/{account}/scim/v2/Groups/{group}"

	OpListWorkspaces        = "GET /api/2.0/accounts/{account}/workspaces"
	OpGetWorkspace          = "GET /api/2.0/accounts/{account}/workspaces/{workspace}"
	OpListAssignments       = "GET /api/2.0/accounts/{account}/workspaces/{workspace}/permissionassignments"
	OpPutAssignment         = "PUT /api/2.0/accounts/{account}/workspaces/{workspace}/permissionassignments/principals/{principal}"
	OpAccountPutRuleSet     = "PUT /api/2.0/preview/accounts/{account}/access-control/rule-sets"
	OpWorkspacePutRuleSet   = "PUT /api/2.0/preview/accounts/access-control/rule-sets"
	OpAccountGetRuleSet     = "GET /api/2.0/preview/accounts/{account}/access-control/rule-sets"
	OpWorkspaceGetRuleSet   = "GET /api/2.0/preview/accounts/access-control/rule-sets"
	OpListCustomApps        = "GET /api/2.0/accounts/{account}/oauth2/custom-app-integrations"
	OpGetCustomApp          = "GET /api/2.0/accounts/{account}/oauth2/custom-app-integrations/{app}"
	OpListPublishedApps     = "GET /api/2.0/accounts/{account}/oauth2/published-app-integrations"
	OpListAccountPolicies   = "GET /api/2.0/accounts/{account}/federationPolicies"
	OpListPrincipalPolicies = "GET /api/2.0/accounts/{account}/servicePrincipals/{sp}/federationPolicies"
	OpCreatePrincipalPolicy = "POST /api/2.0/accounts/{account}/servicePrincipals/{sp}/federationPolicies"
	OpPatchPrincipalPolicy  = "PATCH /api/2.0/accounts/{account}/servicePrincipals/{sp}/federationPolicies/{policy}"

	OpWorkspaceListPrincipals  = "GET /api/2.0/preview/scim/v2/ServicePrincipals"
	OpWorkspaceGetPrincipal    = "GET /api/2.0/preview/scim/v2/ServicePrincipals/{sp}"
	OpWorkspaceCreatePrincipal = "POST /api/2.0/preview/scim/v2/ServicePrincipals"
	OpWorkspacePatchPrincipal  = "PATCH /api/2.0/preview/scim/v2/ServicePrincipals/{sp}"
	OpWorkspaceListUsers       = "GET /api/2.0/preview/scim/v2/Users"
	OpWorkspaceGetUser         = "GET /api/2.0/preview/scim/v2/Users/{user}"
	OpWorkspacePatchUser       = "PATCH /api/2.0/preview/scim/v2/Users/{user}"
	OpWorkspaceListGroups      = "GET /api/2.0/preview/scim/v2/Groups"
	OpWorkspaceGetGroup        = "GET /api/2.0/preview/scim/v2/Groups/{group}"
	OpWorkspacePatchGroup      = "PATCH /api/2.0/preview/scim/v2/Groups/{group}"
	OpWorkspaceMe              = "GET /api/2.0/preview/scim/v2/Me"

	OpGetPermissions    = "GET /api/2.0/permissions/{kind}/{object}"
	OpGetGrants         = "GET /api/2.1/unity-catalog/permissions/{kind}/{object}"
	OpGetEffective      = "GET /api/2.1/unity-catalog/effective-permissions/{kind}/{object}"
	OpGetMetastore      = "GET /api/2.1/unity-catalog/current-metastore-assignment"
	OpSubmitStatement   = "POST /api/2.0/sql/statements"
	OpGetStatement      = "GET /api/2.0/sql/statements/{statement}"
	OpCancelStatement   = "POST /api/2.0/sql/statements/{statement}/cancel"
	OpGetStatementChunk = "GET /api/2.0/sql/statements/{statement}/result/chunks/{chunk}"

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
	accessScope  = "access-management"
	placesScope  = "provisioning"
	sqlScope     = "sql"
	catalogScope = "unity-catalog"
	scimScope    = "scim"
)

var (
	secretsQuery   = []string{"page_size", "page_token"}
	scimQuery      = []string{"startIndex", "count", "filter", "attributes", "excludedAttributes"}
	oneQuery       = []string{"attributes", "excludedAttributes"}
	ruleSetQuery   = []string{"name", "etag"}
	appsQuery      = []string{"page_size", "page_token", "include_creator_username"}
	tokensQuery    = []string{"created_by_id", "created_by_username"}
	grantsQuery    = []string{"max_results", "page_token", "principal"}
	confQuery      = []string{"keys"}
	newPolicyQuery = []string{"policy_id"}
	maskQuery      = []string{"update_mask"}
)

var accountRoutes = routes(
	route{op: OpAccountCreateSecret, scope: secretsScope, create: true, serve: createSecret},
	route{op: OpAccountListSecrets, scope: secretsScope, query: secretsQuery, serve: listSecrets},
	route{op: OpAccountDeleteSecret, scope: secretsScope, serve: deleteSecret},
	route{op: OpAccountListPrincipals, scope: scimScope, dialect: scimDialect, query: scimQuery, serve: listPrincipals},
	route{op: OpAccountGetPrincipal, scope: scimScope, dialect: scimDialect, query: oneQuery, serve: getPrincipal},
	route{op: OpAccountCreatePrincipal, scope: scimScope, dialect: scimDialect, serve: createPrincipal},
	route{op: OpAccountPatchPrincipal, scope: scimScope, dialect: scimDialect, serve: patchPrincipal},
	route{op: OpAccountListUsers, scope: scimScope, dialect: scimDialect, query: scimQuery, serve: listUsers},
	route{op: OpAccountGetUser, scope: scimScope, dialect: scimDialect, query: oneQuery, serve: getUser},
	route{op: OpAccountPatchUser, scope: scimScope, dialect: scimDialect, serve: patchUser},
	route{op: OpAccountListGroups, scope: scimScope, dialect: scimDialect, query: scimQuery, serve: listGroups},
	route{op: OpAccountGetGroup, scope: scimScope, dialect: scimDialect, query: oneQuery, serve: getGroup},
	route{op: OpListWorkspaces, scope: placesScope, serve: listWorkspaces},
	route{op: OpGetWorkspace, scope: placesScope, serve: getWorkspace},
	route{op: OpListAssignments, scope: accessScope, serve: listAssignments},
	route{op: OpPutAssignment, scope: accessScope, serve: putAssignment},
	route{op: OpAccountPutRuleSet, scope: accessScope, serve: putRuleSet},
	route{op: OpAccountGetRuleSet, scope: accessScope, query: ruleSetQuery, serve: getRuleSet},
	route{op: OpListCustomApps, scope: secretsScope, query: appsQuery, serve: listCustomApps},
	route{op: OpGetCustomApp, scope: secretsScope, serve: getCustomApp},
	route{op: OpListPublishedApps, scope: secretsScope, query: secretsQuery, serve: listPublishedApps},
	route{op: OpListAccountPolicies, scope: secretsScope, query: secretsQuery, serve: listAccountPolicies},
	route{op: OpListPrincipalPolicies, scope: secretsScope, query: secretsQuery, serve: listPrincipalPolicies},
	route{op: OpCreatePrincipalPolicy, scope: secretsScope, query: newPolicyQuery, serve: createPolicy},
	route{op: OpPatchPrincipalPolicy, scope: secretsScope, query: maskQuery, serve: patchPolicy},
	route{op: OpAccountToken, dialect: oauthDialect, public: true, prepare: verifySubject, serve: issueAccessToken},
	route{op: OpDiscoverHost, public: true, free: true, serve: discoverHost},
	route{op: OpDiscoverAccountOAuth, public: true, free: true, serve: discoverOAuth},
)

var workspaceRoutes = routes(
	route{op: OpWorkspaceCreateSecret, scope: secretsScope, create: true, serve: createSecret},
	route{op: OpWorkspaceListSecrets, scope: secretsScope, query: secretsQuery, serve: listSecrets},
	route{op: OpWorkspaceDeleteSecret, scope: secretsScope, serve: deleteSecret},
	route{op: OpWorkspaceListPrincipals, scope: scimScope, dialect: scimDialect, query: scimQuery, serve: listPrincipals},
	route{op: OpWorkspaceGetPrincipal, scope: scimScope, dialect: scimDialect, query: oneQuery, serve: getPrincipal},
	route{op: OpWorkspaceCreatePrincipal, scope: scimScope, dialect: scimDialect, serve: createPrincipal},
	route{op: OpWorkspacePatchPrincipal, scope: scimScope, dialect: scimDialect, serve: patchPrincipal},
	route{op: OpWorkspaceListUsers, scope: scimScope, dialect: scimDialect, query: scimQuery, serve: listUsers},
	route{op: OpWorkspaceGetUser, scope: scimScope, dialect: scimDialect, query: oneQuery, serve: getUser},
	route{op: OpWorkspacePatchUser, scope: scimScope, dialect: scimDialect, serve: patchUser},
	route{op: OpWorkspaceListGroups, scope: scimScope, dialect: scimDialect, query: scimQuery, serve: listGroups},
	route{op: OpWorkspaceGetGroup, scope: scimScope, dialect: scimDialect, query: oneQuery, serve: getGroup},
	route{op: OpWorkspacePatchGroup, scope: scimScope, dialect: scimDialect, serve: patchGroup},
	route{op: OpWorkspacePutRuleSet, scope: accessScope, serve: putRuleSet},
	route{op: OpWorkspaceGetRuleSet, scope: accessScope, query: ruleSetQuery, serve: getRuleSet},
	route{op: OpWorkspaceMe, dialect: scimDialect, query: oneQuery, serve: getMe},
	route{op: OpGetPermissions, scope: accessScope, serve: getPermissions},
	route{op: OpGetGrants, scope: catalogScope, query: grantsQuery, serve: getGrants},
	route{op: OpGetEffective, scope: catalogScope, query: grantsQuery, serve: getEffectiveGrants},
	route{op: OpGetMetastore, scope: catalogScope, serve: getMetastore},
	route{op: OpSubmitStatement, scope: sqlScope, prepare: prepareStatement, serve: submitStatement},
	route{op: OpGetStatement, scope: sqlScope, serve: getStatement},
	route{op: OpCancelStatement, scope: sqlScope, serve: cancelStatement},
	route{op: OpGetStatementChunk, scope: sqlScope, serve: getStatementChunk},
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
		switch segment {
		case "{account}":
		case "{kind}":
			return path[i] + "/" + path[i+1]
		default:
			if strings.HasPrefix(segment, "{") {
				return path[i]
			}
		}
	}
	return ""
}

func (r *route) read() bool {
	return r.method == http.MethodGet || r.dialect == oauthDialect
}

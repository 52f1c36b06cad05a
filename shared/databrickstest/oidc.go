package databrickstest

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	grantClientCredentials = "client_credentials"
	grantTokenExchange     = "urn:ietf:params:oauth:grant-type:token-exchange"
	tokenTypeJWT           = "urn:ietf:params:oauth:token-type:jwt"
)

var tokenFields = []string{
	"grant_type", "scope", "client_id", "client_secret", "subject_token", "subject_token_type",
}

func parseForm(body []byte) url.Values {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil
	}
	return form
}

// clientCredentials returns whom a token request says it is from, by header or
// by form; clash is true when it says so twice.
func (r *request) clientCredentials() (id, secret string, clash bool) {
	id, secret = r.form.Get("client_id"), r.form.Get("client_secret")
	user, password, ok := r.BasicAuth()
	if !ok {
		return id, secret, false
	}
	// RFC 6749 has both parts form-encoded before they go into the header.
	user, err1 := url.QueryUnescape(user)
	password, err2 := url.QueryUnescape(password)
	if err1 != nil || err2 != nil {
		return "", "", false
	}
	return user, password, id != "" || secret != ""
}

// invalidClient is the answer to all who are not who they say, or may not be
// here; it does not say which.
func invalidClient() *failure {
	return fail(http.StatusUnauthorized, "invalid_client", "Client authentication failed")
}

func invalidRequest(format string, args ...any) *failure {
	return fail(http.StatusBadRequest, "invalid_request", format, args...)
}

// issueAccessToken is the token endpoint of both levels.
func issueAccessToken(r *request) (reply, *failure) {
	if err := r.checkForm(); err != nil {
		return reply{}, err
	}
	id, secret, clash := r.clientCredentials()
	if clash {
		return reply{}, invalidRequest("client credentials are given by header and by form")
	}
	p := r.server.byApplication[id]
	if p == nil || !p.view(r.stale).active || !r.knows(p) {
		return reply{}, invalidClient()
	}
	token := accessToken{
		principal: p,
		workspace: r.site.workspace,
		expires:   r.now.Add(r.server.config.AccessTokenTTL),
	}
	var limit []string // the scopes of the credential; none is no limit
	switch r.form.Get("grant_type") {
	case grantClientCredentials:
		o := p.view(r.stale).holder(secret, r.now)
		if o == nil || o.useless {
			return reply{}, invalidClient()
		}
		if o.unseen {
			o.unseen = false
			return reply{}, invalidClient()
		}
		token.secret, limit = o, o.Scopes
	case grantTokenExchange:
		if r.subject != nil {
			return reply{}, r.subject
		}
	}
	var err *failure
	if token.scopes, err = grant(r.form.Get("scope"), limit); err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int64  `json:"expires_in"`
		Scope       string `json:"scope"`
	}{
		AccessToken: r.server.issueToken(token),
		TokenType:   "Bearer",
		ExpiresIn:   int64(r.server.config.AccessTokenTTL / time.Second),
		Scope:       strings.Join(token.scopes, " "),
	}}, nil
}

func (r *request) checkForm() *failure {
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(media), "application/x-www-form-urlencoded") || r.form == nil {
		return invalidRequest("the body is not a form")
	}
	for field, values := range r.form {
		if !slices.Contains(tokenFields, field) {
			return invalidRequest("unknown field %q", field)
		}
		if len(values) > 1 {
			return invalidRequest("field %q is given %d times", field, len(values))
		}
	}
	switch kind := r.form.Get("grant_type"); kind {
	case "":
		return invalidRequest("grant_type is missing")
	case grantClientCredentials:
		if r.form.Has("subject_token") || r.form.Has("subject_token_type") {
			return invalidRequest("a subject token does not go with grant_type %s", kind)
		}
	case grantTokenExchange:
		if r.form.Get("subject_token") == "" {
			return invalidRequest("subject_token is missing")
		}
		if r.form.Get("subject_token_type") != tokenTypeJWT {
			return invalidRequest("subject_token_type is not %s", tokenTypeJWT)
		}
	default:
		return fail(http.StatusBadRequest, "unsupported_grant_type", "grant_type %q is not supported", kind)
	}
	return nil
}

// grant decides the scopes of a token: those asked for, all when none are, out
// of the credential's own.
func grant(asked string, limit []string) ([]string, *failure) {
	want := strings.Fields(asked)
	if len(want) == 0 {
		want = []string{allAPIs}
	}
	for _, scope := range want {
		if !scopeName.MatchString(scope) {
			return nil, fail(http.StatusBadRequest, "invalid_scope", "scope %q is not a scope's name", scope)
		}
	}
	if len(limit) == 0 || slices.Contains(limit, allAPIs) {
		return want, nil
	}
	if slices.Contains(want, allAPIs) {
		return limit, nil
	}
	for _, scope := range want {
		if !slices.Contains(limit, scope) {
			return nil, fail(http.StatusBadRequest, "invalid_scope", "scope %q is not one of the secret's: %s",
				scope, strings.Join(limit, " "))
		}
	}
	return want, nil
}

// discoverHost says what kind of host this is. The account's host is everyone's,
// so there the endpoint has a place for the account id.
func discoverHost(r *request) (reply, *failure) {
	url := r.site.urlLocked()
	type hostConfig struct {
		OIDCEndpoint string   `json:"oidc_endpoint"`
		AccountID    string   `json:"account_id,omitempty"`
		WorkspaceID  string   `json:"workspace_id,omitempty"`
		Cloud        string   `json:"cloud"`
		HostType     string   `json:"host_type"`
		Audiences    []string `json:"token_federation_default_oidc_audiences,omitempty"`
	}
	if w := r.site.workspace; w != nil {
		return reply{http.StatusOK, hostConfig{
			OIDCEndpoint: url + "/oidc",
			AccountID:    r.server.config.AccountID,
			WorkspaceID:  strconv.FormatInt(w.ID, 10),
			Cloud:        "aws",
			HostType:     "workspace",
			Audiences:    []string{url + "/oidc/v1/token"},
		}}, nil
	}
	return reply{http.StatusOK, hostConfig{
		OIDCEndpoint: url + "/oidc/accounts/{account_id}",
		Cloud:        "aws",
		HostType:     "account",
	}}, nil
}

// discoverOAuth is the authorization server's metadata, RFC 8414.
func discoverOAuth(r *request) (reply, *failure) {
	issuer := r.site.urlLocked() + "/oidc"
	if r.site.workspace == nil {
		issuer += "/accounts/" + r.server.config.AccountID
	}
	return reply{http.StatusOK, struct {
		Issuer        string   `json:"issuer"`
		Authorization string   `json:"authorization_endpoint"`
		Token         string   `json:"token_endpoint"`
		Methods       []string `json:"token_endpoint_auth_methods_supported"`
		Grants        []string `json:"grant_types_supported"`
	}{
		Issuer:        issuer,
		Authorization: issuer + "/v1/authorize",
		Token:         issuer + "/v1/token",
		Methods:       []string{"client_secret_basic", "client_secret_post"},
		Grants:        []string{grantClientCredentials, grantTokenExchange},
	}}, nil
}

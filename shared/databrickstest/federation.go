package databrickstest

import (
	"net/http"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// FederationPolicy lets a service principal authenticate with tokens of
// another issuer.
type FederationPolicy struct {
	// Issuer is the wanted iss claim.
	Issuer string
	// Audiences are the accepted aud claims, one of which the token must have;
	// the account id when there are none.
	Audiences []string
	// Subject is the wanted sub claim.
	Subject string
	// JWKS returns the issuer's public keys. It is called for every exchange,
	// without the server's lock. Without it no token is taken.
	JWKS func() jose.JSONWebKeySet
}

// AddFederationPolicy adds a policy to a service principal.
func (s *Server) AddFederationPolicy(principalID int64, policy FederationPolicy) {
	policy.Audiences = slices.Clone(policy.Audiences)
	if len(policy.Audiences) == 0 {
		policy.Audiences = []string{s.config.AccountID}
	}
	if policy.JWKS == nil {
		policy.JWKS = func() jose.JSONWebKeySet { return jose.JSONWebKeySet{} }
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.principals[principalID]; p != nil {
		p.policies = append(p.policies, policy)
	}
}

// signatures are the algorithms that a subject token may be signed with.
var signatures = []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.ES384}

// verifySubject checks the subject token of a token exchange and leaves what
// is wrong with it. It runs without the server's lock, for the policies' key
// sets are the caller's functions.
func verifySubject(r *request) {
	if r.form.Get("grant_type") != grantTokenExchange {
		return
	}
	id, _, _ := r.clientCredentials()
	r.server.mu.Lock()
	var policies []FederationPolicy
	if p := r.server.byApplication[id]; p != nil {
		policies = p.policies
	}
	r.server.mu.Unlock()
	r.subject = r.matchSubject(r.form.Get("subject_token"), policies)
}

func invalidGrant(format string, args ...any) *failure {
	return fail(http.StatusBadRequest, "invalid_grant", format, args...)
}

// matchSubject wants one policy that the token satisfies. When none is, it
// says for each what is wrong.
func (r *request) matchSubject(raw string, policies []FederationPolicy) *failure {
	token, err := jwt.ParseSigned(raw, signatures)
	if err != nil {
		return invalidGrant("the subject token is not a JWT signed with one of %v", signatures)
	}
	if len(policies) == 0 {
		return invalidGrant("the service principal has no federation policy")
	}
	var wrong []string
	for _, policy := range policies {
		err := r.match(token, policy)
		if err == nil {
			return nil
		}
		wrong = append(wrong, err.message)
	}
	return invalidGrant("%s", strings.Join(wrong, "; "))
}

func (r *request) match(token *jwt.JSONWebToken, policy FederationPolicy) *failure {
	var claims jwt.Claims
	if err := token.Claims(policy.JWKS(), &claims); err != nil {
		return invalidGrant("the subject token is not signed by issuer %q", policy.Issuer)
	}
	switch {
	case claims.Issuer != policy.Issuer:
		return invalidGrant("issuer %q is not the policy's %q", claims.Issuer, policy.Issuer)
	case claims.Subject != policy.Subject:
		return invalidGrant("subject %q is not the policy's %q", claims.Subject, policy.Subject)
	case !slices.ContainsFunc(policy.Audiences, claims.Audience.Contains):
		return invalidGrant("audience %q is none of the policy's %q", claims.Audience, policy.Audiences)
	case claims.Expiry == nil:
		return invalidGrant("the subject token does not expire")
	case !r.now.Before(claims.Expiry.Time()):
		return invalidGrant("the subject token expired at %s", stamp(claims.Expiry.Time()))
	case claims.NotBefore != nil && r.now.Before(claims.NotBefore.Time()):
		return invalidGrant("the subject token is not valid before %s", stamp(claims.NotBefore.Time()))
	}
	return nil
}

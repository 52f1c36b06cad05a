package databrickstest

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// FederationPolicy lets a service principal, or anybody in the account,
// authenticate with tokens of another issuer.
type FederationPolicy struct {
	// ID is made up when empty.
	ID          string
	Description string
	// CreateTime is when it is added when zero.
	CreateTime time.Time
	// Issuer is the wanted iss claim.
	Issuer string
	// Audiences are the accepted aud claims, one of which the token must have;
	// the account id when there are none.
	Audiences []string
	// Subject is the wanted subject. A policy of the account has none.
	Subject string
	// SubjectClaim is the claim that holds the subject, sub when empty.
	SubjectClaim string
	// JWKS returns the issuer's public keys. It is called for every exchange,
	// without the server's lock. Without it the keys are those that the issuer
	// publishes ([Server.PublishKeys]).
	JWKS func() jose.JSONWebKeySet

	uid string
}

// AddFederationPolicy adds a policy to a service principal.
func (s *Server) AddFederationPolicy(principalID int64, policy FederationPolicy) {
	now := s.config.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.principals[principalID]; p != nil {
		s.addPolicy(&p.policies, policy, now)
	}
}

// FederationPolicies returns the policies of a service principal, in the order
// of their creation.
func (s *Server) FederationPolicies(principalID int64) []FederationPolicy {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []FederationPolicy
	if p := s.principals[principalID]; p != nil {
		for f := range p.policies.all(false) {
			all = append(all, *f)
		}
	}
	return all
}

// AddAccountFederationPolicy adds a policy to the account. It is listed, but no
// token is taken under it.
func (s *Server) AddAccountFederationPolicy(policy FederationPolicy) {
	now := s.config.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addPolicy(&s.policies, policy, now)
}

// PublishKeys makes the issuer's public keys known, as a real issuer does at
// its well-known address. Without it no token is taken from that issuer under
// a policy that was made by a request.
func (s *Server) PublishKeys(issuer string, jwks func() jose.JSONWebKeySet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.issuers[issuer] = jwks
}

func (s *Server) publishedKeys(issuer string) jose.JSONWebKeySet {
	s.mu.Lock()
	jwks := s.issuers[issuer]
	s.mu.Unlock()
	if jwks == nil {
		return jose.JSONWebKeySet{}
	}
	return jwks()
}

func (s *Server) addPolicy(to *register[FederationPolicy], policy FederationPolicy, now time.Time) *FederationPolicy {
	policy.Audiences = slices.Clone(policy.Audiences)
	if policy.uid == "" {
		policy.uid = s.source.uuid()
	}
	if policy.ID == "" {
		policy.ID = policy.uid
	}
	if policy.CreateTime.IsZero() {
		policy.CreateTime = now
	}
	if policy.JWKS == nil {
		policy.JWKS = func() jose.JSONWebKeySet { return s.publishedKeys(policy.Issuer) }
	}
	to.put(policy.ID, &policy, s.behaviour.lagReads)
	return &policy
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
	var policies []*FederationPolicy
	if p := r.server.byApplication[id]; p != nil {
		policies = slices.Collect(p.policies.all(r.stale))
	}
	r.server.mu.Unlock()
	r.subject = r.matchSubject(r.form.Get("subject_token"), policies)
}

func invalidGrant(format string, args ...any) *failure {
	return fail(http.StatusBadRequest, "invalid_grant", format, args...)
}

// matchSubject wants one policy that the token satisfies. When none is, it
// says for each what is wrong.
func (r *request) matchSubject(raw string, policies []*FederationPolicy) *failure {
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

func (r *request) match(token *jwt.JSONWebToken, policy *FederationPolicy) *failure {
	var claims jwt.Claims
	var named map[string]any
	if err := token.Claims(policy.JWKS(), &claims, &named); err != nil {
		return invalidGrant("the subject token is not signed by issuer %q", policy.Issuer)
	}
	subject, _ := named[cmp.Or(policy.SubjectClaim, "sub")].(string)
	audiences := policy.Audiences
	if len(audiences) == 0 {
		audiences = []string{r.server.config.AccountID}
	}
	switch {
	case claims.Issuer != policy.Issuer:
		return invalidGrant("issuer %q is not the policy's %q", claims.Issuer, policy.Issuer)
	case subject != policy.Subject:
		return invalidGrant("subject %q is not the policy's %q", subject, policy.Subject)
	case !slices.ContainsFunc(audiences, claims.Audience.Contains):
		return invalidGrant("audience %q is none of the policy's %q", claims.Audience, audiences)
	case claims.Expiry == nil:
		return invalidGrant("the subject token does not expire")
	case !r.now.Before(claims.Expiry.Time()):
		return invalidGrant("the subject token expired at %s", stamp(claims.Expiry.Time()))
	case claims.NotBefore != nil && r.now.Before(claims.NotBefore.Time()):
		return invalidGrant("the subject token is not valid before %s", stamp(claims.NotBefore.Time()))
	}
	return nil
}

package databrickstest

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

type oidcPolicy struct {
	Issuer       string   `json:"issuer"`
	Audiences    []string `json:"audiences,omitempty"`
	Subject      string   `json:"subject,omitempty"`
	SubjectClaim string   `json:"subject_claim,omitempty"`
}

// federationPolicyInfo is a federation policy on the wire.
type federationPolicyInfo struct {
	Name        string     `json:"name"`
	UID         string     `json:"uid"`
	ID          string     `json:"policy_id"`
	PrincipalID int64      `json:"service_principal_id,omitempty"`
	Description string     `json:"description,omitempty"`
	CreateTime  string     `json:"create_time"`
	UpdateTime  string     `json:"update_time"`
	OIDC        oidcPolicy `json:"oidc_policy"`
}

// listAccountPolicies answers one page of the account's own policies.
func listAccountPolicies(r *request) (reply, *failure) {
	if err := r.requireAdmin(); err != nil {
		return reply{}, err
	}
	return r.policyPage("account-policies", &r.server.policies, nil)
}

// listPrincipalPolicies answers one page of a service principal's policies.
func listPrincipalPolicies(r *request) (reply, *failure) {
	p, err := r.managed()
	if err != nil {
		return reply{}, err
	}
	return r.policyPage("policies-of-"+strconv.FormatInt(p.id, 10), &p.policies, p)
}

// policyInfo describes a policy of a service principal, or of the account.
func (r *request) policyInfo(f *FederationPolicy, of *principal) federationPolicyInfo {
	prefix := "accounts/" + r.server.config.AccountID
	var principalID int64
	if of != nil {
		principalID = of.id
		prefix += "/servicePrincipals/" + strconv.FormatInt(of.id, 10)
	}
	return federationPolicyInfo{
		Name:        prefix + "/federationPolicies/" + f.ID,
		UID:         f.uid,
		ID:          f.ID,
		PrincipalID: principalID,
		Description: f.Description,
		CreateTime:  stamp(f.CreateTime),
		UpdateTime:  stamp(f.CreateTime),
		OIDC:        oidcPolicy{f.Issuer, f.Audiences, f.Subject, f.SubjectClaim},
	}
}

func (r *request) policyPage(listing string, g *register[FederationPolicy], of *principal) (reply, *failure) {
	size, err := r.pageSize()
	if err != nil {
		return reply{}, err
	}
	policies, next, err := page(r, listing, size, g, func(f *FederationPolicy) federationPolicyInfo { return r.policyInfo(f, of) })
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, struct {
		Policies []federationPolicyInfo `json:"policies,omitempty"`
		Next     string                 `json:"next_page_token,omitempty"`
	}{policies, next}}, nil
}

// maxPolicies is how many policies one service principal may have.
const maxPolicies = 20

// policyID is what an id may consist of.
var policyID = regexp.MustCompile(`^[a-z0-9/-]+$`)

// policyBody is the policy that a request brings. What is output only, and keys
// of the issuer's own, are unknown fields.
type policyBody struct {
	Description string      `json:"description"`
	OIDC        *oidcPolicy `json:"oidc_policy"`
}

func (o *oidcPolicy) check() *failure {
	switch {
	case o == nil:
		return invalid("oidc_policy is missing")
	case !strings.HasPrefix(o.Issuer, "https://"):
		return invalid("oidc_policy.issuer %q does not begin with https://", o.Issuer)
	case o.Subject == "":
		return invalid("oidc_policy.subject is missing")
	}
	return nil
}

// createPolicy adds a policy to a service principal.
func createPolicy(r *request) (reply, *failure) {
	p, err := r.managed()
	if err != nil {
		return reply{}, err
	}
	var body policyBody
	if err := r.decode(&body); err != nil {
		return reply{}, err
	}
	id := r.query.Get("policy_id")
	if id != "" && !policyID.MatchString(id) {
		return reply{}, invalid("policy_id %q has other characters than lower-case letters, digits, - and /", id)
	}
	if err := body.OIDC.check(); err != nil {
		return reply{}, err
	}
	if p.policies.get(id, false) != nil {
		return reply{}, fail(http.StatusConflict, "ALREADY_EXISTS", "federation policy %s exists", id)
	}
	if count := len(slices.Collect(p.policies.all(false))); count >= maxPolicies {
		return reply{}, fail(http.StatusBadRequest, "RESOURCE_EXHAUSTED", "service principal %d has %d federation policies, the limit", p.id, count)
	}
	o := body.OIDC
	f := r.server.addPolicy(&p.policies, FederationPolicy{
		ID: id, Description: body.Description, CreateTime: r.now,
		Issuer: o.Issuer, Audiences: o.Audiences, Subject: o.Subject, SubjectClaim: o.SubjectClaim,
	}, r.now)
	return reply{http.StatusOK, r.policyInfo(f, p)}, nil
}

// patchPolicy replaces what a policy of a service principal takes, whole.
func patchPolicy(r *request) (reply, *failure) {
	p, err := r.managed()
	if err != nil {
		return reply{}, err
	}
	before := p.policies.get(r.param("policy"), false)
	if before == nil {
		return reply{}, missing("federation policy %s does not exist", r.param("policy"))
	}
	var body policyBody
	if err := r.decode(&body); err != nil {
		return reply{}, err
	}
	if mask := r.query.Get("update_mask"); mask != "oidc_policy" {
		return reply{}, invalid("update_mask %q is not simulated: only oidc_policy is", mask)
	}
	o := body.OIDC
	if err := o.check(); err != nil {
		return reply{}, err
	}
	next := *before
	next.Issuer, next.Audiences, next.Subject, next.SubjectClaim = o.Issuer, o.Audiences, o.Subject, o.SubjectClaim
	next.JWKS = nil
	return reply{http.StatusOK, r.policyInfo(r.server.addPolicy(&p.policies, next, r.now), p)}, nil
}

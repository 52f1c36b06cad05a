package databrickstest

import (
	"net/http"
	"strconv"
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

func (r *request) policyPage(listing string, g *register[FederationPolicy], of *principal) (reply, *failure) {
	size, err := r.pageSize()
	if err != nil {
		return reply{}, err
	}
	prefix := "accounts/" + r.server.config.AccountID
	var principalID int64
	if of != nil {
		principalID = of.id
		prefix += "/servicePrincipals/" + strconv.FormatInt(of.id, 10)
	}
	policies, next, err := page(r, listing, size, g, func(f *FederationPolicy) federationPolicyInfo {
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
	})
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, struct {
		Policies []federationPolicyInfo `json:"policies,omitempty"`
		Next     string                 `json:"next_page_token,omitempty"`
	}{policies, next}}, nil
}

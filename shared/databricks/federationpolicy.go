package databricks

import (
	"context"
	"errors"
	"net/url"
	"time"
)

// FederationPolicy lets the holder of somebody else's token in.
type FederationPolicy struct {
	ID          string
	Description string
	Issuer      string
	// Audiences are those accepted; none stands for the account id.
	Audiences []string
	// Subject is empty for a policy of the account, which lets every user of
	// the issuer in as the user of that name.
	Subject string
	// SubjectClaim is "sub" if empty.
	SubjectClaim string
	CreateTime   time.Time
}

type federationPolicyReply struct {
	ID          string `json:"policy_id"`
	UID         string `json:"uid"`
	Name        string `json:"name"`
	Description string `json:"description"`
	CreateTime  string `json:"create_time"`
	OIDC        struct {
		Issuer       string   `json:"issuer"`
		Audiences    []string `json:"audiences"`
		Subject      string   `json:"subject"`
		SubjectClaim string   `json:"subject_claim"`
	} `json:"oidc_policy"`
}

func (r federationPolicyReply) decode() (FederationPolicy, error) {
	id := r.ID
	if id == "" {
		id = r.UID
	}
	if id == "" {
		return FederationPolicy{}, errors.New("a federation policy has no id")
	}
	created, err := parseTime(r.CreateTime)
	if err != nil {
		return FederationPolicy{}, errors.New("a federation policy's create_time is not a time")
	}
	return FederationPolicy{
		ID: id, Description: redact(r.Description), Issuer: r.OIDC.Issuer, Audiences: r.OIDC.Audiences,
		Subject: r.OIDC.Subject, SubjectClaim: r.OIDC.SubjectClaim, CreateTime: created,
	}, nil
}

// FederationPolicies lists the federation policies of a service principal, by
// its numeric id, or with an empty id those of the account itself.
func (c *Client) FederationPolicies(ctx context.Context, account Host, principal string) ([]FederationPolicy, error) {
	op, target := "list the account's federation policies", account.accountURL()+"/federationPolicies"
	if principal != "" {
		op = "list the federation policies"
		target = account.accountURL() + "/servicePrincipals/" + url.PathEscape(principal) + "/federationPolicies"
	}
	type page struct {
		Policies []federationPolicyReply `json:"policies"`
		Next     string                  `json:"next_page_token"`
	}
	var all []FederationPolicy
	err := pages(ctx, c, account, op, target, nil, maxListPages, func(reply page) (string, error) {
		for _, r := range reply.Policies {
			policy, err := r.decode()
			if err != nil {
				return "", err
			}
			all = append(all, policy)
		}
		return reply.Next, nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

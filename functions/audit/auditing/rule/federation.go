package rule

import (
	"slices"
	"strings"

	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/inventory"
)

// eachFederation makes a check of a function over all federation policies. The
// principal is nil for one of the account's.
func eachFederation(r Rule, judge func(e *Estate, p *inventory.Principal, f *inventory.FederationPolicy) *match) check {
	return check{r, func(e *Estate, r Rule, say func(finding.Finding)) {
		one := func(p *inventory.Principal, f *inventory.FederationPolicy) {
			m := judge(e, p, f)
			if m == nil {
				return
			}
			s := finding.Subject{Kind: finding.FederationPolicy, ID: f.ID, Name: f.Description}
			v := Values{"account": e.AccountID, "console": e.Place.Console}
			owner := ""
			if p != nil {
				// A policy's id is unique within its principal.
				s.ID, s.ClientID = p.ID+"/"+f.ID, p.ClientID
				v["policy"] = Path{"accounts", e.AccountID, "servicePrincipals", p.ID, "federationPolicies", f.ID}
				owner = e.Owner(p.ClientID)
			} else {
				v["policy"] = Path{"accounts", e.AccountID, "federationPolicies", f.ID}
			}
			say(r.Finding(s, m.detail, owner, m.merge(v), m.evidence...))
		}
		for i := range e.Federation {
			one(nil, &e.Federation[i])
		}
		for i := range e.Principals {
			for j := range e.Principals[i].Federation {
				one(&e.Principals[i], &e.Principals[i].Federation[j])
			}
		}
	}}
}

// sharedAudiences are audiences that tokens for other services carry too.
var sharedAudiences = []string{
	"sts.amazonaws.com", "api://AzureADTokenExchange", "https://kubernetes.default.svc", "https://kubernetes.default.svc.cluster.local",
	"kubernetes", "https://gitlab.com", "https://github.com", "https://management.azure.com", "vault",
}

// wideClaims are claims that many tokens of one issuer have in common.
var wideClaims = []string{
	"iss", "aud", "azp", "tid", "repository_owner", "repository_owner_id", "enterprise", "enterprise_id", "namespace_path", "namespace_id", "organization", "organization_id", "hd",
}

func federationChecks() []check {
	const deletePolicy = "DATABRICKS_HOST=<console> DATABRICKS_ACCOUNT_ID=<account> databricks api delete /api/2.0/<policy>"
	return []check{
		eachFederation(Rule{
			ID: "federation-subject", Title: "Federation policy that lets in more than one workload", Severity: finding.High, Practice: SmallBlastRadius,
			What:   "A service principal's federation policy has no subject, one with a wildcard, or one that is matched against a claim which many tokens of the issuer share, such as the owner of a repository.",
			Why:    "Every such token is a credential of the principal. Whoever can get one of any workload gets in.",
			Remedy: "Replace the federation policy <policy> by one whose subject is the one workload that needs it.", Command: deletePolicy,
		}, func(_ *Estate, p *inventory.Principal, f *inventory.FederationPolicy) *match {
			// In an account's policy the subject is each token's own: it names
			// the user who is let in.
			if p == nil {
				return nil
			}
			if f.Subject != "" && !strings.Contains(f.Subject, "*") && !slices.Contains(wideClaims, f.SubjectClaim) {
				return nil
			}
			claim := f.SubjectClaim
			if claim == "" {
				claim = "sub"
			}
			return because("issuer", f.Issuer, "claim", claim, "subject", f.Subject)
		}),
		eachFederation(Rule{
			ID: "federation-audience", Title: "Federation policy that takes tokens made for others", Severity: finding.Medium, Practice: SmallBlastRadius,
			What:   "A federation policy accepts an audience that tokens for other services carry too, or one with a wildcard. Without audiences it is the account id, which is right.",
			Why:    "A service that is handed such a token, for its own purpose, can use it here.",
			Remedy: "Have the issuer make tokens for the account id, and name only that as audience in the federation policy <policy>.", Command: deletePolicy,
		}, func(_ *Estate, _ *inventory.Principal, f *inventory.FederationPolicy) *match {
			for _, a := range f.Audiences {
				if strings.TrimSpace(a) == "" || strings.Contains(a, "*") || slices.Contains(sharedAudiences, strings.TrimSuffix(a, "/")) {
					return because("issuer", f.Issuer, "audiences", strings.Join(f.Audiences, " "))
				}
			}
			return nil
		}),
		eachFederation(Rule{
			ID: "federation-issuer", Title: "Federation policy that trusts an unknown issuer", Severity: finding.High, Practice: SmallBlastRadius,
			What:   "The issuer of a federation policy is not among `audit.trusted_issuers`, or is not reached over https.",
			Why:    "Whoever runs the issuer can be any subject that the policy accepts.",
			Remedy: "Delete the federation policy <policy>, or add its issuer to the policy if it is right.", Command: deletePolicy,
		}, func(e *Estate, _ *inventory.Principal, f *inventory.FederationPolicy) *match {
			trusted := len(e.Policy.Audit.TrustedIssuers) == 0 || slices.ContainsFunc(e.Policy.Audit.TrustedIssuers, func(t string) bool {
				return strings.TrimSuffix(t, "/") == strings.TrimSuffix(f.Issuer, "/")
			})
			if trusted && strings.HasPrefix(f.Issuer, "https://") {
				return nil
			}
			return because("issuer", f.Issuer, "subject", f.Subject)
		}),
	}
}

package report

import (
	"slices"
	"strings"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/policy"
)

// Measures are an estate in numbers.
type Measures struct {
	Totals Totals `json:"totals"`
	// Ages are since creation.
	Ages []Bucket `json:"ages"`
	// LastUse is of tokens only: nothing tells when an OAuth secret was used.
	LastUse []Bucket `json:"last_use"`
	// Scopes are by role, sorted by its name; the last are those of principals
	// without one and of people.
	Scopes []RoleScopes `json:"scopes"`
}

// Totals are how many of each there are.
type Totals struct {
	Workspaces         int `json:"workspaces"`
	People             int `json:"people"`
	ServicePrincipals  int `json:"service_principals"`
	OAuthSecrets       int `json:"oauth_secrets"`
	Tokens             int `json:"tokens"`
	Apps               int `json:"oauth_apps"`
	FederationPolicies int `json:"federation_policies"`
	ManagedSecrets     int `json:"managed_secrets"`
}

// Credentials is the number of all that opens Databricks.
func (t Totals) Credentials() int {
	return t.OAuthSecrets + t.Tokens + t.Apps + t.FederationPolicies
}

// Bucket counts the credentials within a span of days.
type Bucket struct {
	// Label is the span in words.
	Label string `json:"label"`
	// UpTo is the greatest number of days in it, zero for the last bucket and
	// for a bucket of no span.
	UpTo         int `json:"up_to,omitempty"`
	OAuthSecrets int `json:"oauth_secrets"`
	Tokens       int `json:"tokens"`
}

// RoleScopes counts the credentials of a role by how their scopes compare with
// the role's.
type RoleScopes struct {
	// Role is empty for principals without a role and for people.
	Role string `json:"role"`
	// Within have no scope that the role has not, or are scoped where there
	// is no role to compare with.
	Within int `json:"within"`
	// Beyond have one or more.
	Beyond int `json:"beyond"`
	// Unrestricted may do everything, and the role does not say so.
	Unrestricted int `json:"unrestricted"`
}

const day = 24 * time.Hour

func spans() []Bucket {
	return []Bucket{
		{Label: "up to 7 days", UpTo: 7},
		{Label: "8 to 30", UpTo: 30},
		{Label: "31 to 90", UpTo: 90},
		{Label: "91 to 180", UpTo: 180},
		{Label: "181 to 365", UpTo: 365},
		{Label: "over a year"},
	}
}

// Measure counts an inventory.
func Measure(inv *inventory.Inventory, p policy.Policy) Measures {
	m := Measures{
		Totals: Totals{
			Workspaces:         len(inv.Workspaces),
			People:             len(inv.People),
			ServicePrincipals:  len(inv.Principals),
			Tokens:             len(inv.Tokens),
			Apps:               len(inv.Apps),
			FederationPolicies: len(inv.Federation),
			ManagedSecrets:     len(inv.Managed),
		},
		Ages:    append(spans(), Bucket{Label: "not known"}),
		LastUse: append(spans(), Bucket{Label: "never, or not known"}),
	}
	roles := roleCounter{policy: p, counts: map[string]*RoleScopes{}}
	for _, sp := range inv.Principals {
		m.Totals.OAuthSecrets += len(sp.Secrets)
		m.Totals.FederationPolicies += len(sp.Federation)
		for _, s := range sp.Secrets {
			find(m.Ages, inv.TakenAt, s.CreatedAt).OAuthSecrets++
			roles.add(sp.ClientID, s.Scopes)
		}
	}
	for _, t := range inv.Tokens {
		find(m.Ages, inv.TakenAt, t.CreatedAt).Tokens++
		find(m.LastUse, inv.TakenAt, t.LastUsedAt).Tokens++
		clientID := ""
		if t.Automation {
			clientID = t.Owner
		}
		roles.add(clientID, t.Scopes)
	}
	m.Scopes = roles.sorted()
	return m
}

// find is the bucket of a time; what lies in the future, by a clock that is
// ahead, is new.
func find(buckets []Bucket, now, t time.Time) *Bucket {
	last := len(buckets) - 1
	if t.IsZero() {
		return &buckets[last]
	}
	age := now.Sub(t)
	i := slices.IndexFunc(buckets[:last], func(b Bucket) bool {
		return b.UpTo == 0 || age <= time.Duration(b.UpTo)*day
	})
	return &buckets[i]
}

type roleCounter struct {
	policy policy.Policy
	counts map[string]*RoleScopes
}

func (c roleCounter) add(clientID string, scopes []string) {
	name := ""
	role, ok := c.policy.RoleOf(clientID)
	if ok {
		principal, _ := c.policy.Principal(clientID)
		name = principal.Role
	}
	count := c.counts[name]
	if count == nil {
		count = &RoleScopes{Role: name}
		c.counts[name] = count
	}
	unrestricted := len(scopes) == 0 || slices.Contains(scopes, credential.AllAPIs)
	switch {
	case slices.Contains(role.Scopes, credential.AllAPIs):
		count.Within++
	case unrestricted:
		count.Unrestricted++
	case ok && slices.ContainsFunc(scopes, func(s string) bool { return !slices.Contains(role.Scopes, s) }):
		count.Beyond++
	default:
		count.Within++
	}
}

func (c roleCounter) sorted() []RoleScopes {
	out := make([]RoleScopes, 0, len(c.counts))
	for _, count := range c.counts {
		out = append(out, *count)
	}
	slices.SortFunc(out, func(a, b RoleScopes) int {
		if (a.Role == "") != (b.Role == "") {
			if a.Role == "" {
				return 1
			}
			return -1
		}
		return strings.Compare(a.Role, b.Role)
	})
	return out
}

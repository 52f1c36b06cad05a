package rule

import (
	"maps"
	"slices"
	"strings"

	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/shared/policy"
)

// eachPrincipal makes a check of a function over service principals, which may
// match more than once, in one workspace or (zero) in the account.
func eachPrincipal(r Rule, judge func(e *Estate, p *inventory.Principal, match func(workspace int64, m *match))) check {
	return check{r, func(e *Estate, r Rule, say func(finding.Finding)) {
		for i := range e.Principals {
			p := &e.Principals[i]
			judge(e, p, func(workspace int64, m *match) {
				v := e.principalValues(p)
				if workspace != 0 {
					v["workspace"], v["host"] = workspace, e.host(workspace)
					if id := p.Assignments[workspace].ID; id != "" {
						v["local"] = id
					}
				}
				say(m.of(r).Finding(principalSubject(p, workspace), m.detail, e.Owner(p.ClientID), m.merge(v), m.evidence...))
			})
		}
	}}
}

func principalSubject(p *inventory.Principal, workspace int64) finding.Subject {
	return finding.Subject{Kind: finding.ServicePrincipal, ID: p.ID, Name: p.Name, ClientID: p.ClientID, Workspace: workspace}
}

func (e *Estate) principalValues(p *inventory.Principal) Values {
	v := Values{
		"principal": p.ID, "client": p.ClientID, "account": e.AccountID, "console": e.Place.Console, "function": e.Place.RotateFunction,
	}
	if len(e.managed[p.ClientID]) > 0 {
		v["name"] = e.managed[p.ClientID][0].Name
	}
	return v
}

// liveTokens are a principal's own personal access tokens that work.
func (e *Estate) liveTokens(p *inventory.Principal) []*inventory.Token {
	return slices.DeleteFunc(slices.Clone(e.tokens[p.ClientID]), func(t *inventory.Token) bool { return !e.live(t.ExpiresAt) })
}

// everyoneGroups have every user and service principal in them.
var everyoneGroups = []string{"users", "account users"}

func everyone(group string) bool { return slices.Contains(everyoneGroups, group) }

// groupsOf are a principal's groups, those of the account and those of its
// workspaces, without the ones that everybody is in.
func groupsOf(p *inventory.Principal) []string {
	groups := slices.Clone(p.Groups)
	for _, a := range p.Assignments {
		groups = append(groups, a.Groups...)
	}
	slices.Sort(groups)
	return slices.DeleteFunc(slices.Compact(groups), everyone)
}

func principalChecks() []check {
	return []check{
		eachPrincipal(Rule{
			ID: "principal-inactive", Title: "Deactivated service principal with live credentials", Severity: finding.Medium, Practice: RemoveUnused,
			What:    "A service principal is deactivated, and still has OAuth secrets, personal access tokens or federation policies.",
			Why:     "They work again at the moment somebody activates the principal.",
			Remedy:  "Delete the credentials of <client>, or the service principal, if nobody will need it again.",
			Command: "DATABRICKS_HOST=<console> DATABRICKS_ACCOUNT_ID=<account> databricks account service-principal-secrets list <principal>",
		}, func(e *Estate, p *inventory.Principal, match func(int64, *match)) {
			secrets, tokens := len(e.liveSecrets(p)), len(e.liveTokens(p))
			onHold := slices.ContainsFunc(e.managed[p.ClientID], func(m *inventory.Managed) bool { return m.Held })
			if p.Active || onHold || secrets+tokens+len(p.Federation) == 0 {
				return
			}
			match(0, because("OAuth secrets", number(int64(secrets)), "personal access tokens", number(int64(tokens)), "federation policies", number(int64(len(p.Federation)))))
		}),
		eachPrincipal(Rule{
			ID: "principal-unused", Title: "Service principal with credentials that nobody uses", Severity: finding.Medium, Practice: RemoveUnused,
			What:    "A service principal has OAuth secrets older than `audit.unused_after`, and the usage log, which reaches back as long, shows no use of the principal since.",
			Why:     "Nobody would miss it but a thief, and nobody would notice its theft.",
			Remedy:  "Deactivate the service principal <client>; if nothing breaks, delete it.",
			Command: `DATABRICKS_HOST=<console> DATABRICKS_ACCOUNT_ID=<account> databricks account service-principals patch <principal> --json '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"active","value":false}]}'`,
		}, func(e *Estate, p *inventory.Principal, match func(int64, *match)) {
			used := e.Usage[p.ClientID]
			old := slices.ContainsFunc(e.liveSecrets(p), func(s *inventory.OAuthSecret) bool {
				return e.now.Sub(s.CreatedAt) > e.Policy.Audit.UnusedAfter
			})
			if !e.usageKnown() || !p.Active || !old || !used.Last.IsZero() && e.now.Sub(used.Last) <= e.Policy.Audit.UnusedAfter {
				return
			}
			last := "not since " + date(e.UsageSince)
			if !used.Last.IsZero() {
				last = date(used.Last)
			}
			match(0, because("last used", last, "OAuth secrets", number(int64(len(e.liveSecrets(p))))))
		}),
		eachPrincipal(Rule{
			ID: "principal-unmanaged", Title: "Service principal whose OAuth secrets nobody rotates", Severity: finding.Low, Practice: Rotate,
			What:   "A service principal has OAuth secrets, and no managed secret in Secrets Manager, in this AWS account and region, is for it.",
			Why:    "Its secrets age until somebody remembers them, or until they expire.",
			Remedy: "Register <client>, and have its work read the managed secret.", Command: register,
		}, func(e *Estate, p *inventory.Principal, match func(int64, *match)) {
			secrets := e.liveSecrets(p)
			if len(secrets) == 0 || !p.Active || len(e.managed[p.ClientID]) > 0 || e.unreadable(p.ClientID) {
				return
			}
			match(0, because("OAuth secrets", number(int64(len(secrets))), "newest", date(secrets[0].CreatedAt)))
		}),
		eachPrincipal(Rule{
			ID: "principal-on-aws", Title: "Service principal on AWS that needs no secret", Severity: finding.Low, Practice: SmallBlastRadius,
			What:    "The policy says that a service principal's work runs on AWS (`on_aws`), and it has OAuth secrets.",
			Why:     "Its AWS role can prove who it is (sts:GetWebIdentityToken) under a federation policy. A secret that does not exist cannot leak.",
			Remedy:  "Create a federation policy for <client> with the AWS account's issuer and the role's ARN as subject, move the work over, then delete its OAuth secrets.",
			Command: `DATABRICKS_HOST=<console> DATABRICKS_ACCOUNT_ID=<account> databricks account service-principal-federation-policy create <principal> --json '{"oidc_policy":{"issuer":"https://ISSUER.tokens.sts.global.api.aws","audiences":[<account>],"subject":"arn:aws:iam::AWS_ACCOUNT:role/ROLE"}}'`,
		}, func(e *Estate, p *inventory.Principal, match func(int64, *match)) {
			known, ok := e.inPolicy(p.ClientID)
			secrets := e.liveSecrets(p)
			if !ok || !known.OnAWS || len(secrets) == 0 || !p.Active {
				return
			}
			has := "none"
			if len(p.Federation) > 0 {
				has = number(int64(len(p.Federation)))
			}
			match(0, because("OAuth secrets", number(int64(len(secrets))), "federation policies", has))
		}),
		eachPrincipal(Rule{
			ID: "admin-account", Title: "Automation is account admin", Severity: finding.Critical, Practice: SmallBlastRadius,
			What:    "A service principal is account admin, itself or through a group, and its role in the policy does not say so.",
			Why:     "Whoever has one of its credentials owns every workspace and can make further credentials for anybody.",
			Remedy:  "Take the role from <client> (or take it out of the group), and give it what its work needs.",
			Command: `DATABRICKS_HOST=<console> DATABRICKS_ACCOUNT_ID=<account> databricks account service-principals patch <principal> --json '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"remove","path":"roles[value eq \"account_admin\"]"}]}'`,
		}, func(e *Estate, p *inventory.Principal, match func(int64, *match)) {
			if !p.AccountAdmin || e.mayAdmin(p) == adminAccount {
				return
			}
			m := because("account admin", "yes")
			if groups := groupsOf(p); len(groups) > 0 {
				m.evidence = append(m.evidence, finding.Evidence{Name: "groups", Value: strings.Join(groups, ", ")})
			}
			m.sentence = e.ownSentence(p, policy.AdminAccount)
			match(0, m)
		}),
		eachPrincipal(Rule{
			ID: "admin-workspace", Title: "Automation is workspace admin", Severity: finding.High, Practice: SmallBlastRadius,
			What:    "A service principal is admin of a workspace, and its role in the policy does not say so.",
			Why:     "An admin reads everything in the workspace, whatever its access lists say, and manages its tokens.",
			Remedy:  "Make <client> a user of the workspace <workspace>, and grant it what its work needs.",
			Command: `DATABRICKS_HOST=<console> DATABRICKS_ACCOUNT_ID=<account> databricks account workspace-assignment update <workspace> <principal> --json '{"permissions":["USER"]}'`,
		}, func(e *Estate, p *inventory.Principal, match func(int64, *match)) {
			if e.mayAdmin(p) != adminNone {
				return
			}
			for _, id := range slices.Sorted(maps.Keys(p.Assignments)) {
				if p.Assignments[id].Admin {
					m := because("workspace", e.workspaceName(id), "permission", "ADMIN")
					m.sentence = e.ownSentence(p, policy.AdminWorkspace)
					match(id, m)
				}
			}
		}),
		eachPrincipal(Rule{
			ID: "manager-everyone", Title: "Everybody can make credentials for a service principal", Severity: finding.High, Practice: SmallBlastRadius,
			What:    "A group that everybody is in manages a service principal.",
			Why:     "A manager can make OAuth secrets for it. So everybody has its rights.",
			Remedy:  "Name the people or the group who run <client> as its managers, and nobody else.",
			Command: "DATABRICKS_HOST=<console> DATABRICKS_ACCOUNT_ID=<account> databricks account access-control get-rule-set accounts/<account>/servicePrincipals/<client>/ruleSets/default ''",
		}, func(_ *Estate, p *inventory.Principal, match func(int64, *match)) {
			for _, m := range p.Managers {
				if _, group, cut := strings.Cut(m, "/"); everyone(m) || cut && everyone(group) {
					match(0, because("manager", m))
					return
				}
			}
		}),
	}
}

// ownSentence is what to do about the principal by which this product works:
// what would mend the finding with any other would end rotation and audit.
func (e *Estate) ownSentence(p *inventory.Principal, admin policy.Admin) string {
	if e.Place.Own == "" || !strings.EqualFold(p.ClientID, e.Place.Own) {
		return ""
	}
	if p.AccountAdmin {
		admin = policy.AdminAccount // which is more than admin of a workspace
	}
	return "This is the principal by which rotation and audit work, and taking this away would end them. Say in the policy that it is meant: list <client> under principals, with a role whose admin is " + string(admin) + "."
}

// What the policy lets a principal administer.
const (
	adminNone = iota
	adminWorkspace
	adminAccount
)

func (e *Estate) mayAdmin(p *inventory.Principal) int {
	role, _ := e.roleOf(p.ClientID)
	switch role.Admin {
	case "account":
		return adminAccount
	case "workspace":
		return adminWorkspace
	default:
		return adminNone
	}
}

package planted

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/policy"
)

const (
	job      = "jobs/nightly"
	jobLevel = "CAN_MANAGE_RUN"
	// gone is an object that the policy lists and nobody has.
	gone      = "jobs/gone"
	dashboard = "dashboards/sales"
	schema    = "schema main.raw"

	issuer = "https://token.actions.githubusercontent.com"
)

// begin writes the policy that the company has.
func (e *Estate) begin() {
	p := policy.Default()
	p.Audit.Networks = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	p.Audit.AutomationUsers = []string{"svc-*@example.com"}
	p.Audit.TrustedIssuers = []string{issuer, e.clouds.AWS.Issuer()}
	p.Audit.Securables = []policy.Securable{{Type: "schema", Name: "main.raw"}}
	p.Roles = map[string]policy.Role{
		"rotator": {Description: "makes and removes credentials", Scopes: []string{"all-apis"}, Admin: policy.AdminAccount},
	}
	for _, r := range e.roles {
		role := policy.Role{
			Scopes: r.scopes, Entitlements: []string{"databricks-sql-access"}, Admin: policy.AdminNone,
			Permissions: []policy.Permission{{Object: object(r.object), Level: r.level}},
		}
		if r.name == "etl" {
			role.Permissions = append(role.Permissions, policy.Permission{Object: object(job), Level: jobLevel})
			role.Grants = []policy.Grant{{Securable: policy.Securable{Type: "schema", Name: "main.raw"}, Privileges: []string{"USE_SCHEMA", "SELECT"}}}
		}
		p.Roles[r.name] = role
		p.Audit.Objects = append(p.Audit.Objects, object(r.object))
	}
	for _, o := range []string{job, gone, dashboard} {
		p.Audit.Objects = append(p.Audit.Objects, object(o))
	}
	p.Principals = []policy.Principal{{ClientID: e.clouds.Rotator.ApplicationID, Role: "rotator", Owner: "security"}}
	e.policy = p
}

// Enforce has the policy remove and narrow after that notice.
func (e *Estate) Enforce(notice time.Duration) error {
	e.policy.Prune.Mode, e.policy.Prune.RightSize, e.policy.Prune.Notice = policy.Enforce, policy.Enforce, notice
	var err error
	e.Policy, err = e.policy.Encode()
	return err
}

// Greedy is a policy that would remove most of the estate, after that notice:
// what was not used yesterday.
func (e *Estate) Greedy(notice time.Duration) ([]byte, error) {
	p := e.policy
	p.Prune.Mode, p.Prune.UnusedAfter, p.Prune.Notice = policy.Enforce, 2*day, notice
	return p.Encode()
}

func object(text string) policy.Object {
	kind, id, _ := strings.Cut(text, "/")
	return policy.Object{Type: kind, ID: id}
}

// allow puts an entry into an object's access list, in the place of the one
// that the identity may have.
func (e *Estate) allow(object string, who int64, level string) {
	list := slices.DeleteFunc(e.access[object], func(a databrickstest.Access) bool { return a.Who == who })
	e.access[object] = append(list, databrickstest.Access{Who: who, Level: level})
}

func (e *Estate) disallow(object string, who int64) {
	e.access[object] = slices.DeleteFunc(e.access[object], func(a databrickstest.Access) bool { return a.Who == who })
}

// lists gives the objects their access lists.
func (e *Estate) lists() {
	admins := databrickstest.Access{Who: databrickstest.Admins, Level: "CAN_MANAGE"}
	for _, r := range e.roles {
		r.workspace.SetAccess(r.object, append(slices.Clone(e.access[r.object]), admins)...)
	}
	first := e.roles[0].workspace
	first.SetAccess(job, append(slices.Clone(e.access[job]), admins)...)
	first.SetAccess(dashboard, append(slices.Clone(e.access[dashboard]), admins)...)
}

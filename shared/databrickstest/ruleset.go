package databrickstest

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// The roles that somebody may have on a service principal.
const (
	roleManager = "roles/servicePrincipal.manager"
	roleUser    = "roles/servicePrincipal.user"
)

// roleGrant is a role of somebody, by id, on a service principal.
type roleGrant struct {
	role   string
	holder int64
}

// GrantManager gives a service principal, a person or a group the manager role
// on the service principal principalID.
func (s *Server) GrantManager(managerID, principalID int64) {
	s.grantRole(principalID, roleGrant{roleManager, managerID})
}

// GrantUser gives a service principal, a person or a group the user role on
// the service principal principalID: to run jobs as it.
func (s *Server) GrantUser(userID, principalID int64) {
	s.grantRole(principalID, roleGrant{roleUser, userID})
}

func (s *Server) grantRole(principalID int64, g roleGrant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.principals[principalID]
	if p != nil && !slices.Contains(p.grants, g) {
		p.grants = append(p.grants, g)
	}
}

// Managers returns the ids of those who hold the manager role on the service
// principal, in ascending order.
func (s *Server) Managers(principalID int64) []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []int64
	if p := s.principals[principalID]; p != nil {
		for _, g := range p.grants {
			if g.role == roleManager {
				ids = append(ids, g.holder)
			}
		}
	}
	slices.Sort(ids)
	return ids
}

// managedBy tells whether the caller holds the manager role, itself or through
// a group.
func (p *principal) managedBy(caller *principal) bool {
	return slices.ContainsFunc(p.grants, func(g roleGrant) bool {
		return g.role == roleManager && (g.holder == caller.id ||
			slices.ContainsFunc(caller.ancestors(), func(a *group) bool { return a.id == g.holder }))
	})
}

// ruleName is how a rule set names an identity or a group.
func (s *Server) ruleName(id int64) string {
	if g := s.groups[id]; g != nil {
		return "groups/" + g.name
	}
	p := s.principals[id]
	switch {
	case p == nil:
		return ""
	case p.human():
		return "users/" + p.userName
	default:
		return "servicePrincipals/" + p.applicationID
	}
}

type grantRule struct {
	Role       string   `json:"role"`
	Principals []string `json:"principals,omitempty"`
}

// getRuleSet answers who has which role on a service principal. The account's
// own rule set and those of groups are empty.
func getRuleSet(r *request) (reply, *failure) {
	if err := r.requireAdmin(); err != nil {
		return reply{}, err
	}
	name := r.query.Get("name")
	p, err := r.ruleSetOf(name)
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, r.ruleSet(name, p)}, nil
}

type ruleSet struct {
	Name  string      `json:"name"`
	Etag  string      `json:"etag"`
	Rules []grantRule `json:"grant_rules,omitempty"`
}

// ruleSet is the rule set of a service principal, or an empty one.
func (r *request) ruleSet(name string, p *principal) ruleSet {
	var rules []grantRule
	if p != nil {
		for _, role := range []string{roleManager, roleUser} {
			rule := grantRule{Role: role}
			for _, g := range p.grants {
				if who := r.server.ruleName(g.holder); g.role == role && who != "" {
					rule.Principals = append(rule.Principals, who)
				}
			}
			if len(rule.Principals) > 0 {
				rules = append(rules, rule)
			}
		}
	}
	sum := sha256.Sum256(fmt.Append(nil, name, rules))
	return ruleSet{name, base64.StdEncoding.EncodeToString(sum[:]), rules}
}

// putRuleSet replaces who has which role on a service principal. It takes who
// manages it, or an admin of the account on the account's host.
func putRuleSet(r *request) (reply, *failure) {
	if err := r.requireAdmin(); err != nil {
		return reply{}, err
	}
	var body struct {
		Name string  `json:"name"`
		Set  ruleSet `json:"rule_set"`
	}
	if err := r.decode(&body); err != nil {
		return reply{}, err
	}
	p, err := r.ruleSetOf(body.Name)
	switch {
	case err != nil:
		return reply{}, err
	case p == nil:
		return reply{}, invalid("rule set %q is not changed in the simulator: only those of service principals are", body.Name)
	case r.site.workspace != nil && !p.managedBy(r.caller):
		return reply{}, denied("%s does not have the role servicePrincipal.manager on service principal %d", r.caller, p.id)
	case body.Set.Name != body.Name:
		return reply{}, invalid("rule_set.name %q is not the name %q", body.Set.Name, body.Name)
	case body.Set.Etag != r.ruleSet(body.Name, p).Etag:
		return reply{}, fail(http.StatusConflict, "RESOURCE_CONFLICT", "the rule set was changed since its etag was read")
	}
	var grants []roleGrant
	for _, rule := range body.Set.Rules {
		if rule.Role != roleManager && rule.Role != roleUser {
			return reply{}, invalid("%q is not a role on a service principal", rule.Role)
		}
		for _, name := range rule.Principals {
			holder, ok := r.server.ruleHolder(name)
			if !ok {
				return reply{}, invalid("principal %q does not exist", name)
			}
			if g := (roleGrant{rule.Role, holder}); !slices.Contains(grants, g) {
				grants = append(grants, g)
			}
		}
	}
	p.grants = grants
	return reply{http.StatusOK, r.ruleSet(body.Name, p)}, nil
}

// ruleHolder finds whom a rule set names.
func (s *Server) ruleHolder(name string) (int64, bool) {
	kind, rest, _ := strings.Cut(name, "/")
	var p *principal
	switch kind {
	case "users":
		p = s.byUserName[rest]
	case "servicePrincipals":
		p = s.byApplication[rest]
	case "groups":
		for _, g := range s.groupOrder {
			if g.name == rest && g.workspace == nil {
				return g.id, true
			}
		}
	}
	if p == nil || p.now.deleted {
		return 0, false
	}
	return p.id, true
}

// ruleSetOf returns the service principal whose rule set has that name; nil
// for the account's and a group's.
func (r *request) ruleSetOf(name string) (*principal, *failure) {
	part := strings.Split(name, "/")
	if len(part) < 4 || part[0] != "accounts" || part[len(part)-2] != "ruleSets" || part[len(part)-1] != "default" {
		return nil, invalid("%q is not the name of a rule set", name)
	}
	if part[1] != r.server.config.AccountID {
		return nil, missing("account %s does not exist", part[1])
	}
	switch {
	case len(part) == 4:
		return nil, nil
	case len(part) == 6 && part[2] == "groups":
		for _, g := range r.server.groupOrder {
			if fmt.Sprint(g.id) == part[3] {
				return nil, nil
			}
		}
		return nil, missing("group %s does not exist", part[3])
	case len(part) == 6 && part[2] == "servicePrincipals":
		p := r.server.byApplication[part[3]]
		if p == nil || p.view(r.stale).deleted || !r.knows(p) {
			return nil, missing("service principal %s does not exist", part[3])
		}
		return p, nil
	}
	return nil, invalid("%q is not the name of a rule set", name)
}

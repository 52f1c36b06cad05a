package rule

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/shared/policy"
)

const day = 24 * time.Hour

// Place is where remedies are run.
type Place struct {
	// Console is the account console's URL.
	Console string
	// RotateFunction is the name of the Lambda function that rotates.
	RotateFunction string
	// RevokeFunction is the name of the one that revokes.
	RevokeFunction string
	// Own is the application id by which this product works, empty if it is
	// not known. No remedy takes from it what it needs.
	Own string
}

// Estate is an inventory with the policy that it is judged by, and with what
// the rules look up again and again.
type Estate struct {
	*inventory.Inventory
	Policy policy.Policy
	Place  Place

	now         time.Time
	principals  map[string]*inventory.Principal
	people      map[string]*inventory.Person
	workspaces  map[int64]*inventory.Workspace
	managed     map[string][]*inventory.Managed // by application id
	tokens      map[string][]*inventory.Token   // of principals, by application id
	listed      map[string]policy.Principal     // in the policy, by application id
	objects     map[string][]*inventory.Object  // by kind and name
	current     map[string]bool                 // OAuth secret ids
	predecessor map[string]bool
	recorded    map[string]bool
	gapless     bool
}

// NewEstate indexes an inventory.
func NewEstate(inv *inventory.Inventory, p policy.Policy, place Place) *Estate {
	e := &Estate{
		Inventory: inv, Policy: p, Place: place, now: inv.TakenAt,
		listed:     make(map[string]policy.Principal, len(p.Principals)),
		principals: make(map[string]*inventory.Principal, len(inv.Principals)),
		people:     make(map[string]*inventory.Person, len(inv.People)),
		workspaces: make(map[int64]*inventory.Workspace, len(inv.Workspaces)),
		managed:    map[string][]*inventory.Managed{},
		tokens:     map[string][]*inventory.Token{},
		objects:    map[string][]*inventory.Object{},
		current:    map[string]bool{}, predecessor: map[string]bool{}, recorded: map[string]bool{},
		gapless: len(inv.Gaps) == 0,
	}
	for _, q := range p.Principals {
		e.listed[q.ClientID] = q
	}
	for i := range inv.Principals {
		e.principals[inv.Principals[i].ClientID] = &inv.Principals[i]
	}
	for i := range inv.People {
		e.people[strings.ToLower(inv.People[i].UserName)] = &inv.People[i]
	}
	for i := range inv.Workspaces {
		e.workspaces[inv.Workspaces[i].ID] = &inv.Workspaces[i]
	}
	for i := range inv.Tokens {
		if t := &inv.Tokens[i]; t.Automation {
			e.tokens[t.Owner] = append(e.tokens[t.Owner], t)
		}
	}
	for i := range inv.Objects {
		o := &inv.Objects[i]
		e.objects[o.Kind+" "+o.Name] = append(e.objects[o.Kind+" "+o.Name], o)
	}
	for i := range inv.Managed {
		m := &inv.Managed[i]
		e.managed[m.ClientID] = append(e.managed[m.ClientID], m)
		if m.OAuthSecretID != "" {
			e.current[m.OAuthSecretID] = true
		}
		for _, id := range m.Predecessors {
			e.predecessor[id] = true
		}
		for _, id := range m.Recorded {
			e.recorded[id] = true
		}
	}
	return e
}

// Judge finds every fault, and says each as it is found: there may be as many
// as there are credentials, and more. A rule that stumbles over what it sees is
// a gap, and stops none of the others.
func Judge(e *Estate, say func(finding.Finding)) []inventory.Gap {
	return judge(e, checks(), say)
}

func judge(e *Estate, checks []check, say func(finding.Finding)) []inventory.Gap {
	var gaps []inventory.Gap
	for _, c := range checks {
		if err := c.run(e, say); err != nil {
			gaps = append(gaps, inventory.Gap{Where: "the audit", What: "rule " + c.ID, Why: err.Error()})
		}
	}
	return gaps
}

// run returns why the rule stumbled, if it did.
func (c check) run(e *Estate, say func(finding.Finding)) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("it stumbled: %.200v", fault)
		}
	}()
	c.find(e, c.Rule, say)
	return nil
}

// Rules are the rules of this package, in the order of the reference.
func Rules() []Rule {
	var rules []Rule
	for _, c := range checks() {
		rules = append(rules, c.Rule)
	}
	return rules
}

// check is a rule and how its faults are found.
type check struct {
	Rule
	find func(e *Estate, r Rule, say func(finding.Finding))
}

func checks() []check {
	return slices.Concat(tokenChecks(), secretChecks(), principalChecks(), accessChecks(), appChecks(), federationChecks(), managedChecks(), sourceChecks())
}

// match is one fault that a check has found.
type match struct {
	detail   string
	command  string // in the rule's place, if it is set
	sentence string // in the place of the rule's remedy and its command, if it is set
	values   Values
	evidence []finding.Evidence
}

// because is a match with these facts, given as names and values in turn.
func because(facts ...string) *match {
	m := &match{evidence: make([]finding.Evidence, 0, len(facts)/2)}
	for i := 0; i+1 < len(facts); i += 2 {
		m.evidence = append(m.evidence, finding.Evidence{Name: facts[i], Value: facts[i+1]})
	}
	return m
}

func (m *match) with(name string, value any) *match {
	if m.values == nil {
		m.values = Values{}
	}
	m.values[name] = value
	return m
}

// of is the rule with the match's own remedy, if it has one.
func (m *match) of(r Rule) Rule {
	switch {
	case m.sentence != "":
		r.Remedy, r.Command = m.sentence, ""
	case m.command != "":
		r.Command = m.command
	}
	return r
}

// merge puts the values of a match above those of its subject.
func (m *match) merge(v Values) Values {
	for name, value := range m.values {
		v[name] = value
	}
	return v
}

// host is where commands about a workspace go.
func (e *Estate) host(workspace int64) string {
	w, ok := e.workspaces[workspace]
	if !ok || w.Host == "" {
		return ""
	}
	if strings.Contains(w.Host, "://") {
		return w.Host
	}
	return "https://" + w.Host
}

func (e *Estate) workspaceName(id int64) string {
	if w, ok := e.workspaces[id]; ok && w.Name != "" {
		return w.Name
	}
	return number(id)
}

func (e *Estate) live(expires time.Time) bool { return expires.IsZero() || expires.After(e.now) }

// inPolicy is what the policy says of a service principal. The policy's own
// look-up is for one principal; here there may be thousands.
func (e *Estate) inPolicy(clientID string) (policy.Principal, bool) {
	p, ok := e.listed[clientID]
	return p, ok
}

func (e *Estate) roleOf(clientID string) (policy.Role, bool) {
	p, ok := e.listed[clientID]
	if !ok || p.Role == "" {
		return policy.Role{}, false
	}
	role, ok := e.Policy.Roles[p.Role]
	return role, ok
}

// Owner is who answers for a service principal: the policy says, or whoever
// may make credentials for it.
func (e *Estate) Owner(clientID string) string {
	if p, ok := e.inPolicy(clientID); ok && p.Owner != "" {
		return p.Owner
	}
	if p, ok := e.principals[clientID]; ok && len(p.Managers) > 0 {
		_, name, cut := strings.Cut(p.Managers[0], "/")
		if !cut {
			return p.Managers[0]
		}
		return name
	}
	return ""
}

// usageKnown tells whether the usage log reaches back far enough to say that
// something was not used.
func (e *Estate) usageKnown() bool {
	return e.Usage != nil && !e.UsageSince.IsZero() && e.now.Sub(e.UsageSince) >= e.Policy.Audit.UnusedAfter
}

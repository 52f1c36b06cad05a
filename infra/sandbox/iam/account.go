// Package iam decides as AWS IAM does, by the policies of the stack's own
// template. It stands behind the AWS emulator, so that a call which the stack
// does not grant fails in the sandbox as it would fail in an account.
//
// What it knows: policies of roles and of resources, a default of deny, an
// explicit deny that wins, and that another account needs to be allowed on both
// sides. A request is judged by the condition keys that the emulator gives it.
// An element, operator or key of a policy that it does not know is an error
// when the policy is read. Permission boundaries, session policies and policies
// of an organization are not known; the stack has none.
package iam

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"databricks-credential-rotation/shared/awstest"
)

// Account holds the policies by which calls are judged. It is safe for
// concurrent use.
type Account struct {
	id string

	mu        sync.Mutex
	roles     map[string]role     // by ARN
	resources map[string]document // policies of resources, by ARN
	observe   func(Call)
}

type role struct {
	// name is what reports call it: the logical id in the template.
	name  string
	trust document
	may   []statement
}

// Call is a decision that was taken.
type Call struct {
	awstest.Access
	// Denied is why it was refused, nil if it was not.
	Denied error
}

// New returns an account in which nobody may do anything.
func New(id string) *Account {
	return &Account{id: id, roles: map[string]role{}, resources: map[string]document{}}
}

// AddRole adds a role with one policy, a JSON document. Its account is in its
// ARN, and may be another one.
func (a *Account) AddRole(arn, policy string) error {
	d, err := parseJSON(policy, false)
	if err != nil {
		return fmt.Errorf("policy of %s: %w", arn, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.roles[arn] = role{name: arn[strings.LastIndexByte(arn, '/')+1:], may: d.statements}
	return nil
}

// SetResourcePolicy sets the policy of a bucket, a key, a topic or a queue, a
// JSON document. Those of secrets are the emulator's.
func (a *Account) SetResourcePolicy(arn, policy string) error {
	d, err := parseJSON(policy, true)
	if err != nil {
		return fmt.Errorf("policy of %s: %w", arn, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.resources[arn] = d
	return nil
}

// Observe has f told of every decision from now on, in the order in which they
// are taken. Nil ends that.
func (a *Account) Observe(f func(Call)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.observe = f
}

// Authorize decides on a call; it is an [awstest.Authorizer]. The error says
// why, in the words of AWS.
func (a *Account) Authorize(_ context.Context, access awstest.Access) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	err := a.decide(access)
	if a.observe != nil {
		a.observe(Call{access, err})
	}
	return err
}

// Allows tells how a call would be decided, and nobody of it.
func (a *Account) Allows(access awstest.Access) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.decide(access) == nil
}

// Assumes tells whether a role lets a service act as it.
func (a *Account) Assumes(roleARN, service string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	v := a.roles[roleARN].trust.judge(request{
		caller: service, action: "sts:AssumeRole", resource: roleARN, context: map[string][]string{"aws:sourceaccount": {a.id}},
	})
	return v.allowed && !v.denied
}

func (a *Account) decide(access awstest.Access) error {
	r := request{caller: access.Caller, action: access.Action, resource: access.Resource, context: map[string][]string{}}
	for key, values := range access.Conditions {
		r.context[strings.ToLower(key)] = values
	}
	isRole := strings.HasPrefix(r.caller, "arn:")
	callers := a.id
	if isRole {
		callers = account(r.caller)
		r.context["aws:principalarn"], r.context["aws:principalaccount"] = []string{r.caller}, []string{callers}
	}
	owner := callers // of an action that is about no resource
	if of := r.context["aws:resourceaccount"]; len(of) == 1 && r.resource != "*" {
		owner = of[0]
	}

	identity := document{a.roles[r.caller].may}.judge(r)
	resource, hasPolicy, err := a.resourceVerdict(access, r)
	if err != nil {
		return err
	}
	isKey := strings.HasPrefix(r.action, "kms:")
	switch {
	case identity.denied:
		return errors.New("with an explicit deny in an identity-based policy")
	case resource.denied:
		return errors.New("with an explicit deny in a resource-based policy")
	case callers != owner && !identity.allowed, callers == owner && !resource.direct && !identity.allowed:
		return fmt.Errorf("because no identity-based policy allows the %s action", r.action)
	case callers != owner && !resource.allowed, callers == owner && isKey && hasPolicy && !resource.allowed:
		// A key's policy must give the account's policies their say.
		return fmt.Errorf("because no resource-based policy allows the %s action", r.action)
	}
	return nil
}

// resourceVerdict is what the policy of the resource says, if it has one.
func (a *Account) resourceVerdict(access awstest.Access, r request) (v verdict, hasPolicy bool, err error) {
	if access.ResourcePolicy != "" {
		d, err := parseJSON(access.ResourcePolicy, true)
		if err != nil {
			return v, true, fmt.Errorf("and its resource-based policy cannot be judged here: %w", err)
		}
		return d.judge(r), true, nil
	}
	arn := r.resource
	if bucket, _, ok := strings.Cut(arn, "/"); ok && strings.HasPrefix(arn, "arn:aws:s3:::") {
		arn = bucket
	}
	d, ok := a.resources[arn]
	return d.judge(r), ok, nil
}

// account is the account in an ARN.
func account(arn string) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 {
		return parts[4]
	}
	return ""
}

type request struct {
	caller, action, resource string
	context                  map[string][]string // by keys in lower case
}

// verdict is what one policy says of a request.
type verdict struct {
	allowed, denied bool
	// direct is an allowance that names the caller itself, or everybody, and
	// not the caller's account as a whole.
	direct bool
}

func (d document) judge(r request) verdict {
	var v verdict
	for _, s := range d.statements {
		named, direct := s.principals.match(r.caller)
		if !named || !s.applies(r) {
			continue
		}
		if !s.allow {
			v.denied = true
			continue
		}
		v.allowed = true
		v.direct = v.direct || direct
	}
	return v
}

func (s statement) applies(r request) bool {
	return matches(strings.ToLower(s.action), strings.ToLower(r.action)) && matches(s.resource, r.resource) &&
		!slices.ContainsFunc(s.conditions, func(c condition) bool { return !c.holds(r.context) })
}

// match tells whether a caller is among the principals, and whether by itself.
func (p principals) match(caller string) (named, direct bool) {
	switch {
	case !p.isNamedAtAll: // a role's policy is about the role
		return true, false
	case p.everybody, slices.Contains(p.arns, caller), slices.Contains(p.services, caller):
		return true, true
	default:
		return slices.Contains(p.accountsWhole, account(caller)), false
	}
}

// Grant is one thing that a role of the template may do: one action on one
// resource under one statement. A statement that lists two values of a
// condition grants twice.
type Grant struct {
	Role, Sid, Action, Resource string
	// Value is the one of a condition's values, "" if conditions have one each.
	Value string
}

func (g Grant) String() string {
	return strings.TrimSpace(strings.Join([]string{g.Role, g.Sid, g.Action, g.Resource, g.Value}, " "))
}

func (s statement) grant(role string) Grant {
	return Grant{Role: role, Sid: s.sid, Action: s.action, Resource: s.resource, Value: s.value}
}

// Grants are all grants of the roles, in order.
func (a *Account) Grants() []Grant {
	a.mu.Lock()
	defer a.mu.Unlock()
	var grants []Grant
	for _, arn := range slices.Sorted(maps.Keys(a.roles)) {
		for _, s := range a.roles[arn].may {
			if s.allow {
				grants = append(grants, s.grant(a.roles[arn].name))
			}
		}
	}
	return grants
}

// Without is the same account with that grant taken away, and with no observer.
func (a *Account) Without(g Grant) *Account {
	return a.with(func(r role, s statement) (statement, bool) { return s, s.grant(r.name) != g })
}

// Unconditioned is the same account with one condition of a statement taken
// away, by its key, and with no observer.
func (a *Account) Unconditioned(c Condition) *Account {
	return a.with(func(r role, s statement) (statement, bool) {
		if r.name == c.Role && s.sid == c.Sid {
			s.conditions = slices.DeleteFunc(slices.Clone(s.conditions), func(of condition) bool { return of.is(c) })
		}
		return s, true
	})
}

// OfRoles is the same account without the policies of resources, and with no
// observer.
func (a *Account) OfRoles() *Account {
	out := a.with(func(_ role, s statement) (statement, bool) { return s, true })
	out.resources = map[string]document{}
	return out
}

func (a *Account) with(change func(role, statement) (statement, bool)) *Account {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := &Account{id: a.id, roles: map[string]role{}, resources: a.resources}
	for arn, r := range a.roles {
		var may []statement
		for _, s := range r.may {
			if changed, keep := change(r, s); keep {
				may = append(may, changed)
			}
		}
		out.roles[arn] = role{r.name, r.trust, may}
	}
	return out
}

// Condition is one condition of a statement: an operator on a key.
type Condition struct{ Role, Sid, Operator, Key string }

func (c Condition) String() string {
	return strings.Join([]string{c.Role, c.Sid, c.Operator, c.Key}, " ")
}

func (c condition) is(of Condition) bool {
	return of.Key == c.key && of.Operator == c.name()
}

func (c condition) name() string {
	name := c.operator
	if c.quantifier != "" {
		name = c.quantifier + ":" + name
	}
	if c.ifExists {
		name += "IfExists"
	}
	return name
}

// Conditions are the conditions of the roles' statements, in order.
func (a *Account) Conditions() []Condition {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []Condition
	for _, arn := range slices.Sorted(maps.Keys(a.roles)) {
		for _, s := range a.roles[arn].may {
			for _, c := range s.conditions {
				if one := (Condition{a.roles[arn].name, s.sid, c.name(), c.key}); !slices.Contains(all, one) {
					all = append(all, one)
				}
			}
		}
	}
	return all
}

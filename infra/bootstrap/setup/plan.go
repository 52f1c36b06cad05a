package setup

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"databricks-credential-rotation/infra/bootstrap/console"
	"databricks-credential-rotation/shared/databricks"
)

// thing is one part of the set-up.
type thing struct {
	what    string
	verb    string // what it takes to have it: create, grant
	inPlace bool
	// needs is the right that it takes to bring it about.
	needs string
	// do brings it about; nil where this console cannot. The rotator may have
	// been made only now.
	do func(ctx context.Context, c *console.Console, rotator *databricks.ServicePrincipal) error
}

// plan is what there is of the set-up and what is missing. It is a pure
// function of what is wanted and what was seen.
type plan struct {
	things []thing
	// notes are what a reader should know, and nothing here changes.
	notes []string
	// stop says why nothing may be changed.
	stop error
}

func makePlan(w Wanted, s seen) plan {
	var p plan
	rotator := s.rotator()
	switch {
	case len(s.rotators) > 1:
		var ids []string
		for _, r := range s.rotators {
			ids = append(ids, r.ApplicationID)
		}
		p.stop = fmt.Errorf("%d service principals are named %q: say with -client-id which is the rotator's: %s",
			len(ids), w.Name, strings.Join(ids, ", "))
		return p
	case rotator == nil:
		p.add("create", fmt.Sprintf("service principal %q", w.Name), false, s.adminRight(),
			func(ctx context.Context, c *console.Console, rotator *databricks.ServicePrincipal) (err error) {
				*rotator, err = c.CreatePrincipal(ctx, w.Name)
				return err
			})
	default:
		p.add("create", "service principal "+describe(*rotator), true, "", nil)
		p.judge(w, s, *rotator)
	}
	if w.AccountAdmin {
		p.add("grant", "role account admin", rotator != nil && rotator.Admin, accountRight,
			func(ctx context.Context, c *console.Console, rotator *databricks.ServicePrincipal) error {
				return c.GrantAccountAdmin(ctx, rotator.ID)
			})
	}
	for _, place := range s.workspaces {
		p.add("grant", "role admin of "+place.String(), place.rotatorIsIn, s.adminRight(),
			func(ctx context.Context, c *console.Console, rotator *databricks.ServicePrincipal) error {
				return c.AssignAdmin(ctx, place.id, rotator.ID)
			})
	}
	for _, m := range s.managed {
		p.add("grant", "role service principal manager on "+describe(m.principal), m.byRotator, s.managerRight(m.principal),
			func(ctx context.Context, c *console.Console, rotator *databricks.ServicePrincipal) error {
				return c.GrantManager(ctx, m.principal.ApplicationID, rotator.ApplicationID)
			})
	}
	strangers := p.addPolicies(w, s)
	if rotator != nil && w.ClientID == "" {
		p.distrust(*rotator, strangers, s.secrets)
	}
	return p
}

func (p *plan) add(verb, what string, inPlace bool, needs string, do func(context.Context, *console.Console, *databricks.ServicePrincipal) error) {
	p.things = append(p.things, thing{what, verb, inPlace, needs, do})
}

func (p *plan) note(format string, args ...any) {
	p.notes = append(p.notes, fmt.Sprintf(format, args...))
}

// addPolicies adds a federation policy for each role, and returns how many
// there are that were not asked for.
func (p *plan) addPolicies(w Wanted, s seen) (strangers int) {
	var ours []databricks.FederationPolicy
	for _, subject := range w.Subjects {
		wanted := w.policy(subject, s.accountID)
		ours = append(ours, wanted)
		there := slices.ContainsFunc(s.policies, func(is databricks.FederationPolicy) bool { return lets(is, wanted, s.accountID) })
		what := "federation policy for " + subject
		if !s.account {
			// A workspace has no such calls, so this neither sees nor makes it.
			p.add("create", what, false, accountRight, nil)
			continue
		}
		p.add("create", what, there, accountRight,
			func(ctx context.Context, c *console.Console, rotator *databricks.ServicePrincipal) error {
				return c.PutPolicy(ctx, rotator.ID, wanted)
			})
	}
	if len(w.Subjects) == 0 {
		p.note("Federation policies are left out: they need -issuer and -subject, which the stack tells once it is deployed.")
	}
	for _, is := range s.policies {
		wanted := slices.ContainsFunc(ours, func(o databricks.FederationPolicy) bool { return o.ID == is.ID || lets(is, o, s.accountID) })
		if !wanted {
			strangers++
			p.note("Federation policy %s lets %s of %s be the rotator, and was not asked for. Remove it unless you know whose it is.", is.ID, quoted(is.Subject), is.Issuer)
		}
	}
	return strangers
}

// judge looks for what makes an existing service principal unfit.
func (p *plan) judge(w Wanted, s seen, rotator databricks.ServicePrincipal) {
	if !rotator.Active {
		p.stop = fmt.Errorf("service principal %s is switched off, perhaps on purpose: find out, and switch it on in the console", describe(rotator))
		return
	}
	if len(s.managers) > 0 {
		p.note("It is managed by %s. Who manages it can make a secret for it, and so be the rotator.", strings.Join(s.managers, ", "))
	}
	if s.secrets > 0 {
		p.note("It has %d OAuth secrets. With federation it needs none: remove them.", s.secrets)
	}
	if rotator.Admin && s.account && !w.AccountAdmin {
		p.note("It is an account admin, which was not asked for: -workspace needs less.")
	}
}

// distrust stops at a service principal that only has the right name: whoever
// could make one could have taken it, kept a credential for it, and would be
// given an admin's roles here. One that has some of the roles already was
// trusted before.
func (p *plan) distrust(rotator databricks.ServicePrincipal, strangers int, secrets int) {
	trusted := slices.ContainsFunc(p.things[1:], func(t thing) bool { return t.inPlace })
	if p.stop == nil && !trusted && strangers+secrets > 0 {
		p.stop = fmt.Errorf("service principal %s has the name but none of the roles yet, and somebody can be it already, by %d OAuth secrets and %d federation policies: remove them, or name it with -client-id %s if it is yours",
			describe(rotator), secrets, strangers, rotator.ApplicationID)
	}
}

func quoted(subject string) string {
	if subject == "" {
		return "anybody"
	}
	return fmt.Sprintf("%q", subject)
}

// missing are the things that are not in place.
func (p *plan) missing() []thing {
	return slices.DeleteFunc(slices.Clone(p.things), func(t thing) bool { return t.inPlace })
}

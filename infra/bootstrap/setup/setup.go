package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"databricks-credential-rotation/infra/bootstrap/console"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/policy"
)

// Setup brings a set-up about, or checks it.
type Setup struct {
	Console *console.Console
	Wanted  Wanted
	// Out is where the plan and what was done are told.
	Out io.Writer
	// Ask asks whether the plan may be carried out; nil does not ask.
	Ask func(context.Context) (bool, error)
	// Try proves that the rotator can do its work, as the rotator; nil for no
	// such trial. It returns what it has proven, each in a line.
	Try func(context.Context, Rotator) ([]string, error)
}

// Rotator is the set-up as far as others need it.
type Rotator struct {
	ClientID, AccountID string
	// Account is the account's host if the rotator is an admin there;
	// Workspaces are the hosts of those where it is.
	Account    string
	Workspaces []string
	// Managed are the principals that it manages at workspaces.
	Managed []databricks.ServicePrincipal
}

// ErrIncomplete means that something is missing and nothing was changed.
var ErrIncomplete = errors.New("the set-up is not complete")

// ErrDeclined means that the plan was not agreed to.
var ErrDeclined = errors.New("nothing was changed")

// Check tells what is in place and what is missing, and changes nothing.
func (s *Setup) Check(ctx context.Context) (Rotator, error) {
	there, p, err := s.look(ctx)
	if err != nil {
		return Rotator{}, err
	}
	s.show(p, "missing")
	if p.stop != nil {
		return Rotator{}, p.stop
	}
	var faults []error
	for _, t := range p.missing() {
		if t.do == nil {
			faults = append(faults, &RightError{To: "see the " + t.what, Needs: t.needs})
			continue
		}
		faults = append(faults, fmt.Errorf("%w: %s", ErrIncomplete, t.what))
	}
	if err := errors.Join(faults...); err != nil {
		return Rotator{}, err
	}
	return s.proven(ctx, s.known(there))
}

func (s *Setup) look(ctx context.Context) (seen, plan, error) {
	there, err := look(ctx, s.Console, s.Wanted)
	if err != nil {
		return there, plan{}, err
	}
	return there, makePlan(s.Wanted, there), nil
}

func (s *Setup) proven(ctx context.Context, r Rotator) (Rotator, error) {
	if s.Try == nil {
		return r, nil
	}
	lines, err := s.Try(ctx, r)
	for _, line := range lines {
		s.say("  ✓ proven      %s", line)
	}
	return r, err
}

// Apply shows what is missing, asks, and brings it about. It may be repeated,
// also after a run that died: it goes on from what is there.
func (s *Setup) Apply(ctx context.Context) (Rotator, error) {
	there, p, err := s.look(ctx)
	if err != nil {
		return Rotator{}, err
	}
	s.show(p, "to be made")
	if p.stop != nil {
		return Rotator{}, p.stop
	}
	missing := p.missing()
	if len(missing) == 0 {
		s.say("Nothing is to be done.")
		return s.proven(ctx, s.known(there))
	}
	if s.Ask != nil {
		yes, err := s.Ask(ctx)
		if err != nil {
			return Rotator{}, err
		}
		if !yes {
			return Rotator{}, ErrDeclined
		}
	}
	rotator := databricks.ServicePrincipal{}
	if known := there.rotator(); known != nil {
		rotator = *known
	}
	if err := s.carryOut(ctx, missing, &rotator); err != nil {
		return Rotator{}, err
	}
	s.Wanted.ClientID = rotator.ApplicationID
	return s.confirm(ctx)
}

// carryOut brings about what is missing. What fails does not keep the rest
// from being done, except for the service principal, on which all hangs.
func (s *Setup) carryOut(ctx context.Context, missing []thing, rotator *databricks.ServicePrincipal) error {
	var faults []error
	for _, t := range missing {
		if t.do == nil {
			faults = append(faults, &RightError{To: t.verb + " the " + t.what, Needs: t.needs})
			s.say("  ✗ not made    %s", t.what)
			continue
		}
		if err := t.do(ctx, s.Console, rotator); err != nil {
			s.say("  ✗ not made    %s", t.what)
			faults = append(faults, right(err, t.needs, t.verb+" the "+t.what))
			if rotator.ID == "" {
				break
			}
			continue
		}
		s.say("  ✓ made        %s", t.what)
	}
	return errors.Join(faults...)
}

const (
	looks = 6
	pause = 2 * time.Second
)

// confirm reads back what was done: an answer alone does not prove it. The
// directory may lag behind by some seconds.
func (s *Setup) confirm(ctx context.Context) (Rotator, error) {
	var err error
	for range looks {
		var there seen
		var p plan
		there, p, err = s.look(ctx)
		if err == nil && p.stop == nil && len(p.missing()) == 0 {
			return s.proven(ctx, s.known(there))
		}
		if err == nil {
			err = p.stop
		}
		if err == nil {
			var left []string
			for _, t := range p.missing() {
				left = append(left, t.what)
			}
			err = fmt.Errorf("all was done, but Databricks does not show it yet: %s: run this again with -check in a minute", strings.Join(left, ", "))
		}
		if waited := s.Console.Pause(ctx, pause); waited != nil {
			return Rotator{}, errors.Join(err, waited)
		}
	}
	return Rotator{}, err
}

// known is the set-up when all of it is in place.
func (s *Setup) known(there seen) Rotator {
	r := Rotator{ClientID: there.rotator().ApplicationID, AccountID: there.accountID}
	if s.Wanted.AccountAdmin {
		r.Account = there.host
	}
	for _, w := range there.workspaces {
		r.Workspaces = append(r.Workspaces, w.host)
	}
	for _, m := range there.managed {
		r.Managed = append(r.Managed, m.principal)
	}
	return r
}

// Parameters are those of the stack that the set-up decides.
func (r Rotator) Parameters(host string) []string {
	all := []string{"RotatorClientId=" + r.ClientID, "DatabricksAccountId=" + r.AccountID}
	scheme, name, _ := strings.Cut(host, "://")
	// The template's default is for Databricks' own domain on AWS.
	if _, domain, ok := strings.Cut(name, "."); ok && scheme == "https" && domain != "cloud.databricks.com" {
		all = append(all, "DatabricksHosts=https://*."+domain)
		if r.Account != "" {
			all = append(all, "AccountConsole="+r.Account)
		}
	}
	if r.Account == "" {
		all = append(all, "AccountConsole=none") // which is for account admins
	}
	return all
}

// Policy is the document by which audits know that the rotator is meant to be an
// admin, and do not report it.
func (r Rotator) Policy() string {
	admin := policy.AdminWorkspace
	if r.Account != "" {
		admin = policy.AdminAccount
	}
	return fmt.Sprintf("version: 1\nroles:\n  rotator: {scopes: [%s], admin: %s}\nprincipals:\n  - {client_id: %s, role: rotator}",
		credential.AllAPIs, admin, r.ClientID)
}

func (s *Setup) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.Out, format+"\n", args...)
}

// show tells the plan.
func (s *Setup) show(p plan, missing string) {
	for _, t := range p.things {
		if t.inPlace {
			s.say("  ✓ in place    %s", t.what)
		} else {
			s.say("  + %-10s  %s", missing, t.what)
		}
	}
	for _, note := range p.notes {
		s.say("  ! %s", note)
	}
}

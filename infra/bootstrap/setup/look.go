package setup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"databricks-credential-rotation/infra/bootstrap/console"
	"databricks-credential-rotation/shared/databricks"
)

// seen is what there is.
type seen struct {
	account   bool
	accountID string
	host      string
	// rotators are the service principals that could be the rotator's.
	rotators []databricks.ServicePrincipal
	// The rest is of the one rotator, if there is exactly one.
	managers   []string
	secrets    int
	policies   []databricks.FederationPolicy
	workspaces []workspace
	managed    []managed
}

type workspace struct {
	id          int64
	name, host  string
	rotatorIsIn bool // as an admin
}

type managed struct {
	principal databricks.ServicePrincipal
	byRotator bool
}

// look reads what there is. It needs the rights that the set-up itself needs.
func look(ctx context.Context, c *console.Console, w Wanted) (seen, error) {
	s := seen{account: c.OfAccount(), accountID: c.AccountID, host: c.Host.URL}
	if err := w.checkAt(s.account); err != nil {
		return s, err
	}
	var err error
	if w.ClientID == "" {
		s.rotators, err = c.Client.PrincipalsNamed(ctx, c.Host, w.Name)
	} else {
		var one databricks.ServicePrincipal
		one, err = c.Client.FindPrincipal(ctx, c.Host, w.ClientID)
		s.rotators = []databricks.ServicePrincipal{one}
	}
	if err != nil {
		return s, right(err, s.adminRight(), "look for the service principal")
	}
	// Every fault in what was asked for is told at once.
	faults := []error{s.lookAtWorkspaces(ctx, c, w), s.lookAtManaged(ctx, c, w)}
	if rotator := s.rotator(); rotator != nil {
		faults = append(faults, s.lookAtRotator(ctx, c, *rotator))
	}
	return s, errors.Join(faults...)
}

// rotator is the one service principal, nil if there is none or more than one.
func (s *seen) rotator() *databricks.ServicePrincipal {
	if len(s.rotators) != 1 {
		return nil
	}
	return &s.rotators[0]
}

func (s *seen) lookAtRotator(ctx context.Context, c *console.Console, rotator databricks.ServicePrincipal) error {
	var err error
	s.managers, err = c.Managers(ctx, rotator.ApplicationID)
	if !s.account && (err == nil || errors.Is(err, databricks.ErrDenied)) {
		// From a workspace its policies cannot be seen, and the rest only by
		// those who manage it.
		return nil
	}
	if err != nil {
		return right(err, accountRight, "see who manages the rotator")
	}
	if s.policies, err = c.Client.FederationPolicies(ctx, c.Host, rotator.ID); err != nil {
		return right(err, accountRight, "list the rotator's federation policies")
	}
	secrets, err := c.Client.ListSecrets(ctx, c.Host, rotator.ID)
	if err != nil {
		return right(err, accountRight, "list the rotator's OAuth secrets")
	}
	s.secrets = len(secrets)
	return nil
}

func (s *seen) lookAtWorkspaces(ctx context.Context, c *console.Console, w Wanted) error {
	rotator := s.rotator()
	if !s.account {
		here := workspace{id: c.WorkspaceID, host: c.Host.URL, rotatorIsIn: rotator != nil && rotator.Admin}
		if len(w.Workspaces) == 1 && !here.is(w.Workspaces[0]) {
			return wrong("-workspace %s is not the one of %s, %d", w.Workspaces[0], here.host, here.id)
		}
		s.workspaces = []workspace{here}
		return nil
	}
	if len(w.Workspaces) == 0 {
		return nil
	}
	all, err := c.Client.Workspaces(ctx, c.Host)
	if err != nil {
		return right(err, accountRight, "list the workspaces")
	}
	var faults []error
	for _, wanted := range w.Workspaces {
		found, err := findWorkspace(all, c.Host, wanted)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if slices.ContainsFunc(s.workspaces, func(have workspace) bool { return have.id == found.id }) {
			continue
		}
		assignments, err := c.Client.WorkspaceAssignments(ctx, c.Host, found.id)
		if err != nil {
			faults = append(faults, right(err, accountRight, "see who is assigned to "+found.String()))
			continue
		}
		found.rotatorIsIn = rotator != nil && slices.Contains(assignments, databricks.WorkspaceAssignment{MemberID: rotator.ID, Admin: true})
		s.workspaces = append(s.workspaces, found)
	}
	return errors.Join(faults...)
}

func findWorkspace(all []databricks.Workspace, account databricks.Host, wanted string) (workspace, error) {
	var found []workspace
	for _, w := range all {
		have := workspace{id: w.ID, name: w.Name, host: account.Workspace(w.DeploymentName).URL}
		if have.is(wanted) || w.DeploymentName == wanted {
			found = append(found, have)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return workspace{}, wrong("-workspace %s: the account has no workspace of that id, name or host", wanted)
	default:
		return workspace{}, wrong("-workspace %s: %d workspaces have that name: give the id of one", wanted, len(found))
	}
}

func (w workspace) is(wanted string) bool {
	return wanted == strconv.FormatInt(w.id, 10) || wanted == w.name || strings.TrimRight(wanted, "/") == w.host
}

func (w workspace) String() string {
	if w.name == "" {
		return fmt.Sprintf("workspace %d (%s)", w.id, w.host)
	}
	return fmt.Sprintf("workspace %s (%d, %s)", w.name, w.id, w.host)
}

func (s *seen) lookAtManaged(ctx context.Context, c *console.Console, w Wanted) error {
	rotator := s.rotator()
	var faults []error
	for _, id := range w.Managed {
		p, err := c.Client.FindPrincipal(ctx, c.Host, id)
		if errors.Is(err, databricks.ErrNotFound) {
			faults = append(faults, wrong("-manage %s: %s knows no service principal of that application id", id, s.host))
			continue
		}
		var managers []string
		if err == nil {
			managers, err = c.Managers(ctx, id)
		}
		if err != nil {
			faults = append(faults, right(err, s.managerRight(p), "see who manages service principal "+id))
			continue
		}
		s.managed = append(s.managed, managed{p, rotator != nil && slices.Contains(managers, "servicePrincipals/"+rotator.ApplicationID)})
	}
	return errors.Join(faults...)
}

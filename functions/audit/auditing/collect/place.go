package collect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/shared/databricks"
)

// place is a workspace that the audit looks at.
type place struct {
	id   int64
	name string
	host databricks.Host
	// assigned is what the account says of it, until it is settled.
	assigned []databricks.WorkspaceAssignment
	// otherIDs are those of its directory that differ from the account's.
	otherIDs map[string]*identity
	// directoryKnown tells that the directory could be read whole, down that
	// the host did not answer at all.
	directoryKnown, down bool
	metastore            string
}

// findPlaces finds the workspaces that the policy asks for.
func (r *run) findPlaces(ctx context.Context) {
	var listed []databricks.Workspace
	var listing error
	if r.hasAccount() {
		listed, listing = r.Databricks.Workspaces(ctx, r.Account)
	}
	wanted := r.policy.Audit.Workspaces
	if listing != nil {
		what := "the list of workspaces"
		if len(wanted) == 0 {
			what = "the list of workspaces, and so all workspaces that hold no managed secret's principal"
		}
		r.gap(ctx, r.account(), what, "", listing)
	}
	switch {
	case len(wanted) > 0:
		for _, name := range wanted {
			r.findPlace(ctx, name, listed, listing == nil && r.hasAccount())
		}
	case r.hasAccount() && listing == nil:
		for _, w := range listed {
			r.addListed(ctx, w)
		}
	default:
		// Without the account's list, the workspaces that are known are those
		// of managed secrets.
		for _, host := range r.managedHosts() {
			r.findPlace(ctx, host, nil, false)
		}
	}
	slices.SortFunc(r.places, func(a, b *place) int { return strings.Compare(a.host.URL, b.host.URL) })
}

// addListed adds a workspace of the account's list.
func (r *run) addListed(ctx context.Context, w databricks.Workspace) {
	host := r.Account.Workspace(w.DeploymentName)
	switch {
	case w.DeploymentName == "":
		r.gap(ctx, r.account(), "everything", "workspace "+w.Name, errors.New("the account does not tell the workspace's host: list the host in audit.workspaces"))
	case !w.Running:
		r.gap(ctx, host.URL, "everything in the workspace", "", fmt.Errorf("the account says that it is %s", w.Status))
	default:
		r.addPlace(&place{id: w.ID, name: w.Name, host: host})
	}
}

func (r *run) addPlace(p *place) {
	if slices.ContainsFunc(r.places, func(q *place) bool { return q.id == p.id }) {
		return
	}
	r.places = append(r.places, p)
}

var errNoWorkspace = errors.New("the host is no workspace")

// findPlace finds a workspace by its id or host.
func (r *run) findPlace(ctx context.Context, name string, listed []databricks.Workspace, complete bool) {
	if id, err := strconv.ParseInt(name, 10, 64); err == nil {
		i := slices.IndexFunc(listed, func(w databricks.Workspace) bool { return w.ID == id })
		if i >= 0 {
			r.addListed(ctx, listed[i])
			return
		}
		why := errors.New("no account console could be asked for its host: list the host instead")
		if complete {
			why = errors.New("the account has no workspace of that id")
		}
		r.gap(ctx, r.account(), "everything in workspace "+name, "", why)
		return
	}
	host := databricks.Host{URL: strings.ToLower(strings.TrimRight(name, "/"))}
	if !strings.Contains(host.URL, "://") {
		host.URL = "https://" + host.URL
	}
	for _, w := range listed {
		if r.Account.Workspace(w.DeploymentName) == host {
			r.addListed(ctx, w)
			return
		}
	}
	if r.hasAccount() && host.URL == r.Account.URL {
		r.gap(ctx, host.URL, "everything in the workspace", "", errNoWorkspace)
		return
	}
	info, err := r.Databricks.HostInfo(ctx, host)
	switch {
	case err != nil:
	case info.WorkspaceID == 0:
		err = errNoWorkspace
	case r.hasAccount() && info.AccountID != "" && info.AccountID != r.Account.AccountID:
		err = errors.New("the workspace belongs to another account")
	}
	if err != nil {
		r.gap(ctx, host.URL, "everything in the workspace", "", err)
		return
	}
	r.mu.Lock()
	if r.inv.AccountID == "" {
		r.inv.AccountID = info.AccountID
	}
	r.mu.Unlock()
	r.addPlace(&place{id: info.WorkspaceID, name: strings.TrimPrefix(host.URL, "https://"), host: host})
}

// readPlace reads a workspace: who is in it, and their tokens.
func (r *run) readPlace(ctx context.Context, p *place) {
	if r.hasAccount() {
		assigned, err := r.Databricks.WorkspaceAssignments(ctx, r.Account, p.id)
		if err != nil {
			r.gap(ctx, r.account(), "who is assigned to the workspace", p.name, err)
		}
		p.assigned = assigned
	}
	groups := newGraph(false)
	for g, err := range r.Databricks.Groups(ctx, p.host) {
		if err != nil {
			if unreachable(err) {
				// Every other call would wait as long for nothing.
				p.down = true
				r.gap(ctx, p.host.URL, "everything in the workspace", "", err)
				return
			}
			r.gap(ctx, p.host.URL, "the workspace's groups, and what their members may do through them", "", err)
			break
		}
		groups.add(g)
	}
	groups.prune()
	principals := r.readMembersOf(ctx, p, groups, true)
	people := r.readMembersOf(ctx, p, groups, false)
	p.directoryKnown = principals && people
	r.readTokens(ctx, p)
}

// unreachable tells a host that does not answer, or must not be asked, from
// one that refuses.
func unreachable(err error) bool {
	var e *databricks.Error
	return errors.Is(err, databricks.ErrHost) || errors.As(err, &e) && e.Status == 0 && errors.Is(err, databricks.ErrUncertain)
}

// adminGroup is the group of a workspace's admins.
const adminGroup = "admins"

// readMembersOf reads a workspace's service principals or users.
func (r *run) readMembersOf(ctx context.Context, p *place, groups *graph, automation bool) bool {
	list, what := r.Databricks.Users, "users"
	if automation {
		list, what = r.Databricks.ServicePrincipals, "service principals"
	}
	for m, err := range list(ctx, p.host) {
		if err != nil {
			r.gap(ctx, p.host.URL, "the workspace's "+what, "", err)
			return false
		}
		if m.Name == "" {
			continue
		}
		in := names(groups.above(m.ID, m.Groups))
		assignment := inventory.Assignment{
			Admin: slices.Contains(in, adminGroup),
			ID:    m.ID,
		}
		rights := entitled(m.Entitlements, groups.above(m.ID, m.Groups))
		r.mu.Lock()
		one := r.people.add(m, automation, r.strs)
		one.places = append(one.places, p)
		if one.id() == m.ID {
			assignment.ID = one.id()
		} else {
			if p.otherIDs == nil {
				p.otherIDs = map[string]*identity{}
			}
			p.otherIDs[m.ID] = one
		}
		assignment.Entitlements, assignment.Groups = r.strs.list(rights), r.strs.list(in)
		one.assign(p.id, assignment)
		r.mu.Unlock()
	}
	return true
}

func (r *run) readTokens(ctx context.Context, p *place) {
	list, err := r.Databricks.Tokens(ctx, p.host)
	if err != nil {
		r.gap(ctx, p.host.URL, "the workspace's personal access tokens", "", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inv.Tokens = slices.Grow(r.inv.Tokens, len(list))
	for _, t := range list {
		if ended(t.ExpireTime, r.now) {
			continue
		}
		r.inv.Tokens = append(r.inv.Tokens, inventory.Token{
			ID: t.ID, Workspace: p.id, Comment: t.Comment, OwnerID: r.strs.text(t.OwnerID), CreatedBy: r.strs.text(t.CreatedBy),
			CreatedAt: t.CreateTime, ExpiresAt: t.ExpireTime, LastUsedAt: t.LastUsed,
			Scopes: r.strs.list(t.Scopes), Autoscope: r.strs.text(t.Autoscope), Inferred: r.strs.list(Inferred(t)),
		})
	}
}

// ended tells whether a credential has stopped working by itself. Some lists
// show those for a while.
func ended(expires, now time.Time) bool { return !expires.IsZero() && !now.Before(expires) }

// Inferred are the scopes that a token was seen to need, lately or before
// Databricks began to watch it.
func Inferred(t databricks.Token) []string {
	all := slices.Concat(t.Inferred, t.Backfilled)
	slices.Sort(all)
	return slices.Compact(all)
}

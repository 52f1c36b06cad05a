package blast

import (
	"cmp"
	"container/heap"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/shared/credential"
)

// shown bounds the lists of a Reach: a report is read by people.
const shown = 20

// callOf is what a scope alone lets a thief call, between 0 and 1. A scope
// that is not here counts as otherScope. The ones at the top make credentials
// or change who may do what, so they end in all-apis. Several scopes add up as
// independent risks do: 1 - (1-a)(1-b).
var callOf = map[string]float64{
	credential.AllAPIs: 1, "access-management": 1, "authentication": 1, "scim": 1,
	"workspace": 0.6, "jobs": 0.6, "clusters": 0.6, "apps": 0.5, // code of one's own runs
	"sql": 0.5, "unity-catalog": 0.5, "files": 0.5, "postgres": 0.5, // data is read and written
	"dashboards": 0.2, "genie": 0.3, "alerts": 0.2, "ai-search": 0.3,
	"openid": 0, "profile": 0, "email": 0, "offline_access": 0.1,
}

const otherScope = 0.3

// What a holder's rights are worth, between 0 and 1.
const (
	accountAdmin   = 1.0
	workspaceAdmin = 0.8
	// member is what being in a workspace is worth by itself: nothing lists
	// everything that its groups may touch.
	member = 0.3
	// nobody is in no workspace and on no access list that was read.
	nobody = 0.05
	// perGrant is what each entry of an access list adds, managing what any
	// that lets one manage the object does.
	perGrant, managing = 0.05, 0.15
	// perWorkspace is what each further workspace adds.
	perWorkspace = 0.02
)

// Rank returns the credentials with the greatest reach, at most so many, and
// how many there are. The score is
//
//	100 × call × rights × time
//
// a product, because the two layers and the lifetime limit each other: a scope
// with no permission behind it is worth nothing to a thief, and neither is
// anything that ends in a minute. Call is made of the scopes, rights of admin
// roles, workspaces and the access lists that were read, and time is 1 for
// a credential that never expires, 0.79 for one that lives a quarter of a year
// from now, 0.53 for one with a week left, by the logarithm of its hours
// against two years.
func Rank(inv *inventory.Inventory, owner func(clientID string) string, most int) ([]Reach, int) {
	r := ranking{inv: inv, most: most, access: map[string][]entry{}, names: map[int64]string{}, people: map[string]*inventory.Person{}, principals: map[string]*inventory.Principal{}, owner: owner}
	for i := range inv.Workspaces {
		w := &inv.Workspaces[i]
		r.names[w.ID] = cmp.Or(w.Name, w.Host)
	}
	for i := range inv.People {
		r.people[strings.ToLower(inv.People[i].UserName)] = &inv.People[i]
	}
	for i := range inv.Principals {
		r.principals[inv.Principals[i].ClientID] = &inv.Principals[i]
	}
	for i := range inv.Objects {
		o := &inv.Objects[i]
		for _, g := range o.Grants {
			r.access[key(g.Identity, g.Group)] = append(r.access[key(g.Identity, g.Group)], entry{o, g})
		}
	}
	r.credentials()
	slices.SortFunc(r.top, worse)
	reaches := make([]Reach, 0, len(r.top))
	for _, s := range r.top {
		reaches = append(reaches, r.describe(s))
	}
	return reaches, r.count
}

// worse orders by score.
func worse(a, b scored) int {
	return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.subject.Kind, b.subject.Kind), cmp.Compare(a.subject.Workspace, b.subject.Workspace), cmp.Compare(a.subject.ID, b.subject.ID))
}

// heapOf keeps the least of the worst at its root, for package heap.
type heapOf []scored

func (h heapOf) Len() int           { return len(h) }
func (h heapOf) Less(i, j int) bool { return worse(h[i], h[j]) > 0 }
func (h heapOf) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

func (h *heapOf) Push(x any) {
	if one, ok := x.(scored); ok { // as all of them are
		*h = append(*h, one)
	}
}

func (h *heapOf) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

type entry struct {
	object *inventory.Object
	grant  inventory.Grant
}

func key(identity string, group bool) string {
	if group {
		return "group " + identity
	}
	return strings.ToLower(identity)
}

// scored is a credential with no more than the ranking needs.
type scored struct {
	subject                   finding.Subject
	identity                  *identity
	scopes                    []string
	until                     time.Time
	score, call, rights, time float64
}

// identity is who holds a credential.
type identity struct {
	holder, owner string
	automation    bool
	account       bool
	admin         []int64
	workspaces    []int64
	access        []entry
}

type ranking struct {
	inv        *inventory.Inventory
	access     map[string][]entry
	names      map[int64]string
	people     map[string]*inventory.Person
	principals map[string]*inventory.Principal
	owner      func(clientID string) string
	// top are the worst so far, at most so many, of count.
	most, count int
	top         heapOf
}

func (r *ranking) credentials() {
	identities := map[string]*identity{}
	for i := range r.inv.Principals {
		p := &r.inv.Principals[i]
		who := r.identity(p.ClientID, p.AccountAdmin, p.Groups, p.Assignments)
		who.automation, who.owner, who.holder = true, r.owner(p.ClientID), p.ClientID
		if p.Name != "" {
			who.holder = p.Name + " (" + p.ClientID + ")"
		}
		identities[strings.ToLower(p.ClientID)] = who
		for _, s := range p.Secrets {
			if p.Active {
				r.add(finding.Subject{Kind: finding.OAuthSecret, ID: s.ID, Name: p.Name, ClientID: p.ClientID}, who, s.Scopes, s.ExpiresAt, who.rights(0))
			}
		}
	}
	for i := range r.inv.Tokens {
		t := &r.inv.Tokens[i]
		name := strings.ToLower(t.Owner)
		who := identities[name]
		if p, ok := r.people[name]; ok && who == nil {
			who = r.identity(p.UserName, p.AccountAdmin, p.Groups, p.Assignments)
			who.holder, who.owner = p.UserName, p.UserName
			identities[name] = who
		}
		if who == nil {
			// Nothing is known of the owner but that the token is in a
			// workspace.
			who = &identity{holder: t.Owner, owner: t.Owner, automation: t.Automation, workspaces: []int64{t.Workspace}}
		}
		active := true
		if p, ok := r.people[name]; ok {
			active = p.Active
		}
		if p, ok := r.principals[t.Owner]; ok {
			active = p.Active
		}
		if !active {
			continue
		}
		s := finding.Subject{Kind: finding.Token, ID: t.ID, Name: t.Comment, Workspace: t.Workspace}
		if t.Automation {
			s.ClientID = t.Owner
		}
		// A token opens its own workspace and no other.
		r.add(s, who, t.Scopes, t.ExpiresAt, who.rights(t.Workspace))
	}
}

func (r *ranking) identity(name string, account bool, groups []string, assignments map[int64]inventory.Assignment) *identity {
	who := &identity{account: account, access: slices.Clone(r.access[key(name, false)])}
	all := slices.Clone(groups)
	for id, a := range assignments {
		who.workspaces = append(who.workspaces, id)
		if a.Admin {
			who.admin = append(who.admin, id)
		}
		all = append(all, a.Groups...)
	}
	all = append(all, "users", "account users")
	slices.Sort(all)
	for _, g := range slices.Compact(all) {
		who.access = append(who.access, r.access[key(g, true)]...)
	}
	slices.Sort(who.workspaces)
	return who
}

// rights is what an identity can reach: everywhere, or in one workspace.
func (who *identity) rights(workspace int64) float64 {
	switch {
	case who.account:
		return accountAdmin
	case workspace == 0 && len(who.admin) > 0, workspace != 0 && slices.Contains(who.admin, workspace):
		return min(accountAdmin, workspaceAdmin+perWorkspace*float64(len(who.admin)-1))
	}
	rights := nobody
	if workspace != 0 {
		rights = member
	} else if n := len(who.workspaces); n > 0 {
		rights = member + perWorkspace*float64(n-1)
	}
	for _, e := range who.access {
		if workspace != 0 && e.object.Workspace != 0 && e.object.Workspace != workspace {
			continue
		}
		if e.manages() {
			rights += managing
		} else {
			rights += perGrant
		}
	}
	// Less than an admin, whatever the lists add up to.
	return min(rights, workspaceAdmin-0.05)
}

func (e entry) manages() bool {
	return e.grant.Level == "CAN_MANAGE" || e.grant.Level == "IS_OWNER" || slices.ContainsFunc(e.grant.Privilege, func(p string) bool {
		p = strings.ReplaceAll(strings.ToUpper(p), " ", "_")
		return p == "ALL_PRIVILEGES" || p == "MANAGE"
	})
}

func (r *ranking) add(s finding.Subject, who *identity, scopes []string, until time.Time, rights float64) {
	left := timeLeft(until, r.inv.TakenAt)
	if left == 0 {
		return
	}
	c := scored{subject: s, identity: who, scopes: scopes, until: until, call: callable(scopes), rights: rights, time: left}
	c.score = 100 * c.call * c.rights * c.time
	r.count++
	switch {
	case len(r.top) < r.most:
		heap.Push(&r.top, c)
	case r.most > 0 && worse(c, r.top[0]) < 0:
		r.top[0] = c
		heap.Fix(&r.top, 0)
	}
}

func callable(scopes []string) float64 {
	if len(scopes) == 0 {
		return 1
	}
	none := 1.0
	for _, s := range scopes {
		c, ok := callOf[s]
		if !ok {
			c = otherScope
		}
		none *= 1 - c
	}
	return 1 - none
}

func timeLeft(until, now time.Time) float64 {
	const most = 2 * 365 * 24
	if until.IsZero() {
		return 1
	}
	hours := until.Sub(now).Hours()
	if hours <= 0 {
		return 0
	}
	// Never less than an hour: what a thief does with the credential at once.
	return min(1, max(math.Log(1+hours), math.Log(2))/math.Log(1+most))
}

func (r *ranking) describe(c scored) Reach {
	out := Reach{
		Subject: c.subject, Holder: c.identity.holder, Automation: c.identity.automation, Owner: c.identity.owner, Scopes: c.scopes,
		Admin: "none", Until: c.until, Score: round(c.score, 10), Call: round(c.call, 100), Rights: round(c.rights, 100), Time: round(c.time, 100),
		Workspaces: []string{}, Access: []string{},
	}
	if len(c.scopes) == 0 {
		out.Scopes = []string{credential.AllAPIs}
	}
	where := c.identity.workspaces
	admin := len(c.identity.admin) > 0
	if c.subject.Kind == finding.Token {
		where = []int64{c.subject.Workspace}
		admin = slices.Contains(c.identity.admin, c.subject.Workspace)
	}
	switch {
	case c.identity.account:
		out.Admin = "account"
	case admin:
		out.Admin = "workspace"
	}
	out.WorkspaceCount = len(where)
	for _, id := range where[:min(shown, len(where))] {
		out.Workspaces = append(out.Workspaces, cmp.Or(r.names[id], fmt.Sprint(id)))
	}
	for _, e := range c.identity.access {
		if c.subject.Kind == finding.Token && e.object.Workspace != 0 && e.object.Workspace != c.subject.Workspace {
			continue
		}
		if len(out.Access) == shown {
			out.Access = append(out.Access, "…")
			break
		}
		what := e.grant.Level
		if len(e.grant.Privilege) > 0 {
			what = strings.Join(e.grant.Privilege, ", ")
		}
		out.Access = append(out.Access, e.object.Kind+" "+e.object.Name+" "+what)
	}
	return out
}

func round(f float64, unit float64) float64 { return math.Round(f*unit) / unit }

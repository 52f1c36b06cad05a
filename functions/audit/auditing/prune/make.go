package prune

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/functions/audit/auditing/rule"
	"databricks-credential-rotation/shared/policy"
)

// Make plans. Noticed tells when an earlier audit gave notice of an item, by
// its key; an item that it does not know is noticed now.
//
// What may be removed are personal access tokens that were not used for
// prune.unused_after, those never used for prune.never_used_after, and OAuth
// secrets of principals that the usage log, if it reaches back far enough, did
// not see for prune.unused_after. An OAuth secret that a managed secret names
// is never removed here: it is the rotation's. What may be narrowed are
// personal access tokens that Databricks has watched to the end.
// Whatever its age and use, nothing is planned for the principal by which this
// product works, whose application id is own, and nothing of a service
// principal is removed without which nobody could administer the account, or a
// workspace: its secret may lie in a safe.
func Make(inv *inventory.Inventory, p policy.Policy, noticed map[string]time.Time, own string) Plan {
	m := maker{inv: inv, policy: p, noticed: noticed, now: inv.TakenAt, own: own, last: lastAdmins(inv, own)}
	m.plan = Plan{Mode: p.Prune.Mode, RightSize: p.Prune.RightSize, Budget: p.Budgets.Prune.String(), Items: []Item{}}
	for i := range inv.Tokens {
		m.token(&inv.Tokens[i])
	}
	protected, certain := named(inv)
	for i := range inv.Principals {
		m.principal(&inv.Principals[i], protected, certain)
	}
	slices.SortFunc(m.plan.Items, func(a, b Item) int {
		return cmp.Or(cmp.Compare(a.Action, b.Action)*-1, cmp.Compare(a.State, b.State), a.DueAt.Compare(b.DueAt), cmp.Compare(a.Key, b.Key))
	})
	m.plan.Stopped = m.stopped()
	return m.plan
}

// named are the OAuth secrets that a version of a managed secret names,
// and whether these are all of them.
func named(inv *inventory.Inventory) (ids map[string]bool, certain bool) {
	ids, certain = map[string]bool{}, true
	for _, m := range inv.Managed {
		certain = certain && m.Err == "" && !m.RecordedUnknown
		for _, id := range slices.Concat([]string{m.OAuthSecretID}, m.Predecessors, m.Recorded) {
			ids[id] = true
		}
	}
	for _, g := range inv.Gaps {
		// Without Secrets Manager's list nobody knows what is managed.
		if strings.HasPrefix(g.Where, "AWS") {
			certain = false
		}
	}
	return ids, certain
}

type maker struct {
	inv     *inventory.Inventory
	policy  policy.Policy
	noticed map[string]time.Time
	now     time.Time
	own     string
	last    map[string]string // why, by application id
	plan    Plan
}

func (m *maker) token(t *inventory.Token) {
	if !t.ExpiresAt.IsZero() && !t.ExpiresAt.After(m.now) {
		return
	}
	m.plan.LookedAt++
	s := finding.Subject{Kind: finding.Token, ID: t.ID, Name: t.Comment, Workspace: t.Workspace}
	who := policy.Subject{TokenID: t.ID, User: t.Owner}
	if t.Automation {
		s.ClientID = t.Owner
		who = policy.Subject{TokenID: t.ID, ClientID: t.Owner}
	}
	if why := unused(t, m.policy.Prune, m.now); why != "" {
		m.add(Item{Action: Remove, Subject: s, Owner: t.Owner, Why: why, LastUsedAt: t.LastUsedAt}, who)
		return
	}
	if to, less := rule.Narrower(t); less {
		m.add(Item{
			Action: Narrow, Subject: s, Owner: t.Owner, LastUsedAt: t.LastUsedAt, From: t.Scopes, To: to,
			Why: "Databricks has watched it to the end and saw it use less",
		}, who)
	}
}

// unused tells why a token may be removed, empty if it may not.
func unused(t *inventory.Token, p policy.Prune, now time.Time) string {
	switch {
	case t.LastUsedAt.IsZero() && p.NeverUsedAfter > 0 && !t.CreatedAt.IsZero() && now.Sub(t.CreatedAt) > p.NeverUsedAfter:
		return fmt.Sprintf("created %s and never used", t.CreatedAt.UTC().Format(time.DateOnly))
	case !t.LastUsedAt.IsZero() && p.UnusedAfter > 0 && now.Sub(t.LastUsedAt) > p.UnusedAfter:
		return fmt.Sprintf("last used %s", t.LastUsedAt.UTC().Format(time.DateOnly))
	default:
		return ""
	}
}

func (m *maker) principal(p *inventory.Principal, protected map[string]bool, certain bool) {
	window := m.policy.Prune.UnusedAfter
	used := m.inv.Usage[p.ClientID]
	silent := m.inv.Usage != nil && !m.inv.UsageSince.IsZero() && m.now.Sub(m.inv.UsageSince) >= window &&
		window > 0 && (used.Last.IsZero() || m.now.Sub(used.Last) > window)
	for _, s := range p.Secrets {
		if !s.ExpiresAt.IsZero() && !s.ExpiresAt.After(m.now) {
			continue
		}
		m.plan.LookedAt++
		if !silent || !certain || protected[s.ID] || s.CreatedAt.IsZero() || m.now.Sub(s.CreatedAt) <= window {
			continue
		}
		m.add(Item{
			Action: Remove, LastUsedAt: used.Last, Owner: p.Name,
			Subject: finding.Subject{Kind: finding.OAuthSecret, ID: s.ID, Name: p.Name, ClientID: p.ClientID},
			Why:     "the usage log shows no use of its principal since " + m.now.Add(-window).UTC().Format(time.DateOnly),
		}, policy.Subject{OAuthSecretID: s.ID, ClientID: p.ClientID})
	}
}

func (m *maker) add(item Item, who policy.Subject) {
	item.Key = Key(item.Action, item.Subject)
	item.NoticedAt = m.now
	earlier, ok := m.noticed[item.Key]
	if ok && earlier.Before(m.now) {
		item.NoticedAt = earlier
	}
	item.DueAt = item.NoticedAt.Add(m.policy.Prune.Notice)
	item.State = Notice
	// Even with no notice period, one audit says so and a later one acts.
	if ok && earlier.Before(m.now) && !m.now.Before(item.DueAt) {
		item.State = Due
	}
	if e, ok := m.policy.Prune.Exemption(who, m.now); ok {
		item.State, item.Exemption = Exempt, e.Reason
		// The notice begins when the exemption has ended.
		item.NoticedAt, item.DueAt = m.now, m.now.Add(m.policy.Prune.Notice)
		if !e.Until.IsZero() {
			item.Exemption += ", until " + e.Until.String()
		}
	}
	if why := m.keep(item); why != "" {
		item.State, item.Exemption = Exempt, why
		item.NoticedAt, item.DueAt = m.now, m.now.Add(m.policy.Prune.Notice)
	}
	m.plan.Items = append(m.plan.Items, item)
}

// keep is why an item stays whatever the policy says, empty if nothing stands
// in the way.
func (m *maker) keep(item Item) string {
	client := item.Subject.ClientID
	switch {
	case client == "":
		return "" // a person signs in without it
	case strings.EqualFold(client, m.own):
		return "it is the rotator's own"
	case item.Action == Remove:
		return m.last[client]
	default:
		return ""
	}
}

// lastAdmins are the service principals without which nobody could administer
// the account, or one of the workspaces. Whoever could not be read is not
// counted, so that in doubt one more is kept.
func lastAdmins(inv *inventory.Inventory, own string) map[string]string {
	const account = 0
	admins, only := map[int64]int{}, map[int64]string{}
	count := func(clientID string, ofAccount bool, assignments map[int64]inventory.Assignment) {
		add := func(place int64) {
			admins[place]++
			only[place] = clientID
		}
		if ofAccount {
			add(account)
		}
		for id, a := range assignments {
			if a.Admin {
				add(id)
			}
		}
	}
	for _, p := range inv.People {
		if p.Active {
			count("", p.AccountAdmin, p.Assignments)
		}
	}
	for _, p := range inv.Principals {
		// This product administers nothing that it is not told to.
		if p.Active && !strings.EqualFold(p.ClientID, own) {
			count(p.ClientID, p.AccountAdmin, p.Assignments)
		}
	}
	last := map[string]string{}
	for place, n := range admins {
		client := only[place]
		switch {
		case n > 1 || client == "":
		case place == account:
			last[client] = "its service principal is the account's last admin"
		case last[client] == "":
			last[client] = "its service principal is the last admin of a workspace"
		}
	}
	return last
}

// Due are the items of an action whose time has come.
func (p Plan) Due(a Action) []Item {
	var due []Item
	for _, item := range p.Items {
		if item.Action == a && item.State == Due {
			due = append(due, item)
		}
	}
	return due
}

// stopped holds a plan's removals against the budget. It is all or nothing: a
// policy that would remove half of the estate is a mistake, and so is the
// first tenth of it. Narrowing takes nothing away that was seen in use, so it
// goes on from audit to audit, as many as the budget has each time.
func (m *maker) stopped() string {
	due, budget := len(m.plan.Due(Remove)), m.policy.Budgets.Prune
	if budget.Allows(due, m.plan.LookedAt) {
		return ""
	}
	return fmt.Sprintf("%d of %d credentials are due to be removed, and one audit may remove at most %s: nothing is removed. If they are right, raise budgets.prune for one audit, or exempt what must stay; if not, mend prune.unused_after and prune.never_used_after",
		due, m.plan.LookedAt, budget)
}

package usage

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/functions/audit/auditing/rule"
	"databricks-credential-rotation/shared/pattern"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/usagelog"
)

// mostExamples is how many addresses or programs a finding names.
const mostExamples = 5

var uuidPattern = pattern.New(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// Findings judges what the log answered.
func (o Observation) Findings(inv inventory.Inventory, p policy.Policy, place rule.Place) []finding.Finding {
	j := judge{Observation: o, place: place, policy: p, principals: map[string]inventory.Principal{}, people: map[string]inventory.Person{}, first: map[string]time.Time{}}
	for _, principal := range inv.Principals {
		j.principals[strings.ToLower(principal.ClientID)] = principal
	}
	for _, person := range inv.People {
		j.people[strings.ToLower(person.UserName)] = person
	}
	for _, a := range o.Activities {
		j.first[a.Identity] = a.First
	}
	for _, m := range inv.Managed {
		j.recorded = append(j.recorded, m.Recorded...)
		j.recorded = append(j.recorded, m.OAuthSecretID)
	}
	j.lateUses()
	j.outside()
	j.firstSeen()
	j.awakenings()
	j.bursts()
	j.grants()
	j.creations()
	j.missing()
	return j.found
}

type judge struct {
	Observation
	policy     policy.Policy
	place      rule.Place
	principals map[string]inventory.Principal
	people     map[string]inventory.Person
	// first is when the log has first seen an identity.
	first    map[string]time.Time
	recorded []string
	found    []finding.Finding
}

func (j *judge) add(r rule.Rule, s finding.Subject, severity finding.Severity, evidence ...finding.Evidence) {
	v := rule.Values{"revoke": j.place.RevokeFunction}
	if s.Kind == finding.ServicePrincipal && s.ClientID != "" {
		v["client"] = s.ClientID
	}
	f := r.Finding(s, "", j.owner(s), v, evidence...)
	if severity != 0 {
		f.Severity = severity
	}
	j.found = append(j.found, f)
}

// subject says who an identity of the log is. One that the inventory does not
// have, because it was deleted since, is named as the log names it.
func (j *judge) subject(identity string) finding.Subject {
	if p, ok := j.principals[identity]; ok {
		return finding.Subject{Kind: finding.ServicePrincipal, ID: p.ID, Name: p.Name, ClientID: p.ClientID}
	}
	if uuidPattern.MatchString(identity) {
		return finding.Subject{Kind: finding.ServicePrincipal, ID: identity, ClientID: identity}
	}
	if p, ok := j.people[identity]; ok {
		return finding.Subject{Kind: finding.Person, ID: p.ID, Name: p.UserName}
	}
	return finding.Subject{Kind: finding.Person, ID: identity, Name: identity}
}

func (j *judge) owner(s finding.Subject) string {
	if s.Kind == finding.Person {
		return s.Name
	}
	if p, ok := j.policy.Principal(s.ClientID); ok && p.Owner != "" {
		return p.Owner
	}
	var managers []string
	for _, m := range j.principals[strings.ToLower(s.ClientID)].Managers {
		if _, name, cut := strings.Cut(m, "/"); cut {
			m = name // a rule set says users/ann@example.com
		}
		managers = append(managers, m)
	}
	return strings.Join(managers, ", ")
}

func (j *judge) lateUses() {
	for _, u := range j.LateUses {
		s := j.subject(u.Subject)
		if u.TokenID != "" {
			s = finding.Subject{Kind: finding.Token, ID: u.TokenID}
		}
		var severity finding.Severity
		if u.Late == 0 {
			severity = finding.High
		}
		j.add(useAfterRevocation, s, severity,
			fact("revoked", stamp(u.Revoked)), fact("first use since", stamp(u.First)), fact("last use since", stamp(u.Last)),
			fact("calls", number(u.Events)), fact("calls more than an hour later", number(u.Late)),
			fact("addresses", some(u.Addresses, 0)), fact("actions", some(u.Actions, 0)))
	}
}

// outside finds addresses that are in none of the policy's networks.
func (j *judge) outside() {
	networks := j.policy.Audit.Networks
	if len(networks) == 0 {
		return
	}
	var unread []string
	strange := func(s Sighting) bool {
		address, ok := external(s.Value)
		if !address.IsValid() {
			unread = append(unread, s.Value)
		}
		return ok && !slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(address) })
	}
	j.sightings(addressOutside, j.Addresses, strange, func(s Sighting) string { return s.Value })
	if len(unread) > 0 {
		j.Missing = append(slices.Clone(j.Missing), Missing{checkNetworks, "these are no addresses: " + some(unread, len(unread))})
	}
}

// firstSeen finds addresses and programs that are new to an identity that is
// not new itself.
func (j *judge) firstSeen() {
	isNew := func(s Sighting) bool {
		first, known := j.first[s.Identity]
		return known && first.Before(j.Recent) && !s.First.Before(j.Recent)
	}
	if len(j.policy.Audit.Networks) == 0 {
		j.sightings(newAddress, j.Addresses, func(s Sighting) bool {
			_, ok := external(s.Value)
			return ok && isNew(s)
		}, func(s Sighting) string { return s.Value })
	}
	j.sightings(newAgent, j.Agents, func(s Sighting) bool {
		known := slices.ContainsFunc(j.policy.Audit.KnownAgents, func(k string) bool {
			return strings.HasPrefix(strings.ToLower(s.Example), strings.ToLower(k))
		})
		return isNew(s) && !known
	}, func(s Sighting) string { return s.Example })
}

// sightings makes one finding of all sightings of an identity, so that work
// that moves from address to address is one line to read.
func (j *judge) sightings(r rule.Rule, all []Sighting, matches func(Sighting) bool, show func(Sighting) string) {
	found := map[string][]Sighting{}
	var order []string
	for _, s := range all {
		if !matches(s) {
			continue
		}
		if found[s.Identity] == nil {
			order = append(order, s.Identity)
		}
		found[s.Identity] = append(found[s.Identity], s)
	}
	for _, identity := range order {
		var (
			seen   []string
			events int64
			last   time.Time
		)
		for _, s := range found[identity] {
			seen = append(seen, show(s))
			events += s.Recent
			last = latest(last, s.Last)
		}
		j.add(r, j.subject(identity), 0, fact("seen", some(seen, len(seen))), fact("calls this week", number(events)), fact("last", stamp(last)))
	}
}

// awakenings finds principals that were silent for long. Of a first use in all
// the history it can only be told by the age of the principal's credentials.
func (j *judge) awakenings() {
	done := map[string]bool{}
	for _, a := range j.Awakenings {
		silent := stamp(a.Silent)
		if a.Silent.IsZero() {
			oldest := oldestSecret(j.principals[a.Identity])
			if oldest.IsZero() || a.Awake.Sub(oldest) < j.policy.Audit.DormantAfter {
				continue
			}
			silent = "not since " + stamp(latest(j.From, oldest))
		}
		if done[a.Identity] {
			continue
		}
		done[a.Identity] = true
		j.add(dormantAwake, j.subject(a.Identity), 0,
			fact("used before", silent), fact("used again", stamp(a.Awake)), fact("address", a.Address), fact("program", a.Agent))
	}
}

func oldestSecret(p inventory.Principal) (oldest time.Time) {
	for _, s := range p.Secrets {
		if oldest.IsZero() || s.CreatedAt.Before(oldest) {
			oldest = s.CreatedAt
		}
	}
	return oldest
}

func (j *judge) bursts() {
	for _, b := range j.Failures {
		s := j.subject(b.Subject)
		counterparts := "addresses"
		if b.ByAddress {
			if _, ok := external(b.Subject); !ok {
				continue
			}
			s = finding.Subject{Kind: finding.Address, ID: b.Subject, Name: b.Subject}
			counterparts = "identities"
		}
		j.burst(failureBurst, s, b, counterparts)
	}
	for _, b := range j.ACLChanges {
		j.burst(aclBurst, j.subject(b.Subject), b, "addresses")
	}
}

func (j *judge) burst(r rule.Rule, s finding.Subject, b Burst, counterparts string) {
	j.add(r, s, 0, fact("times", number(b.Events)), fact("first", stamp(b.First)), fact("last", stamp(b.Last)),
		fact(counterparts, some(b.Examples, int(b.Counterparts))), fact("actions", some(b.Actions, len(b.Actions))))
}

func (j *judge) grants() {
	j.changes(adminGranted, j.AdminGrants, func(Change) bool { return true }, func(finding.Subject) finding.Severity { return 0 })
}

func (j *judge) creations() {
	secrets := usagelog.Actions(usagelog.SecretCreation)
	isSecret := func(c Change) bool { return slices.Contains(strings.Split(secrets, ","), c.Action) }
	j.changes(secretMade, j.Creations, func(c Change) bool {
		// A version records it, so it is ours whoever the log says made it.
		return isSecret(c) && !slices.Contains(j.recorded, c.Target)
	}, func(finding.Subject) finding.Severity { return 0 })
	j.changes(tokenMade, j.Creations, func(c Change) bool { return !isSecret(c) }, func(s finding.Subject) finding.Severity {
		if s.Kind == finding.ServicePrincipal {
			return finding.Medium
		}
		return 0
	})
}

// changes makes one finding of all that an identity did.
func (j *judge) changes(r rule.Rule, all []Change, matches func(Change) bool, severity func(finding.Subject) finding.Severity) {
	found := map[string][]Change{}
	var order []string
	for _, c := range all {
		if !matches(c) {
			continue
		}
		if found[c.Identity] == nil {
			order = append(order, c.Identity)
		}
		found[c.Identity] = append(found[c.Identity], c)
	}
	for _, identity := range order {
		var (
			did         []string
			events      int64
			first, last time.Time
			address     string
		)
		for _, c := range found[identity] {
			did = append(did, c.describe())
			events += c.Events
			if first.IsZero() || c.First.Before(first) {
				first = c.First
			}
			last = latest(last, c.Last)
			address = cmp.Or(address, c.Address)
		}
		s := j.subject(identity)
		j.add(r, s, severity(s), fact("did", some(did, len(did))), fact("times", number(events)),
			fact("first", stamp(first)), fact("last", stamp(last)), fact("address", address))
	}
}

func (c Change) describe() string {
	text := c.Action
	if c.Target != "" {
		text += " " + c.Target
	}
	if c.Group != "" {
		text += " in " + c.Group
	}
	return text
}

func (j *judge) missing() {
	if len(j.Missing) == 0 {
		return
	}
	var evidence []finding.Evidence
	for _, m := range j.Missing {
		evidence = append(evidence, fact(m.Check, m.Why))
	}
	j.add(notWatched, finding.Subject{Kind: finding.Source, ID: "audit-log", Name: "audit log"}, 0, evidence...)
}

// external reads an address of the log. It reports false for what Databricks
// itself calls from, and for what is no address.
func external(text string) (netip.Addr, bool) {
	address, err := netip.ParseAddr(text)
	if err != nil {
		return address, false
	}
	address = address.Unmap().WithZone("")
	return address, !address.IsLoopback() && !address.IsUnspecified() && !address.IsLinkLocalUnicast()
}

func fact(name, value string) finding.Evidence { return finding.Evidence{Name: name, Value: value} }

func number(n int64) string { return strconv.FormatInt(n, 10) }

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// some lists the first few of so many.
func some(values []string, of int) string {
	shown := values[:min(len(values), mostExamples)]
	text := strings.Join(shown, ", ")
	if of > len(shown) {
		text += fmt.Sprintf(" and %d more", of-len(shown))
	}
	return text
}

package usagelogtest

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

func activities(events []event, p *parameters) (rows [][]string) {
	byAction := p.list("by_action")
	for _, g := range groupBy(events, func(e event) []string {
		if e.failed() || e.identity == "" {
			return nil
		}
		return []string{e.identity}
	}) {
		work := g.distinct(func(e event) string {
			if slices.Contains(byAction, e.Service) {
				return e.action
			}
			return e.Service
		})
		rows = append(rows, []string{g.key[0], number(g.first()), number(g.last()), number(len(g.events)), strings.Join(work, ",")})
	}
	return rows
}

// sightings are what addresses and agents have in common.
func sightings(events []event, p *parameters, value func(event) string, row func(g *group, recent int) []string) [][]string {
	type counted struct {
		*group
		recent int
	}
	logins, recent := p.list("token_logins"), p.micros("recent")
	var all []counted
	for _, g := range groupBy(events, func(e event) []string {
		v := value(e)
		if e.failed() || e.identity == "" || v == "" || !principal.MatchString(e.identity) && !slices.Contains(logins, e.action) {
			return nil
		}
		return []string{e.identity, v}
	}) {
		if n := g.count(func(e event) bool { return e.micros >= recent }); n > 0 {
			all = append(all, counted{g, n})
		}
	}
	slices.SortStableFunc(all, func(a, b counted) int {
		return cmp.Or(cmp.Compare(a.key[0], b.key[0]), cmp.Compare(b.recent, a.recent), cmp.Compare(a.key[1], b.key[1]))
	})
	var rows [][]string
	for _, c := range all {
		rows = append(rows, row(c.group, c.recent))
	}
	return rows
}

func addresses(events []event, p *parameters) [][]string {
	return sightings(events, p, func(e event) string { return e.address }, func(g *group, recent int) []string {
		return []string{g.key[0], g.key[1], number(g.first()), number(g.last()), number(len(g.events)), number(recent)}
	})
}

func agents(events []event, p *parameters) [][]string {
	return sightings(events, p, func(e event) string { return e.product }, func(g *group, recent int) []string {
		example := g.distinct(func(e event) string {
			letters := []rune(e.Agent)
			return string(letters[:min(len(letters), 200)])
		})[0]
		return []string{g.key[0], g.key[1], example, number(g.first()), number(g.last()), number(len(g.events)), number(recent)}
	})
}

func bursts(events []event, p *parameters) (rows [][]string) {
	wanted, failed := p.list("actions"), p.values["failed"] == "true"
	threshold, window := int(p.micros("threshold")), p.micros("window")
	kinds := p.list("by")
	slices.Sort(kinds)
	if p.err != nil {
		return nil
	}
	for _, kind := range kinds {
		subject := func(e event) string { return e.identity }
		counterpart := func(e event) string { return e.address }
		if kind != "identity" {
			subject, counterpart = counterpart, subject
		}
		for _, g := range groupBy(events, func(e event) []string {
			if subject(e) == "" || e.failed() != failed || !slices.Contains(wanted, e.action) {
				return nil
			}
			return []string{subject(e)}
		}) {
			slices.SortStableFunc(g.events, byTime)
			first, last := -1, -1
			for i := range g.events {
				j := i + threshold - 1
				if j >= len(g.events) || g.events[j].micros-g.events[i].micros > window {
					continue
				}
				if first < 0 {
					first = i
				}
				last = j
			}
			if first < 0 {
				continue
			}
			from, to := g.events[first].micros, g.events[last].micros
			in := &group{events: slices.DeleteFunc(slices.Clone(g.events), func(e event) bool { return e.micros < from || e.micros > to })}
			others := in.distinct(counterpart)
			rows = append(rows, []string{
				kind, g.key[0], number(from), number(to), number(len(in.events)), number(len(others)), few(others),
				strings.Join(in.distinct(func(e event) string { return e.action }), ","),
			})
		}
	}
	return rows
}

func awakenings(events []event, p *parameters) (rows [][]string) {
	recent, dormant := p.micros("recent"), p.micros("dormant")
	for _, g := range groupBy(events, func(e event) []string {
		if e.failed() || !principal.MatchString(e.identity) {
			return nil
		}
		return []string{e.identity}
	}) {
		slices.SortFunc(g.events, func(a, b event) int {
			return cmp.Or(byTime(a, b), cmp.Compare(a.ID, b.ID), cmp.Compare(a.address, b.address), cmp.Compare(a.Agent, b.Agent))
		})
		for i, e := range g.events {
			if e.micros < recent {
				continue
			}
			silent := ""
			if i > 0 {
				// Within a day there is no silence worth the name.
				if before := g.events[i-1]; before.At.Format("2006-01-02") == e.At.Format("2006-01-02") || e.micros-before.micros < dormant {
					continue
				}
				silent = number(g.events[i-1].micros)
			}
			rows = append(rows, []string{g.key[0], silent, number(e.micros), e.address, e.Agent})
		}
	}
	return rows
}

func changes(events []event, p *parameters) (rows [][]string) {
	ours, wanted, grouped, groups := p.list("ours"), p.list("actions"), p.list("group_actions"), p.list("groups")
	targets, groupKeys := p.list("target_keys"), p.list("group_keys")
	for _, g := range groupBy(events, func(e event) []string {
		in := strings.ToLower(e.under(groupKeys))
		counts := slices.Contains(wanted, e.action) || slices.Contains(grouped, e.action) && slices.Contains(groups, in)
		if e.failed() || !counts || slices.Contains(ours, e.identity) {
			return nil
		}
		return []string{e.identity, e.action, e.under(targets), in}
	}) {
		address := slices.Max(append(g.distinct(func(e event) string { return e.address }), ""))
		rows = append(rows, append(slices.Clone(g.key), number(g.first()), number(g.last()), number(len(g.events)), address))
	}
	return rows
}

func lateUses(events []event, p *parameters) (rows [][]string) {
	type revocation struct {
		subject string
		at      int64
	}
	keys, slack := p.list("token_keys"), p.micros("slack")
	var revoked []revocation
	for _, item := range p.list("revoked") {
		subject, at, ok := strings.Cut(item, "=")
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			p.fail("[CAST_INVALID_INPUT] the time of %s is no number", subject)
		}
		revoked = append(revoked, revocation{subject, n})
	}
	slices.SortFunc(revoked, func(a, b revocation) int {
		return cmp.Or(cmp.Compare(a.subject, b.subject), cmp.Compare(a.at, b.at))
	})
	for _, r := range slices.Compact(revoked) {
		for _, g := range groupBy(events, func(e event) []string {
			if e.failed() || e.micros <= r.at || e.identity != r.subject && "token:"+e.under(keys) != r.subject {
				return nil
			}
			return []string{r.subject}
		}) {
			rows = append(rows, []string{
				r.subject, number(r.at), number(g.first()), number(g.last()), number(len(g.events)),
				number(g.count(func(e event) bool { return e.micros > r.at+slack })),
				few(g.distinct(func(e event) string { return e.address })), few(g.distinct(func(e event) string { return e.action })),
			})
		}
	}
	return rows
}

func unseen(events []event, p *parameters) (rows [][]string) {
	wanted, keys, ours := p.list("actions"), p.list("client_keys"), p.list("ours")
	items := slices.Compact(slices.Sorted(slices.Values(p.list("handovers"))))
	for _, item := range items {
		parts := strings.Split(item, "=")
		if len(parts) != 3 {
			continue
		}
		from, err1 := strconv.ParseInt(parts[1], 10, 64)
		at, err2 := strconv.ParseInt(parts[2], 10, 64)
		if err1 != nil || err2 != nil {
			p.fail("[CAST_INVALID_INPUT] a time of %s is no number", parts[0])
		}
		groups := groupBy(events, func(e event) []string {
			identity := cmp.Or(strings.ToLower(e.under(keys)), e.identity)
			if e.failed() || e.micros < from || identity != parts[0] || e.address == "" ||
				!slices.Contains(wanted, e.action) || slices.Contains(ours, e.product) {
				return nil
			}
			return []string{e.address, e.product}
		})
		groups = slices.DeleteFunc(groups, func(g *group) bool { return g.last() >= at })
		slices.SortStableFunc(groups, func(a, b *group) int { return cmp.Compare(b.last(), a.last()) })
		for _, g := range groups {
			rows = append(rows, []string{
				parts[0], number(from), number(at), g.key[0], g.key[1], number(g.last()), number(len(g.events)),
			})
		}
	}
	return rows
}

package databrickstest

// roster is who a host knows, in the order of creation, for as long as nobody
// comes, goes or is assigned.
type roster struct {
	at                 int64 // the server's count of such changes
	principals, people []*principal
}

// roster returns the service principals, or the people, that the host knows.
func (r *request) roster(human bool) []*principal {
	s := r.server
	if r.stale {
		known := r.site.known(s.order, s.people, true)
		return known.of(human)
	}
	if r.site.roster == nil || r.site.roster.at != s.rosters {
		known := r.site.known(s.order, s.people, false)
		known.at = s.rosters
		r.site.roster = &known
	}
	return r.site.roster.of(human)
}

func (o roster) of(human bool) []*principal {
	if human {
		return o.people
	}
	return o.principals
}

func (h *site) known(principals, people []*principal, stale bool) roster {
	pick := func(all []*principal) []*principal {
		var known []*principal
		for _, p := range all {
			if !p.view(stale).deleted && h.knows(p) {
				known = append(known, p)
			}
		}
		return known
	}
	return roster{principals: pick(principals), people: pick(people)}
}

// knows tells whether an identity is on this host: on the account's all are,
// on a workspace's its members.
func (h *site) knows(p *principal) bool {
	if h.workspace == nil {
		return true
	}
	member, _ := p.in(h.workspace)
	return member
}

func (r *request) knows(p *principal) bool { return r.site.knows(p) }

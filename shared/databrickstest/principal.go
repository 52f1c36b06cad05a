package databrickstest

// Principal is a service principal at one moment.
type Principal struct {
	// ID is the SCIM id, which paths carry.
	ID int64
	// ApplicationID is the OAuth client id, a UUID.
	ApplicationID string
	DisplayName   string
	Active        bool
	AccountAdmin  bool
}

// PrincipalSpec describes a new service principal.
type PrincipalSpec struct {
	DisplayName string
	// AccountAdmin grants the role account_admin.
	AccountAdmin bool
	// Inactive makes one that cannot authenticate.
	Inactive bool
}

// principal is an identity as the server keeps it, a service principal or a
// person. What a stale read may show in its older form is in a view; the rest
// has no history.
type principal struct {
	id            int64
	applicationID string // of a service principal
	userName      string // of a person
	displayName   string
	accountAdmin  bool
	seq           int         // by creation, people and service principals alike
	grants        []roleGrant // of a service principal
	policies      register[FederationPolicy]
	membership

	now, before view
	lagging     bool // the next listing of secrets shows before
}

// view is the state of a service principal between two writes. What its slice
// holds is never changed, only appended to or replaced, so an older view stays
// true.
type view struct {
	secrets []*oauthSecret // in the order of creation, expired ones too
	active  bool
	deleted bool
}

// write replaces the principal's state and keeps the one before it.
func (s *Server) write(p *principal, next view) {
	if p.now.deleted != next.deleted {
		s.rosters++
	}
	p.before, p.now = p.now, next
	p.lagging = s.behaviour.lagReads
}

func (p *principal) view(stale bool) view {
	if stale {
		return p.before
	}
	return p.now
}

// human tells people from service principals.
func (p *principal) human() bool { return p.userName != "" }

// name is what others call it by: its application id, or its user name.
func (p *principal) name() string {
	if p.human() {
		return p.userName
	}
	return p.applicationID
}

// String is for error messages.
func (p *principal) String() string {
	if p.human() {
		return "user " + p.userName
	}
	return "service principal " + p.applicationID
}

func (p *principal) snapshot() Principal {
	return Principal{
		ID:            p.id,
		ApplicationID: p.applicationID,
		DisplayName:   p.displayName,
		Active:        p.now.active,
		AccountAdmin:  p.accountAdmin,
	}
}

// AddPrincipal adds a service principal without secrets.
func (s *Server) AddPrincipal(spec PrincipalSpec) Principal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addPrincipal(spec).snapshot()
}

func (s *Server) addPrincipal(spec PrincipalSpec) *principal {
	p := &principal{
		id:            s.freshID(),
		applicationID: s.source.uuid(),
		displayName:   spec.DisplayName,
		accountAdmin:  spec.AccountAdmin,
		now:           view{active: !spec.Inactive},
	}
	s.enroll(p)
	return p
}

// freshID returns an id that no identity has.
func (s *Server) freshID() int64 {
	for {
		if id := s.source.id(); s.principals[id] == nil && s.groups[id] == nil {
			return id
		}
	}
}

func (s *Server) enroll(p *principal) {
	p.before = p.now
	p.seq = len(s.principals)
	s.principals[p.id] = p
	s.rosters++
	if p.human() {
		s.people = append(s.people, p)
		s.byUserName[p.userName] = p
		return
	}
	s.byApplication[p.applicationID] = p
	s.order = append(s.order, p)
}

// Principals returns the service principals that there are, in the order of
// their creation.
func (s *Server) Principals() []Principal {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Principal
	for _, p := range s.order {
		if !p.now.deleted {
			all = append(all, p.snapshot())
		}
	}
	return all
}

// Principal returns the service principal as it is now; false if there is none
// or it was deleted.
func (s *Server) Principal(id int64) (Principal, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.principals[id]
	if p == nil || p.human() || p.now.deleted {
		return Principal{}, false
	}
	return p.snapshot(), true
}

// Assign makes the service principal, the person or the group a member of the
// workspace, as ADMIN or as USER. An id that the server does not know is
// ignored, here and below.
func (s *Server) Assign(id int64, w *Workspace, admin bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.membership(id); m != nil {
		m.assign(w, admin)
		s.rosters++
	}
}

// SetActive lets the service principal, or the person, authenticate, or not.
// Secrets and permissions stay.
func (s *Server) SetActive(principalID int64, active bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.principals[principalID]; p != nil {
		s.setActive(p, active)
	}
}

func (s *Server) setActive(p *principal, active bool) {
	if active == p.now.active {
		return // no write, and so no older state to see
	}
	next := p.now
	next.active = active
	s.write(p, next)
}

// DeletePrincipal deletes the service principal with its secrets.
func (s *Server) DeletePrincipal(principalID int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.principals[principalID]; p != nil && !p.now.deleted {
		s.write(p, view{deleted: true})
	}
}

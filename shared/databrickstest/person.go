package databrickstest

import "strconv"

// Person is a human user at one moment.
type Person struct {
	// ID is the SCIM id.
	ID int64
	// UserName is an e-mail address.
	UserName     string
	DisplayName  string
	Active       bool
	AccountAdmin bool
}

// PersonSpec describes a new person.
type PersonSpec struct {
	// UserName is made up when empty.
	UserName    string
	DisplayName string
	// AccountAdmin grants the role account_admin.
	AccountAdmin bool
	// Inactive makes one who cannot authenticate.
	Inactive bool
}

// AddPerson adds a person, who belongs to no workspace yet.
func (s *Server) AddPerson(spec PersonSpec) Person {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &principal{
		id:           s.freshID(),
		userName:     spec.UserName,
		displayName:  spec.DisplayName,
		accountAdmin: spec.AccountAdmin,
		now:          view{active: !spec.Inactive},
	}
	if p.userName == "" {
		p.userName = "user-" + strconv.FormatInt(p.id, 10) + "@example.com"
	}
	s.enroll(p)
	return p.person()
}

func (p *principal) person() Person {
	return Person{
		ID:           p.id,
		UserName:     p.userName,
		DisplayName:  p.displayName,
		Active:       p.now.active,
		AccountAdmin: p.accountAdmin,
	}
}

// Person returns the person as they are now; false if there is none or they
// were deleted.
func (s *Server) Person(id int64) (Person, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.principals[id]
	if p == nil || !p.human() || p.now.deleted {
		return Person{}, false
	}
	return p.person(), true
}

// DeletePerson deletes the person. Their tokens stop to work and stay listed,
// owned by nobody.
func (s *Server) DeletePerson(id int64) { s.DeletePrincipal(id) }

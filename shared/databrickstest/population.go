package databrickstest

import (
	"fmt"
	"time"
)

// Population is how large an estate is.
type Population struct {
	Workspaces int
	// Principals are service principals, each with so many Secrets and in so
	// many workspaces.
	Principals, Secrets, Memberships int
	// People have the personal access tokens that service principals do not
	// have: Tokens are shared out over everybody, workspace by workspace.
	People, Tokens int
}

// LargeAccount is as large as an account of Databricks can be in its users and
// service principals.
var LargeAccount = Population{
	Workspaces: 50, Principals: 10_000, Secrets: 5, Memberships: 3, People: 2_000, Tokens: 100_000,
}

// Populate adds an estate of that size: unremarkable, of different ages, the
// same every time. It returns the new workspaces.
func (s *Server) Populate(size Population) ([]*Workspace, error) {
	now := s.config.Now()
	var workspaces []*Workspace
	for i := range size.Workspaces {
		workspaces = append(workspaces, s.AddWorkspace(fmt.Sprintf("workspace-%03d", i)))
	}
	age := func(i, days int) time.Time { return now.Add(-time.Duration(i%days) * 24 * time.Hour) }
	var owners []int64
	for i := range size.Principals {
		p := s.AddPrincipal(PrincipalSpec{DisplayName: fmt.Sprintf("job-%05d", i)})
		owners = append(owners, p.ID)
		for n := range size.Secrets {
			spec := SecretSpec{CreateTime: age(i+n, 80), Lifetime: 90 * 24 * time.Hour}
			if _, err := s.AddSecret(p.ID, spec); err != nil {
				return nil, err
			}
		}
	}
	for i := range size.People {
		p := s.AddPerson(PersonSpec{UserName: fmt.Sprintf("person-%05d@example.com", i)})
		owners = append(owners, p.ID)
	}
	if len(workspaces) == 0 || len(owners) == 0 {
		return workspaces, nil
	}
	for i, id := range owners {
		for n := range size.Memberships {
			s.Assign(id, workspaces[(i+n)%len(workspaces)], false)
		}
	}
	for i := range size.Tokens {
		owner := i % len(owners)
		// The owner is in that workspace, in a different one each time around.
		w := workspaces[(owner+i/len(owners)%max(size.Memberships, 1))%len(workspaces)]
		spec := TokenSpec{Comment: "seeded", CreateTime: age(i, 300), LastUsed: age(i, 60), Lifetime: 365 * 24 * time.Hour}
		if _, err := s.AddToken(w, owners[owner], spec); err != nil {
			return nil, err
		}
	}
	return workspaces, nil
}

package databrickstest

import "slices"

// RevokeManager takes the manager role on the service principal principalID
// from whoever GrantManager gave it to.
func (s *Server) RevokeManager(managerID, principalID int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.principals[principalID]; p != nil {
		p.grants = slices.DeleteFunc(p.grants, func(g roleGrant) bool { return g == roleGrant{roleManager, managerID} })
	}
}

// RemoveFederationPolicy takes a policy from a service principal.
func (s *Server) RemoveFederationPolicy(principalID int64, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.principals[principalID]; p != nil {
		p.policies.put(id, nil, s.behaviour.lagReads)
	}
}

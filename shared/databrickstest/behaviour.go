package databrickstest

// behaviour is what a test may turn on while the server runs: things that
// Databricks may do and that its documentation does not settle.
type behaviour struct {
	ignoreScopes         bool
	lagReads             bool
	revokeTokensOnDelete bool
	listExpired          bool
	refuseNew            bool
}

// IgnoreScopes makes a create ignore the scopes it is asked for and answer
// with an unrestricted secret, as an API does that has not heard of them.
func (s *Server) IgnoreScopes(on bool) { s.set(&s.behaviour.ignoreScopes, on) }

// LagReads makes reads eventually consistent. The first listing of a service
// principal's secrets after a write to it shows the state before that write,
// over all of the listing's pages, and a secret made while it is on is refused
// by the token endpoint once.
func (s *Server) LagReads(on bool) { s.set(&s.behaviour.lagReads, on) }

// RevokeTokensOnDelete makes the access tokens that were issued from a secret
// end with it. Otherwise they live out their time.
func (s *Server) RevokeTokensOnDelete(on bool) { s.set(&s.behaviour.revokeTokensOnDelete, on) }

// ListExpired makes listings show expired secrets too, and deletes find them.
func (s *Server) ListExpired(on bool) { s.set(&s.behaviour.listExpired, on) }

// RefuseNew makes secrets that are created while it is on useless: they are
// listed, and the token endpoint refuses them for ever.
func (s *Server) RefuseNew(on bool) { s.set(&s.behaviour.refuseNew, on) }

func (s *Server) set(flag *bool, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*flag = on
}

// RateLimit allows that many requests a second, discovery apart, in bursts of
// as many; the rest are answered 429 with Retry-After. Zero lifts the limit.
func (s *Server) RateLimit(perSecond int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = limiter{perSecond: perSecond}
}

// RateLimitCreates is [Server.RateLimit] for the creation of OAuth secrets and
// personal access tokens alone. A create counts against both limits.
func (s *Server) RateLimitCreates(perSecond int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.creates = limiter{perSecond: perSecond}
}

// Throttled counts the requests that were over a limit so far.
func (s *Server) Throttled() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.throttled
}

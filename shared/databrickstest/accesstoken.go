package databrickstest

import (
	"slices"
	"time"
)

// allAPIs is the scope that stands for every other one.
const allAPIs = "all-apis"

// accessToken is a bearer token: an opaque string, known to the server alone.
type accessToken struct {
	principal *principal
	workspace *Workspace // the one it is good for; nil for the account and all workspaces
	secret    *oauthSecret
	scopes    []string
	expires   time.Time
}

func (t *accessToken) has(scope string) bool {
	return scope == "" || slices.Contains(t.scopes, allAPIs) || slices.Contains(t.scopes, scope)
}

// issueToken makes a token for p and returns its value.
func (s *Server) issueToken(t accessToken) string {
	value := s.source.hex(32)
	s.tokens[value] = &t
	s.issued = append(s.issued, value)
	return value
}

func (s *Server) revokeTokens(from *oauthSecret) {
	for value, t := range s.tokens {
		if t.secret == from {
			delete(s.tokens, value)
		}
	}
}

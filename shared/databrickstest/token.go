package databrickstest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"
)

// Autoscope is how far Databricks is with watching what a personal access
// token is used for.
type Autoscope string

// States of those that there are.
const (
	AutoscopeCompleted    Autoscope = "AUTOSCOPE_STATE_COMPLETED"
	AutoscopeDisabled     Autoscope = "AUTOSCOPE_STATE_DISABLED"
	AutoscopeRunning      Autoscope = "AUTOSCOPE_STATE_RUNNING"
	AutoscopeUserSelected Autoscope = "AUTOSCOPE_STATE_USER_SELECTED"
)

// TokenSpec describes a personal access token as it stands.
type TokenSpec struct {
	Comment string
	// CreateTime is now when zero. It may be long ago.
	CreateTime time.Time
	// Lifetime is [MaxLifetime] when zero.
	Lifetime time.Duration
	// NoExpiry makes a token that does not expire, as some of old do not. The
	// lifetime is ignored.
	NoExpiry bool
	// LastUsed is when it was last used, to the day; zero is never.
	LastUsed time.Time
	// Scopes limit the token; none leaves it unrestricted.
	Scopes []string
	// Autoscope is whatever the state is; empty is not told.
	Autoscope Autoscope
	// Inferred and Backfill are the scopes that the token was seen to need.
	Inferred, Backfill []string
	// CreatedBy is the id of who made it, the owner when zero.
	CreatedBy int64
}

// Token is a personal access token with its value.
type Token struct {
	// ID is the SHA-256 of the value, in hex.
	ID, Value string
	Workspace *Workspace
	// OwnerID is who the token acts as, CreatedBy who made it.
	OwnerID, CreatedBy int64
	Comment            string
	CreateTime         time.Time
	// ExpireTime is zero when the token does not expire.
	ExpireTime time.Time
	// LastUsed is the beginning of a day, in UTC; zero is never.
	LastUsed           time.Time
	Scopes             []string
	Autoscope          Autoscope
	Inferred, Backfill []string
}

// token is a personal access token as the server keeps it. Its last use and
// what it was seen to need are kept up to date in place; the rest never
// changes.
type token struct {
	Token
	owner, creator *principal
}

func (t *token) liveAt(now time.Time) bool {
	return t.ExpireTime.IsZero() || now.Before(t.ExpireTime)
}

// access is what the token amounts to as a bearer token.
func (t *token) access() *accessToken {
	scopes := t.Scopes
	if len(scopes) == 0 {
		scopes = []string{allAPIs}
	}
	return &accessToken{principal: t.owner, workspace: t.Workspace, scopes: scopes, expires: t.ExpireTime}
}

// use notes that the token was used for an operation of that scope.
func (t *token) use(now time.Time, scope string) {
	t.LastUsed = day(now)
	if t.Autoscope == AutoscopeRunning && scope != "" && !slices.Contains(t.Inferred, scope) {
		t.Inferred = append(slices.Clone(t.Inferred), scope)
	}
}

func day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

func tokenID(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:])
}

// tokenOf finds the personal access token with that value; nil for none.
func (h *site) tokenOf(value string) *token {
	if h.workspace == nil {
		return nil
	}
	return h.workspace.tokens.get(tokenID(value), false)
}

// AddToken adds a personal access token of the person or service principal in
// the workspace. It fails when there is no such owner or creator.
func (s *Server) AddToken(w *Workspace, ownerID int64, spec TokenSpec) (Token, error) {
	now := s.config.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if spec.CreatedBy == 0 {
		spec.CreatedBy = ownerID
	}
	owner, creator := s.principals[ownerID], s.principals[spec.CreatedBy]
	if owner == nil || creator == nil {
		return Token{}, fmt.Errorf("identity %d or %d does not exist", ownerID, spec.CreatedBy)
	}
	return s.addToken(w, owner, creator, spec, now).copy(), nil
}

func (s *Server) addToken(w *Workspace, owner, creator *principal, spec TokenSpec, now time.Time) *token {
	value := "dapi" + s.source.hex(16)
	t := &token{
		Token: Token{
			ID:         tokenID(value),
			Value:      value,
			Workspace:  w,
			OwnerID:    owner.id,
			CreatedBy:  creator.id,
			Comment:    spec.Comment,
			CreateTime: spec.CreateTime.UTC().Truncate(time.Millisecond),
			Scopes:     slices.Clone(spec.Scopes),
			Autoscope:  spec.Autoscope,
			Inferred:   slices.Clone(spec.Inferred),
			Backfill:   slices.Clone(spec.Backfill),
		},
		owner:   owner,
		creator: creator,
	}
	if spec.CreateTime.IsZero() {
		t.CreateTime = now.UTC().Truncate(time.Millisecond)
	}
	if spec.Lifetime == 0 {
		spec.Lifetime = MaxLifetime
	}
	if !spec.NoExpiry {
		t.ExpireTime = t.CreateTime.Add(spec.Lifetime)
	}
	if !spec.LastUsed.IsZero() {
		t.LastUsed = day(spec.LastUsed)
	}
	s.issued = append(s.issued, value)
	w.tokens.put(t.ID, t, s.behaviour.lagReads)
	return t
}

func (t *token) copy() Token {
	c := t.Token
	c.Scopes, c.Inferred, c.Backfill = slices.Clone(c.Scopes), slices.Clone(c.Inferred), slices.Clone(c.Backfill)
	return c
}

// Tokens returns the personal access tokens of the workspace that are neither
// expired nor deleted, in the order of creation.
func (s *Server) Tokens(w *Workspace) []Token {
	now := s.config.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	var live []Token
	for t := range w.tokens.all(false) {
		if t.liveAt(now) {
			live = append(live, t.copy())
		}
	}
	return live
}

// Token returns one personal access token, whatever its workspace; false if
// there is none or it is expired or deleted.
func (s *Server) Token(id string) (Token, bool) {
	now := s.config.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.findToken(id); t != nil && t.liveAt(now) {
		return t.copy(), true
	}
	return Token{}, false
}

func (s *Server) findToken(id string) *token {
	for _, w := range s.workspaces {
		if t := w.tokens.get(id, false); t != nil {
			return t
		}
	}
	return nil
}

// UseToken notes a use of the token: its day, and while Databricks watches the
// token also the scope that the use needed. An id that there is not is ignored,
// here and below.
func (s *Server) UseToken(id string, at time.Time, scope string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.findToken(id); t != nil {
		t.use(at, scope)
	}
}

// SetAutoscope sets how far Databricks is with watching the token.
func (s *Server) SetAutoscope(id string, state Autoscope) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.findToken(id); t != nil {
		changed := *t
		changed.Autoscope = state
		t.Workspace.tokens.put(id, &changed, s.behaviour.lagReads)
	}
}

// DeleteToken deletes the token, as its owner would.
func (s *Server) DeleteToken(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.findToken(id); t != nil {
		t.Workspace.tokens.put(id, nil, s.behaviour.lagReads)
	}
}

package databrickstest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"
)

// SecretSpec describes a secret that a person makes in the console.
type SecretSpec struct {
	// Lifetime is in whole seconds, [MaxLifetime] when zero.
	Lifetime time.Duration
	// NoExpiry makes a secret that does not expire, as some of old do not. The
	// lifetime is ignored.
	NoExpiry bool
	// Scopes limit the secret; none leaves it unrestricted.
	Scopes []string
	// CreateTime is now when zero. It may be long ago.
	CreateTime time.Time
}

// OAuthSecret is an OAuth secret with its value.
type OAuthSecret struct {
	ID, Value, Hash string
	CreateTime      time.Time
	// ExpireTime is zero when the secret does not expire.
	ExpireTime time.Time
	Scopes     []string
	// CreatedBy is the application id of the service principal that made it,
	// empty for a person.
	CreatedBy string
}

// oauthSecret never changes once made, except for unseen.
type oauthSecret struct {
	OAuthSecret
	// unseen makes the token endpoint refuse it once, while reads lag.
	unseen bool
	// useless makes the token endpoint refuse it always.
	useless bool
}

func (o *oauthSecret) liveAt(now time.Time) bool {
	return o.ExpireTime.IsZero() || now.Before(o.ExpireTime)
}

func (v view) live(now time.Time) []*oauthSecret {
	var live []*oauthSecret
	for _, o := range v.secrets {
		if o.liveAt(now) {
			live = append(live, o)
		}
	}
	return live
}

// holder finds the live secret with that value.
func (v view) holder(value string, now time.Time) *oauthSecret {
	for _, o := range v.secrets {
		if o.Value == value && o.liveAt(now) {
			return o
		}
	}
	return nil
}

// FullError reports that a service principal has as many live secrets as it
// may have.
type FullError struct {
	PrincipalID int64
	Max         int
}

func (e *FullError) Error() string {
	return fmt.Sprintf("service principal %d already has %d OAuth secrets, the most it may have", e.PrincipalID, e.Max)
}

// AddSecret makes a secret as a person in the console would. It fails with a
// [FullError] when the service principal has no room, and when the service
// principal or the lifetime does not exist.
func (s *Server) AddSecret(principalID int64, spec SecretSpec) (OAuthSecret, error) {
	now := s.config.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.principals[principalID]
	if p == nil || p.human() || p.now.deleted {
		return OAuthSecret{}, fmt.Errorf("service principal %d does not exist", principalID)
	}
	if spec.Lifetime == 0 {
		spec.Lifetime = MaxLifetime
	}
	if spec.Lifetime < 0 || spec.Lifetime > MaxLifetime || spec.Lifetime%time.Second != 0 {
		return OAuthSecret{}, fmt.Errorf("lifetime %v is not of whole seconds from 1 to %v", spec.Lifetime, MaxLifetime)
	}
	if spec.CreateTime.IsZero() {
		spec.CreateTime = now
	}
	o, err := s.addSecret(p, spec, "", now)
	if err != nil {
		return OAuthSecret{}, err
	}
	return o.copy(), nil
}

func (s *Server) addSecret(p *principal, spec SecretSpec, createdBy string, now time.Time) (*oauthSecret, error) {
	if len(p.now.live(now)) >= s.config.MaxSecrets {
		return nil, &FullError{PrincipalID: p.id, Max: s.config.MaxSecrets}
	}
	created := spec.CreateTime.UTC().Truncate(time.Millisecond)
	o := &oauthSecret{
		OAuthSecret: OAuthSecret{
			ID:         s.source.hex(32),
			Value:      "dose" + s.source.hex(16),
			CreateTime: created,
			ExpireTime: created.Add(spec.Lifetime),
			Scopes:     slices.Clone(spec.Scopes),
			CreatedBy:  createdBy,
		},
		unseen: s.behaviour.lagReads,

		useless: s.behaviour.refuseNew,
	}
	if spec.NoExpiry {
		o.ExpireTime = time.Time{}
	}
	sum := sha256.Sum256([]byte(o.Value))
	o.Hash = hex.EncodeToString(sum[:])
	s.issued = append(s.issued, o.Value)
	next := p.now
	next.secrets = append(next.secrets, o)
	s.write(p, next)
	return o, nil
}

// DeleteSecret deletes a secret as a person in the console would. One that
// does not exist is ignored.
func (s *Server) DeleteSecret(principalID int64, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.principals[principalID]
	if p == nil {
		return
	}
	for _, o := range p.now.secrets {
		if o.ID == id {
			s.deleteSecret(p, o)
			return
		}
	}
}

func (s *Server) deleteSecret(p *principal, gone *oauthSecret) {
	next := p.now
	next.secrets = slices.DeleteFunc(slices.Clone(next.secrets), func(o *oauthSecret) bool { return o == gone })
	s.write(p, next)
	if s.behaviour.revokeTokensOnDelete {
		s.revokeTokens(gone)
	}
}

// Secrets returns the secrets of a service principal that are neither expired
// nor deleted, with their values, in the order of creation.
func (s *Server) Secrets(principalID int64) []OAuthSecret {
	now := s.config.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.principals[principalID]
	if p == nil {
		return nil
	}
	var live []OAuthSecret
	for _, o := range p.now.live(now) {
		live = append(live, o.copy())
	}
	return live
}

func (o *oauthSecret) copy() OAuthSecret {
	c := o.OAuthSecret
	c.Scopes = slices.Clone(c.Scopes)
	return c
}

// Authenticates tells whether a token request at account level with this
// secret would succeed now. It changes nothing, and passes no faults.
func (s *Server) Authenticates(clientID, secret string) bool {
	now := s.config.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.byApplication[clientID]
	if p == nil || !p.now.active {
		return false
	}
	o := p.now.holder(secret, now)
	return o != nil && !o.unseen && !o.useless
}

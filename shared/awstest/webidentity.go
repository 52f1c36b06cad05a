package awstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// webIdentity is the account's outbound identity federation.
type webIdentity struct {
	disabled bool
	issuers  map[string]string // by account
}

const (
	rsaKeyID = "awstest-rs256"
	ecKeyID  = "awstest-es384"
)

// The keys are made once a process and on first use: an RSA key takes longer
// than everything else that a test does.
var (
	rsaKey = sync.OnceValue(func() crypto.Signer {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err) // crypto/rand does not fail
		}
		return key
	})
	ecKey = sync.OnceValue(func() crypto.Signer {
		key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			panic(err) // crypto/rand does not fail
		}
		return key
	})
)

// Issuer is the iss claim of the tokens of GetWebIdentityToken, a URL.
func (s *Server) Issuer() string { return s.issuerOf(s.account) }

// issuerOf is an account's issuer: each account has its own.
func (s *Server) issuerOf(account string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.identity.issuers == nil {
		s.identity.issuers = map[string]string{}
	}
	if s.identity.issuers[account] == "" {
		s.identity.issuers[account] = "https://" + s.uuid() + ".tokens.sts.global.api.aws"
	}
	return s.identity.issuers[account]
}

// JWKS is the public keys that verify the tokens of GetWebIdentityToken. The
// keys are random, once a process, whatever the seed.
func (s *Server) JWKS() jose.JSONWebKeySet {
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: rsaKey().Public(), KeyID: rsaKeyID, Algorithm: string(jose.RS256), Use: "sig"},
		{Key: ecKey().Public(), KeyID: ecKeyID, Algorithm: string(jose.ES384), Use: "sig"},
	}}
}

// DisableWebIdentity makes GetWebIdentityToken fail as in an account that has
// not enabled outbound federation.
func (s *Server) DisableWebIdentity(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.identity.disabled = on
}

func (s *Server) signIdentity(c queryCall, audience []string, algorithm string, expires time.Time) (string, error) {
	home := accountOf(c.caller)
	issuer := s.issuerOf(home)
	s.mu.Lock()
	disabled, id := s.identity.disabled, s.uuid()
	s.mu.Unlock()
	if disabled {
		return "", fail(http.StatusForbidden, "OutboundWebIdentityFederationDisabledException", "Outbound web identity federation is not enabled for this account.")
	}
	key, keyID := rsaKey(), rsaKeyID
	if algorithm == string(jose.ES384) {
		key, keyID = ecKey(), ecKeyID
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.SignatureAlgorithm(algorithm), Key: jose.JSONWebKey{Key: key, KeyID: keyID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("sign the web identity token: %w", err)
	}
	claims := map[string]any{
		"iss": issuer, "sub": c.caller, "iat": c.now.Unix(), "exp": expires.Unix(), "jti": id,
		"https://sts.amazonaws.com/": map[string]any{
			"aws_account": home, "source_region": s.region,
			"principal_id": strings.TrimPrefix(c.caller, "arn:aws:iam::"+home+":"),
		},
	}
	// RFC 7519 lets a single audience be a string, and AWS sends it so.
	claims["aud"] = audience
	if len(audience) == 1 {
		claims["aud"] = audience[0]
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode the web identity token: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign the web identity token: %w", err)
	}
	return signed.CompactSerialize()
}

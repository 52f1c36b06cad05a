package databrickstest_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/databricks/databricks-sdk-go/client"
	"github.com/databricks/databricks-sdk-go/config"
	"github.com/databricks/databricks-sdk-go/config/experimental/auth/oidc"
	"github.com/databricks/databricks-sdk-go/credentials/u2m"
	"github.com/databricks/databricks-sdk-go/service/iam"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"databricks-credential-rotation/shared/databrickstest"
)

// issuer signs tokens as another cloud would.
type issuer struct {
	t   *testing.T
	key *ecdsa.PrivateKey
	url string
}

func newIssuer(t *testing.T, url string) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{t, key, url}
}

func (i *issuer) keys() jose.JSONWebKeySet {
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}}
}

func (i *issuer) sign(claims jwt.Claims) string {
	i.t.Helper()
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: i.key, KeyID: "k1"}}, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return token
}

const role = "arn:aws:iam::123456789012:role/rotate"

func exchange(clientID, token string) url.Values {
	return url.Values{
		"grant_type":         {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
		"subject_token":      {token},
		"client_id":          {clientID},
	}
}

func TestTokenExchange(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	aws := newIssuer(t, "https://one.tokens.example")
	stranger := newIssuer(t, aws.url)
	w.AddFederationPolicy(w.admin.ID, databrickstest.FederationPolicy{
		Issuer: "https://unrelated.example", Subject: role, JWKS: stranger.keys,
	})
	w.AddFederationPolicy(w.admin.ID, databrickstest.FederationPolicy{
		Issuer: aws.url, Audiences: []string{"databricks", "rotation"}, Subject: role, JWKS: aws.keys,
	})
	w.AddFederationPolicy(w.manager.ID, databrickstest.FederationPolicy{Issuer: aws.url, Subject: role, JWKS: aws.keys})
	w.AddFederationPolicy(w.manager.ID, databrickstest.FederationPolicy{Issuer: aws.url, Subject: role}) // has no keys
	at := func(d time.Duration) *jwt.NumericDate { return jwt.NewNumericDate(w.clock.now.Add(d)) }
	claims := func(change func(*jwt.Claims)) jwt.Claims {
		c := jwt.Claims{
			Issuer: aws.url, Subject: role, Audience: jwt.Audience{"rotation", "else"},
			IssuedAt: at(0), NotBefore: at(0), Expiry: at(5 * time.Minute),
		}
		if change != nil {
			change(&c)
		}
		return c
	}
	good := aws.sign(claims(nil))
	tests := []struct {
		name   string
		form   url.Values
		status int
		code   string
		says   string
	}{
		{"good", exchange(w.admin.ApplicationID, good), 200, "", ""},
		{"default audience", exchange(w.manager.ApplicationID, aws.sign(claims(func(c *jwt.Claims) { c.Audience = jwt.Audience{w.AccountID()} }))), 200, "", ""},
		{"not the default audience", exchange(w.manager.ApplicationID, good), 400, "invalid_grant", "audience"},
		{"other key", exchange(w.admin.ApplicationID, stranger.sign(claims(nil))), 400, "invalid_grant", "not signed"},
		{"other issuer", exchange(w.admin.ApplicationID, aws.sign(claims(func(c *jwt.Claims) { c.Issuer += ".evil" }))), 400, "invalid_grant", "issuer"},
		{"other subject", exchange(w.admin.ApplicationID, aws.sign(claims(func(c *jwt.Claims) { c.Subject += "2" }))), 400, "invalid_grant", "subject"},
		{"other audience", exchange(w.admin.ApplicationID, aws.sign(claims(func(c *jwt.Claims) { c.Audience = jwt.Audience{"else"} }))), 400, "invalid_grant", "audience"},
		{"expired", exchange(w.admin.ApplicationID, aws.sign(claims(func(c *jwt.Claims) { c.Expiry = at(0) }))), 400, "invalid_grant", "expired"},
		{"without expiry", exchange(w.admin.ApplicationID, aws.sign(claims(func(c *jwt.Claims) { c.Expiry = nil }))), 400, "invalid_grant", "does not expire"},
		{"not yet valid", exchange(w.admin.ApplicationID, aws.sign(claims(func(c *jwt.Claims) { c.NotBefore = at(time.Second) }))), 400, "invalid_grant", "not valid before"},
		{"not a token", exchange(w.admin.ApplicationID, "abc"), 400, "invalid_grant", "not a JWT"},
		{"no policy", exchange(w.app.ApplicationID, good), 400, "invalid_grant", "no federation policy"},
		{"no client", exchange("", good), 401, "invalid_client", ""},
		{"no token", exchange(w.admin.ApplicationID, ""), 400, "invalid_request", "subject_token"},
		{"other token type", func() url.Values {
			f := exchange(w.admin.ApplicationID, good)
			f.Set("subject_token_type", "urn:ietf:params:oauth:token-type:access_token")
			return f
		}(), 400, "invalid_request", "subject_token_type"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := w.form(w.accountTokenURL(), test.form)
			if got.status != test.status || got.code() != test.code || !strings.Contains(got.message(), test.says) {
				t.Errorf("answered %+v, want %d %s saying %q", got, test.status, test.code, test.says)
			}
			if raw := test.form.Get("subject_token"); len(raw) > 3 && strings.Contains(got.message(), raw) {
				t.Error("the error shows the subject token")
			}
		})
	}

	w.SetActive(w.admin.ID, false)
	if got := w.form(w.accountTokenURL(), exchange(w.admin.ApplicationID, good)); got.code() != "invalid_client" {
		t.Errorf("exchange for an inactive service principal: %+v", got)
	}
}

func TestSDKExchangesToken(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, transport http.RoundTripper) {
		aws := newIssuer(t, "https://one.tokens.example")
		w.AddFederationPolicy(w.manager.ID, databrickstest.FederationPolicy{
			Issuer: aws.url, Audiences: []string{"rotation"}, Subject: role, JWKS: aws.keys,
		})
		source := oidc.IDTokenSourceFn(func(_ context.Context, audience string) (*oidc.IDToken, error) {
			return &oidc.IDToken{Value: aws.sign(jwt.Claims{
				Issuer: aws.url, Subject: role, Audience: jwt.Audience{audience},
				Expiry: jwt.NewNumericDate(w.clock.now.Add(time.Minute)),
			})}, nil
		})
		exchange := oidc.NewDatabricksOIDCTokenSource(oidc.DatabricksOIDCTokenSourceConfig{
			ClientID: w.manager.ApplicationID, Host: w.workspace.Host(), Audience: "rotation", IDTokenSource: source,
			TokenEndpointProvider: func(context.Context) (*u2m.OAuthAuthorizationServer, error) {
				return &u2m.OAuthAuthorizationServer{TokenEndpoint: w.workspaceTokenURL()}, nil
			},
		})
		cfg := &config.Config{
			Host: w.workspace.Host(), Credentials: config.NewTokenSourceStrategy("federation", exchange),
			Loaders: []config.Loader{bareLoader{}}, HTTPTransport: transport,
			RetryTimeoutSeconds: 1, HTTPTimeoutSeconds: 5, RateLimitPerSecond: 1000,
		}
		c, err := client.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		me, err := iam.NewCurrentUser(c).Me(t.Context(), iam.MeRequest{})
		if err != nil || me.UserName != w.manager.ApplicationID {
			t.Errorf("Me: %+v, %v", me, err)
		}
	})
}

// A policy may look for the subject in a claim of its own.
func TestSubjectClaim(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	ci := newIssuer(t, "https://ci.example.com")
	w.AddFederationPolicy(w.admin.ID, databrickstest.FederationPolicy{Issuer: ci.url, Subject: "deploy", SubjectClaim: "jti", JWKS: ci.keys})
	claims := jwt.Claims{Issuer: ci.url, Audience: jwt.Audience{w.AccountID()}, Expiry: jwt.NewNumericDate(w.clock.now.Add(time.Minute))}
	for _, test := range []struct {
		subject, id string
		status      int
	}{{"x", "deploy", 200}, {"deploy", "x", 400}, {"deploy", "", 400}} {
		claims.Subject, claims.ID = test.subject, test.id
		if got := w.form(w.accountTokenURL(), exchange(w.admin.ApplicationID, ci.sign(claims))); got.status != test.status {
			t.Errorf("sub %q, jti %q: %+v, want %d", test.subject, test.id, got, test.status)
		}
	}
}

package databricks_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/secret"
)

const (
	issuer = "https://0a1b2c3d.tokens.sts.global.api.aws"
	role   = "arn:aws:iam::123456789012:role/rotate"
)

var signingKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// webIdentity signs as STS does for the role, and remembers the audiences.
func webIdentity(t *testing.T, subject string, audiences *[]string) databricks.WebIdentity {
	return func(_ context.Context, audience string) (secret.Text, error) {
		*audiences = append(*audiences, audience)
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: signingKey(), KeyID: "k1"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		token, err := jwt.Signed(signer).Claims(jwt.Claims{
			Issuer: issuer, Subject: subject, Audience: jwt.Audience{audience},
			Expiry: jwt.NewNumericDate(time.Now().Add(5 * time.Minute)),
		}).Serialize()
		return secret.New(token), err
	}
}

// trustRole lets the role act as the principal.
func (f *fleet) trustRole(p databrickstest.Principal, audiences ...string) {
	f.AddFederationPolicy(p.ID, databrickstest.FederationPolicy{
		Issuer: issuer, Subject: role, Audiences: audiences,
		JWKS: func() jose.JSONWebKeySet {
			return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: signingKey().Public(), KeyID: "k1", Algorithm: "RS256", Use: "sig"}}}
		},
	})
}

func TestFederation(t *testing.T) {
	signingKey()
	for i, name := range []string{"account", "workspace"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				l := f.levels(nil)[i]
				rotator := []databrickstest.Principal{f.admin, f.manager}[i]
				f.trustRole(rotator) // the default audience, the account's id
				var audiences []string
				l.client.Identity = databricks.Federation{
					ClientID: rotator.ApplicationID, Audience: f.AccountID(), WebIdentity: webIdentity(t, role, &audiences),
				}
				for range 3 {
					if _, err := l.client.ListSecrets(t.Context(), l.host, f.sp()); err != nil {
						t.Fatal(err)
					}
				}
				if n := f.count(l.token); n != 1 {
					t.Errorf("%d token requests for three calls, want 1", n)
				}
				// An access token lives for an hour; a warm function outlives it.
				time.Sleep(time.Hour + time.Second)
				if _, err := l.client.ListSecrets(t.Context(), l.host, f.sp()); err != nil {
					t.Error(err)
				}
				if n := f.count(l.token); n != 2 {
					t.Errorf("%d token requests after an hour, want 2", n)
				}
				if diff := cmp.Diff([]string{f.AccountID(), f.AccountID()}, audiences); diff != "" {
					t.Errorf("audiences (-want +got):\n%s", diff)
				}
				if n := f.count(databrickstest.OpDiscoverHost); n > 0 {
					t.Errorf("%d calls to find what the host says already", n)
				}
			})
		})
	}
}

func TestFederationRefused(t *testing.T) {
	tests := map[string]struct {
		subject  string
		audience string
		web      databricks.WebIdentity
		says     string
	}{
		"another role":     {subject: role + "2", says: "subject"},
		"another audience": {subject: role, audience: "elsewhere", says: "audience"},
		"STS says no": {web: func(context.Context, string) (secret.Text, error) {
			return secret.Text{}, errors.New("federation is switched off")
		}, says: "getting a web identity token: federation is switched off"},
		"STS takes too long": {web: func(ctx context.Context, _ string) (secret.Text, error) {
			<-ctx.Done()
			return secret.Text{}, ctx.Err()
		}, says: "deadline exceeded"},
	}
	signingKey()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t)
				l := f.account()
				f.trustRole(f.admin)
				if test.web == nil {
					test.web = webIdentity(t, test.subject, new([]string))
				}
				audience := f.AccountID()
				if test.audience != "" {
					audience = test.audience
				}
				l.client.Identity = databricks.Federation{ClientID: f.admin.ApplicationID, Audience: audience, WebIdentity: test.web}
				_, err := l.client.CreateSecret(t.Context(), l.host, f.sp(), lifetime, nil)
				if !isOnly(err, databricks.ErrDenied) || !databricks.Unsent(err) || !strings.Contains(err.Error(), test.says) {
					t.Errorf("%v, want ErrDenied alone, unsent, saying %q", err, test.says)
				}
				if n := f.count(l.create); n != 0 {
					t.Errorf("%d creates without a token", n)
				}
			})
		})
	}
}

// The rotator's stored credential is read for each token, so that a rotation
// of its own is seen, and a token that was ended early is replaced once.
func TestStoredIsRenewed(t *testing.T) {
	eachLevel(t, func(t *testing.T, f *fleet, l level) {
		rotator := map[string]databrickstest.Principal{"account": f.admin, "workspace": f.manager}[l.name]
		f.RevokeTokensOnDelete(true)
		current := f.add(rotator, databrickstest.SecretSpec{})
		reads := 0
		l.client.Identity = databricks.Stored{Read: func(context.Context) (string, secret.Text, error) {
			reads++
			return rotator.ApplicationID, secret.New(current.Value), nil
		}}
		if _, err := l.client.ListSecrets(t.Context(), l.host, f.sp()); err != nil {
			t.Fatal(err)
		}
		for _, call := range []func() error{
			func() error { _, err := l.client.ListSecrets(t.Context(), l.host, f.sp()); return err },
			func() error { _, err := l.client.CreateSecret(t.Context(), l.host, f.sp(), lifetime, nil); return err },
			func() error { return l.client.DeleteSecret(t.Context(), l.host, f.sp(), "9f00") },
		} {
			old := current
			current = f.add(rotator, databrickstest.SecretSpec{})
			f.DeleteSecret(rotator.ID, old.ID)
			if err := call(); err != nil {
				t.Errorf("after the token was ended: %v", err)
			}
		}
		if n := f.count(l.token); n != 4 || reads != 4 {
			t.Errorf("%d token requests, %d reads, want 4 of each", n, reads)
		}
		if n := f.count(l.create); n != 2 || len(f.Secrets(f.app.ID)) != 1 {
			t.Errorf("%d creates made %d secrets: the first was refused, so want 2 and 1", n, len(f.Secrets(f.app.ID)))
		}
	})
}

// A 401 that stays is not fought.
func TestTokenIsRenewedOnce(t *testing.T) {
	c, host, calls := stub(t, func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusUnauthorized, `{"error_code":"UNAUTHENTICATED","message":"no"}`)
	})
	if _, err := c.CreateSecret(t.Context(), host, "4711", lifetime, nil); !isOnly(err, databricks.ErrDenied) || databricks.Unsent(err) {
		t.Errorf("%v, want ErrDenied alone", err)
	}
	if *calls != 2 {
		t.Errorf("%d requests, want 2", *calls)
	}
}

// Nor is a rotator that Databricks does not know asked for a token twice.
func TestRefusedRotatorAsksOnce(t *testing.T) {
	eachLevel(t, func(t *testing.T, f *fleet, l level) {
		l.client.Identity = databricks.Stored{Read: func(context.Context) (string, secret.Text, error) {
			return f.admin.ApplicationID, secret.New("dose-of-yesterday"), nil
		}}
		_, err := l.client.ListSecrets(t.Context(), l.host, f.sp())
		if !isOnly(err, databricks.ErrDenied) || f.count(l.token) != 1 {
			t.Errorf("%v after %d token requests, want ErrDenied after 1", err, f.count(l.token))
		}
		l.client.Identity = databricks.Stored{Read: func(context.Context) (string, secret.Text, error) {
			return "", secret.Text{}, errors.New("access denied to the secret")
		}}
		l.client = &databricks.Client{Allowed: l.client.Allowed, Identity: l.client.Identity, Transport: l.client.Transport}
		_, err = l.client.ListSecrets(t.Context(), l.host, f.sp())
		if !isOnly(err, databricks.ErrDenied) || !strings.HasSuffix(err.Error(), "reading the rotator's own credential: access denied to the secret") {
			t.Errorf("%v", err)
		}
	})
}

// A rotator that lacks a right hears which one.
func TestRotatorWithoutRights(t *testing.T) {
	f := newFleet(t)
	l := f.account()
	l.client.Identity = f.identity(f.manager) // no account admin
	_, err := l.client.ListSecrets(t.Context(), l.host, f.sp())
	if !isOnly(err, databricks.ErrDenied) || !strings.Contains(err.Error(), "account_admin") {
		t.Errorf("%v, want ErrDenied that names the role", err)
	}
}

// One client serves a whole sweep: each host has its own token, and workers
// share it.
func TestConcurrentUse(t *testing.T) {
	f := newFleet(t)
	levels := f.levels(nil)
	c := &databricks.Client{Allowed: f.allowed(), Transport: f.Transport()}
	f.Assign(f.admin.ID, f.workspace, true)
	f.GrantManager(f.admin.ID, f.app.ID)
	c.Identity = f.identity(f.admin)
	f.Faults().Add(faulttest.Fault{Op: levels[0].list, Kind: faulttest.RequestLost, Times: 3})
	var wg sync.WaitGroup
	for n := range 20 {
		wg.Go(func() {
			if _, err := c.ListSecrets(t.Context(), levels[n%2].host, f.sp()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, l := range levels {
		if n := f.count(l.token); n != 1 {
			t.Errorf("%s: %d token requests, want 1", l.name, n)
		}
	}
}

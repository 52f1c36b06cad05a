package databricks

import (
	"context"
	"fmt"

	"github.com/databricks/databricks-sdk-go/config/experimental/auth"
	"github.com/databricks/databricks-sdk-go/config/experimental/auth/oidc"
	"github.com/databricks/databricks-sdk-go/credentials/u2m"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"databricks-credential-rotation/shared/secret"
)

// WebIdentity returns a signed token for an audience. On AWS it comes from
// sts:GetWebIdentityToken and says which role is calling.
type WebIdentity func(ctx context.Context, audience string) (secret.Text, error)

// Federation is the identity that stores nothing: the function's own AWS role,
// exchanged for a Databricks token under the federation policy of a service
// principal.
type Federation struct {
	// ClientID is the application id of the rotator's service principal.
	ClientID string
	// Audience is what the federation policy expects; Databricks' default is
	// the account id.
	Audience    string
	WebIdentity WebIdentity
}

// TokenSource implements [Identity].
func (f Federation) TokenSource(host Host) auth.TokenSource {
	return oidc.NewDatabricksOIDCTokenSource(oidc.DatabricksOIDCTokenSourceConfig{
		ClientID: f.ClientID,
		Host:     host.URL,
		Audience: f.Audience,
		// The endpoint is fixed by the host; asking for it would cost a call.
		TokenEndpointProvider: func(context.Context) (*u2m.OAuthAuthorizationServer, error) {
			return &u2m.OAuthAuthorizationServer{TokenEndpoint: host.tokenURL()}, nil
		},
		IDTokenSource: oidc.IDTokenSourceFn(func(ctx context.Context, audience string) (*oidc.IDToken, error) {
			token, err := f.WebIdentity(ctx, audience)
			if err != nil {
				return nil, &identityError{fmt.Errorf("getting a web identity token: %w", err)}
			}
			return &oidc.IDToken{Value: token.Reveal()}, nil
		}),
	})
}

// Stored is the identity for accounts that cannot federate: a credential from
// a managed secret of the rotator's own.
type Stored struct {
	// Read returns the credential that is current now.
	Read func(context.Context) (clientID string, clientSecret secret.Text, err error)
}

// TokenSource implements [Identity].
func (s Stored) TokenSource(host Host) auth.TokenSource {
	return auth.TokenSourceFn(func(ctx context.Context) (*oauth2.Token, error) {
		clientID, clientSecret, err := s.Read(ctx)
		if err != nil {
			return nil, &identityError{fmt.Errorf("reading the rotator's own credential: %w", err)}
		}
		cfg := clientcredentials.Config{
			ClientID:     clientID,
			ClientSecret: clientSecret.Reveal(),
			TokenURL:     host.tokenURL(),
			Scopes:       []string{"all-apis"},
			AuthStyle:    oauth2.AuthStyleInHeader,
		}
		return cfg.Token(ctx)
	})
}

// identityError is a failure on the rotator's own side, before Databricks was
// asked. Its text comes from this program and may be shown.
type identityError struct{ error }

func (e *identityError) Unwrap() error { return e.error }

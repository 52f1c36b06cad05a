package databricks

import (
	"context"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"databricks-credential-rotation/shared/secret"
)

// Verify proves that a credential works, by the request that its users make:
// it asks the host for an access token. The token is thrown away. The error is
// [ErrRefused] if Databricks does not accept the credential.
//
// A scoped secret is asked for its own scopes, since it cannot have others.
func (c *Client) Verify(ctx context.Context, host Host, clientID string, clientSecret secret.Text, scopes []string) error {
	const op = "authenticate with the credential"
	if err := c.Allowed.Check(host.URL); err != nil {
		return err
	}
	if len(scopes) == 0 {
		scopes = []string{"all-apis"}
	}
	cfg := clientcredentials.Config{
		ClientID:     clientID,
		ClientSecret: clientSecret.Reveal(),
		TokenURL:     host.tokenURL(),
		Scopes:       scopes,
		AuthStyle:    oauth2.AuthStyleInHeader,
	}
	return retry(ctx, c.patience(), func() error {
		if err := c.wait(ctx, op, host); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, c.patience()/2)
		defer cancel()
		_, err := cfg.Token(c.oauthContext(ctx))
		if err != nil {
			err = reduce(op, host, err)
		}
		c.note(err)
		return err
	})
}

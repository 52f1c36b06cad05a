package databricks

import (
	"context"
	"strings"

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
	_, err := c.Granted(ctx, host, clientID, clientSecret, scopes)
	return err
}

// Granted is [Client.Verify], and tells which scopes the token was given: those
// asked for, or those of them that the secret has. Asked for none, it asks for
// all-apis.
func (c *Client) Granted(ctx context.Context, host Host, clientID string, clientSecret secret.Text, scopes []string) ([]string, error) {
	const op = "authenticate with the credential"
	if err := c.Allowed.Check(host.URL); err != nil {
		return nil, err
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
	granted := scopes
	err := retry(ctx, c.patience(), func() error {
		if err := c.wait(ctx, op, host); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, c.patience()/2)
		defer cancel()
		token, err := cfg.Token(c.oauthContext(ctx))
		if err != nil {
			err = reduce(op, host, err)
		} else if given, ok := token.Extra("scope").(string); ok && given != "" {
			granted = strings.Fields(given) // without it, what was asked for
		}
		c.note(err)
		return err
	})
	return granted, err
}

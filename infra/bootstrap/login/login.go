// Package login is who runs the bootstrap towards Databricks: whoever the
// Databricks SDK finds in the environment, in a profile of ~/.databrickscfg or
// by the login of the Databricks CLI.
package login

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/databricks/databricks-sdk-go/config"
	"github.com/databricks/databricks-sdk-go/config/experimental/auth"
	"golang.org/x/oauth2"

	"databricks-credential-rotation/shared/databricks"
)

// Options say where to log in. What is empty is for the SDK to find.
type Options struct {
	Host, AccountID, Profile string
	// Loaders are where the SDK looks, nil for its own.
	Loaders []config.Loader
	// Transport carries the requests, nil for the SDK's own.
	Transport http.RoundTripper
}

// Login is an authenticated person or service principal.
type Login struct {
	// Host is the URL of the console, without a slash at its end.
	Host string
	// AccountID is empty if nothing says it.
	AccountID string
	// How says by what the SDK authenticates, such as "databricks-cli".
	How string

	config *config.Config
}

// Open logs in, so that whatever is wrong with it is known before anything
// else is done. The SDK's errors say where it looked, and hide secrets.
func Open(ctx context.Context, o Options) (*Login, error) {
	cfg := &config.Config{
		Host: o.Host, AccountID: o.AccountID, Profile: o.Profile,
		Loaders: o.Loaders, HTTPTransport: o.Transport,
		// A host that does not answer would otherwise hold this up for minutes.
		RetryTimeoutSeconds: 20, HTTPTimeoutSeconds: 10,
	}
	if err := cfg.EnsureResolved(); err != nil {
		return nil, fmt.Errorf("log in to Databricks: %w", err)
	}
	l := &Login{config: cfg}
	if _, err := l.token(ctx); err != nil {
		return nil, fmt.Errorf("log in to Databricks: %w", err)
	}
	l.Host, l.AccountID, l.How = strings.TrimRight(cfg.Host, "/"), cfg.AccountID, cfg.AuthType
	if cfg.Profile != "" {
		l.How += ", profile " + cfg.Profile
	}
	return l, nil
}

// token returns the access token by which the SDK would authenticate.
func (l *Login) token(ctx context.Context) (*oauth2.Token, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.config.Host, http.NoBody)
	if err != nil {
		return nil, err
	}
	if err := l.config.Authenticate(r); err != nil {
		return nil, err
	}
	kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(kind, "Bearer") || token == "" {
		return nil, fmt.Errorf("%s authenticates by no token", l.config.AuthType)
	}
	return &oauth2.Token{AccessToken: token, TokenType: "Bearer"}, nil
}

// TokenSource implements [databricks.Identity].
func (l *Login) TokenSource(databricks.Host) auth.TokenSource {
	return auth.TokenSourceFn(l.token)
}

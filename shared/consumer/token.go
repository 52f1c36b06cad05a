package consumer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/databricks/databricks-sdk-go/apierr"
	"github.com/databricks/databricks-sdk-go/config"
	"github.com/databricks/databricks-sdk-go/config/credentials"
	"golang.org/x/oauth2"
)

const (
	// tokenTimeout bounds a flight: a token request with the SDK's own retries,
	// a look at the secret, and a second request.
	tokenTimeout = 2 * time.Minute
	// renewBefore is how long before its end an access token is replaced, a
	// fifth of its life at most.
	renewBefore = 5 * time.Minute
	// requestAgain is when a token request is repeated that failed while the
	// token before it still lives.
	requestAgain = 30 * time.Second
	// deadHost is how long the SDK tries to read a host's metadata.
	deadHost = 30
)

// provider hands out the access tokens of one configuration.
type provider struct {
	secret *Secret
	// settings is what the SDK needs to request a token, but for the credential.
	settings config.Config

	mu     sync.Mutex
	held   *token
	flight *flight
	// again is when the next token request may be sent after one that failed.
	again time.Time
	// refused is the version that Databricks refused, and failure the error
	// that its users get until refusedUntil.
	refused      string
	refusedUntil time.Time
	failure      error
	// discovery is where the host says that its token endpoint is.
	discovery string
}

// token is an access token and the version that it was requested with.
type token struct {
	oauth     *oauth2.Token
	versionID string
	at, renew time.Time
}

func newProvider(s *Secret, cfg *config.Config) *provider {
	retry := cfg.RetryTimeoutSeconds
	if retry == 0 {
		retry = deadHost
	}
	return &provider{
		secret: s, discovery: cfg.DiscoveryURL,
		settings: config.Config{
			Host: cfg.Host, AccountID: cfg.AccountID, GroupID: cfg.GroupID, Scopes: cfg.Scopes,
			HTTPTransport: cfg.HTTPTransport, InsecureSkipVerify: cfg.InsecureSkipVerify,
			HTTPTimeoutSeconds: cfg.HTTPTimeoutSeconds, RetryTimeoutSeconds: retry,
			HostMetadataResolver: cfg.HostMetadataResolver,
		},
	}
}

// SetHeaders implements [credentials.CredentialsProvider]. The request learns
// which token it carries, for [Transport].
func (p *provider) SetHeaders(r *http.Request) error {
	t, err := p.token(r.Context())
	if err != nil {
		return err
	}
	t.oauth.SetAuthHeader(r)
	*r = *r.WithContext(context.WithValue(r.Context(), carriedKey{}, carried{p, t}))
	return nil
}

// Token implements [credentials.OAuthCredentialsProvider].
func (p *provider) Token(ctx context.Context) (*oauth2.Token, error) {
	t, err := p.token(ctx)
	if err != nil {
		return nil, err
	}
	return t.oauth, nil
}

var _ credentials.OAuthCredentialsProvider = (*provider)(nil)

// token returns the token that is held if it belongs to the current version
// and is not about to end, else a new one.
func (p *provider) token(ctx context.Context) (*token, error) {
	r, err := p.secret.current(ctx)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	now := time.Now()
	if t := p.held; t != nil && t.versionID == r.versionID && now.Before(t.renew) {
		p.mu.Unlock()
		return t, nil
	}
	if p.refused == r.versionID && now.Before(p.refusedUntil) {
		defer p.mu.Unlock()
		return nil, p.failure
	}
	if t := p.held; t != nil && now.Before(p.again) && now.Before(t.oauth.Expiry) {
		p.mu.Unlock()
		return t, nil
	}
	f := p.startRequest(ctx)
	p.mu.Unlock()
	return p.outcome(ctx, f)
}

// outcome waits for a flight. A token that still lives is better than none,
// unless its credential was refused.
func (p *provider) outcome(ctx context.Context, f *flight) (*token, error) {
	err := f.wait(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil && (errors.Is(err, ErrRefused) || p.held == nil || !time.Now().Before(p.held.oauth.Expiry)) {
		return nil, err
	}
	return p.held, nil
}

// instead returns a token to use in place of one that Databricks has refused,
// nil if there is none.
func (p *provider) instead(ctx context.Context, used *token) (*token, error) {
	r, err := p.secret.newerThan(ctx, used.versionID)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	switch {
	case p.held != used && p.held.versionID == r.versionID:
		// Somebody has replaced it already.
		defer p.mu.Unlock()
		return p.held, nil
	case r.versionID == used.versionID && time.Since(used.at) < leaveInPeace:
		// A token of this credential was refused moments after it was issued;
		// another would be, too.
		p.mu.Unlock()
		return nil, nil
	}
	f := p.startRequest(ctx)
	p.mu.Unlock()
	return p.outcome(ctx, f)
}

// startRequest joins the token request that is under way, or begins one. The
// caller holds mu.
func (p *provider) startRequest(ctx context.Context) *flight {
	if p.flight != nil {
		return p.flight
	}
	f := &flight{done: make(chan struct{})}
	p.flight = f
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tokenTimeout)
	go func() {
		defer cancel()
		t, r, err := p.request(ctx)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.flight, f.err = nil, err
		switch {
		case err == nil:
			p.held, p.again, p.refused = t, time.Time{}, ""
		case errors.Is(err, ErrRefused):
			p.refused, p.refusedUntil, p.failure = r.versionID, time.Now().Add(leaveInPeace), err
		default:
			p.again = time.Now().Add(requestAgain)
			p.secret.options.Log.WarnContext(ctx, "no access token; going on with the one before, if it lives",
				"secret", p.secret.options.SecretID, "error", err.Error())
		}
		close(f.done)
	}()
	return f
}

// request gets a token with what is current, and once more if that is refused
// and the secret has changed.
func (p *provider) request(ctx context.Context) (*token, *reading, error) {
	r, err := p.secret.asOf(ctx, time.Now().Add(-freshEnough))
	if err != nil {
		return nil, r, err
	}
	t, err := p.exchange(ctx, r)
	if err == nil || !isRefusal(err) {
		return t, r, err
	}
	refused := r
	if r, err2 := p.secret.newerThan(ctx, refused.versionID); err2 != nil {
		return nil, r, errors.Join(err, err2)
	} else if r.versionID != refused.versionID {
		if t, err = p.exchange(ctx, r); err == nil || !isRefusal(err) {
			return t, r, err
		}
		refused = r
	}
	return nil, refused, fmt.Errorf("secret %s, version %s: %w: %w (client id %s; ask the owner of the rotation whether it was revoked)",
		p.secret.options.SecretID, refused.versionID, ErrRefused, err, refused.credential.ClientID)
}

// exchange requests a token with one credential, by the SDK's own means:
// discovery, retries, scopes. Its configuration is made anew each time, because
// it keeps the credential that it has seen first.
func (p *provider) exchange(ctx context.Context, r *reading) (*token, error) {
	scopes := p.settings.Scopes
	if len(scopes) == 0 {
		scopes = r.credential.Scopes
	}
	cfg := &config.Config{
		Host: p.settings.Host, AccountID: p.settings.AccountID, GroupID: p.settings.GroupID, Scopes: scopes,
		ClientID: r.credential.ClientID, ClientSecret: r.credential.ClientSecret.Reveal(),
		AuthType: "oauth-m2m", Credentials: config.M2mCredentials{}, Loaders: []config.Loader{nothing{}},
		HTTPTransport: p.settings.HTTPTransport, InsecureSkipVerify: p.settings.InsecureSkipVerify,
		HTTPTimeoutSeconds: p.settings.HTTPTimeoutSeconds, RetryTimeoutSeconds: p.settings.RetryTimeoutSeconds,
		HostMetadataResolver: p.settings.HostMetadataResolver, DisableAsyncTokenRefresh: true,
		DiscoveryURL: p.discovery,
	}
	if p.discovery != "" {
		// The metadata has been read, and says nothing else that matters here.
		cfg.HostMetadataResolver = func(context.Context, string) (*config.HostMetadata, error) { return nil, nil }
	}
	at := time.Now()
	t, err := cfg.GetTokenSource().Token(ctx)
	if err != nil {
		return nil, &tokenError{host: p.settings.Host, message: strings.ReplaceAll(err.Error(), cfg.ClientSecret, "[secret]"), cause: err}
	}
	p.discovery = cfg.DiscoveryURL
	life := t.Expiry.Sub(at)
	return &token{oauth: t, versionID: r.versionID, at: at, renew: t.Expiry.Add(-min(renewBefore, life/5))}, nil
}

// tokenError is a token request that failed, without the secret, should the
// reply have repeated it.
type tokenError struct {
	host, message string
	cause         error
}

func (e *tokenError) Error() string {
	return "requesting an access token at " + e.host + ": " + e.message
}

func (e *tokenError) Is(target error) bool { return errors.Is(e.cause, target) }

// isRefusal tells an answer to the credential from a failure on the way. A new
// version may also have other scopes, so a bad request is one, too.
func isRefusal(err error) bool {
	return errors.Is(err, apierr.ErrUnauthenticated) || errors.Is(err, apierr.ErrPermissionDenied) || errors.Is(err, apierr.ErrBadRequest)
}

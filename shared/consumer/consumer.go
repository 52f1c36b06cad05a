// Package consumer lets an application use a managed secret with the
// Databricks SDK for Go, through any number of rotations, without noticing
// one.
//
//	secret, err := consumer.New(consumer.Options{SecretsManager: client, SecretID: "prod/etl/databricks"})
//	cfg, err := secret.Config(ctx)
//	workspace, err := databricks.NewWorkspaceClient((*databricks.Config)(cfg))
//
// A [Secret] is also a credentials strategy by itself, for a configuration
// that is made elsewhere: databricks.Config{Credentials: secret}. Add
// HTTPTransport: consumer.Transport(nil) to have a call repeated whose access
// token was ended with its credential.
//
// # When it looks
//
// A secret is read from AWS Secrets Manager with GetSecretValue, AWSCURRENT:
//
//   - at the first use;
//   - at a use when what was read is older than [Options.CheckEvery], and more
//     often once the credential is about to expire. One of the callers waits
//     for it, the others go on with what is there;
//   - before an access token is requested, about once an hour, unless it was
//     read within the last minute;
//   - at once when Databricks refuses the credential, or a call's access token.
//     If the secret has changed, the call goes on with the new credential; if it
//     has not, the caller gets [ErrRefused], and Secrets Manager is left in peace
//     for two seconds.
//
// Callers share everything: however many there are, a change of the secret
// costs one read and one token request for each configuration.
//
// # What it asks of the rotation
//
// Less than the default. After a rotation the old credential works for the grace
// period, 24 hours unless the policy says otherwise, and the new one is taken up
// within [Options.CheckEvery]. A shorter grace, or the replacement of a leaked
// credential, which has none, costs no call either, if the configuration has the
// [Transport].
//
// If Secrets Manager cannot be reached, what is held is used on and every half
// minute another attempt is made. That is in the log, if there is one.
//
// The application's role needs secretsmanager:GetSecretValue on the secret, and
// kms:Decrypt if the secret has a key of its own.
package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"
	"github.com/databricks/databricks-sdk-go/config"
	"github.com/databricks/databricks-sdk-go/config/credentials"

	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/secret"
)

// ErrRefused means that Databricks refuses the credential and that Secrets
// Manager has no newer one. It ends when the secret changes.
var ErrRefused = errors.New("the credential is refused by Databricks, and Secrets Manager has no newer one")

const (
	// DefaultCheckEvery is [Options.CheckEvery] if that is zero.
	DefaultCheckEvery = 5 * time.Minute

	// readTimeout bounds a read of Secrets Manager, the SDK's own retries
	// included.
	readTimeout = 15 * time.Second
	// readAgain is when a read is tried again that failed.
	readAgain = 30 * time.Second
	// leaveInPeace is how long a refused credential that Secrets Manager still
	// has is not looked for again: a dead one would otherwise cost a read for
	// every call. It is short, because a read may be stale.
	leaveInPeace = 2 * time.Second
	// freshEnough is how old what was read may be when a token is requested
	// with it.
	freshEnough = time.Minute
	// leastCheck bounds how often a credential is looked for that is about to
	// expire.
	leastCheck = 10 * time.Second
)

// API is what is called of Secrets Manager. A *secretsmanager.Client has it.
type API interface {
	GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
}

// Options say which secret it is.
type Options struct {
	// SecretsManager reads the secret.
	SecretsManager API
	// SecretID is the secret's name or ARN. From another account it must be the
	// ARN.
	SecretID string
	// CheckEvery is how old what was read may be before a use looks again, up
	// to a tenth earlier. Zero is [DefaultCheckEvery].
	CheckEvery time.Duration
	// Log is told of every new credential, by its ids, and of every failure
	// that the caller does not see. Nil is no log.
	Log *slog.Logger
}

// Secret is a managed secret as an application uses it. Make one for each
// secret and share it: it is safe for concurrent use, and any number of
// configurations may have it as their Credentials.
type Secret struct {
	options Options

	mu   sync.Mutex
	held *reading
	// next is when a use looks again.
	next time.Time
	look *flight
	// begun and ended number the looks, so that a caller can tell one that
	// began before its own news from one that came after.
	begun, ended uint64
	// peaceUntil ends the time in which nobody looks for a credential newer
	// than the one that is held.
	peaceUntil time.Time
}

// reading is one version of the secret.
type reading struct {
	versionID  string
	credential credential.Credential
	at         time.Time
}

// flight is something that one does and many wait for.
type flight struct {
	number uint64
	done   chan struct{}
	err    error
}

// wait ends with the flight, or with the waiter's own patience.
func (f *flight) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for the credential: %w", ctx.Err())
	}
}

// New names a secret. It reads nothing yet.
func New(o Options) (*Secret, error) {
	var faults []error
	if o.SecretsManager == nil {
		faults = append(faults, errors.New("consumer: Options.SecretsManager is not set"))
	}
	if o.SecretID == "" {
		faults = append(faults, errors.New("consumer: Options.SecretID is empty: it is the secret's name or ARN"))
	}
	if o.CheckEvery < 0 {
		faults = append(faults, errors.New("consumer: Options.CheckEvery is negative"))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	if o.CheckEvery == 0 {
		o.CheckEvery = DefaultCheckEvery
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Secret{options: o}, nil
}

// Name is how the SDK's configuration names this way to authenticate, also in
// the user agent.
func (s *Secret) Name() string { return "aws-secrets-manager" }

// Config reads the secret and returns a configuration with its host, its
// account id if it has one, and a [Transport]. An account-level client needs it,
// because the SDK wants to know the account before it authenticates. It has no
// scopes, which stands for those of the secret.
//
// No other source of configuration is read: a DATABRICKS_TOKEN that happens to
// be in the environment does not get in the way.
func (s *Secret) Config(ctx context.Context) (*config.Config, error) {
	r, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	return &config.Config{
		Host: r.credential.Host, AccountID: r.credential.AccountID,
		Credentials: s, HTTPTransport: Transport(nil), Loaders: []config.Loader{nothing{}},
	}, nil
}

// Configure implements [config.CredentialsStrategy]. The SDK calls it at a
// client's first request.
//
// A host that the configuration has stays; without one it is the secret's. So
// a principal that is managed in the account console can be used in a
// workspace. Scopes of the configuration are requested as they are, else those
// of the secret.
func (s *Secret) Configure(ctx context.Context, cfg *config.Config) (credentials.CredentialsProvider, error) {
	r, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	if cfg.Host == "" {
		cfg.Host = r.credential.Host
	}
	if cfg.AccountID == "" && cfg.CanonicalHostName() == r.credential.Host {
		cfg.AccountID = r.credential.AccountID
	}
	return newProvider(s, cfg), nil
}

// Credential returns the current credential itself, for what is not the SDK: a
// JDBC URL, a child process. It is as fresh as [Options.CheckEvery] says. Who
// keeps it must ask again within the grace period.
func (s *Secret) Credential(ctx context.Context) (credential.Credential, error) {
	r, err := s.current(ctx)
	if err != nil {
		return credential.Credential{}, err
	}
	return r.credential, nil
}

// current is what is held, after a look if one is due. One caller waits for
// the look; with nothing held, all do.
func (s *Secret) current(ctx context.Context) (*reading, error) {
	return s.asOf(ctx, time.Time{})
}

// asOf is what is held, after a look if one is due or if it was read before
// the given time.
func (s *Secret) asOf(ctx context.Context, since time.Time) (*reading, error) {
	s.mu.Lock()
	held := s.held
	if held != nil && (s.look != nil || time.Now().Before(s.next) && !held.at.Before(since)) {
		s.mu.Unlock()
		return held, nil
	}
	f := s.startLook(ctx)
	s.mu.Unlock()
	err := f.wait(ctx)

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		return nil, err
	}
	return s.held, nil // with an error, too: it is logged, and what is held may well work
}

// newerThan looks for a version other than the given one, which Databricks has
// refused. If there is none, it returns what is held.
func (s *Secret) newerThan(ctx context.Context, versionID string) (*reading, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	arrived := s.begun
	for s.held.versionID == versionID && s.ended <= arrived && !time.Now().Before(s.peaceUntil) {
		// A look that began before the refusal may have seen the secret as it
		// was then; only the next one settles it.
		f := s.startLook(ctx)
		s.mu.Unlock()
		err := f.wait(ctx)
		s.mu.Lock()
		if err != nil {
			return s.held, err
		}
	}
	if s.held.versionID == versionID && !time.Now().Before(s.peaceUntil) {
		s.peaceUntil = time.Now().Add(leaveInPeace)
	}
	return s.held, nil
}

// startLook joins the look that is under way, or begins one. It outlives the
// caller that began it, since others wait for it. The caller holds mu.
func (s *Secret) startLook(ctx context.Context) *flight {
	if s.look != nil {
		return s.look
	}
	s.begun++
	f := &flight{number: s.begun, done: make(chan struct{})}
	s.look = f
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	go func() {
		defer cancel()
		r, err := s.read(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.take(ctx, r, err)
		s.look, s.ended, f.err = nil, f.number, err
		close(f.done)
	}()
	return f
}

// take keeps what a look has found. The caller holds mu.
func (s *Secret) take(ctx context.Context, r *reading, err error) {
	now := time.Now()
	if err != nil {
		if s.held != nil {
			s.options.Log.WarnContext(ctx, "secret cannot be read; going on with the version that was read before",
				"secret", s.options.SecretID, "version", s.held.versionID, "error", err.Error())
			s.next = now.Add(min(readAgain, s.options.CheckEvery))
		}
		return
	}
	if s.held == nil || s.held.versionID != r.versionID {
		s.options.Log.InfoContext(ctx, "credential taken up",
			"secret", s.options.SecretID, "version", r.versionID, "client_id", r.credential.ClientID,
			"oauth_secret_id", r.credential.OAuthSecretID, "expires_at", r.credential.ExpiresAt)
		s.peaceUntil = time.Time{}
	}
	s.held = r
	wait := s.options.CheckEvery
	if expires := r.credential.ExpiresAt; !expires.IsZero() {
		// Half the rest of its life, so that the looks get closer to its end.
		wait = max(min(wait, expires.Sub(now)/2), min(leastCheck, wait))
	}
	// Early by chance, so that a fleet that was started at once does not read
	// at once for ever.
	s.next = now.Add(wait - rand.N(wait/10+1)) //nolint:gosec // spreading needs no secrecy
}

// read asks Secrets Manager for AWSCURRENT by name: without a label some
// implementations answer with another version.
func (s *Secret) read(ctx context.Context) (*reading, error) {
	at := time.Now()
	out, err := s.options.SecretsManager.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{
		SecretId: &s.options.SecretID, VersionStage: aws.String("AWSCURRENT"),
	})
	if err != nil {
		return nil, fmt.Errorf("secret %s cannot be read: %w", s.options.SecretID, reduce(err))
	}
	c, err := credential.Parse(secret.New(aws.ToString(out.SecretString)))
	if err != nil {
		return nil, fmt.Errorf("secret %s is not a credential: %w", s.options.SecretID, err)
	}
	if !c.Issued() {
		return nil, fmt.Errorf("secret %s has no credential yet: the next sweep of the rotation issues it", s.options.SecretID)
	}
	return &reading{versionID: aws.ToString(out.VersionId), credential: c, at: at}, nil
}

// reduce keeps an AWS error's code and message.
func reduce(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		return fmt.Errorf("%s: %s", api.ErrorCode(), api.ErrorMessage())
	}
	return err
}

// nothing keeps the SDK from reading the environment and ~/.databrickscfg.
type nothing struct{}

func (nothing) Name() string                   { return "nothing" }
func (nothing) Configure(*config.Config) error { return nil }

var _ config.CredentialsStrategy = (*Secret)(nil)

// base is the transport below, the SDK's kind of default if there is none.
func base(t http.RoundTripper) http.RoundTripper {
	if t == nil {
		return http.DefaultTransport
	}
	return t
}

package consumer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	dbclient "github.com/databricks/databricks-sdk-go/client"
	"github.com/databricks/databricks-sdk-go/config"

	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/consumer"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/secret"
)

// world is one secret in both clouds, in memory and in virtual time.
type world struct {
	t         *testing.T
	aws       *awstest.Server
	dbx       *databrickstest.Server
	store     *secretsmanager.Client
	workspace *databrickstest.Workspace
	principal databrickstest.Principal
	host      string
	accountID string
	issued    databrickstest.OAuthSecret
	log       *buffer
	// scopes are those of the token requests, in their order.
	scopes requested
}

// inWorld plays in a bubble of virtual time.
func inWorld(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newWorld(t)) })
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, aws: awstest.New(awstest.Config{}), dbx: databrickstest.New(databrickstest.Config{}), log: &buffer{}}
	w.workspace = w.dbx.AddWorkspace("analytics")
	w.store = secretsmanager.NewFromConfig(w.aws.Config())
	w.principal = w.dbx.AddPrincipal(databrickstest.PrincipalSpec{AccountAdmin: true})
	w.dbx.Assign(w.principal.ID, w.workspace, false)
	w.host = w.workspace.Host()
	value := w.issue()
	if _, err := w.store.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("app"), SecretString: &value}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if unknown := append(w.dbx.Unknown(), w.aws.Unknown()...); len(unknown) > 0 {
			t.Errorf("the simulators do not know %v", unknown)
		}
		for _, value := range w.dbx.Issued() {
			if strings.Contains(w.log.String(), value) {
				t.Error("the log shows a secret or a token") // invariant 6
			}
		}
	})
	return w
}

// issue makes an OAuth secret and returns a value with it.
func (w *world) issue(more ...string) string {
	w.t.Helper()
	var spec databrickstest.SecretSpec
	value := map[string]string{"DATABRICKS_HOST": w.host, "DATABRICKS_CLIENT_ID": w.principal.ApplicationID}
	if w.accountID != "" {
		value["DATABRICKS_ACCOUNT_ID"] = w.accountID
	}
	for i := 0; i < len(more); i += 2 {
		value[more[i]] = more[i+1]
		if more[i] == "ROTATION_SCOPES" {
			spec.Scopes = strings.Fields(more[i+1])
		}
	}
	s, err := w.dbx.AddSecret(w.principal.ID, spec)
	if err != nil {
		w.t.Fatal(err)
	}
	w.issued = s
	value["DATABRICKS_CLIENT_SECRET"] = s.Value
	text, err := json.Marshal(value)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

func (w *world) put(value string) {
	w.t.Helper()
	_, err := w.store.PutSecretValue(context.Background(), &secretsmanager.PutSecretValueInput{SecretId: aws.String("app"), SecretString: &value})
	if err != nil {
		w.t.Fatal(err)
	}
}

// rotate issues a successor and leaves the predecessor to its grace.
func (w *world) rotate() (predecessor databrickstest.OAuthSecret) {
	w.t.Helper()
	predecessor = w.issued
	w.put(w.issue())
	return predecessor
}

func (w *world) retire(s databrickstest.OAuthSecret) { w.dbx.DeleteSecret(w.principal.ID, s.ID) }

// replace is what a revocation does: no grace, and tokens may end with their
// secret.
func (w *world) replace() { w.retire(w.rotate()) }

func (w *world) secret(o consumer.Options) *consumer.Secret {
	w.t.Helper()
	if o.SecretsManager == nil {
		o.SecretsManager = w.store
	}
	if o.SecretID == "" {
		o.SecretID = "app"
	}
	o.Log = slog.New(slog.NewTextHandler(w.log, nil))
	s, err := consumer.New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// config is an application's configuration, over the simulator's transport.
func (w *world) config(s *consumer.Secret) *config.Config {
	return &config.Config{
		Credentials: s, HTTPTransport: consumer.Transport(w.scopes.on(w.dbx.Transport())), RateLimitPerSecond: 1 << 20,
		Loaders: []config.Loader{quiet{}},
	}
}

func (w *world) client(cfg *config.Config) *dbclient.DatabricksClient {
	w.t.Helper()
	c, err := dbclient.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// call is what an application does all day.
func call(ctx context.Context, c *dbclient.DatabricksClient) error {
	var me map[string]any
	return c.Do(ctx, http.MethodGet, "/api/2.0/preview/scim/v2/Me", nil, nil, nil, &me)
}

// reads counts GetSecretValue, tokens the token requests.
func (w *world) reads() int {
	n := 0
	for _, c := range w.aws.Faults().Calls() {
		if c.Op == "GetSecretValue" {
			n++
		}
	}
	return n
}

func (w *world) tokens() int {
	n := 0
	for _, c := range w.dbx.Faults().Calls() {
		if c.Op == databrickstest.OpWorkspaceToken || c.Op == databrickstest.OpAccountToken {
			n++
		}
	}
	return n
}

// since returns how many reads and token requests f costs.
func (w *world) since(f func()) (reads, tokens int) {
	r, t := w.reads(), w.tokens()
	f()
	return w.reads() - r, w.tokens() - t
}

type quiet struct{}

func (quiet) Name() string                   { return "quiet" }
func (quiet) Configure(*config.Config) error { return nil }

// requested sees the scopes of token requests.
type requested struct {
	mu  sync.Mutex
	all []string
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (q *requested) on(below http.RoundTripper) roundTripper {
	return func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/v1/token") {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			form, err := url.ParseQuery(string(body))
			if err != nil {
				return nil, err
			}
			q.mu.Lock()
			q.all = append(q.all, form.Get("scope"))
			q.mu.Unlock()
		}
		return below.RoundTrip(r)
	}
}

func (q *requested) last() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.all[len(q.all)-1]
}

type buffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func clientSecret(s databrickstest.OAuthSecret) secret.Text { return secret.New(s.Value) }

const hour = time.Hour

package consumer_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"databricks-credential-rotation/infra/sandbox/consumer"
	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/databrickstest"
)

// world is one secret in both clouds, on loopback.
type world struct {
	t         *testing.T
	aws       *awstest.Server
	dbx       *databrickstest.Server
	client    *secretsmanager.Client
	principal databrickstest.Principal
	host      string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, aws: awstest.New(awstest.Config{}), dbx: databrickstest.New(databrickstest.Config{})}
	workspace := w.dbx.AddWorkspace("analytics")
	for _, listen := range []func() error{w.aws.Listen, w.dbx.Listen} {
		if err := listen(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(w.aws.Close)
	t.Cleanup(w.dbx.Close)
	w.client = secretsmanager.NewFromConfig(w.aws.Config())
	w.principal = w.dbx.AddPrincipal(databrickstest.PrincipalSpec{})
	w.dbx.Assign(w.principal.ID, workspace, false)
	w.host = workspace.Host()
	value := w.issue()
	if _, err := w.client.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("app"), SecretString: &value}); err != nil {
		t.Fatal(err)
	}
	return w
}

// issue returns a value with a new OAuth secret.
func (w *world) issue() string {
	w.t.Helper()
	s, err := w.dbx.AddSecret(w.principal.ID, databrickstest.SecretSpec{})
	if err != nil {
		w.t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"DATABRICKS_HOST": w.host, "DATABRICKS_CLIENT_ID": w.principal.ApplicationID, "DATABRICKS_CLIENT_SECRET": s.Value,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

func (w *world) put(value string) {
	w.t.Helper()
	_, err := w.client.PutSecretValue(w.t.Context(), &secretsmanager.PutSecretValueInput{SecretId: aws.String("app"), SecretString: &value})
	if err != nil {
		w.t.Fatal(err)
	}
}

// failures collects what a group reports.
type failures struct {
	mu  sync.Mutex
	all []consumer.Failure
}

func (f *failures) add(failure consumer.Failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, failure)
}

// of are the failures of one kind of reader.
func (f *failures) of(kind string) []consumer.Failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []consumer.Failure
	for _, failure := range f.all {
		if failure.Kind == kind {
			found = append(found, failure)
		}
	}
	return found
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

func (w *world) group(cache time.Duration, seen *failures) *consumer.Group {
	g := consumer.New(w.t.Context(), consumer.Config{Store: w.client, Pause: time.Millisecond, Cache: cache, OnFailure: seen.add})
	w.t.Cleanup(g.Stop)
	g.Add("app")
	return g
}

func TestReadersFollowARotation(t *testing.T) {
	w := newWorld(t)
	var seen failures
	g := w.group(20*time.Millisecond, &seen)
	eventually(t, "50 authentications", func() bool { return g.Count().Authentications >= 50 })
	w.put(w.issue())
	eventually(t, "100 reads after the change", func() bool { return g.Count().Reads >= 100 })
	g.Stop()

	c := g.Count()
	if c.Failures != 0 || c.Secrets != 1 || c.Reads >= c.Authentications {
		t.Errorf("count %+v, want one secret, no failures, and fewer reads than authentications", c)
	}
	if got := g.TokenRequests()[w.principal.ApplicationID]; got != c.Authentications {
		t.Errorf("%d token requests by client id, want all %d", got, c.Authentications)
	}
	sent := 0
	for _, call := range w.dbx.Faults().Calls() {
		if call.Op == databrickstest.OpWorkspaceToken {
			sent++
		}
	}
	if sent != c.Authentications {
		t.Errorf("Databricks saw %d token requests, the readers counted %d", sent, c.Authentications)
	}
}

func TestDeadCredentialIsNoticed(t *testing.T) {
	w := newWorld(t)
	var seen failures
	g := w.group(time.Hour, &seen)
	eventually(t, "some authentications", func() bool { return g.Count().Authentications >= 10 })
	first := w.dbx.Secrets(w.principal.ID)[0]
	w.put(w.issue())
	w.dbx.DeleteSecret(w.principal.ID, first.ID)
	eventually(t, "a failure of the reader that caches", func() bool { return len(seen.of("caching")) > 0 })
	g.Stop()

	failure := seen.of("caching")[0]
	text := failure.String()
	if failure.Secret != "app" || failure.Age == 0 || !strings.Contains(text, "app: a caching reader is refused with what it read ") || !strings.Contains(text, "invalid_client") {
		t.Errorf("failure %q does not say what happened", text)
	}
	if strings.Contains(text, first.Value) {
		t.Errorf("failure %q shows the secret", text)
	}
	if g.Count().Failures == 0 {
		t.Error("the failure is not counted")
	}
}

func TestUnreadableSecretIsNoticed(t *testing.T) {
	tests := map[string]struct {
		value string
		gone  bool
		want  string
	}{
		"gone":     {gone: true, want: "ResourceNotFoundException"},
		"not JSON": {value: "dose0123456789abcdef0123456789abcdef", want: "the value is not JSON"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if test.gone {
				if _, err := w.client.DeleteSecret(t.Context(), &secretsmanager.DeleteSecretInput{SecretId: aws.String("app"), ForceDeleteWithoutRecovery: aws.Bool(true)}); err != nil {
					t.Fatal(err)
				}
			} else {
				w.put(test.value)
			}
			var seen failures
			w.group(0, &seen)
			eventually(t, "a failure", func() bool { return len(seen.of("direct")) > 0 })
			text := seen.of("direct")[0].String()
			if !strings.Contains(text, "cannot read: ") || !strings.Contains(text, test.want) || strings.Contains(text, "dose") {
				t.Errorf("failure %q, want …%s…", text, test.want)
			}
		})
	}
}

func TestStill(t *testing.T) {
	w := newWorld(t)
	var seen failures
	g := w.group(0, &seen)
	eventually(t, "some reads", func() bool { return g.Count().Reads >= 10 })
	g.Still(func() {
		before, calls := g.Count(), len(w.aws.Faults().Calls())
		time.Sleep(30 * time.Millisecond)
		if after := g.Count(); after != before || len(w.aws.Faults().Calls()) != calls {
			t.Errorf("counts moved from %+v to %+v while everybody was still", before, after)
		}
	})
	reads := g.Count().Reads
	eventually(t, "reads go on", func() bool { return g.Count().Reads > reads })
}

func TestEndIsNoFailure(t *testing.T) {
	w := newWorld(t)
	var seen failures
	ctx, cancel := context.WithCancel(t.Context())
	g := consumer.New(ctx, consumer.Config{Store: w.client, OnFailure: seen.add})
	g.Add("app")
	eventually(t, "some reads", func() bool { return g.Count().Reads >= 10 })
	cancel()
	g.Stop()
	if c := g.Count(); c.Failures != 0 || len(seen.of("direct"))+len(seen.of("caching")) != 0 {
		t.Errorf("%d failures when the group ended", c.Failures)
	}
}

package consumer_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/databricks/databricks-sdk-go/apierr"

	"databricks-credential-rotation/shared/consumer"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/faulttest"
)

const users = 200

// Invariant 1, from an application's side: 200 users of one secret go through
// a rotation, the end of its grace and the replacement of a leaked credential.
// None of their calls fails, and each change costs one read and one token
// request for all of them together.
func TestHerd(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.dbx.RevokeTokensOnDelete(true)
		c := w.client(w.config(w.secret(consumer.Options{})))
		calls := 0
		all := func() {
			var ready, done sync.WaitGroup
			gate := make(chan struct{})
			ready.Add(users)
			for range users {
				done.Go(func() {
					ready.Done()
					<-gate
					if err := call(t.Context(), c); err != nil {
						t.Error(err)
					}
				})
			}
			ready.Wait()
			close(gate)
			done.Wait()
			calls += users
		}
		var predecessor databrickstest.OAuthSecret
		for _, act := range []struct {
			name          string
			change        func()
			reads, tokens int
		}{
			{"the first use", func() {}, 1, 1},
			{"nothing new", func() {}, 0, 0},
			{"six minutes later", func() { time.Sleep(6 * time.Minute) }, 1, 0},
			{"a rotation, not looked for yet", func() { predecessor = w.rotate() }, 0, 0},
			{"six minutes later", func() { time.Sleep(6 * time.Minute) }, 1, 1},
			{"its grace is over", func() { w.retire(predecessor) }, 0, 0},
			{"a replacement", w.replace, 1, 1},
			{"nothing new", func() {}, 0, 0},
			{"another replacement at once", w.replace, 1, 1},
			{"the token is about to end", func() { time.Sleep(57 * time.Minute) }, 1, 1},
		} {
			reads, tokens := w.since(func() { act.change(); all() })
			t.Logf("%-32s %d users: GetSecretValue %d, token requests %d", act.name, users, reads, tokens)
			if reads != act.reads || tokens != act.tokens {
				t.Errorf("%s: %d reads and %d token requests, want %d and %d", act.name, reads, tokens, act.reads, act.tokens)
			}
		}
		t.Logf("%d calls, GetSecretValue %d, token requests %d in all", calls, w.reads(), w.tokens())
	})
}

// The same with everybody at work all the time, in no step with anything: five
// rotations, each with a grace of five seconds, and five replacements.
func TestHerdAtWork(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.dbx.RevokeTokensOnDelete(true)
		c := w.client(w.config(w.secret(consumer.Options{CheckEvery: 3 * time.Second})))
		ctx, stop := context.WithCancel(t.Context())
		var done sync.WaitGroup
		var mu sync.Mutex
		calls := 0
		for i := range users {
			done.Go(func() {
				for ctx.Err() == nil {
					if err := call(context.WithoutCancel(ctx), c); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					calls++
					mu.Unlock()
					time.Sleep(time.Duration(500+5*i) * time.Millisecond)
				}
			})
		}
		time.Sleep(10 * time.Second)
		for range 5 {
			_, tokens := w.since(func() {
				predecessor := w.rotate()
				time.Sleep(5 * time.Second)
				w.retire(predecessor)
				time.Sleep(10 * time.Second)
			})
			reads, more := w.since(func() { w.replace(); time.Sleep(time.Second) })
			if tokens != 1 || more != 1 || reads > 2 { // one may have been due
				t.Errorf("%d token requests for a rotation, %d and %d reads for a replacement", tokens, more, reads)
			}
		}
		stop()
		done.Wait()
		t.Logf("%d users, %d calls in 90 s, 10 changes: GetSecretValue %d, token requests %d", users, calls, w.reads(), w.tokens())
		if w.tokens() != 11 {
			t.Errorf("%d token requests, want 11", w.tokens())
		}
	})
}

// Without a rotation an hour costs a token request and the reads that
// CheckEvery asks for, at most a tenth more.
func TestQuietDay(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		c := w.client(w.config(w.secret(consumer.Options{})))
		reads, tokens := w.since(func() {
			for range 24 * 60 {
				if err := call(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
			}
		})
		if reads < 24*10 || reads > 24*16 || tokens < 24 || tokens > 28 {
			t.Errorf("a day costs %d reads and %d token requests", reads, tokens)
		}
	})
}

func TestRefused(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.secret(consumer.Options{})
		c := w.client(w.config(s))
		w.retire(w.issued)
		var err error
		reads, tokens := w.since(func() {
			for range 100 {
				if err = call(t.Context(), c); !errors.Is(err, consumer.ErrRefused) || !errors.Is(err, apierr.ErrUnauthenticated) {
					t.Fatalf("the error is %v", err)
				}
			}
		})
		if reads != 2 || tokens != 1 {
			t.Errorf("a hundred calls with a dead credential cost %d reads and %d token requests, want 2 and 1", reads, tokens)
		}
		for _, part := range []string{"secret app, version ", w.principal.ApplicationID, w.host} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("the error %q does not say %s", err, part)
			}
		}
		if strings.Contains(err.Error(), w.issued.Value) {
			t.Error("the error shows the secret") // invariant 6
		}
		w.rotate()
		time.Sleep(2 * time.Second)
		if err := call(t.Context(), c); err != nil {
			t.Errorf("two seconds after the secret was mended: %v", err)
		}
	})
}

// A read may be stale: then the first look after a refusal finds what was
// refused, and the next, two seconds on, finds the successor.
func TestStaleRead(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.dbx.RevokeTokensOnDelete(true)
		c := w.client(w.config(w.secret(consumer.Options{})))
		if err := call(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		w.aws.Faults().Add(faulttest.Fault{Op: "GetSecretValue", Kind: faulttest.StaleRead})
		w.replace()
		if err := call(t.Context(), c); err == nil {
			t.Fatal("the read was not stale")
		}
		time.Sleep(2 * time.Second)
		if err := call(t.Context(), c); err != nil {
			t.Error(err)
		}
	})
}

// While Secrets Manager cannot be reached, what is held is used, and it is
// asked every half minute and no more.
func TestSecretsManagerDown(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		store := secretsmanager.NewFromConfig(w.aws.Config(), func(o *secretsmanager.Options) { o.Retryer = aws.NopRetryer{} })
		c := w.client(w.config(w.secret(consumer.Options{SecretsManager: store})))
		if err := call(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		w.aws.Faults().Add(faulttest.Fault{Op: "GetSecretValue", Kind: faulttest.ServerError, Times: faulttest.Forever})
		reads, _ := w.since(func() {
			for range 3 * 3600 {
				if err := call(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
			}
		})
		if reads < 300 || reads > 370 {
			t.Errorf("%d reads in three hours without Secrets Manager, want one each half minute", reads)
		}
		if !strings.Contains(w.log.String(), "going on with the version that was read before") {
			t.Errorf("the log does not say so: %s", w.log.String())
		}
		w.aws.Faults().Clear()
		predecessor := w.rotate()
		time.Sleep(30 * time.Second)
		if err := call(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		w.retire(predecessor)
		time.Sleep(hour)
		if err := call(t.Context(), c); err != nil {
			t.Error(err)
		}
	})
}

// While Databricks issues no tokens, the one that is held is used to its end.
func TestTokenEndpointDown(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		c := w.client(w.config(w.secret(consumer.Options{})))
		if err := call(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		w.dbx.Faults().Add(faulttest.Fault{Op: databrickstest.OpWorkspaceToken, Kind: faulttest.ServerError, Times: faulttest.Forever})
		time.Sleep(56 * time.Minute)
		_, tokens := w.since(func() {
			for range 180 {
				if err := call(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
			}
		})
		if tokens < 5 || tokens > 7 {
			t.Errorf("%d token requests in three minutes, want one each half minute", tokens)
		}
		time.Sleep(2 * time.Minute)
		if err := call(t.Context(), c); err == nil {
			t.Error("the token is over, and yet a call succeeds")
		}
		w.dbx.Faults().Clear()
		if err := call(t.Context(), c); err != nil {
			t.Error(err)
		}
	})
}

// A credential that is about to expire is looked for more often, however
// seldom the application wants to look.
func TestBeforeExpiry(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		expires := time.Now().Add(8 * hour).UTC().Format(time.RFC3339)
		w.put(w.issue("ROTATION_EXPIRES_AT", expires))
		s := w.secret(consumer.Options{CheckEvery: 1000 * hour})
		first := w.issued
		read := func() {
			t.Helper()
			got, err := s.Credential(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if left := time.Until(got.ExpiresAt); got.ClientSecret.Equal(clientSecret(first)) && left < time.Minute {
				t.Errorf("%v before its end the old credential is still handed out", left)
			}
		}
		read()
		time.Sleep(7 * hour)
		w.rotate()
		for range 60 {
			time.Sleep(time.Minute)
			read()
		}
	})
}

func TestScopes(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.put(w.issue("ROTATION_SCOPES", "jobs sql"))
		s := w.secret(consumer.Options{})
		if err := call(t.Context(), w.client(w.config(s))); err != nil {
			t.Fatal(err)
		}
		if got := w.scopes.last(); got != "jobs sql" {
			t.Errorf("requested %q, want the secret's scopes", got)
		}
		narrow := w.config(s)
		narrow.Scopes = []string{"sql"}
		if err := call(t.Context(), w.client(narrow)); err != nil {
			t.Fatal(err)
		}
		if got := w.scopes.last(); got != "sql" {
			t.Errorf("requested %q, want the configuration's scope", got)
		}
		w.put(w.issue())
		time.Sleep(6 * time.Minute)
		if err := call(t.Context(), w.client(w.config(s))); err != nil {
			t.Fatal(err)
		}
		if got := w.scopes.last(); got != "all-apis" {
			t.Errorf("requested %q, want all-apis of a secret that names no scopes", got)
		}
	})
}

// A principal that is managed in the account console is used there and in a
// workspace, with one secret.
func TestAccountLevel(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.host, w.accountID = w.dbx.AccountHost(), w.dbx.AccountID()
		w.put(w.issue())
		s := w.secret(consumer.Options{})
		cfg, err := s.Config(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cfg.HTTPTransport = consumer.Transport(w.dbx.Transport())
		c := w.client(cfg)
		if c.ConfiguredAccountID() != w.accountID {
			t.Errorf("the account is %q before the first call, want %q", c.ConfiguredAccountID(), w.accountID)
		}
		var reply any
		if err := c.Do(t.Context(), http.MethodGet, "/api/2.0/accounts/"+w.accountID+"/workspaces", nil, nil, nil, &reply); err != nil {
			t.Error(err)
		}
		there := w.config(s)
		there.Host = w.workspace.Host()
		if err := call(t.Context(), w.client(there)); err != nil {
			t.Error(err)
		}
		if there.Host != w.workspace.Host() {
			t.Errorf("the workspace became %s", there.Host)
		}
	})
}

func TestUnusableSecret(t *testing.T) {
	tests := map[string]struct{ id, value, want string }{
		"gone":       {"nowhere", "", "secret nowhere cannot be read: ResourceNotFoundException"},
		"not JSON":   {"app", "dose0123456789abcdef", "secret app is not a credential: the value is not a JSON object"},
		"no host":    {"app", `{"DATABRICKS_CLIENT_ID":"6f0bd2ad-4a4d-4ea8-9f1a-4a9d5b9cf2a1"}`, "DATABRICKS_HOST is missing"},
		"not issued": {"app", `{"DATABRICKS_HOST":"https://dbc-1.cloud.databricks.com","DATABRICKS_CLIENT_ID":"6f0bd2ad-4a4d-4ea8-9f1a-4a9d5b9cf2a1"}`, "has no credential yet"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				if test.value != "" {
					w.put(test.value)
				}
				err := call(t.Context(), w.client(w.config(w.secret(consumer.Options{SecretID: test.id}))))
				if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "dose0") {
					t.Errorf("error %v, want %s", err, test.want)
				}
			})
		})
	}
}

// A version that does not parse is a mistake of somebody's; what was read
// before it goes on being used.
func TestBrokenVersion(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		c := w.client(w.config(w.secret(consumer.Options{})))
		if err := call(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		w.put("oops")
		for range 5 {
			time.Sleep(hour)
			if err := call(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// One who has no more patience leaves; the others get what they wait for.
func TestPatience(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.aws.Faults().Add(faulttest.Fault{Op: "GetSecretValue", Kind: faulttest.Slow, Delay: 5 * time.Second})
		s := w.secret(consumer.Options{})
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		errs := make(chan error, 1)
		go func() {
			_, err := s.Credential(hasty)
			errs <- err
		}()
		synctest.Wait()
		began := time.Now()
		if _, err := s.Credential(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("the patient one waited %v", took)
		}
		if err := <-errs; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the hasty one got %v", err)
		}
		if w.reads() != 1 {
			t.Errorf("%d reads, want 1", w.reads())
		}
	})
}

func TestNew(t *testing.T) {
	_, err := consumer.New(consumer.Options{CheckEvery: -1})
	for _, want := range []string{"SecretsManager", "SecretID", "CheckEvery"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error %v does not name %s", err, want)
		}
	}
}

package databrickstest_test

import (
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/databrickstest"
)

func TestSeedDeterminesEverything(t *testing.T) {
	run := func(seed uint64) []string {
		w := newWorld(t, databrickstest.Config{Seed: seed})
		for range 3 {
			w.api(http.MethodPost, w.accountSecretsURL(w.app.ID), w.asAdmin(), `{}`)
		}
		w.asManager()
		all := w.Issued()
		for _, p := range []databrickstest.Principal{w.admin, w.manager, w.app} {
			all = append(all, p.ApplicationID, strconv.FormatInt(p.ID, 10))
		}
		for _, o := range w.Secrets(w.app.ID) {
			all = append(all, o.ID, o.Hash)
		}
		return append(all, strconv.FormatInt(w.workspace.ID, 10), w.workspace.Host())
	}
	one := run(1)
	if diff := cmp.Diff(one, run(1)); diff != "" {
		t.Errorf("one seed, two worlds:\n%s", diff)
	}
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	for seed := range uint64(20) {
		p := databrickstest.New(databrickstest.Config{Seed: seed}).AddPrincipal(databrickstest.PrincipalSpec{})
		if !uuid.MatchString(p.ApplicationID) {
			t.Errorf("application id %q is not a random UUID", p.ApplicationID)
		}
	}
	for _, value := range run(2) {
		if slices.Contains(one, value) {
			t.Errorf("two seeds, one value: %s", value)
		}
	}
}

func TestIssuedKeepsWhatHasEnded(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	o := w.secret(w.app, databrickstest.SecretSpec{})
	bearer := w.mustToken(w.accountTokenURL(), w.app, o.Value, "")
	made := w.api(http.MethodPost, w.accountSecretsURL(w.app.ID), w.asAdmin(), `{}`)
	w.DeletePrincipal(w.app.ID)
	w.clock.advance(4 * 365 * 24 * time.Hour)
	for _, want := range []string{o.Value, bearer, made.body["secret"].(string), w.adminSecret.Value} {
		if !slices.Contains(w.Issued(), want) {
			t.Errorf("Issued lacks %q", want)
		}
	}
}

func TestAddSecret(t *testing.T) {
	w := newWorld(t, databrickstest.Config{MaxSecrets: 1})
	scopes := []string{"sql"}
	o, err := w.AddSecret(w.app.ID, databrickstest.SecretSpec{Lifetime: time.Hour, Scopes: scopes})
	if err != nil || o.CreatedBy != "" || !o.ExpireTime.Equal(w.clock.now.Add(time.Hour)) || !slices.Equal(o.Scopes, []string{"sql"}) {
		t.Errorf("added %+v, %v", o, err)
	}
	o.Scopes[0], scopes[0] = "all-apis", "all-apis"
	if got := w.Secrets(w.app.ID)[0].Scopes[0]; got != "sql" {
		t.Errorf("a caller changed the server's state to %q", got)
	}
	_, err = w.AddSecret(w.app.ID, databrickstest.SecretSpec{})
	var full *databrickstest.FullError
	if !errors.As(err, &full) || full.Max != 1 || full.PrincipalID != w.app.ID {
		t.Errorf("second of one: %v", err)
	}
	for name, lifetime := range map[string]time.Duration{
		"negative": -time.Second, "fraction": 1500 * time.Millisecond, "too long": databrickstest.MaxLifetime + time.Second,
	} {
		if _, err := w.AddSecret(w.app.ID, databrickstest.SecretSpec{Lifetime: lifetime}); err == nil || errors.As(err, &full) {
			t.Errorf("%s lifetime: %v", name, err)
		}
	}
	if _, err := w.AddSecret(4711, databrickstest.SecretSpec{}); err == nil {
		t.Error("a secret for nobody")
	}
}

// Ids that the server did not issue are ignored by what has no error to return.
func TestUnknownIDsAreIgnored(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	w.Assign(1, w.workspace, true)
	w.GrantManager(w.admin.ID, 1)
	w.SetActive(1, false)
	w.DeletePrincipal(1)
	w.DeleteSecret(1, "x")
	w.DeleteSecret(w.app.ID, "x")
	w.AddFederationPolicy(1, databrickstest.FederationPolicy{})
	if w.Secrets(1) != nil || w.Managers(1) != nil || w.Authenticates("x", "y") {
		t.Error("an unknown id has something")
	}
	if _, ok := w.Principal(1); ok {
		t.Error("an unknown id has a principal")
	}
	if got := w.Managers(w.app.ID); !slices.Equal(got, []int64{w.manager.ID}) {
		t.Errorf("managers of the app: %v", got)
	}
	want := databrickstest.Principal{
		ID: w.admin.ID, ApplicationID: w.admin.ApplicationID, DisplayName: "rotator", Active: true, AccountAdmin: true,
	}
	if got, ok := w.Principal(w.admin.ID); !ok || got != want {
		t.Errorf("the admin is %+v", got)
	}
}

func TestHosts(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	account, workspace := w.AccountHost(), w.workspace.Host()
	if account != "https://accounts.cloud.databricks.com" ||
		!strings.HasPrefix(workspace, "https://dbc-") || !strings.HasSuffix(workspace, ".cloud.databricks.com") {
		t.Errorf("hosts in memory: %s, %s", account, workspace)
	}
	if err := w.Listen(); err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Listen(); err != nil {
		t.Errorf("listen again: %v", err)
	}
	late := w.AddWorkspace("late")
	hosts := map[string]bool{}
	for _, host := range []string{w.AccountHost(), w.workspace.Host(), late.Host()} {
		hosts[host] = true
		if !strings.HasPrefix(host, "http://127.0.0.1:") {
			t.Errorf("host %s is not on loopback", host)
		}
		for name, transport := range map[string]http.RoundTripper{"loopback": http.DefaultTransport, "memory": w.Transport()} {
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, host+"/.well-known/databricks-config", http.NoBody)
			reply, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatalf("%s over %s: %v", host, name, err)
			}
			_ = reply.Body.Close()
		}
	}
	if len(hosts) != 3 {
		t.Errorf("hosts share a port: %v", hosts)
	}
	listened := w.AccountHost()
	w.Close()
	w.Close()
	if w.AccountHost() != account || w.workspace.Host() != workspace {
		t.Error("the hosts are still on loopback after Close")
	}
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, listened+"/.well-known/databricks-config", http.NoBody)
	for name, transport := range map[string]http.RoundTripper{"loopback": http.DefaultTransport, "memory": w.Transport()} {
		if reply, err := transport.RoundTrip(r); err == nil {
			_ = reply.Body.Close()
			t.Errorf("%s still serves %s after Close", name, listened)
		}
	}
	if got := w.send(t.Context(), http.MethodGet, account+"/.well-known/databricks-config", "", "", ""); got.status != 200 {
		t.Errorf("in memory after Close: %+v", got)
	}
}

// The server is used by many at once; the race detector judges.
func TestConcurrentUse(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	bearer := w.asAdmin()
	var all sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for range 8 {
		all.Go(func() {
			if w.api(http.MethodPost, w.accountSecretsURL(w.app.ID), bearer, `{}`).status == http.StatusOK {
				mu.Lock()
				made++
				mu.Unlock()
			}
			w.Secrets(w.app.ID)
			w.api(http.MethodGet, w.accountSecretsURL(w.app.ID), bearer, "")
		})
	}
	all.Wait()
	if made != 5 || len(w.Secrets(w.app.ID)) != 5 {
		t.Errorf("%d of 8 creates succeeded, want 5", made)
	}
}

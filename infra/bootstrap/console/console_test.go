package console_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/databricks/databricks-sdk-go/config/experimental/auth"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"databricks-credential-rotation/infra/bootstrap/console"
	"databricks-credential-rotation/shared/databricks"
)

type bearer struct{}

func (bearer) TokenSource(databricks.Host) auth.TokenSource {
	return auth.TokenSourceFn(func(context.Context) (*oauth2.Token, error) {
		return &oauth2.Token{AccessToken: "t", TokenType: "Bearer"}, nil
	})
}

// open serves a host that is a workspace if the number is not zero.
func open(t *testing.T, workspace int64, accountID string, handle http.HandlerFunc) (*console.Console, error) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/databricks-config", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"workspace_id": workspace})
	})
	mux.HandleFunc("/", handle)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	allowed, err := databricks.ParseAllowedHosts(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := console.Open(t.Context(), &databricks.Client{Allowed: allowed, Identity: bearer{}, Patience: 2 * time.Second}, server.URL, accountID)
	if err == nil {
		c.Wait = func(context.Context, time.Duration) error { return nil }
	}
	return c, err
}

// What a rule set holds that is not known here is written back as it was, a
// rule under a condition gets no new members, and an etag that is not the
// latest is read again.
func TestGrantManagerKeepsTheRest(t *testing.T) {
	const rules = `{"name":"n","etag":"%ETAG%","grant_rules":[
		{"role":"roles/servicePrincipal.user","principals":["groups/etl"],"note":"x"},
		{"role":"roles/servicePrincipal.manager","principals":["users/ann"],"condition":{"until":2030}},
		{"role":"roles/servicePrincipal.manager","principals":["users/bob"]}]}`
	type body struct {
		Name string         `json:"name"`
		Set  map[string]any `json:"rule_set"`
	}
	var puts []body
	etags := []string{"1", "2"}
	c, err := open(t, 0, "a", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/2.0/preview/accounts/a/access-control/rule-sets" {
			t.Errorf("unexpected %s %s", r.Method, r.URL)
		}
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, replaced(rules, etags[0]))
			etags = etags[1:]
			return
		}
		var b body
		if err := json.NewDecoder(r.Body).Decode(&b); err != nil {
			t.Error(err)
		}
		puts = append(puts, b)
		if len(puts) == 1 {
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, `{"error_code":"ABORTED","message":"changed"}`)
			return
		}
		_, _ = io.WriteString(w, `{}`)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.GrantManager(t.Context(), "app", "rotator"); err != nil {
		t.Fatal(err)
	}
	var want map[string]any
	if err := json.Unmarshal([]byte(replaced(rules, "2")), &want); err != nil {
		t.Fatal(err)
	}
	last, _ := want["grant_rules"].([]any)[2].(map[string]any)
	last["principals"] = []any{"users/bob", "servicePrincipals/rotator"}
	if len(puts) != 2 || puts[1].Name != "n" {
		t.Fatalf("written: %+v", puts)
	}
	if diff := cmp.Diff(want, puts[1].Set); diff != "" {
		t.Errorf("rule set (-want +written):\n%s", diff)
	}
}

func replaced(rules, etag string) string {
	var set map[string]any
	_ = json.Unmarshal([]byte(rules), &set)
	set["etag"] = etag
	text, _ := json.Marshal(set)
	return string(text)
}

func TestOpen(t *testing.T) {
	none := func(http.ResponseWriter, *http.Request) {}
	if c, err := open(t, 7, "", none); err == nil {
		t.Errorf("a workspace of no account: %+v", c)
	}
	c, err := open(t, 7, "a", none)
	if err != nil || c.OfAccount() || c.Host.AccountID != "" || c.AccountID != "a" {
		t.Errorf("a workspace: %+v, %v", c, err)
	}
	c, err = open(t, 0, "a", none)
	if err != nil || !c.OfAccount() || c.Host.AccountID != "a" {
		t.Errorf("an account: %+v, %v", c, err)
	}
}

// A workspace whose directory has no group admins gets no admin elsewhere.
func TestNoAdmins(t *testing.T) {
	c, err := open(t, 7, "a", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("unexpected %s %s", r.Method, r.URL)
		}
		_, _ = io.WriteString(w, `{"totalResults":1,"Resources":[{"id":"1","displayName":"administrators"}]}`)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AssignAdmin(t.Context(), 7, "2"); err == nil {
		t.Error("somebody was made an admin")
	}
}

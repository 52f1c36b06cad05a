package databrickstest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"databricks-credential-rotation/shared/databrickstest"
)

func TestPopulate(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	all, err := w.Populate(databrickstest.Population{Workspaces: 4, Principals: 10, Secrets: 2, Memberships: 2, People: 5, Tokens: 33})
	if err != nil {
		t.Fatal(err)
	}
	tokens := 0
	for _, workspace := range all {
		for _, token := range w.Tokens(workspace) {
			tokens++
			reply := w.api(http.MethodGet, workspace.Host()+"/api/2.0/preview/scim/v2/Me", token.Value, "")
			if reply.status != 200 {
				t.Errorf("a token of an owner who is not in %s: %+v", workspace.Name, reply)
			}
		}
	}
	list := w.api(http.MethodGet, w.accountScimURL(), w.asAdmin(), "")
	if tokens != 33 || list.body["totalResults"] != 13.0 {
		t.Errorf("%d tokens and %v service principals, want 33 and 13", tokens, list.body["totalResults"])
	}
}

// BenchmarkLargeAccount seeds the largest account that there may be and reads
// all of it once, call by call.
func BenchmarkLargeAccount(b *testing.B) {
	now := time.Date(2027, 3, 1, 9, 0, 0, 0, time.UTC)
	size := databrickstest.LargeAccount
	for b.Loop() {
		before := heap()
		started := time.Now()
		s := databrickstest.New(databrickstest.Config{Now: func() time.Time { return now }, PageSize: 100, AccessTokenTTL: 24 * time.Hour})
		workspaces, err := s.Populate(size)
		if err != nil {
			b.Fatal(err)
		}
		admin := s.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "auditor", AccountAdmin: true})
		for _, w := range workspaces {
			s.Assign(admin.ID, w, true)
		}
		secret, err := s.AddSecret(admin.ID, databrickstest.SecretSpec{})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(started).Seconds(), "s-to-seed")
		b.ReportMetric(float64(heap()-before)/(1<<20), "MiB-held")
		started = time.Now()
		reader := reader{b: b, transport: s.Transport()}
		reader.login(s, admin, secret)
		secrets, tokens, principals := reader.readAll(s, workspaces)
		if secrets != size.Principals*size.Secrets+1 || tokens != size.Tokens || principals != size.Principals+1 {
			b.Fatalf("read %d secrets, %d tokens, %d service principals", secrets, tokens, principals)
		}
		b.ReportMetric(time.Since(started).Seconds(), "s-to-read")
		b.ReportMetric(float64(reader.calls), "calls")
		runtime.KeepAlive(s)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// reader reads an account as plainly as can be.
type reader struct {
	b         *testing.B
	transport http.RoundTripper
	head      http.Header
	calls     int
}

func (r *reader) login(s *databrickstest.Server, p databrickstest.Principal, secret databrickstest.OAuthSecret) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {p.ApplicationID}, "client_secret": {secret.Value}}
	r.head = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	var reply struct {
		Token string `json:"access_token"`
	}
	r.send(http.MethodPost, s.AccountHost()+"/oidc/accounts/"+s.AccountID()+"/v1/token", form.Encode(), &reply)
	r.head = http.Header{"Authorization": {"Bearer " + reply.Token}}
}

func (r *reader) send(method, target, body string, into any) {
	request, err := http.NewRequestWithContext(r.b.Context(), method, target, strings.NewReader(body))
	if err != nil {
		r.b.Fatal(err)
	}
	request.Header = r.head
	reply, err := r.transport.RoundTrip(request)
	if err != nil || reply.StatusCode != http.StatusOK {
		r.b.Fatalf("%s %s: %v, %v", method, target, reply, err)
	}
	if err := json.NewDecoder(reply.Body).Decode(into); err != nil {
		r.b.Fatal(err)
	}
	r.calls++
}

// scim reads a whole SCIM list and returns the ids.
func (r *reader) scim(target string) (ids []string) {
	for {
		var list struct {
			Resources []struct {
				ID string `json:"id"`
			} `json:"Resources"`
		}
		r.send(http.MethodGet, fmt.Sprintf("%s?startIndex=%d", target, len(ids)+1), "", &list)
		if len(list.Resources) == 0 {
			return ids
		}
		for _, row := range list.Resources {
			ids = append(ids, row.ID)
		}
	}
}

func (r *reader) readAll(s *databrickstest.Server, workspaces []*databrickstest.Workspace) (secrets, tokens, principals int) {
	account := s.AccountHost() + "/api/2.0/accounts/" + s.AccountID()
	all := r.scim(account + "/scim/v2/ServicePrincipals")
	r.scim(account + "/scim/v2/Users")
	for _, id := range all {
		var list struct {
			Secrets []struct{} `json:"secrets"`
		}
		r.send(http.MethodGet, account+"/servicePrincipals/"+id+"/credentials/secrets", "", &list)
		secrets += len(list.Secrets)
	}
	for _, w := range workspaces {
		var list struct {
			Tokens []struct{} `json:"token_infos"`
		}
		r.send(http.MethodGet, w.Host()+"/api/2.0/token-management/tokens", "", &list)
		tokens += len(list.Tokens)
		r.scim(w.Host() + "/api/2.0/preview/scim/v2/ServicePrincipals")
		r.scim(w.Host() + "/api/2.0/preview/scim/v2/Users")
		r.scim(w.Host() + "/api/2.0/preview/scim/v2/Groups")
		var assigned struct{}
		r.send(http.MethodGet, fmt.Sprintf("%s/workspaces/%d/permissionassignments", account, w.ID), "", &assigned)
	}
	return secrets, tokens, len(all)
}

package databricks_test

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/secret"
)

// fleet is an account with a workspace, an account admin, a workspace admin
// who manages the app, and the app, whose OAuth secrets are rotated.
type fleet struct {
	*databrickstest.Server
	t                   *testing.T
	workspace           *databrickstest.Workspace
	admin, manager, app databrickstest.Principal
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{Server: databrickstest.New(databrickstest.Config{}), t: t}
	f.workspace = f.AddWorkspace("analytics")
	f.admin = f.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "rotator", AccountAdmin: true})
	f.manager = f.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "workspace rotator"})
	f.app = f.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "nightly job"})
	f.Assign(f.manager.ID, f.workspace, true)
	f.Assign(f.app.ID, f.workspace, false)
	f.GrantManager(f.manager.ID, f.app.ID)
	return f
}

// sp is the app's id as paths carry it.
func (f *fleet) sp() string { return strconv.FormatInt(f.app.ID, 10) }

func (f *fleet) add(p databrickstest.Principal, spec databrickstest.SecretSpec) databrickstest.OAuthSecret {
	f.t.Helper()
	o, err := f.AddSecret(p.ID, spec)
	if err != nil {
		f.t.Fatal(err)
	}
	return o
}

// identity is a principal that authenticates with a secret of its own.
func (f *fleet) identity(p databrickstest.Principal) databricks.Stored {
	o := f.add(p, databrickstest.SecretSpec{})
	return databricks.Stored{Read: func(context.Context) (string, secret.Text, error) {
		return p.ApplicationID, secret.New(o.Value), nil
	}}
}

// level is one of the two ways to the app's secrets, with its rotator.
type level struct {
	name                              string
	host                              databricks.Host
	client                            *databricks.Client
	create, list, delete, find, token string // operations
}

// levels are both ways over one transport; nil is the simulator in memory.
func (f *fleet) levels(transport http.RoundTripper) []level {
	f.t.Helper()
	if transport == nil {
		transport = f.Transport()
	}
	client := func(p databrickstest.Principal) *databricks.Client {
		return &databricks.Client{Allowed: f.allowed(), Identity: f.identity(p), Transport: transport}
	}
	return []level{
		{
			"account",
			databricks.Host{URL: f.AccountHost(), AccountID: f.AccountID()},
			client(f.admin),
			databrickstest.OpAccountCreateSecret, databrickstest.OpAccountListSecrets, databrickstest.OpAccountDeleteSecret,
			databrickstest.OpAccountListPrincipals, databrickstest.OpAccountToken,
		},
		{
			"workspace",
			databricks.Host{URL: f.workspace.Host()},
			client(f.manager),
			databrickstest.OpWorkspaceCreateSecret, databrickstest.OpWorkspaceListSecrets, databrickstest.OpWorkspaceDeleteSecret,
			databrickstest.OpWorkspaceListPrincipals, databrickstest.OpWorkspaceToken,
		},
	}
}

// account is the account level alone.
func (f *fleet) account() level { return f.levels(nil)[0] }

func (f *fleet) allowed() databricks.AllowedHosts {
	f.t.Helper()
	return allow(f.t, "https://*.cloud.databricks.com, http://127.0.0.1:*")
}

func allow(t *testing.T, patterns string) databricks.AllowedHosts {
	t.Helper()
	hosts, err := databricks.ParseAllowedHosts(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return hosts
}

// count is how many requests for an operation reached the simulator.
func (f *fleet) count(op string) int {
	n := 0
	for _, c := range f.Faults().Calls() {
		if c.Op == op {
			n++
		}
	}
	return n
}

// eachLevel runs a test at account and at workspace level.
func eachLevel(t *testing.T, run func(t *testing.T, f *fleet, l level)) {
	for i, name := range []string{"account", "workspace"} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			run(t, f, f.levels(nil)[i])
			if unknown := f.Unknown(); len(unknown) > 0 {
				t.Errorf("requests to routes that do not exist: %q", unknown)
			}
		})
	}
}

// tap counts what goes over a transport and may answer in its place.
type tap struct {
	next http.RoundTripper
	// answer may reply or fail; two nils let the request pass.
	answer func(*http.Request) (*http.Response, error)

	mu    sync.Mutex
	calls []string // method and path
	hosts map[string]int
}

func (p *tap) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.calls = append(p.calls, r.Method+" "+r.URL.Path)
	if p.hosts == nil {
		p.hosts = map[string]int{}
	}
	p.hosts[r.URL.Host]++
	p.mu.Unlock()
	if p.answer != nil {
		if resp, err := p.answer(r); resp != nil || err != nil {
			return resp, err
		}
	}
	return p.next.RoundTrip(r)
}

func (p *tap) count(method string, match func(path string) bool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, call := range p.calls {
		if len(call) > len(method) && call[:len(method)] == method && match(call[len(method)+1:]) {
			n++
		}
	}
	return n
}

const lifetime = 90*24*time.Hour - 12345*time.Second

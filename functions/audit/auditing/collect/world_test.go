package collect_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/collect"
	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/policy"
)

const day = 24 * time.Hour

// now is when the estate is looked at.
var now = time.Date(2027, 3, 1, 9, 0, 0, 0, time.UTC)

// world is a small estate with something of every kind in it.
type world struct {
	*estatetest.Estate
	t *testing.T
	// analytics and science are workspaces, closed is one that has failed.
	analytics, science, closed *databrickstest.Workspace

	ann, bob, gone       databrickstest.Person
	etl, report          *estatetest.Managed
	legacy               databrickstest.Principal
	platform, ops, local databrickstest.Group
	annToken, goneToken  databrickstest.Token
	botToken             databrickstest.Token
	legacySecret         databrickstest.OAuthSecret
	app, orphanApp       databrickstest.CustomApp
	published            databrickstest.PublishedApp
	policy               policy.Policy
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldAt(t, func() time.Time { return now })
}

func newWorldAt(t *testing.T, clock func() time.Time) *world {
	t.Helper()
	w := &world{Estate: estatetest.New(estatetest.Config{Now: clock}), t: t}
	s := w.Databricks
	s.ListExpired(true)
	w.analytics = w.Workspace
	w.science = s.AddWorkspace("science")
	w.closed = s.AddWorkspace("closed")
	w.closed.SetStatus("FAILED")
	s.Assign(w.Rotator.ID, w.science, true)

	w.ann = s.AddPerson(databrickstest.PersonSpec{UserName: "Ann@example.com", DisplayName: "Ann"})
	w.bob = s.AddPerson(databrickstest.PersonSpec{UserName: "bob@example.com", Inactive: true, AccountAdmin: true})
	w.gone = s.AddPerson(databrickstest.PersonSpec{UserName: "gone@example.com"})
	s.Assign(w.ann.ID, w.analytics, true)
	s.Assign(w.bob.ID, w.science, false)
	s.Assign(w.gone.ID, w.analytics, false)
	s.Entitle(w.ann.ID, w.analytics, "workspace-access", "databricks-sql-access")

	w.etl = w.register(estatetest.Registration{Name: "etl", AccountLevel: true, Scopes: []string{"jobs", "sql"}})
	w.report = w.register(estatetest.Registration{Name: "report"})
	w.legacy = s.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "legacy loader", Inactive: true})
	w.legacySecret = w.secret(w.legacy.ID, databrickstest.SecretSpec{NoExpiry: true, CreateTime: w.Now().Add(-400 * day)})
	w.secret(w.legacy.ID, databrickstest.SecretSpec{Lifetime: day, CreateTime: w.Now().Add(-2 * day)}) // expired

	// The legacy loader is in ops, ops in platform: platform is account admin
	// and admin of science.
	w.ops = s.AddGroup(databrickstest.GroupSpec{Name: "ops"})
	w.platform = s.AddGroup(databrickstest.GroupSpec{Name: "platform", AccountAdmin: true})
	s.AddMember(w.ops.ID, w.legacy.ID)
	s.AddMember(w.platform.ID, w.ops.ID)
	s.Assign(w.platform.ID, w.science, true)
	s.Assign(w.ops.ID, w.science, false)
	s.Entitle(w.ops.ID, w.science, "allow-cluster-create")
	w.local = s.AddGroup(databrickstest.GroupSpec{Name: "writers", Workspace: w.analytics})
	s.AddMember(w.local.ID, w.etl.Principal.ID)
	s.Entitle(w.local.ID, w.analytics, "databricks-sql-access")
	s.Entitle(w.etl.Principal.ID, w.analytics)

	s.GrantManager(w.ann.ID, w.legacy.ID)
	s.GrantManager(w.platform.ID, w.legacy.ID)
	s.GrantUser(w.bob.ID, w.legacy.ID)

	w.annToken = w.token(w.analytics, w.ann.ID, databrickstest.TokenSpec{
		Comment: "laptop", NoExpiry: true, CreateTime: w.Now().Add(-100 * day), LastUsed: w.Now().Add(-3 * day),
	})
	w.goneToken = w.token(w.analytics, w.gone.ID, databrickstest.TokenSpec{Lifetime: 90 * day})
	w.botToken = w.token(w.science, w.legacy.ID, databrickstest.TokenSpec{
		Lifetime: 30 * day, Scopes: []string{"sql"}, CreatedBy: w.ann.ID, Autoscope: databrickstest.AutoscopeCompleted,
		Inferred: []string{"sql", "jobs"}, Backfill: []string{"files", "jobs"},
	})
	w.token(w.science, w.bob.ID, databrickstest.TokenSpec{Lifetime: day, CreateTime: w.Now().Add(-2 * day)}) // expired
	s.DeletePerson(w.gone.ID)

	w.app = s.AddCustomApp(databrickstest.CustomApp{
		Name: "dashboards", Confidential: true, RedirectURLs: []string{"https://apps.example.com/back"}, Scopes: []string{"sql", "offline_access"},
		UserScopes: []string{"sql"}, CreatedBy: w.ann.ID,
		Access: &databrickstest.TokenAccess{AccessTTL: time.Hour, RefreshTTL: 7 * day, SingleUseRefresh: true},
	})
	w.orphanApp = s.AddCustomApp(databrickstest.CustomApp{Name: "left behind", Scopes: []string{"all-apis"}, CreatedBy: w.gone.ID})
	w.published = s.AddPublishedApp(databrickstest.PublishedApp{AppID: "databricks-cli", Name: "Databricks CLI", CreatedBy: w.bob.ID})

	w.policy = policy.Default()
	return w
}

func (w *world) register(r estatetest.Registration) *estatetest.Managed {
	w.t.Helper()
	m, err := w.Register(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func (w *world) secret(id int64, spec databrickstest.SecretSpec) databrickstest.OAuthSecret {
	w.t.Helper()
	o, err := w.Databricks.AddSecret(id, spec)
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

func (w *world) token(at *databrickstest.Workspace, owner int64, spec databrickstest.TokenSpec) databrickstest.Token {
	w.t.Helper()
	o, err := w.Databricks.AddToken(at, owner, spec)
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

// collector reads the world as the product does, through the real SDKs.
func (w *world) collector() *collect.Collector {
	return w.collectorOver(nil)
}

func (w *world) collectorOver(transport http.RoundTripper) *collect.Collector {
	return &collect.Collector{
		Databricks: w.Client(transport),
		Store:      managedsecret.Store{API: w.SecretsManager("audit")},
		Account:    databricks.Host{URL: w.Databricks.AccountHost(), AccountID: w.Databricks.AccountID()},
		Try:        true,
		Log:        slog.New(slog.DiscardHandler),
		Now:        w.Now,
	}
}

// collect takes an inventory and checks what must hold of every one.
func (w *world) collect(c *collect.Collector) *inventory.Inventory {
	w.t.Helper()
	return w.collectIn(w.t.Context(), c)
}

func (w *world) collectIn(ctx context.Context, c *collect.Collector) *inventory.Inventory {
	w.t.Helper()
	inv := c.Collect(ctx, w.policy)
	if unknown := w.Databricks.Unknown(); len(unknown) > 0 {
		w.t.Errorf("routes that do not exist: %q", unknown)
	}
	if unknown := w.AWS.Unknown(); len(unknown) > 0 {
		w.t.Errorf("AWS calls that do not exist: %q", unknown)
	}
	return inv
}

func id(n int64) string { return strconv.FormatInt(n, 10) }

func principal(t *testing.T, inv *inventory.Inventory, clientID string) inventory.Principal {
	t.Helper()
	i := slices.IndexFunc(inv.Principals, func(p inventory.Principal) bool { return p.ClientID == clientID })
	if i < 0 {
		t.Fatalf("service principal %s is not in the inventory", clientID)
	}
	return inv.Principals[i]
}

func token(t *testing.T, inv *inventory.Inventory, id string) inventory.Token {
	t.Helper()
	i := slices.IndexFunc(inv.Tokens, func(o inventory.Token) bool { return o.ID == id })
	if i < 0 {
		t.Fatalf("token %s is not in the inventory", id)
	}
	return inv.Tokens[i]
}

// gaps are the inventory's, as lines.
func gaps(inv *inventory.Inventory) []string {
	var all []string
	for _, g := range inv.Gaps {
		all = append(all, fmt.Sprintf("%s: %s: %s", g.Where, g.What, g.Why))
	}
	return all
}

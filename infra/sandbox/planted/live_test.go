package planted_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"databricks-credential-rotation/functions/audit/auditing"
	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/functions/audit/auditing/prune"
	"databricks-credential-rotation/functions/audit/auditing/usage"
	"databricks-credential-rotation/infra/sandbox/stage"
	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/secret"
)

// meanwhile has something happen between the look and the deletion.
type meanwhile struct {
	auditing.Collector
	happens func(*inventory.Inventory)
}

func (m meanwhile) Collect(ctx context.Context, p policy.Policy) *inventory.Inventory {
	inv := m.Collector.Collect(ctx, p)
	m.happens(inv)
	return inv
}

// secondAudit has given notice of everything, and is about to act while
// something happens. Logless, the usage log answers no question twice.
func secondAudit(t *testing.T, logless bool, happens func(c *company, inv *inventory.Inventory)) (*company, error) {
	t.Helper()
	c := open(t)
	if err := errors.Join(c.Enforce(day), c.MendBroken()); err != nil {
		t.Fatal(err)
	}
	c.audit(t)
	c.at(29 * day)
	if logless {
		c.UsageLog = &forgetful{Log: c.UsageLog, asked: map[string]bool{}}
	}
	c.Collector = meanwhile{c.Collector, func(inv *inventory.Inventory) { happens(c, inv) }}
	_, err := c.Handle(t.Context(), json.RawMessage(`{"action":"audit"}`))
	return c, err
}

// forgotten is the OAuth secret that nobody uses, and its principal.
func (c *company) forgotten(inv *inventory.Inventory) (inventory.Principal, string) {
	for _, p := range inv.Principals {
		for _, s := range p.Secrets {
			if slices.Contains(c.Stale, s.ID) {
				return p, s.ID
			}
		}
	}
	return inventory.Principal{}, ""
}

// Invariant 9: what was used, removed or taken over after the look is told
// apart just before the deletion, from both clouds.
func TestLooksAgainLive(t *testing.T) {
	adopted := ""
	c, err := secondAudit(t, false, func(c *company, inv *inventory.Inventory) {
		c.clouds.Databricks.UseToken(c.Stale[1], c.clouds.Clock.Now(), "sql")
		c.clouds.Databricks.DeleteToken(c.Stale[2])
		p, id := c.forgotten(inv)
		adopted = id
		value, err := credential.Credential{
			Host: c.clouds.Databricks.AccountHost(), AccountID: c.clouds.Databricks.AccountID(), ClientID: p.ClientID, OAuthSecretID: id, ClientSecret: secret.New("doseWhateverItIs"),
		}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.clouds.AWS.CreateSecret("databricks/adopted", value.Reveal(), map[string]string{managedsecret.TagKey: managedsecret.TagValue}); err != nil {
			t.Fatal(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	results := map[string]prune.Result{}
	for _, a := range c.report.Prune.Actions() {
		results[a.Subject.ID] = a.Result
	}
	for id, want := range map[string]prune.Result{c.Stale[1]: prune.InUse, c.Stale[2]: prune.Gone, adopted: prune.Protected, c.Stale[3]: prune.Removed} {
		if results[id] != want {
			t.Errorf("%s is %q, want %q", id, results[id], want)
		}
	}
}

// forgetful is a usage log that answers each question once.
type forgetful struct {
	usage.Log
	mu    sync.Mutex
	asked map[string]bool
}

func (f *forgetful) Query(ctx context.Context, w databricks.Warehouse, s databricks.Statement) (databricks.Table, error) {
	f.mu.Lock()
	again := f.asked[s.Name]
	f.asked[s.Name] = true
	f.mu.Unlock()
	if again {
		return databricks.Table{}, errors.New("the warehouse is stopped")
	}
	return f.Log.Query(ctx, w, s)
}

// What cannot be looked at again stays: neither Secrets Manager nor the usage
// log can be asked.
func TestCannotLookAgain(t *testing.T) {
	for name, spoil := range map[string]func(c *company){
		"secrets": func(c *company) {
			c.clouds.AWS.SetAuthorizer(func(_ context.Context, a awstest.Access) error {
				if a.Caller == c.clouds.AWS.RoleARN(stage.AuditRole) && a.Action == "secretsmanager:GetSecretValue" {
					return errors.New("no policy allows it")
				}
				return nil
			})
		},
		"log": func(*company) {},
	} {
		t.Run(name, func(t *testing.T) {
			unseen := ""
			c, err := secondAudit(t, name == "log", func(c *company, inv *inventory.Inventory) {
				_, unseen = c.forgotten(inv)
				spoil(c)
			})
			if err == nil || unseen == "" || !strings.Contains(err.Error(), unseen+": not removed, for it could not be looked at again") {
				t.Errorf("error %v, want that %s could not be looked at", err, unseen)
			}
			if c.report.Prune.Count(prune.Failed) != 1 || c.report.Prune.Count(prune.Removed) != len(c.Stale)-1 {
				t.Errorf("%v", c.report.Prune.Done.Counts)
			}
		})
	}
}

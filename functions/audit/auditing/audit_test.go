package auditing_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/audit/auditing"
	"databricks-credential-rotation/functions/audit/auditing/history"
	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/functions/audit/auditing/prune"
	"databricks-credential-rotation/functions/audit/auditing/report"
	"databricks-credential-rotation/functions/audit/auditing/rule"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/trail"
)

const (
	day  = 24 * time.Hour
	host = "https://dbc-1a2b.cloud.databricks.com"
)

var now = time.Date(2026, 6, 1, 6, 0, 0, 0, time.UTC)

// world is an estate of one stale token in one workspace, and all that an
// auditor works with.
type world struct {
	*auditing.Auditor
	policy     policy.Policy
	policyErr  error
	last       []byte
	publishErr error
	published  []*report.Report
	token      inventory.Token
	deleteErr  error
	deleted    int
	gaps       []inventory.Gap
	trail      []trail.Entry
}

// document is a report in memory.
type document struct{ *bytes.Reader }

func (document) Close() error { return nil }

func newWorld() *world {
	p := policy.Default()
	p.Prune.Mode, p.Prune.Notice = policy.Enforce, day
	w := &world{policy: p, token: inventory.Token{
		ID: "t1", Workspace: 1, Owner: "ann@example.com", CreatedAt: now.Add(-80 * day), ExpiresAt: now.Add(9 * day), LastUsedAt: now.Add(-61 * day), Scopes: []string{"sql"},
	}}
	w.Auditor = &auditing.Auditor{
		Policy:    func(context.Context) (policy.Policy, error) { return w.policy, w.policyErr },
		Collector: w, History: w, Publisher: w, Trail: w,
		Rotator: func(context.Context) (string, error) { return "0c5e3a1f-7d24-4c8e-9b6a-1f2e3d4c5b6a", nil },
		Live:    auditing.Live{Databricks: w, Store: w}, Place: rule.Place{}, Deployment: "test", Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return now },
	}
	return w
}

func (w *world) Collect(context.Context, policy.Policy) *inventory.Inventory {
	return &inventory.Inventory{
		TakenAt: now, Workspaces: []inventory.Workspace{{ID: 1, Name: "sales", Host: host}}, Tokens: []inventory.Token{w.token}, Gaps: w.gaps,
		People:     []inventory.Person{{UserName: "ann@example.com", Active: true}},
		Principals: []inventory.Principal{{ID: "7", ClientID: "c", Active: true, Secrets: []inventory.OAuthSecret{{ID: "s", CreatedAt: now.Add(-70 * day), ExpiresAt: now.Add(100 * day), Scopes: []string{"sql"}}}}},
	}
}

func (w *world) Last(context.Context) (history.Document, error) {
	if w.last == nil {
		return nil, nil
	}
	return document{bytes.NewReader(w.last)}, nil
}

func (w *world) Publish(_ context.Context, r *report.Report) (string, error) {
	w.published = append(w.published, r)
	if w.publishErr == nil {
		w.last, _ = report.Encode(r)
	}
	return "s3://b/r", w.publishErr
}

func (w *world) Record(_ context.Context, e trail.Entry) error {
	w.trail = append(w.trail, e)
	return nil
}

func (w *world) List(context.Context) iter.Seq2[managedsecret.Secret, error] {
	return func(func(managedsecret.Secret, error) bool) {}
}

func (w *world) CurrentVersions(context.Context, []string) (map[string]managedsecret.Version, map[string]error) {
	return nil, nil
}

func (w *world) Versions(context.Context, string) ([]managedsecret.Version, error) { return nil, nil }

func (w *world) Version(context.Context, string, string) (managedsecret.Version, error) {
	return managedsecret.Version{}, managedsecret.ErrNotFound
}

func (w *world) Token(_ context.Context, at databricks.Host, id string) (databricks.Token, error) {
	if at.URL != host || id != w.token.ID || w.deleted > 0 {
		return databricks.Token{}, databricks.ErrNotFound
	}
	return databricks.Token{ID: id, CreateTime: w.token.CreatedAt, ExpireTime: w.token.ExpiresAt, LastUsed: w.token.LastUsedAt, Scopes: w.token.Scopes}, nil
}

func (w *world) DeleteToken(context.Context, databricks.Host, string) error {
	if w.deleteErr == nil {
		w.deleted++
	}
	return w.deleteErr
}

func (w *world) SetTokenScopes(context.Context, databricks.Host, string, []string) error { return nil }

func (w *world) ListSecrets(context.Context, databricks.Host, string) ([]databricks.OAuthSecret, error) {
	return nil, nil
}

func (w *world) DeleteSecret(context.Context, databricks.Host, string, string) error { return nil }

// due has the world at its second audit, where the token is to go.
func due(t *testing.T) *world {
	t.Helper()
	w := newWorld()
	w.Now = func() time.Time { return now }
	if _, err := w.Audit(t.Context(), auditing.Request{}); err != nil {
		t.Fatal(err)
	}
	// The notice was given two days ago.
	r, err := report.Decode(w.last)
	if err != nil {
		t.Fatal(err)
	}
	for i := range r.Prune.Plan.Items {
		r.Prune.Plan.Items[i].NoticedAt = now.Add(-2 * day)
	}
	if w.last, err = report.Encode(r); err != nil {
		t.Fatal(err)
	}
	w.published = nil
	return w
}

func TestAuditPrunesAndPublishes(t *testing.T) {
	w := due(t)
	answer, err := w.Handle(t.Context(), json.RawMessage(`{"action":"audit","asked_by":"ann"}`))
	if err != nil {
		t.Fatal(err)
	}
	if w.deleted != 1 || answer.Prune.Results[prune.Removed] != 1 || answer.Report != "s3://b/r" || answer.Resolved != 0 {
		t.Errorf("%d deleted, %+v", w.deleted, answer)
	}
	if len(w.trail) != 2 || w.trail[0].RequestedBy != "ann" || w.trail[0].Door != "audit" || w.trail[0].Host != host || w.trail[0].User != "ann@example.com" {
		t.Errorf("trail %+v", w.trail)
	}
	if len(w.published) != 1 || w.published[0].AskedBy != "ann" || w.published[0].Previous == "" {
		t.Errorf("published %+v", w.published)
	}
}

// A bad policy stops the audit before it has looked at anything.
func TestBadPolicy(t *testing.T) {
	w := due(t)
	w.policyErr = errors.New("line 3: prune.mode: must be report or enforce")
	_, err := w.Audit(t.Context(), auditing.Request{})
	if err == nil || !strings.Contains(err.Error(), "nothing was audited, and nothing changed: line 3") {
		t.Errorf("error %v", err)
	}
	if w.deleted+len(w.published) > 0 {
		t.Error("something was done under a bad policy")
	}
}

// Invariant 10: what fails is named, and stops nothing else.
func TestFailuresAreNamed(t *testing.T) {
	w := due(t)
	w.deleteErr = databricks.ErrDenied
	_, err := w.Audit(t.Context(), auditing.Request{})
	if err == nil || !strings.Contains(err.Error(), "prune: t1: the rotator was denied") || len(w.published) != 1 {
		t.Errorf("%d published, error %v", len(w.published), err)
	}

	w = due(t)
	w.publishErr = errors.New("SNS: denied")
	_, err = w.Audit(t.Context(), auditing.Request{})
	if err == nil || !strings.Contains(err.Error(), "publish: SNS: denied") || w.deleted != 1 {
		t.Errorf("%d deleted, error %v", w.deleted, err)
	}
}

// Without the last report nobody has been given notice, so nothing is removed.
func TestForgottenReport(t *testing.T) {
	w := due(t)
	w.last = []byte("{")
	answer, err := w.Audit(t.Context(), auditing.Request{})
	if err != nil || w.deleted > 0 || answer.Prune.Notice != 1 {
		t.Errorf("%d deleted, %+v, %v", w.deleted, answer, err)
	}
	if gaps := w.published[0].Gaps; !slices.ContainsFunc(gaps, func(g report.Gap) bool { return g.Part == report.PartAudit }) {
		t.Errorf("gaps %+v", gaps)
	}
}

// Gaps say in which part of the estate they are, and without a warehouse
// nobody is taken for unused.
func TestGaps(t *testing.T) {
	w := newWorld()
	w.gaps = []inventory.Gap{{Where: host, What: "tokens", Why: "x"}, {Where: "AWS Secrets Manager", What: "list", Why: "x"}, {Where: "account 7c1f", What: "apps", Why: "x"}}
	if _, err := w.Audit(t.Context(), auditing.Request{}); err != nil {
		t.Fatal(err)
	}
	parts := map[string]report.Part{}
	usage := 0
	for _, g := range w.published[0].Gaps {
		if g.Part == report.PartUsage {
			usage++
			continue
		}
		parts[g.What] = g.Part
	}
	if diff := cmp.Diff(map[string]report.Part{"tokens": report.PartWorkspace, "list": report.PartAWS, "apps": report.PartAccount}, parts); diff != "" || usage == 0 {
		t.Errorf("%d gaps of usage; parts (-want +got):\n%s", usage, diff)
	}
	for _, f := range w.published[0].Findings {
		if f.Rule == "principal-unused" || f.Rule == "secret-scopes-unused" {
			t.Errorf("%s was found without a log", f.Rule)
		}
	}
}

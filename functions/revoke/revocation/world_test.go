package revocation_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"databricks-credential-rotation/functions/revoke/revocation"
	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/secret"
	"databricks-credential-rotation/shared/trail"
)

const (
	hour = time.Hour
	day  = 24 * hour
)

// world is an estate with rotation and revocation at work in it, under the
// real SDKs and in virtual time.
type world struct {
	*estatetest.Estate
	t       *testing.T
	policy  policy.Policy
	engine  *rotation.Engine // of rotate
	revoker *revocation.Revoker
	log     *estatetest.Log
	// replacing is the revoker's own engine.
	replacing *rotation.Engine
	told      []string
	entries   []trail.Entry
	// untold makes the topic fail, and unwritten the trail from that entry on.
	untold    error
	unwritten error

	found []estatetest.Violation
	mu    sync.Mutex
}

func inWorld(t *testing.T, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		f(w)
		w.checkEnd()
	})
}

func newWorld(t *testing.T) *world {
	w := &world{
		Estate: estatetest.New(estatetest.Config{Seed: 1}), t: t, log: &estatetest.Log{},
		policy: policy.Policy{Interval: 30 * day, Grace: day, Lifetime: 90 * day},
	}
	w.engine, w.revoker = w.wire(w.Client(nil))
	w.replacing, _ = w.revoker.Engine.(*rotation.Engine)
	w.Databricks.Faults().OnCall(w.sample, w.sample)
	w.AWS.Faults().OnCall(w.sample, w.sample)
	return w
}

// wire makes what a process of rotate has, and one of revoke.
func (w *world) wire(client *databricks.Client, options ...func(*secretsmanager.Options)) (*rotation.Engine, *revocation.Revoker) {
	log := slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	client.Patience = 6 * time.Second
	store := managedsecret.Store{API: w.SecretsManager("revoke", options...)}
	engine := rotation.Engine{
		Store: store, Databricks: client, Allowed: estatetest.Allowed(),
		Policy: func(context.Context) (policy.Policy, error) { return w.policy, nil },
		Trail:  w, Log: log,
	}
	sweeping := engine
	sweeping.Store.API = w.SecretsManager("rotate", options...)
	return &sweeping, &revocation.Revoker{
		Store: store, Databricks: client, Engine: &engine, Allowed: estatetest.Allowed(),
		Rotator: func(context.Context) (string, error) { return w.Rotator.ApplicationID, nil },
		Trail:   w, Announce: w, Log: log,
	}
}

// Record is the trail.
func (w *world) Record(_ context.Context, e trail.Entry) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unwritten != nil {
		return w.unwritten
	}
	w.entries = append(w.entries, e)
	return nil
}

// Announce is the topic.
func (w *world) Announce(_ context.Context, subject, text string) error {
	if w.untold == nil {
		w.told = append(w.told, subject+"\n"+text)
	}
	return w.untold
}

func (w *world) sample(faulttest.Call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if found := w.Sample(w.policy.Grace); len(w.found) < 10 {
		w.found = append(w.found, found...)
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) register(r estatetest.Registration) *estatetest.Managed {
	w.t.Helper()
	m, err := w.Register(w.t.Context(), r)
	w.must(err)
	return m
}

// rotated is a managed secret with a current credential of ours and a
// predecessor in grace.
func (w *world) rotated(name string) *estatetest.Managed {
	w.t.Helper()
	m := w.register(estatetest.Registration{Name: name, AccountLevel: true})
	w.sweep("")
	time.Sleep(w.policy.Interval)
	w.sweep("")
	time.Sleep(hour)
	return m
}

func (w *world) sweep(wantErr string) {
	w.t.Helper()
	_, err := w.engine.Sweep(w.t.Context(), true, false)
	switch {
	case wantErr == "" && err != nil:
		w.t.Fatalf("sweep: %v", err)
	case wantErr != "" && (err == nil || !strings.Contains(err.Error(), wantErr)):
		w.t.Fatalf("sweep: %v does not say %q", err, wantErr)
	}
	if err != nil {
		_, _ = w.log.Write([]byte(err.Error()))
	}
}

func (w *world) current(m *estatetest.Managed) credential.Credential {
	w.t.Helper()
	v, _ := w.AWS.Current(m.Name)
	c, err := credential.Parse(secret.New(v.Value))
	w.must(err)
	return c
}

func (w *world) works(m *estatetest.Managed, value secret.Text) bool {
	return w.Databricks.Authenticates(m.Principal.ApplicationID, value.Reveal())
}

// ids are the principal's live OAuth secrets.
func (w *world) ids(m *estatetest.Managed) []string {
	var ids []string
	for _, s := range w.Databricks.Secrets(m.Principal.ID) {
		ids = append(ids, s.ID)
	}
	return ids
}

// expect tells the estate what a request may do.
func (w *world) expect(req revocation.Request, secrets ...*estatetest.Managed) {
	for _, m := range secrets {
		switch req.Mode {
		case revocation.Replace:
			w.Releasing(m)
			w.Replacing(m)
		case revocation.Release:
			w.Releasing(m)
		default:
			w.Revoking(m)
		}
	}
}

// revoke sends a request about some managed secrets. It fails the test unless
// everything was done.
func (w *world) revoke(req revocation.Request, secrets ...*estatetest.Managed) *revocation.Reply {
	w.t.Helper()
	req.Reason = "seen in a log"
	if !req.DryRun {
		w.expect(req, secrets...)
	}
	var values [][]string
	for _, m := range secrets {
		values = append(values, w.Values(m))
	}
	reply, err := w.revoker.Revoke(w.t.Context(), req)
	w.must(err)
	if len(reply.Failures) > 0 {
		w.t.Fatalf("not complete:\n%s", reply.Text())
	}
	_, _ = w.log.Write([]byte(reply.Text()))
	for n, m := range secrets {
		if !req.DryRun && !req.One() {
			w.Killed(m, req.Mode == revocation.Revoke || req.Mode == revocation.Lockout, values[n]...)
		}
	}
	return reply
}

// refuse sends a request that must be refused, and changes nothing.
func (w *world) refuse(req revocation.Request, want string) {
	w.t.Helper()
	req.Reason = "seen in a log"
	w.ResetCalls()
	before := len(w.entries)
	reply, err := w.revoker.Revoke(w.t.Context(), req)
	if err == nil {
		w.t.Fatalf("it was not refused:\n%s", reply.Text())
	}
	if !strings.Contains(err.Error(), want) {
		w.t.Errorf("error %q does not say %q", err, want)
	}
	if !strings.HasSuffix(err.Error(), "; nothing was changed") {
		w.t.Errorf("error %q does not say that nothing was changed", err)
	}
	if changes := w.Changes(); len(changes) > 0 || len(w.entries) > before {
		w.t.Errorf("a refused request changes something: %v", changes)
	}
}

func (w *world) checkEnd() {
	w.t.Helper()
	for _, v := range w.found {
		w.t.Error(v)
	}
	if unknown := slices.Concat(w.Databricks.Unknown(), w.AWS.Unknown()); len(unknown) > 0 {
		w.t.Errorf("calls that the simulators do not know: %v", unknown)
	}
	// Invariant 6.
	if n := w.Leaks(w.log.String() + strings.Join(w.told, "")); n > 0 {
		w.t.Errorf("%d secrets are in log or messages", n)
	}
}

// actions of a reply's steps, with their outcomes if they were not done.
func actions(reply *revocation.Reply) []string {
	var all []string
	for _, s := range reply.Steps {
		text := string(s.Action) + " " + s.What
		if s.Outcome != revocation.Done && s.Outcome != revocation.Planned {
			text += ": " + string(s.Outcome)
		}
		all = append(all, text)
	}
	return all
}

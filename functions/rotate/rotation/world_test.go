package rotation_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/secret"
	"databricks-credential-rotation/shared/trail"
)

// world is an estate with the engine at work in it, under the real SDKs and
// in virtual time.
type world struct {
	*estatetest.Estate
	t      *testing.T
	engine *rotation.Engine
	policy policy.Policy
	log    *estatetest.Log

	// found is what a consumer that looks between any two calls has found.
	found []estatetest.Violation
	look  sync.Mutex
}

// inWorld runs a test in a bubble of virtual time: sleeping costs nothing, and
// a quarter's rotations take a moment.
func inWorld(t *testing.T, f func(w *world)) {
	t.Helper()
	inWorldOf(t, estatetest.Config{Seed: 1}, f)
}

func inWorldOf(t *testing.T, cfg estatetest.Config, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cfg) // its t is the bubble's, and so is that t's context
		f(w)
		w.checkEnd()
	})
}

func newWorld(t *testing.T, cfg estatetest.Config) *world {
	w := &world{Estate: estatetest.New(cfg), t: t, policy: testPolicy, log: &estatetest.Log{}}
	w.engine = w.newEngine()
	w.AWS.SetFunction(functionARN, w.invoke)
	w.Databricks.Faults().OnCall(w.sample, w.sample)
	w.AWS.Faults().OnCall(w.sample, w.sample)
	return w
}

// sample is the consumer. It looks before and after every call.
func (w *world) sample(faulttest.Call) {
	w.look.Lock()
	defer w.look.Unlock()
	found := w.Sample(w.policy.Grace)
	if len(w.found) < 10 {
		w.found = append(w.found, found...)
	}
}

const functionARN = "arn:aws:lambda:eu-west-1:123456789012:function:rotate"

// newEngine is what a cold start makes.
func (w *world) newEngine() *rotation.Engine {
	log := slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return &rotation.Engine{
		Store:      managedsecret.Store{API: w.SecretsManager("rotate")},
		Databricks: w.Client(nil),
		Allowed:    estatetest.Allowed(),
		Policy:     func(context.Context) (policy.Policy, error) { return w.policy, nil },
		Trail:      trail.Log{Logger: log},
		Log:        log,
	}
}

// invoke is Lambda: payload in, answer out.
func (w *world) invoke(ctx context.Context, payload []byte) ([]byte, error) {
	answer, err := w.engine.Handle(ctx, payload)
	if err != nil {
		w.log.WriteString(err.Error() + "\n")
		return nil, err
	}
	return json.Marshal(answer)
}

// sweep runs a sweep and returns its report; it fails the test unless the
// error is as wanted: "" for none.
func (w *world) sweep(wantErr string) *rotation.Report {
	w.t.Helper()
	report, err := w.engine.Sweep(w.t.Context(), false, false)
	w.checkErr(err, wantErr)
	return report
}

func (w *world) reconcile() {
	w.t.Helper()
	_, err := w.engine.Sweep(w.t.Context(), true, false)
	w.checkErr(err, "")
}

func (w *world) checkErr(err error, want string) {
	w.t.Helper()
	if err != nil {
		w.log.WriteString(err.Error() + "\n")
	}
	switch {
	case want == "" && err != nil:
		w.t.Fatalf("unexpected error: %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		w.t.Fatalf("error %v does not say %q", err, want)
	}
}

func (w *world) register(r estatetest.Registration) *estatetest.Managed {
	w.t.Helper()
	m, err := w.Register(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// current is what a reader gets.
func (w *world) current(m *estatetest.Managed) credential.Credential {
	w.t.Helper()
	v, ok := w.AWS.Current(m.Name)
	if !ok {
		w.t.Fatalf("%s has no AWSCURRENT", m.Name)
	}
	c, err := credential.Parse(secret.New(v.Value))
	if err != nil {
		w.t.Fatalf("%s: %v", m.Name, err)
	}
	return c
}

// put is a person who writes a value.
func (w *world) put(m *estatetest.Managed, value string) {
	w.t.Helper()
	w.must(w.tryPut(m, value))
}

func (w *world) tryPut(m *estatetest.Managed, value string) error {
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	_, err := w.SecretsManager("operator").PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &m.Name, SecretString: &value})
	return err
}

// edit is a person who changes one key of a value, or removes it.
func (w *world) edit(m *estatetest.Managed, key, value string) {
	w.t.Helper()
	w.must(w.tryEdit(m, key, value))
}

func (w *world) tryEdit(m *estatetest.Managed, key, value string) error {
	v, _ := w.AWS.Current(m.Name)
	var members map[string]any
	if err := json.Unmarshal([]byte(v.Value), &members); err != nil {
		return err
	}
	if members[key] = value; value == "" {
		delete(members, key)
	}
	text, err := json.Marshal(members)
	if err != nil {
		return err
	}
	return w.tryPut(m, string(text))
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// ids are the live OAuth secrets of a principal, oldest first.
func (w *world) ids(m *estatetest.Managed) []string {
	var ids []string
	for _, s := range w.Databricks.Secrets(m.Principal.ID) {
		ids = append(ids, s.ID)
	}
	return ids
}

func (w *world) check(violations []estatetest.Violation) {
	w.t.Helper()
	for _, v := range violations {
		w.t.Error(v)
	}
}

// settled checks every invariant at a moment of rest.
func (w *world) settled() {
	w.t.Helper()
	w.check(w.Settled(w.policy.Grace))
}

// checkEnd holds at the end of every test: no simulator met its edge, and no
// secret is in any log line or error (invariant 6).
func (w *world) checkEnd() {
	w.t.Helper()
	w.check(w.found)
	if unknown := slices.Concat(w.Databricks.Unknown(), w.AWS.Unknown()); len(unknown) > 0 {
		w.t.Errorf("calls that the simulators do not know: %v", unknown)
	}
	if n := w.Leaks(w.log.String()); n > 0 {
		w.t.Errorf("%d secrets are in the log", n)
	}
}

// calls counts the calls that the rotator made since the last reset, by
// operation.
func (w *world) calls() map[string]int {
	counts := map[string]int{}
	for _, c := range slices.Concat(w.Databricks.Faults().Calls(), w.AWS.Faults().Calls()) {
		counts[c.Op]++
	}
	return counts
}

// moveCurrentBack is a person who undoes a rotation.
func (w *world) moveCurrentBack(m *estatetest.Managed) {
	w.t.Helper()
	current, _ := w.AWS.Current(m.Name)
	previous, _ := w.AWS.Labelled(m.Name, managedsecret.Previous)
	w.moveLabel(m, managedsecret.Current, current.ID, previous.ID)
}

func (w *world) moveLabel(m *estatetest.Managed, label, from, to string) {
	w.t.Helper()
	_, err := w.SecretsManager("operator").UpdateSecretVersionStage(w.t.Context(), &secretsmanager.UpdateSecretVersionStageInput{
		SecretId: &m.Name, VersionStage: &label, RemoveFromVersionId: &from, MoveToVersionId: &to,
	})
	w.must(err)
}

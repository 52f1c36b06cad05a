package rotation_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/trail"
)

// The crash matrix: for each door, for each call that a rotation makes, for
// each way in which that call can fail. The calls are recorded from a run
// without faults, not listed by hand. After the fault, runs are repeated until
// they are quiet, while a consumer looks between any two calls.

// process is one Lambda instance with an engine.
type process struct {
	*estatetest.Process
	engine *rotation.Engine
}

// start makes an engine that runs in a process of its own.
func (w *world) start() *process {
	p := &process{w.StartProcess(w.t.Context(), 15*time.Minute), w.newEngine()}
	p.engine.Databricks = w.Client(p.Transport(w.Databricks.Transport()))
	p.engine.Store = managedsecret.Store{API: w.SecretsManager("rotate", func(o *secretsmanager.Options) {
		o.HTTPClient = &http.Client{Transport: p.Transport(w.AWS.Transport())}
	})}
	return p
}

// startWhole is start with the policy and the trail in S3. Only the run that is
// disturbed has them there: those after it are many, and are faster so.
func (w *world) startWhole() *process {
	p := w.start()
	cfg := w.AWS.Config()
	cfg.Credentials, cfg.HTTPClient = w.AWS.Role("rotate"), &http.Client{Transport: p.Transport(w.AWS.Transport())}
	objects := s3.NewFromConfig(cfg)
	p.engine.Policy = policy.Open(objects, dataBucket, policyKey, p.engine.Log).Read
	p.engine.Trail = trail.Open(objects, dataBucket, w.Rotator.ApplicationID, p.engine.Log)
	return p
}

const (
	dataBucket = "data"
	policyKey  = "policy.yaml"
)

// storePolicy puts the world's policy into S3.
func (w *world) storePolicy() {
	w.t.Helper()
	if err := w.AWS.CreateBucket(dataBucket, true); err != nil {
		w.t.Fatal(err)
	}
	document, err := w.policy.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = s3.NewFromConfig(w.AWS.Config()).PutObject(w.t.Context(), &s3.PutObjectInput{
		Bucket: aws.String(dataBucket), Key: aws.String(policyKey), Body: bytes.NewReader(document),
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// untold are the changes that the trail in S3 does not announce. The faults of
// a call tell whether it was carried out.
func (w *world) untold() []string {
	objects, err := w.AWS.Objects(dataBucket)
	if err != nil {
		w.t.Fatal(err)
	}
	announced := map[string]int{}
	for key, body := range objects {
		if strings.HasPrefix(key, trail.Prefix) && bytes.Contains(body, []byte(`"phase":"before"`)) {
			var e struct{ Action string }
			if err := json.Unmarshal(body, &e); err != nil {
				w.t.Fatal(err)
			}
			announced[e.Action]++
		}
		if n := w.Leaks(string(body)); n > 0 {
			w.t.Errorf("%s holds %d secrets", key, n)
		}
	}
	made := map[string]int{}
	for _, c := range w.Databricks.Faults().Calls() {
		if slices.Contains([]faulttest.Kind{faulttest.RequestLost, faulttest.Throttled, faulttest.ServerError, faulttest.Timeout, faulttest.Kill}, c.Fault) {
			continue
		}
		switch c.Op {
		case databrickstest.OpAccountCreateSecret, databrickstest.OpWorkspaceCreateSecret:
			made["issue"]++
		case databrickstest.OpAccountDeleteSecret, databrickstest.OpWorkspaceDeleteSecret:
			made["delete"]++
		}
	}
	// A delete whose reply was lost is sent again under the same entry.
	for _, c := range w.Databricks.Faults().Calls() {
		if c.Fault == faulttest.ReplyLost && strings.HasPrefix(c.Op, "DELETE") {
			made["delete"]--
		}
	}
	var untold []string
	if made["issue"] > announced["issue"] {
		untold = append(untold, fmt.Sprintf("%d creates, %d announced", made["issue"], announced["issue"]))
	}
	if deletes := announced["retire"] + announced["discard"]; made["delete"] > deletes {
		untold = append(untold, fmt.Sprintf("%d deletes, %d announced", made["delete"], deletes))
	}
	return untold
}

// scenario is a secret in a state in which a run has something to do.
type scenario struct {
	name    string
	prepare func(w *world) *estatetest.Managed
}

var scenarios = []scenario{
	{"due with a predecessor to retire", func(w *world) *estatetest.Managed {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true})
		w.sweep("")
		time.Sleep(w.policy.Interval)
		w.sweep("")
		time.Sleep(w.policy.Interval)
		return m
	}},
	{"scoped, due", func(w *world) *estatetest.Managed {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true, Scopes: []string{"jobs", "sql"}})
		w.sweep("")
		time.Sleep(w.policy.Interval)
		return m
	}},
	{"fresh at workspace level", func(w *world) *estatetest.Managed {
		return w.register(estatetest.Registration{Name: "etl", Fresh: true, Bare: true})
	}},
	{"registered by a person", func(w *world) *estatetest.Managed {
		return w.register(estatetest.Registration{Name: "etl", Bare: true})
	}},
	{"put back by a person without its id", func(w *world) *estatetest.Managed {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true})
		w.sweep("")
		time.Sleep(w.policy.Interval)
		w.sweep("")
		w.must(w.RewriteByHand(w.t.Context(), m))
		return m
	}},
	{"rolled back by a person, who leaves the id", func(w *world) *estatetest.Managed {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true})
		w.sweep("")
		time.Sleep(w.policy.Interval)
		w.sweep("")
		time.Sleep(w.policy.Grace / 3)
		w.must(w.RollBackByHand(w.t.Context(), m, w.policy.Grace))
		time.Sleep(w.policy.Grace)
		return m
	}},
	{"full but for one", func(w *world) *estatetest.Managed {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true})
		w.sweep("")
		time.Sleep(w.policy.Grace + time.Hour)
		w.sweep("")
		for range 3 {
			w.MakeByHand(m, 365*day)
		}
		time.Sleep(w.policy.Interval)
		return m
	}},
}

// door is a way in.
type door struct {
	name string
	run  func(p *process, m *estatetest.Managed) error
	// again tells that a failure is repeated by the door itself, not only
	// mended by the next sweep.
	again bool
}

var doors = []door{
	{"sweep", func(p *process, _ *estatetest.Managed) error { return p.sweep(false) }, false},
	{"reconcile", func(p *process, _ *estatetest.Managed) error { return p.sweep(true) }, false},
	{"direct", func(p *process, m *estatetest.Managed) error { return p.rotate(m) }, false},
	{"protocol", func(p *process, m *estatetest.Managed) error { return p.protocol(m, stepToken) }, true},
}

func (p *process) sweep(check bool) error {
	_, err := p.engine.Sweep(p.Ctx, check, false)
	return err
}

func (p *process) rotate(m *estatetest.Managed) error {
	_, err := p.engine.Handle(p.Ctx, []byte(`{"action":"rotate","secrets":["`+m.Name+`"],"force":true}`))
	return err
}

func (p *process) protocol(m *estatetest.Managed, token string) error {
	for _, step := range []rotation.Step{rotation.CreateSecret, rotation.SetSecret, rotation.TestSecret, rotation.FinishSecret} {
		err := p.engine.RunStep(p.Ctx, rotation.StepRequest{Step: step, SecretID: m.ARN, Token: token})
		if err != nil {
			return err
		}
	}
	return nil
}

// crashCase is one cell of the matrix.
type crashCase struct {
	estatetest.Cell
	scenario scenario
	door     door
}

func (c crashCase) String() string {
	return fmt.Sprintf("%s, %s, %v", c.door.name, c.scenario.name, c.Cell)
}

// crashCases records the calls of an undisturbed run and crosses them with
// the faults.
func crashCases(t *testing.T) []crashCase {
	var cases []crashCase
	for _, s := range scenarios {
		for _, d := range doors {
			inWorld(t, func(w *world) {
				m := s.prepare(w)
				w.storePolicy()
				w.ResetCalls()
				p := w.startWhole()
				defer p.End()
				if err := d.run(p, m); err != nil {
					t.Fatalf("%s, %s: %v", d.name, s.name, err)
				}
				for _, cell := range w.Cells(faulttest.Fault{Kind: faulttest.Throttled, RetryAfter: 2 * time.Second}) {
					cases = append(cases, crashCase{cell, s, d})
				}
			})
		}
	}
	return cases
}

func TestCrashMatrix(t *testing.T) {
	cases := crashCases(t)
	if testing.Short() {
		cases = slices.DeleteFunc(cases, func(c crashCase) bool { return c.Fault.Times == faulttest.Forever })
	}
	estatetest.PlayMatrix(t, cases, *crashEvery, runCrashCase)
}

func runCrashCase(t *testing.T, c crashCase) []estatetest.Violation {
	w := newWorld(t, estatetest.Config{Seed: 1})
	m := c.scenario.prepare(w)
	w.storePolicy()
	w.ResetCalls()

	var found []estatetest.Violation
	w.Plant(c.Cell)
	_ = w.runIn(w.startWhole(), func(p *process) error { return c.door.run(p, m) }) // it may fail
	w.Databricks.Faults().Clear()
	w.AWS.Faults().Clear()
	for _, what := range w.untold() {
		found = append(found, estatetest.Violation{Invariant: 7, Secret: m.Name, What: what})
	}

	// Until quiet: the door's own repetition, and sweeps every ten minutes.
	quiet := func(what string, err error) {
		if err != nil {
			found = append(found, estatetest.Violation{Invariant: 8, Secret: m.Name, What: what + " fails: " + err.Error()})
		}
	}
	if c.door.again {
		_ = w.inProcess(func(p *process) error { return c.door.run(p, m) })
	}
	for range 6 {
		time.Sleep(10 * time.Minute)
		quiet("a later sweep", w.inProcess(func(p *process) error { return p.sweep(false) }))
	}
	// And what the passing of time settles: pending versions go stale after
	// 25 hours, grace ends, the reconcile comes round.
	for range 4 {
		time.Sleep(25 * time.Hour)
		quiet("a later reconcile", w.inProcess(func(p *process) error { return p.sweep(true) }))
	}
	found = append(found, w.Settled(w.policy.Grace)...)
	found = append(found, w.found...)
	w.ResetCalls()
	quiet("the last reconcile", w.inProcess(func(p *process) error { return p.sweep(true) }))
	if changes := w.Changes(); len(changes) > 0 {
		found = append(found, estatetest.Violation{Invariant: 8, Secret: m.Name, What: fmt.Sprintf("the last reconcile still changes something: %v", changes)})
	}
	if n := len(w.ids(m)); n > 4 {
		found = append(found, estatetest.Violation{Invariant: 3, Secret: m.Name, What: fmt.Sprintf("%d OAuth secrets are left at rest", n)})
	}
	if n := w.Leaks(w.log.String()); n > 0 {
		found = append(found, estatetest.Violation{Invariant: 6, Secret: m.Name, What: fmt.Sprintf("%d secrets are in the log", n)})
	}
	return found
}

// inProcess runs something in a new process, to its end or its death.
func (w *world) inProcess(run func(*process) error) error { return w.runIn(w.start(), run) }

func (w *world) runIn(p *process, run func(*process) error) error {
	defer p.End()
	err := run(p)
	if err != nil {
		w.log.WriteString(err.Error() + "\n")
	}
	return err
}

package rotation_test

import (
	"context"
	"flag"
	"fmt"
	"hash/fnv"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"pgregory.net/rapid"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/managedsecret"
)

// The random simulation: a fleet, weeks of sweeps, several doors at once,
// people at work in the console, faults on both clouds, reads that lag. The
// script of a run is drawn first and then played in virtual time, so that a
// failing seed plays again, and shrinks.

var crashEvery = flag.Int("crash.stride", crashStride, "play every so many cases of the crash matrix")

func TestMain(m *testing.M) {
	flag.Parse()
	if !isSet("rapid.checks") {
		_ = flag.Set("rapid.checks", soakChecks)
		// The same thousand each time, so that a test that fails does so
		// again. make soak plays others.
		if !isSet("rapid.seed") {
			_ = flag.Set("rapid.seed", "1")
		}
	}
	os.Exit(m.Run())
}

func isSet(name string) (set bool) {
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

// deed is something that happens in a run.
type deed struct {
	What deedKind
	// Who is the managed secret that it happens to.
	Who int
	// Wait comes before it.
	Wait time.Duration
	// Steps is how far a protocol rotation gets.
	Steps int
	// Faults are in place while it lasts.
	Faults []plannedFault
	// With is what another process does at the same time.
	With deedKind
}

type plannedFault struct {
	AWS   bool
	Kind  faulttest.Kind
	Skip  int
	Times int
}

type deedKind int

const (
	nothing deedKind = iota
	sweep
	reconcile
	rotate
	protocol
	repeatProtocol
	makeByHand
	deleteByHand
	deleteCurrent
	switchOff
	switchOn
	editKey
	lagOn
	lagOff
	replaceAll
	revokeAll
	lockOut
	release
	storeByHand
	rewriteByHand
	pasteByHand
	rollBack
	releaseAll
)

var deedNames = [...]string{"nothing", "sweep", "reconcile", "rotate", "protocol", "repeat protocol", "make by hand", "delete by hand", "delete current", "switch off", "switch on", "edit a key", "reads lag", "reads do not lag", "replace", "revoke", "lock out", "release", "store by hand", "rewrite by hand", "paste by hand", "roll back", "release all"}

func (k deedKind) String() string { return deedNames[k] }

func (d deed) String() string {
	s := fmt.Sprintf("after %v: %v of %d", d.Wait, d.What, d.Who)
	if d.What == protocol || d.What == repeatProtocol {
		s += fmt.Sprintf(" up to step %d", d.Steps)
	}
	if d.With != nothing {
		s += fmt.Sprintf(" together with %v", d.With)
	}
	for _, f := range d.Faults {
		s += fmt.Sprintf(", %v (aws=%v skip=%d times=%d)", f.Kind, f.AWS, f.Skip, f.Times)
	}
	return s
}

const (
	soakFleet = 3
	// soakLag bounds how stale a read of Secrets Manager can be. An orphan is
	// known by no version naming it; where every read for half an hour misses
	// a write, nobody can know.
	soakLag = 15 * time.Minute
)

var (
	waits    = []time.Duration{time.Second, 5 * time.Minute, 31 * time.Minute, 2 * time.Hour, 23 * time.Hour, 26 * time.Hour, 8 * day, 31 * day}
	weighted = []deedKind{sweep, sweep, sweep, sweep, reconcile, reconcile, rotate, protocol, protocol, repeatProtocol, makeByHand, deleteByHand, deleteCurrent, switchOff, switchOn, switchOn, editKey, lagOn, lagOff, lagOff, replaceAll, replaceAll, revokeAll, lockOut, release, release, storeByHand, storeByHand, rewriteByHand, pasteByHand, rollBack}
	runs     = []deedKind{nothing, nothing, nothing, sweep, reconcile, rotate, protocol}
	kinds    = []faulttest.Kind{faulttest.RequestLost, faulttest.ReplyLost, faulttest.Throttled, faulttest.ServerError, faulttest.Timeout, faulttest.StaleRead, faulttest.Kill, faulttest.KillAfter}
)

func genDeed() *rapid.Generator[deed] {
	fault := rapid.Custom(func(t *rapid.T) plannedFault {
		return plannedFault{
			AWS:   rapid.Bool().Draw(t, "aws"),
			Kind:  rapid.SampledFrom(kinds).Draw(t, "kind"),
			Skip:  rapid.IntRange(0, 12).Draw(t, "skip"),
			Times: rapid.SampledFrom([]int{1, 1, 1, 3, faulttest.Forever}).Draw(t, "times"),
		}
	})
	return rapid.Custom(func(t *rapid.T) deed {
		return deed{
			What:   rapid.SampledFrom(weighted).Draw(t, "what"),
			Who:    rapid.IntRange(0, soakFleet-1).Draw(t, "who"),
			Wait:   rapid.SampledFrom(waits).Draw(t, "wait"),
			Steps:  rapid.IntRange(1, 4).Draw(t, "steps"),
			Faults: rapid.SliceOfN(fault, 0, 2).Draw(t, "faults"),
			With:   rapid.SampledFrom(runs).Draw(t, "with"),
		}
	})
}

func TestSoak(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		script := rapid.SliceOfN(genDeed(), 1, 14).Draw(rt, "script")
		seed := rapid.Uint64Range(0, 1000).Draw(rt, "seed")
		var found []estatetest.Violation
		synctest.Test(t, func(t *testing.T) { found = play(t, seed, script) })
		if len(found) > 0 {
			for i, d := range script {
				rt.Logf("%2d. %v", i+1, d)
			}
			rt.Fatalf("%d violations; the first: %v", len(found), found[0])
		}
	})
}

// stage is a run of the simulation.
type stage struct {
	*world
	seed   uint64
	tokens map[string]string // the token of each secret's last protocol rotation
	mu     sync.Mutex
	// swept is when a sweep last got through undisturbed, switchedOn when a
	// principal was last switched on.
	swept, switchedOn time.Time
}

// play runs a script and returns what it broke.
func play(t *testing.T, seed uint64, script []deed) []estatetest.Violation {
	s := &stage{world: newWorld(t, estatetest.Config{Seed: seed, MaxLag: soakLag}), seed: seed, tokens: map[string]string{}, swept: time.Now()}
	s.register(estatetest.Registration{Name: "a", AccountLevel: true})
	s.register(estatetest.Registration{Name: "b", AccountLevel: true, Scopes: []string{"sql"}, Extra: map[string]string{"TEAM": "data"}})
	s.register(estatetest.Registration{Name: "c", Fresh: true, Bare: true})
	for i, d := range script {
		s.pass(d.Wait)
		s.do(i, d)
		switch d.What {
		case switchOn:
			// It may have been off until days before its expiry. Sweeps say so
			// all the time, and come by the hour; the second sees what lagged.
			for range 2 {
				_ = s.inProcess(func(p *process) error { return p.sweep(false) })
			}
		case pasteByHand, rollBack:
			// While the version is new, a reconcile sees whose value it is; the
			// second sees what lagged.
			for range 2 {
				s.pass(2 * soakLag)
				_ = s.inProcess(func(p *process) error { return p.sweep(true) })
			}
		default:
		}
	}
	return append(s.comeToRest(), s.found...)
}

// pass lets time pass. However bad the weather, a sweep gets through every ten
// days; where none does for a whole lifetime, credentials expire. One that grew
// old while its principal was switched off is found by the next sweep.
func (s *stage) pass(d time.Duration) {
	for d > 0 {
		next := s.swept.Add(undisturbed)
		if soon := s.switchedOn.Add(time.Minute); s.switchedOn.After(s.swept) && soon.Before(next) {
			next = soon
		}
		step := min(d, max(0, time.Until(next)))
		time.Sleep(step)
		d -= step
		if !time.Now().Before(next) {
			_ = s.inProcess(func(p *process) error { return p.sweep(false) })
			s.swept = time.Now()
		}
	}
}

const undisturbed = 10 * day

func (s *stage) do(n int, d deed) {
	m := s.Managed()[d.Who]
	for _, f := range d.Faults {
		injector := s.Databricks.Faults()
		if f.AWS {
			injector = s.AWS.Faults()
		}
		injector.Add(faulttest.Fault{Kind: f.Kind, Skip: f.Skip, Times: f.Times})
	}
	var together sync.WaitGroup
	for i, what := range []deedKind{d.What, d.With} {
		together.Go(func() { s.act(what, m, d.Steps, fmt.Sprintf("%d/%d", n, i)) })
	}
	together.Wait()
	s.Databricks.Faults().Clear()
	s.AWS.Faults().Clear()
}

func (s *stage) act(what deedKind, m *estatetest.Managed, steps int, id string) {
	var err error
	switch what {
	case nothing:
	case sweep, reconcile:
		err = s.inSlowProcess(id, func(p *process) error { return p.sweep(what == reconcile) })
	case rotate:
		err = s.inSlowProcess(id, func(p *process) error { return p.rotate(m) })
	case protocol, repeatProtocol:
		err = s.inSlowProcess(id, func(p *process) error { return s.protocol(p, m, what == repeatProtocol, steps, id) })
	case makeByHand:
		// People leave room for one; a principal that is full for good is
		// reported until its credential expires.
		if len(s.ids(m)) < 4 {
			s.MakeByHand(m, 730*day)
		}
	case storeByHand, pasteByHand:
		store := s.StoreByHand
		if what == pasteByHand {
			store = s.PasteByHand
		}
		if len(s.ids(m)) < 4 && s.isIssued(m) {
			err = s.byHand(func(ctx context.Context) error { return store(ctx, m, 730*day) })
		}
	case rollBack:
		err = s.byHand(func(ctx context.Context) error { return s.RollBackByHand(ctx, m, s.policy.Grace) })
	case rewriteByHand:
		if s.isIssued(m) {
			err = s.byHand(func(ctx context.Context) error { return s.RewriteByHand(ctx, m) })
		}
	case deleteByHand, deleteCurrent:
		ids := s.ids(m)
		if len(ids) == 0 {
			return
		}
		victim := ids[0]
		if what == deleteCurrent {
			victim = s.current(m).OAuthSecretID
		}
		s.DeleteByHand(m, victim)
	case switchOff, switchOn:
		s.SetActive(m, what == switchOn)
		if what == switchOn {
			s.mu.Lock()
			s.switchedOn = time.Now()
			s.mu.Unlock()
		}
	case editKey:
		// Whoever edits a registration puts it back over its first credential, if
		// that comes in between.
		if s.isIssued(m) {
			err = s.tryEdit(m, "TEAM", id)
		}
	case replaceAll, revokeAll, lockOut, release, releaseAll:
		err = s.inSlowProcess(id, func(p *process) error { return s.revoke(p, m, what) })
	case lagOn, lagOff:
		s.Databricks.LagReads(what == lagOn)
		s.AWS.LagReads(what == lagOn)
	}
	if err != nil {
		s.log.WriteString(err.Error() + "\n")
	}
}

// byHand is a person, who does not wait for ever.
func (s *stage) byHand(do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	return do(ctx)
}

func (s *stage) isIssued(m *estatetest.Managed) bool { return s.current(m).Issued() }

// protocol plays Secrets Manager: it makes the pending version if it is free
// to, and runs the steps, all or some. A repetition uses the same token.
func (s *stage) protocol(p *process, m *estatetest.Managed, again bool, steps int, id string) error {
	s.mu.Lock()
	token, started := s.tokens[m.Name]
	if !again || !started {
		token = fmt.Sprintf("%032x", fnv64(fmt.Sprint(s.seed, id)))
		s.tokens[m.Name] = token
	}
	s.mu.Unlock()
	if pending, ok := s.AWS.Labelled(m.Name, managedsecret.Pending); ok && pending.ID != token {
		return nil // Secrets Manager refuses while another version is pending
	}
	for _, step := range []rotation.Step{rotation.CreateSecret, rotation.SetSecret, rotation.TestSecret, rotation.FinishSecret}[:steps] {
		if err := p.engine.RunStep(p.Ctx, rotation.StepRequest{Step: step, SecretID: m.ARN, Token: token}); err != nil {
			return err
		}
	}
	if steps < 4 {
		return nil
	}
	// After the last step the service takes its label off by itself.
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	_, err := s.SecretsManager("service").UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{
		SecretId: &m.Name, VersionStage: aws.String(managedsecret.Pending), RemoveFromVersionId: &token,
	})
	return err
}

// comeToRest stops all disturbance, lets time pass and runs go on, and checks
// what is left.
func (s *stage) comeToRest() []estatetest.Violation {
	s.Databricks.LagReads(false)
	s.AWS.LagReads(false)
	found := s.releaseAll()
	for _, m := range s.Managed() {
		s.SetActive(m, true)
		// Room for a new secret, if people have used it all up.
		for _, id := range s.ids(m) {
			if len(s.ids(m)) < 5 {
				break
			}
			if s.IsForeign(m, id) {
				s.DeleteByHand(m, id)
			}
		}
	}
	// The next sweep finds what grew old while it was switched off.
	_ = s.inProcess(func(p *process) error { return p.sweep(false) })
	var last error
	for range 5 {
		time.Sleep(26 * time.Hour)
		last = s.inProcess(func(p *process) error { return p.sweep(true) })
		s.doAsTold(last)
	}
	found = append(found, s.Settled(s.policy.Grace)...)
	if last != nil && !strings.Contains(last.Error(), string(rotation.Scopes)) {
		found = append(found, estatetest.Violation{Invariant: 8, What: "the last reconcile fails: " + last.Error()})
	}
	s.ResetCalls()
	_ = s.inProcess(func(p *process) error { return p.sweep(true) })
	if changes := s.Changes(); len(changes) > 0 {
		found = append(found, estatetest.Violation{Invariant: 8, What: fmt.Sprintf("a quiet reconcile changes something: %v", changes)})
	}
	if n := s.Leaks(s.log.String()); n > 0 {
		found = append(found, estatetest.Violation{Invariant: 6, What: fmt.Sprintf("%d secrets are in the log", n)})
	}
	return found
}

// doAsTold is a person who reads that the scopes of a dead credential are not
// known, states them, and removes the id, which may be another value's.
func (s *stage) doAsTold(err error) {
	for _, m := range s.Managed() {
		if err != nil && strings.Contains(err.Error(), m.Name+": "+string(rotation.Scopes)) {
			_ = s.byHand(func(ctx context.Context) error { return s.RewriteByHand(ctx, m) })
			scopes := m.Scopes
			if len(scopes) == 0 {
				scopes = []string{credential.AllAPIs}
			}
			_ = s.tryEdit(m, credential.KeyScopes, strings.Join(scopes, " "))
		}
	}
}

// inSlowProcess runs in a process whose calls take time, each another, so that
// two processes at once take turns in an order that the seed decides.
func (s *stage) inSlowProcess(id string, run func(*process) error) error {
	return s.inProcess(func(p *process) error {
		slow := func(next http.RoundTripper) http.RoundTripper {
			return p.Transport(&latency{next: next, seed: fmt.Sprint(s.seed, id)})
		}
		p.engine.Workers = 1
		p.engine.Databricks = s.Client(slow(s.Databricks.Transport()))
		p.engine.Store = managedsecret.Store{API: s.SecretsManager("rotate", func(o *secretsmanager.Options) {
			o.HTTPClient = &http.Client{Transport: slow(s.AWS.Transport())}
		})}
		return run(p)
	})
}

type latency struct {
	next http.RoundTripper
	seed string
	mu   sync.Mutex
	n    int
}

func (l *latency) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	l.n++
	delay := time.Duration(fnv64(fmt.Sprint(l.seed, l.n))%uint64(200*time.Millisecond)) + 1
	l.mu.Unlock()
	if err := sleep(r.Context(), delay); err != nil {
		return nil, err
	}
	return l.next.RoundTrip(r)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func fnv64(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	return h.Sum64()
}

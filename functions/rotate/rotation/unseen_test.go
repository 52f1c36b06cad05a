package rotation_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/usagelog"
	"databricks-credential-rotation/shared/usagelogtest"
)

// What becomes of a predecessor by what the usage log tells: the rows of the
// table in docs/architecture.md.
func TestPlanByTheUsageLog(t *testing.T) {
	extended := testPolicy
	extended.ExtendGrace = 2 * day
	// answer is what the log said of predecessors: how many readers are missing.
	answer := func(readers map[string]int) func(*rotation.Observation) {
		return func(o *rotation.Observation) {
			o.CanAsk, o.Unseen = true, map[string][]usagelog.Reader{}
			for id, n := range readers {
				o.Unseen[id] = make([]usagelog.Reader, n)
			}
		}
	}
	noAnswer := func(o *rotation.Observation) { o.CanAsk = true }
	p1 := func(age time.Duration) func(*rotation.Observation) {
		return func(o *rotation.Observation) {
			list(ours("p1", 31*day))(o)
			predecessor("p1", ago(age))(o)
		}
	}
	missing, none := answer(map[string]int{"p1": 2}), answer(map[string]int{"p1": 0})
	unidentified := change(func(c *credential.Credential) {
		c.OAuthSecretID, c.IssuedAt, c.ExpiresAt = "", time.Time{}, time.Time{}
	})
	full := list(theirs("f1", day), theirs("f2", day), theirs("f3", day))
	type decision struct {
		Retire, Ask, Kept []string
		Issue             rotation.Reason
		Block             rotation.BlockKind
	}
	for name, test := range map[string]struct {
		policy policy.Policy
		o      rotation.Observation
		want   decision
	}{
		"no log: grace is over":                          {extended, observed(5*day, p1(day)), decision{Retire: []string{"p1"}}},
		"a log, within grace: not asked":                 {extended, observed(5*day, p1(day-1), noAnswer), decision{}},
		"a log, past grace: asked first":                 {extended, observed(5*day, p1(day), noAnswer), decision{Ask: []string{"p1"}}},
		"without an extension it is asked as well":       {testPolicy, observed(5*day, p1(day), noAnswer), decision{Ask: []string{"p1"}}},
		"everybody has come back":                        {extended, observed(5*day, p1(day), none), decision{Retire: []string{"p1"}}},
		"somebody has not: kept":                         {extended, observed(5*day, p1(day), missing), decision{Kept: []string{"p1"}}},
		"somebody has not, without an extension":         {testPolicy, observed(5*day, p1(day), missing), decision{Retire: []string{"p1"}}},
		"just before the extension is over":              {extended, observed(5*day, p1(3*day-1), missing), decision{Kept: []string{"p1"}}},
		"invariant 2: the extension is over":             {extended, observed(5*day, p1(3*day), missing), decision{Retire: []string{"p1"}}},
		"asked about another one: this one is for later": {extended, observed(5*day, p1(day), answer(map[string]int{"p2": 0})), decision{Ask: []string{"p1"}}},
		"due, and somebody has not come back: beside it": {extended, observed(31*day, p1(day), missing), decision{Kept: []string{"p1"}, Issue: rotation.Due}},
		"invariant 4: its place is needed":               {extended, observed(31*day, p1(day), missing, full), decision{Retire: []string{"p1"}, Issue: rotation.Due}},
		"invariant 4: and before the log is asked":       {extended, observed(31*day, p1(day), noAnswer, full), decision{Retire: []string{"p1"}, Issue: rotation.Due}},
		"invariant 4: but not one within grace":          {extended, observed(31*day, p1(day-1), noAnswer, full), decision{Block: rotation.Full}},
		"invariant 4: the oldest gives way": {extended, observed(31*day, list(ours("p2", 33*day)), predecessor("p2", ago(2*day)), p1(day),
			answer(map[string]int{"p1": 1, "p2": 1}), list(theirs("f1", day), theirs("f2", day))), decision{Retire: []string{"p2"}, Kept: []string{"p1"}, Issue: rotation.Due}},
		"dead: kept, and replaced": {extended, observed(5*day, unlisted, tried(false), principal(true), p1(day), missing), decision{Kept: []string{"p1"}, Issue: rotation.Dead}},
		"nobody knows which is current": {
			extended, observed(9*day, unidentified, tried(true), principal(true), p1(day), missing, recorded("cur", "old")),
			decision{Issue: rotation.Adopted},
		},
	} {
		t.Run(name, func(t *testing.T) {
			plan := rotation.MakePlan(test.policy, test.o)
			var got decision
			for _, r := range plan.Retire {
				got.Retire = append(got.Retire, r.ID)
			}
			for _, q := range plan.Ask {
				got.Ask = append(got.Ask, q.OAuthSecretID)
			}
			for _, e := range plan.Extended {
				got.Kept = append(got.Kept, e.OAuthSecretID)
			}
			if plan.Issue != nil {
				got.Issue = plan.Issue.Reason
			}
			if plan.Block != nil {
				got.Block = plan.Block.Kind
			}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
		})
	}
	// A sweep goes on looking for as long as grace may be extended.
	o := observed(5*day, predecessor("p", ago(5*day-1)))
	if !rotation.Glance(o.Now, extended, o.Secret, o.Current) || rotation.Glance(o.Now, testPolicy, o.Secret, o.Current) {
		t.Error("an extension does not make a sweep look for longer")
	}
}

// watched is a world whose engine has a usage log, behind the simulator's
// statement API.
type watched struct {
	*world
	usage *usagelogtest.Log
}

func inWatchedWorld(t *testing.T, extend time.Duration, f func(w *watched)) {
	t.Helper()
	inWorld(t, func(w *world) {
		w.policy.ExtendGrace = extend
		w.Workspace.AddWarehouse("abc")
		w.Databricks.StatementPolls(1)
		log := &usagelogtest.Log{}
		w.Databricks.SetStatements(log.Statement)
		w.engine.Usage = usagelog.Source{
			Log: w.Client(nil), Warehouse: databricks.Warehouse{Host: databricks.Host{URL: w.Workspace.Host()}, ID: "abc"},
		}
		w.engine.Deployment = "test"
		f(&watched{w, log})
	})
}

// token is a program that gets an access token of a principal.
func (w *watched) token(m *estatetest.Managed, address, agent string) {
	w.usage.Add(usagelogtest.Event{
		At: w.Now(), Identity: m.Principal.ApplicationID, Address: address, Agent: agent, Service: "accounts", Action: "mintOAuthToken", Status: 200,
	})
}

func (w *watched) wait(d time.Duration) { time.Sleep(d) }

func (w *watched) statements() int {
	n := 0
	for op, calls := range w.calls() {
		if op == databrickstest.OpSubmitStatement {
			n += calls
		}
	}
	return n
}

// warnings are the lines of the log at WARN, by message.
func (w *watched) warnings() map[string]int {
	found := map[string]int{}
	for line := range strings.Lines(w.log.String()) {
		var l struct{ Level, Msg string }
		if json.Unmarshal([]byte(line), &l) == nil && l.Level == slog.LevelWarn.String() {
			found[l.Msg]++
		}
	}
	return found
}

const (
	keptLonger = "a predecessor may still be in use, and is kept for longer"
	endedNow   = "a predecessor may still be in use, and is ended now"
	noLog      = "the usage log cannot tell who still uses what is past its grace, which is ended unseen"
)

// A predecessor whose reader has not come back is kept until he has, and the
// log is asked once in a sweep for all principals.
func TestGraceIsExtendedUntilReadersAreBack(t *testing.T) {
	inWatchedWorld(t, 3*day, func(w *watched) {
		var all []*estatetest.Managed
		for _, name := range []string{"a", "b", "c"} {
			all = append(all, w.register(estatetest.Registration{Name: name, Fresh: true}))
		}
		w.sweep("")
		weekly, steady := all[0], all[1]
		w.wait(28 * day)
		w.token(weekly, "203.0.113.7:4711", "databricks-sdk-py/0.156.0 python/3.11")
		w.token(weekly, "203.0.113.8", "databricks-sdk-go/0.182.0")
		w.token(steady, "203.0.113.9", "databricks-sdk-go/0.182.0")
		w.wait(2*day + hour)
		w.sweep("")
		for _, m := range all {
			if n := len(w.ids(m)); n != 2 {
				t.Fatalf("%s has %d OAuth secrets after the rotation", m.Name, n)
			}
		}
		w.wait(hour)
		w.token(weekly, "203.0.113.8", "databricks-sdk-go/0.183.0")
		w.token(steady, "203.0.113.9", "databricks-sdk-go/0.182.0")
		w.ResetCalls()
		w.sweep("")
		if n := w.statements(); n != 0 {
			t.Errorf("nothing is past its grace, and the log was asked %d times", n)
		}
		w.wait(day)

		report := w.sweep("")
		if n := w.statements(); n != 1 {
			t.Errorf("the log was asked %d times for three principals", n)
		}
		if got := []int{len(w.ids(weekly)), len(w.ids(steady)), len(w.ids(all[2]))}; !cmp.Equal(got, []int{2, 1, 1}) {
			t.Errorf("OAuth secrets %v, want the first principal's predecessor alone to be kept", got)
		}
		kept := outcome(t, report, "a").Unseen
		if len(kept) != 1 || len(kept[0].Readers) != 1 || kept[0].Readers[0].String() != "203.0.113.7 (databricks-sdk-py)" || kept[0].More != 0 {
			t.Fatalf("reported as %+v", kept)
		}
		// Known beforehand: grace and its extension after the promotion.
		if left := kept[0].KeptUntil.Sub(w.Now()); left < 3*day-2*hour || left > 3*day {
			t.Errorf("it is kept for another %v", left)
		}
		if got := w.warnings(); got[keptLonger] != 1 || len(got) != 1 {
			t.Errorf("warnings %v", got)
		}
		if !strings.Contains(w.log.String(), `"MayBeInUse":1`) {
			t.Error("the metric does not count it")
		}

		// Invariant 8: looking again changes nothing.
		w.ResetCalls()
		w.sweep("")
		if changes := w.Changes(); !cmp.Equal(changes, []string{databrickstest.OpSubmitStatement}) {
			t.Errorf("a second look changed %v", changes)
		}

		// He comes, and the next sweep ends it.
		w.token(weekly, "203.0.113.7:4712", "databricks-sdk-py/0.157.0")
		w.wait(hour)
		report = w.sweep("")
		if got := len(w.ids(weekly)); got != 1 || len(outcome(t, report, "a").Unseen) > 0 {
			t.Errorf("%d OAuth secrets when everybody is back", got)
		}
		w.settled()
		w.ResetCalls()
		w.sweep("")
		if n := w.statements(); n != 0 {
			t.Errorf("nothing waits, and the log was asked %d times", n)
		}
	})
}

// Invariant 2: one who never comes back gets the extension once, whichever door
// looks; the sweep after that ends what he holds, and warns first.
func TestExtensionEnds(t *testing.T) {
	for name, door := range map[string]func(w *watched) (any, error){
		"sweep":     func(w *watched) (any, error) { return w.engine.Sweep(w.t.Context(), false, false) },
		"reconcile": func(w *watched) (any, error) { return w.engine.Sweep(w.t.Context(), true, false) },
		"direct": func(w *watched) (any, error) {
			return w.engine.Rotate(w.t.Context(), "direct", rotation.RotateRequest{Secrets: []string{"a"}})
		},
		"queue": func(w *watched) (any, error) {
			return w.engine.Handle(w.t.Context(), json.RawMessage(`{"Records":[{"messageId":"1","eventSource":"aws:sqs","body":"{\"action\":\"rotate\",\"secrets\":[\"a\"]}"}]}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWatchedWorld(t, 2*day, func(w *watched) {
				m := w.register(estatetest.Registration{Name: "a", Fresh: true})
				w.sweep("")
				w.wait(30*day - hour)
				w.token(m, "203.0.113.7", "curl")
				w.wait(2 * hour)
				w.sweep("")
				promoted := w.Now()
				look := func(want int, warning string, times int) {
					t.Helper()
					_, err := door(w)
					w.must(err)
					if n := len(w.ids(m)); n != want {
						t.Errorf("%v after the rotation there are %d OAuth secrets, want %d", w.Now().Sub(promoted), n, want)
					}
					if got := w.warnings()[warning]; got != times {
						t.Errorf("%v after the rotation: %d warnings %q, want %d", w.Now().Sub(promoted), got, warning, times)
					}
				}
				look(2, keptLonger, 0)
				w.wait(day + time.Minute)
				look(2, keptLonger, 1)
				w.wait(day)
				look(2, keptLonger, 2)
				w.wait(day)
				look(1, endedNow, 1)
				w.settled()
			})
		})
	}
}

// Without an extension the log is there to warn.
func TestWarningBeforeTheEnd(t *testing.T) {
	inWatchedWorld(t, 0, func(w *watched) {
		m := w.register(estatetest.Registration{Name: "a", Fresh: true})
		w.sweep("")
		w.wait(30*day - hour)
		for _, address := range strings.Fields("203.0.113.1 203.0.113.2 203.0.113.3 203.0.113.4 203.0.113.5 203.0.113.6 203.0.113.7 203.0.113.8 203.0.113.9 203.0.113.10 203.0.113.11 203.0.113.12") {
			w.token(m, address, "curl")
		}
		w.wait(2 * hour)
		w.sweep("")
		w.wait(day + time.Minute)
		out := outcome(t, w.sweep(""), "a")
		if len(w.ids(m)) != 1 || w.warnings()[endedNow] != 1 {
			t.Errorf("%d OAuth secrets, warnings %v", len(w.ids(m)), w.warnings())
		}
		if len(out.Unseen) != 1 || len(out.Unseen[0].Readers) != 10 || out.Unseen[0].More != 2 || !out.Unseen[0].KeptUntil.IsZero() {
			t.Errorf("reported as %+v", out.Unseen)
		}
		text, err := json.Marshal(out)
		w.must(err)
		if !strings.Contains(string(text), `"may_be_in_use":[{"oauth_secret_id":`) || !strings.Contains(string(text), `"address":"203.0.113.1`) {
			t.Errorf("in the report: %s", text)
		}
		w.settled()
	})
}

// The rotation's own trial of a new credential is made before the promotion,
// from an address that may never be seen again. It is no reader.
func TestOurOwnTrialIsNoReader(t *testing.T) {
	inWatchedWorld(t, 2*day, func(w *watched) {
		m := w.register(estatetest.Registration{Name: "a", Fresh: true})
		w.sweep("")
		w.wait(30*day - hour)
		w.token(m, "192.0.2.1", databricks.Agent)
		w.wait(2 * hour)
		w.sweep("")
		w.wait(day + time.Minute)
		w.sweep("")
		if n := len(w.ids(m)); n != 1 || len(w.warnings()) > 0 {
			t.Errorf("%d OAuth secrets, warnings %v", n, w.warnings())
		}
	})
}

// Grace is a promise, and so is its end: a warehouse that fails, or is slow,
// keeps nothing.
func TestUsageLogFails(t *testing.T) {
	for name, breaks := range map[string]func(w *watched){
		"refuses": func(w *watched) { w.Databricks.SetStatements(nil) },
		"stands still": func(w *watched) {
			w.Databricks.StatementPolls(1_000_000)
		},
		"answers something else": func(w *watched) {
			w.engine.Usage = source(func([]usagelog.Handover) ([][]usagelog.Reader, error) { return nil, nil })
		},
		"breaks": func(w *watched) {
			w.engine.Usage = source(func([]usagelog.Handover) ([][]usagelog.Reader, error) { return nil, errors.New("broken") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWatchedWorld(t, 2*day, func(w *watched) {
				m := w.register(estatetest.Registration{Name: "a", Fresh: true})
				w.sweep("")
				w.wait(30*day - hour)
				w.token(m, "203.0.113.7", "curl")
				w.wait(2 * hour)
				w.sweep("")
				w.wait(day + time.Minute)
				breaks(w)
				began := w.Now()
				w.sweep("")
				if n := len(w.ids(m)); n != 1 || w.warnings()[noLog] != 1 {
					t.Errorf("%d OAuth secrets, warnings %v", n, w.warnings())
				}
				if took := w.Now().Sub(began); took > 4*time.Minute {
					t.Errorf("the sweep took %v", took)
				}
				w.settled()
			})
		})
	}
}

// A run that has little time does not spend it on the log.
func TestUsageLogWithoutTime(t *testing.T) {
	inWatchedWorld(t, 2*day, func(w *watched) {
		m := w.register(estatetest.Registration{Name: "a", Fresh: true})
		w.sweep("")
		w.wait(30*day + hour)
		w.sweep("")
		w.wait(day + time.Minute)
		ctx, cancel := context.WithTimeout(w.t.Context(), 100*time.Second)
		defer cancel()
		w.ResetCalls()
		_, err := w.engine.Sweep(ctx, false, false)
		w.must(err)
		if n := len(w.ids(m)); n != 1 || w.statements() != 0 || w.warnings()[noLog] != 1 {
			t.Errorf("%d OAuth secrets, %d statements, warnings %v", n, w.statements(), w.warnings())
		}
	})
}

// Secrets Manager's own rotation leaves what is past its grace to the sweep,
// which asks. A dead credential does not wait for the log.
func TestDoorsThatDoNotAsk(t *testing.T) {
	inWatchedWorld(t, 2*day, func(w *watched) {
		m := w.register(estatetest.Registration{Name: "a", Fresh: true})
		w.sweep("")
		w.wait(30*day - hour)
		w.token(m, "203.0.113.7", "curl")
		w.wait(2 * hour)
		w.sweep("")
		w.wait(day + time.Minute)
		w.ResetCalls()
		w.must(w.rotateSecret(m, true))
		if n := len(w.ids(m)); n != 3 || w.statements() != 0 {
			t.Errorf("%d OAuth secrets after Secrets Manager's rotation, %d statements", n, w.statements())
		}
		w.sweep("")
		if n := len(w.ids(m)); n != 3 || w.warnings()[keptLonger] != 1 {
			t.Errorf("%d OAuth secrets after the sweep, warnings %v", n, w.warnings())
		}
		w.DeleteByHand(m, w.current(m).OAuthSecretID)
		w.ResetCalls()
		report, err := w.engine.Sweep(w.t.Context(), true, false)
		w.must(err)
		if out := outcome(t, report, "a"); out.Reason != rotation.Dead || w.statements() != 0 {
			t.Errorf("the dead credential: %+v, %d statements", out, w.statements())
		}
	})
}

// source is a usage log that answers as it is told.
type source func([]usagelog.Handover) ([][]usagelog.Reader, error)

func (s source) Unseen(_ context.Context, _ time.Time, handovers []usagelog.Handover) ([][]usagelog.Reader, error) {
	return s(handovers)
}

func outcome(t *testing.T, report *rotation.Report, secret string) rotation.Outcome {
	t.Helper()
	for _, o := range report.Outcomes {
		if o.Secret == secret {
			return o
		}
	}
	t.Fatalf("the report has nothing of %s: %+v", secret, report.Outcomes)
	return rotation.Outcome{}
}

// What may be another one's makes no room, and keeps its extension.
func TestDoubtKeepsAnExtension(t *testing.T) {
	o := observed(31*day, doubtful, list(theirs("p1", 61*day), theirs("f1", day), theirs("f2", day), theirs("f3", day)), predecessor("p1", ago(2*day)))
	o.CanAsk = true
	plan := rotation.MakePlan(testPolicy, o)
	if len(plan.Ask) != 1 || len(plan.Retire) > 0 || len(plan.Doubted) > 0 || plan.Issue != nil {
		t.Errorf("the plan is %+v", plan)
	}
}

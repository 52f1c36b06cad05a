package show

import (
	"strconv"
	"strings"
	"testing"

	"databricks-credential-rotation/infra/sandbox/consumer"
	"databricks-credential-rotation/infra/sandbox/fleet"
	"databricks-credential-rotation/infra/sandbox/lambdahost"
	"databricks-credential-rotation/infra/sandbox/leak"
	"databricks-credential-rotation/infra/sandbox/ledger"
	"databricks-credential-rotation/infra/sandbox/stage"
	"databricks-credential-rotation/infra/sandbox/terminal"
)

// An expectation that cannot fail is worth nothing. These tests hand the judges
// a sweep that went well, spoil one thing in it, and want exactly one verdict.

func goodShow() *Show {
	return &Show{
		screen: terminal.New(&strings.Builder{}, terminal.Abilities{}),
		fleet: &fleet.Fleet{Managed: []fleet.Member{
			{Name: "old", Fate: fleet.Rotated},
			{Name: fleet.Interrupted, Fate: fleet.Rotated, Scopes: []string{"sql"}},
			{Name: "young", Fate: fleet.Unchanged},
			{Name: "past", Fate: fleet.Retired},
			{Name: "crowded", Fate: fleet.Full, Foreign: []string{"theirs"}},
			{Name: "off", Fate: fleet.Inactive},
		}},
		orphan: "orphan",
	}
}

func goodSweep() invocation {
	return invocation{
		before: map[string]fleet.Condition{
			"old":             {Version: "v1", Current: "o1", Live: []string{"o1"}},
			fleet.Interrupted: {Version: "v1", Current: "i1", Live: []string{"i1", "orphan"}, Scopes: []string{"sql"}},
			"young":           {Version: "v1", Current: "y1", Live: []string{"y1"}},
			"past":            {Version: "v2", Current: "p2", Live: []string{"p1", "p2"}},
			"crowded":         {Version: "v1", Current: "c1", Live: []string{"theirs", "c1"}},
			"off":             {Version: "v1", Current: "f1", Live: []string{"f1"}},
		},
		after: map[string]fleet.Condition{
			"old":             {Version: "v2", Current: "o2", Live: []string{"o1", "o2"}, Works: true},
			fleet.Interrupted: {Version: "v2", Current: "i2", Live: []string{"i1", "i2"}, Works: true, Scopes: []string{"sql"}},
			"young":           {Version: "v1", Current: "y1", Live: []string{"y1"}, Works: true},
			"past":            {Version: "v2", Current: "p2", Live: []string{"p2"}, Works: true},
			"crowded":         {Version: "v1", Current: "c1", Live: []string{"theirs", "c1"}, Works: true},
			"off":             {Version: "v1", Current: "f1", Live: []string{"f1"}},
		},
		outcomes: map[string]stage.Outcome{"crowded": {Block: "full"}, "off": {Block: "inactive"}},
		failure:  &lambdahost.FunctionError{Message: "2 of 6 need attention:\ncrowded: full: …\noff: inactive: …"},
	}
}

func TestJudgeSweep(t *testing.T) {
	change := func(name string, f func(*fleet.Condition)) func(*invocation) {
		return func(i *invocation) {
			c := i.after[name]
			f(&c)
			i.after[name] = c
		}
	}
	tests := map[string]struct {
		spoil func(*invocation)
		want  string // the expectation that must fail, and why
	}{
		"nothing":             {func(*invocation) {}, ""},
		"not replaced":        {func(i *invocation) { i.after["old"] = i.before["old"] }, "every credential that is due: old: its credential is the old one"},
		"does not work":       {change("old", func(c *fleet.Condition) { c.Works = false }), "every credential that is due: old: its credential does not authenticate"},
		"predecessor gone":    {change("old", func(c *fleet.Condition) { c.Live = []string{"o2"} }), "predecessors still work: old: its predecessor is gone"},
		"young one replaced":  {change("young", func(c *fleet.Condition) { c.Version = "v2" }), "what is young: young: its credential changed"},
		"foreign one deleted": {change("crowded", func(c *fleet.Condition) { c.Live = []string{"c1"} }), "what is young: crowded: somebody else's OAuth secret theirs is gone"},
		"scopes widened":      {change(fleet.Interrupted, func(c *fleet.Condition) { c.Scopes = nil }), "scopes are never wider: " + fleet.Interrupted + ": its scopes are []"},
		"key lost": {func(i *invocation) {
			c := i.before["old"]
			c.Team = "somebody"
			i.before["old"] = c
		}, "scopes are never wider: old: its scopes are [] and its team \"\""},
		"orphan left":      {change(fleet.Interrupted, func(c *fleet.Condition) { c.Live = append(c.Live, "orphan") }), "the dead run's OAuth secret: " + fleet.Interrupted + ": OAuth secret orphan is still there"},
		"past grace left":  {change("past", func(c *fleet.Condition) { c.Live = []string{"p1", "p2"} }), "the dead run's OAuth secret: past: it has 2"},
		"success":          {func(i *invocation) { i.failure = nil }, "the full and: the invocation did not fail"},
		"not reported":     {func(i *invocation) { i.failure.Message = "crowded: full: …" }, "the full and: off: it is not reported as inactive"},
		"reported as else": {func(i *invocation) { i.failure.Message = "crowded: inactive: …\noff: inactive: …" }, "the full and: crowded: it is not reported as full"},
		"one too many":     {func(i *invocation) { i.failure.Message += "\nyoung: denied" }, "the full and: young: it is reported, and nothing is the matter"},
		"log differs":      {func(i *invocation) { i.outcomes["off"] = stage.Outcome{} }, "the full and: off: the log says"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s, i := goodShow(), goodSweep()
			test.spoil(&i)
			s.judgeSweep(i)
			wantVerdict(t, s.result, test.want)
		})
	}
}

// wantVerdict wants one failed expectation, by its first words and its reason.
func wantVerdict(t *testing.T, r Result, want string) {
	t.Helper()
	failed := r.Failed()
	if want == "" {
		for _, e := range failed {
			t.Errorf("%s: %v", e.What, e.Err)
		}
		return
	}
	what, why, _ := strings.Cut(want, ": ")
	if len(failed) != 1 || !strings.HasPrefix(failed[0].What, what) || !strings.Contains(failed[0].Err.Error(), why) {
		t.Errorf("failed: %v, want %q", failed, want)
	}
}

func TestJudgeSettled(t *testing.T) {
	tests := map[string]struct {
		live []string
		want string
	}{
		"settled":            {[]string{"theirs", "c1"}, ""},
		"predecessor left":   {[]string{"theirs", "c1", "c0"}, "OAuth secret c0 is still there"},
		"foreign one gone":   {[]string{"c1"}, "1 OAuth secrets are left, want 2"},
		"current one absent": {[]string{"theirs"}, "1 OAuth secrets are left, want 2"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := &Show{fleet: &fleet.Fleet{Managed: []fleet.Member{{Name: "crowded", Foreign: []string{"theirs"}}}}}
			err := s.judgeSettled(invocation{after: map[string]fleet.Condition{"crowded": {Current: "c1", Live: test.live}}})
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("verdict %v, want %q", err, test.want)
			}
		})
	}
}

func TestJudgeUnchanged(t *testing.T) {
	same := map[string]fleet.Condition{"a": {Version: "v1", Live: []string{"x"}}}
	tests := map[string]struct {
		i    invocation
		want string
	}{
		"unchanged":       {invocation{before: same, after: same}, ""},
		"a call":          {invocation{before: same, after: same, calls: ledger.Count{Mutations: []string{"PutSecretValue a"}}}, "it made the call PutSecretValue a"},
		"another version": {invocation{before: same, after: map[string]fleet.Condition{"a": {Version: "v2", Live: []string{"x"}}}}, "a is not what it was"},
		"an OAuth secret": {invocation{before: same, after: map[string]fleet.Condition{"a": {Version: "v1"}}}, "a is not what it was"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := judgeUnchanged(test.i)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("verdict %v, want %q", err, test.want)
			}
		})
	}
}

func TestJudgeCost(t *testing.T) {
	plain := ledger.Calls{Lists: 1, Creates: 1, Proofs: 1, Writes: 1, Deletes: 1, Reads: 5}
	scoped := ledger.Calls{Lists: 2, Creates: 1, Proofs: 1, Writes: 1}
	tests := map[string]struct {
		plain, scoped ledger.Calls
		ok            bool
	}{
		"as promised":        {plain, scoped, true},
		"two writes":         {ledger.Calls{Lists: 1, Creates: 1, Proofs: 1, Writes: 2}, scoped, false},
		"no write":           {ledger.Calls{Lists: 1, Creates: 1, Proofs: 1}, scoped, false},
		"not proven":         {ledger.Calls{Lists: 1, Creates: 1, Writes: 1}, scoped, false},
		"one more list":      {ledger.Calls{Lists: 2, Creates: 1, Proofs: 1, Writes: 1}, scoped, false},
		"two creates":        {ledger.Calls{Creates: 2, Proofs: 1, Writes: 1}, scoped, false},
		"scoped, five calls": {plain, ledger.Calls{Lists: 2, Creates: 1, Proofs: 2, Writes: 1}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := &Show{result: Result{Rotations: []Rotation{
				{Secret: "a", Fate: fleet.Rotated, Calls: test.plain},
				{Secret: "b", Fate: fleet.Rotated, Scoped: true, Calls: test.scoped},
				{Secret: "c", Fate: fleet.Issued, Calls: ledger.Calls{Lists: 3, Directory: 3, Creates: 1, Proofs: 1, Writes: 1}},
			}}}
			if err := s.judgeCost(); (err == nil) != test.ok {
				t.Errorf("verdict %v, want it to pass: %t", err, test.ok)
			}
		})
	}
	if (&Show{}).judgeCost() == nil {
		t.Error("a show without a scoped rotation passes")
	}
}

func TestJudgeReaders(t *testing.T) {
	tests := map[string]struct {
		count consumer.Count
		ok    bool
	}{
		"enough":      {consumer.Count{Reads: minReads}, true},
		"too few":     {consumer.Count{Reads: minReads - 1}, false},
		"one failure": {consumer.Count{Reads: 2 * minReads, Failures: 1}, false},
	}
	for name, test := range tests {
		if err := judgeReaders(test.count); (err == nil) != test.ok {
			t.Errorf("%s: verdict %v, want it to pass: %t", name, err, test.ok)
		}
	}
}

func TestJudgeLeak(t *testing.T) {
	tests := map[string]struct {
		search leak.Search
		ok     bool
	}{
		"clean":            {leak.Search{Values: 10, Bytes: 1000}, true},
		"found":            {leak.Search{Values: 10, Bytes: 1000, Found: []string{"the log of rotate"}}, false},
		"nothing to find":  {leak.Search{Bytes: 1000}, false},
		"nowhere searched": {leak.Search{Values: 10}, false},
	}
	for name, test := range tests {
		if err := judgeLeak(test.search); (err == nil) != test.ok {
			t.Errorf("%s: verdict %v, want it to pass: %t", name, err, test.ok)
		}
	}
}

func TestJudgeTrail(t *testing.T) {
	entries := func(told ...string) map[string]string {
		m := map[string]string{}
		for i, what := range told {
			phase, action, _ := strings.Cut(what, " ")
			m[strconv.Itoa(i)] = `{"phase":"` + phase + `","action":"` + action + `"}`
		}
		return m
	}
	whole := entries("before issue", "after issue", "before store", "after store", "before retire", "after retire", "before issue")
	tests := map[string]struct {
		history history
		ok      bool
	}{
		"whole":             {history{whole, 2, 1, 1}, true},
		"a create untold":   {history{whole, 3, 1, 1}, false},
		"a delete untold":   {history{whole, 2, 2, 1}, false},
		"an end untold":     {history{whole, 2, 1, 0}, false},
		"told and not done": {history{whole, 1, 1, 1}, false},
		"nothing":           {history{}, false},
		"not JSON":          {history{map[string]string{"a": "b"}, 1, 0, 0}, false},
	}
	for name, test := range tests {
		if err := judgeTrail(test.history); (err == nil) != test.ok {
			t.Errorf("%s: verdict %v, want it to pass: %t", name, err, test.ok)
		}
	}
}

package planted_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/audit/auditing"
	"databricks-credential-rotation/functions/audit/auditing/collect"
	"databricks-credential-rotation/functions/audit/auditing/history"
	"databricks-credential-rotation/functions/audit/auditing/page"
	"databricks-credential-rotation/functions/audit/auditing/prune"
	"databricks-credential-rotation/functions/audit/auditing/report"
	"databricks-credential-rotation/functions/audit/auditing/reporttest"
	"databricks-credential-rotation/functions/audit/auditing/rule"
	"databricks-credential-rotation/functions/audit/auditing/summary"
	"databricks-credential-rotation/functions/audit/auditing/table"
	"databricks-credential-rotation/functions/revoke/revocation"
	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/infra/sandbox/leak"
	"databricks-credential-rotation/infra/sandbox/planted"
	"databricks-credential-rotation/infra/sandbox/stage"
	"databricks-credential-rotation/shared/config"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/rotator"
	"databricks-credential-rotation/shared/trail"
)

const day = 24 * time.Hour

// company is the planted estate with an auditor, who remembers what was
// published last.
type company struct {
	*planted.Estate
	*auditing.Auditor
	clouds stage.Clouds
	last   []byte
	report *report.Report
	trail  []trail.Entry
}

func (c *company) Last(context.Context) (history.Document, error) {
	if c.last == nil {
		return nil, nil
	}
	return reporttest.NewDocument(c.last), nil
}

func (c *company) Publish(_ context.Context, r *report.Report) (string, error) {
	var err error
	c.report = r
	c.last, err = report.Encode(r)
	return "memory", err
}

func (c *company) Record(_ context.Context, e trail.Entry) error {
	c.trail = append(c.trail, e)
	return nil
}

// audit makes one, as the handler does.
func (c *company) audit(t *testing.T) *auditing.Answer {
	t.Helper()
	c.trail = nil
	answer, err := c.Handle(t.Context(), json.RawMessage(`{"action":"audit","asked_by":"test"}`))
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func (c *company) found() []string {
	var found []string
	for _, f := range c.report.Findings {
		found = append(found, f.Rule+" "+f.Subject.ID)
	}
	return found
}

// at sets the clock to so long before the present.
func (c *company) at(before time.Duration) { c.clouds.Clock.SetBack(before) }

func open(t *testing.T) *company {
	t.Helper()
	clouds, err := stage.OpenClouds(7)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(clouds.Close)
	clouds.Databricks.StatementPolls(0)
	clouds.Clock.SetBack(30 * day)
	research := clouds.Databricks.AddWorkspace("research")
	clouds.Databricks.Assign(clouds.Rotator.ID, research, true)
	c := &company{clouds: clouds}
	c.Estate, err = planted.Plant(planted.Clouds{
		Databricks: clouds.Databricks, AWS: clouds.AWS, Secrets: clouds.SecretsManager("operator"), Rotator: clouds.Rotator, Now: clouds.Clock.Now,
		Workspaces: []*databrickstest.Workspace{clouds.Analytics, clouds.Production, research},
	})
	if err != nil {
		t.Fatal(err)
	}
	hosts, err := databricks.ParseAllowedHosts("http://127.0.0.1:*")
	if err != nil {
		t.Fatal(err)
	}
	store := managedsecret.Store{API: clouds.SecretsManager("audit")}
	cfg := clouds.AWS.Config()
	cfg.Credentials = clouds.AWS.Role(stage.RotateRole)
	client := &databricks.Client{Allowed: hosts, Identity: rotator.Identity(
		config.Rotate{ClientID: clouds.Rotator.ApplicationID, Audience: clouds.Databricks.AccountID()}, store, sts.NewFromConfig(cfg))}
	account := databricks.Host{URL: clouds.Databricks.AccountHost(), AccountID: clouds.Databricks.AccountID()}
	log := slog.New(slog.DiscardHandler)
	c.Auditor = &auditing.Auditor{
		Policy:    func(context.Context) (policy.Policy, error) { return policy.Parse(c.Estate.Policy) },
		Collector: &collect.Collector{Databricks: client, Store: store, Account: account, Try: true, Log: log, Now: clouds.Clock.Now},
		UsageLog:  client, Warehouse: databricks.Warehouse{Host: databricks.Host{URL: clouds.Analytics.Host()}, ID: stage.Warehouse},
		Rotator: func(context.Context) (string, error) { return clouds.Rotator.ApplicationID, nil },
		History: c, Publisher: c, Trail: c,
		Live:  auditing.Live{Databricks: client, Store: store, Account: account},
		Place: rule.Place{Console: account.URL, RotateFunction: "rotate", RevokeFunction: "revoke"}, Deployment: "test", Log: log, Now: clouds.Clock.Now,
	}
	return c
}

var _ history.Source = (*company)(nil)

// Every planted fault is found, by rule and subject, and nothing else.
func TestFindsWhatIsPlanted(t *testing.T) {
	c := open(t)
	c.audit(t)
	want := slices.Sorted(maps.Keys(set(c.Faults)))
	got := slices.Sorted(slices.Values(c.found()))
	missing, more := difference(want, got), difference(got, want)
	t.Logf("%d faults planted, %d findings: recall %.3f, precision %.3f", len(want), len(got),
		1-float64(len(missing))/float64(len(want)), 1-float64(len(more))/float64(len(got)))
	if len(missing)+len(more) > 0 || len(got) != len(want) {
		t.Errorf("not found:\n  %s\nfound, and not planted:\n  %s", strings.Join(missing, "\n  "), strings.Join(more, "\n  "))
		for _, f := range c.report.Findings {
			if slices.Contains(more, f.Rule+" "+f.Subject.ID) {
				t.Logf("%s %s %v", f.Rule, f.Subject.Name, f.Evidence)
			}
		}
		for _, g := range c.report.Gaps {
			t.Log(g)
		}
	}
	planted := map[string]bool{}
	for _, f := range c.Faults {
		planted[f.Rule] = true
	}
	for _, r := range auditing.Rules() {
		if why, ok := notPlanted[r.ID]; !planted[r.ID] && !ok {
			t.Errorf("no fault is planted for rule %s", r.ID)
		} else if ok && (planted[r.ID] || why == "") {
			t.Errorf("rule %s is planted after all", r.ID)
		}
	}
}

// Every remedy that invokes one of our functions is an event that it takes.
func TestRemediesAreInvocations(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("SKIPPED: no bash to split commands with")
	}
	c := open(t)
	c.audit(t)
	invoked := map[string]bool{}
	for _, f := range c.report.Findings {
		if !strings.HasPrefix(f.Remedy, "aws lambda ") {
			continue
		}
		out, err := exec.CommandContext(t.Context(), bash, "-c", "aws() { printf '%s\\0' \"$@\"; }; "+f.Remedy).Output()
		if err != nil {
			t.Fatalf("%s: %v", f.Remedy, err)
		}
		words := strings.Split(string(out), "\x00")
		after := func(flag string) string { return words[slices.Index(words, flag)+1] }
		function, payload := after("--function-name"), []byte(after("--payload"))
		switch invoked[function] = true; function {
		case "rotate":
			_, err = rotation.ParseEvent(payload)
		case "revoke":
			_, err = revocation.ParseRequest(payload)
		default:
			t.Errorf("%s: there is no function %s", f.Rule, function)
		}
		if err != nil {
			t.Errorf("%s: %s: %v", f.Rule, f.Remedy, err)
		}
	}
	if !invoked["rotate"] || !invoked["revoke"] {
		t.Errorf("invoked are %v", invoked)
	}
}

// Invariant 6: in no form of a report is a value that Databricks gave out.
func TestReportsHoldNoSecret(t *testing.T) {
	c := open(t)
	c.audit(t)
	c.audit(t)
	var sheet, html strings.Builder
	if err := errors.Join(table.Write(&sheet, c.report), page.Write(&html, c.report)); err != nil {
		t.Fatal(err)
	}
	chat, err := summary.Chat(c.report, summary.Where{})
	if err != nil {
		t.Fatal(err)
	}
	found := leak.Look(c.clouds.Databricks.Issued(), map[string]string{
		"JSON": string(c.last), "CSV": sheet.String(), "HTML": html.String(), "chat": string(chat),
		"text": summary.Text(c.report, summary.Where{}, 1<<20), "trail": fmt.Sprintf("%+v", c.trail),
	})
	if found.Values == 0 || found.Bytes == 0 || len(found.Found) > 0 {
		t.Errorf("looked for %d values in %d bytes, found some in %v", found.Values, found.Bytes, found.Found)
	}
}

// notPlanted are rules that cannot apply beside the others, and why.
var notPlanted = map[string]string{
	"address-first-seen": "it is looked at only where the policy lists no networks, and address-outside-networks only where it does",
	"usage-not-watched":  "it says that the usage log was not read",
}

func set(faults []planted.Fault) map[string]bool {
	m := map[string]bool{}
	for _, f := range faults {
		m[f.String()] = true
	}
	return m
}

func difference(a, b []string) []string {
	var d []string
	for _, s := range a {
		if !slices.Contains(b, s) {
			d = append(d, s)
		}
	}
	return d
}

// removed are the ids that a prune has removed, or narrowed.
func (c *company) done(result prune.Result) []string {
	var ids []string
	for _, a := range c.report.Prune.Actions() {
		if a.Result == result {
			ids = append(ids, a.Subject.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// Invariant 9: the first audit gives notice, a later one removes exactly what
// was noticed and is still unused; a token that was used in between survives,
// and of a lost reply nothing is counted twice.
func TestPruneTwice(t *testing.T) {
	c := open(t)
	if err := errors.Join(c.Enforce(day), c.MendBroken()); err != nil {
		t.Fatal(err)
	}
	first := c.audit(t)
	if want := len(c.Stale) + len(c.Wide); first.Prune.Notice != want || first.Prune.Due != 0 || len(c.trail) > 0 || first.Prune.Results != nil {
		t.Fatalf("first audit: %+v, want %d notices and nothing done", first.Prune, want)
	}

	c.at(30*day - 25*time.Hour)
	saved := c.Stale[1]
	c.clouds.Databricks.UseToken(saved, c.clouds.Clock.Now(), "sql")
	var expected []string
	for _, id := range c.Stale {
		if id != saved {
			expected = append(expected, id)
		}
	}
	c.clouds.Databricks.Faults().Add(faulttest.Fault{Op: databrickstest.OpDeleteToken, Kind: faulttest.ReplyLost, Times: 2})
	second := c.audit(t)
	if diff := cmp.Diff(sorted(expected), c.done(prune.Removed)); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(c.Wide)), c.done(prune.Narrowed)); diff != "" {
		t.Errorf("narrowed (-want +got):\n%s", diff)
	}
	if second.Prune.Results[prune.Removed] != len(expected) || len(c.trail) != 2*(len(expected)+len(c.Wide)) {
		t.Errorf("results %v, %d entries in the trail", second.Prune.Results, len(c.trail))
	}
	for id, scopes := range c.Wide {
		if token, ok := c.clouds.Databricks.Token(id); !ok || !slices.Equal(sorted(token.Scopes), scopes) {
			t.Errorf("token %s has the scopes %v, want %v", id, token.Scopes, scopes)
		}
	}
	if token, ok := c.clouds.Databricks.Token(c.Watched); !ok || len(token.Scopes) > 0 {
		t.Errorf("the token that is still being watched: %v %v", ok, token.Scopes)
	}
	for _, id := range expected {
		if _, ok := c.clouds.Databricks.Token(id); ok {
			t.Errorf("token %s is still there", id)
		}
	}
	if _, ok := c.clouds.Databricks.Token(saved); !ok {
		t.Error("the token that was used in between is gone")
	}

	c.at(30*day - 26*time.Hour)
	if third := c.audit(t); third.Prune.Results != nil || third.Prune.Due+third.Prune.Notice != 0 || len(c.trail) > 0 {
		t.Errorf("third audit: %+v", third.Prune)
	}
}

// Invariant 9: a policy that would remove most of the estate removes nothing,
// and says why.
func TestGreedyPolicy(t *testing.T) {
	c := open(t)
	document, err := c.Greedy(time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c.Estate.Policy = document
	c.audit(t)
	c.at(30*day - 2*time.Hour)
	answer := c.audit(t)
	all := answer.Prune.Due
	if all*10 < answer.Credentials*6 {
		t.Fatalf("the policy would remove %d of %d: not most of it", all, answer.Credentials)
	}
	if !strings.Contains(answer.Prune.Stopped, "nothing is removed") || len(c.trail) > 0 || answer.Prune.Results != nil {
		t.Errorf("%+v, %d entries in the trail", answer.Prune, len(c.trail))
	}
	t.Logf("of %d credentials: %s", answer.Credentials, answer.Prune.Stopped)
}

// A second audit after the fixes finds everything mended: all resolved, none
// opened again, two points in the trend.
func TestSecondAuditAfterFixes(t *testing.T) {
	c := open(t)
	first := c.audit(t)
	c.at(22 * day)
	if err := c.Fix(); err != nil {
		t.Fatal(err)
	}
	second := c.audit(t)
	if second.Open.Total() != 0 || second.New != 0 {
		for _, f := range c.report.Findings {
			t.Logf("%s %s %s %v", f.Status, f.Rule, f.Subject.Name, f.Evidence)
		}
		t.Errorf("open %+v, new %d", second.Open, second.New)
	}
	if second.Resolved != first.Open.Total() || len(c.report.Trend) != 2 {
		t.Errorf("%d of %d resolved, %d points in the trend", second.Resolved, first.Open.Total(), len(c.report.Trend))
	}
}

// A dry run finds the same, and neither changes nor publishes anything.
func TestDryRun(t *testing.T) {
	c := open(t)
	if err := c.Enforce(time.Hour); err != nil {
		t.Fatal(err)
	}
	c.audit(t)
	published := c.last
	c.at(30*day - 2*time.Hour)
	c.trail = nil
	answer, err := c.Handle(t.Context(), json.RawMessage(`{"action":"audit","dry_run":true}`))
	if err != nil {
		t.Fatal(err)
	}
	if !answer.DryRun || answer.Open.Total() != len(c.Faults) || answer.Prune.Due == 0 || answer.Report != "" || len(c.trail) > 0 || string(published) != string(c.last) {
		t.Errorf("%+v", answer)
	}
}

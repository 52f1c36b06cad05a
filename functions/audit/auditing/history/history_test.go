package history_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/history"
	"databricks-credential-rotation/functions/audit/auditing/report"
	"databricks-credential-rotation/functions/audit/auditing/reporttest"
)

const day = 24 * time.Hour

// diary is a series of audits, each stored and read back as JSON.
type diary struct {
	t    interface{ Fatalf(string, ...any) }
	past history.Past
	now  time.Time
	last *report.Report
}

func newDiary(t interface{ Fatalf(string, ...any) }) *diary {
	return &diary{t: t, now: reporttest.TakenAt}
}

// audit makes the next day's audit.
func (d *diary) audit(gaps []report.Gap, found ...finding.Finding) *report.Report {
	r := &report.Report{ID: report.NewID(d.now, ""), TakenAt: d.now, Gaps: gaps}
	r.Findings = entries(found...)
	d.past.Compare(r)
	document, err := report.Encode(r)
	if err != nil {
		d.t.Fatalf("%v", err)
	}
	past, gap := history.Load(context.Background(), stored{document, nil})
	if gap != nil {
		d.t.Fatalf("the report cannot be read back: %+v", gap)
	}
	d.past, d.last = past, r
	d.now = d.now.Add(day)
	return r
}

type stored struct {
	document []byte
	err      error
}

func (s stored) Last(context.Context) (history.Document, error) {
	if s.document == nil {
		return nil, s.err
	}
	return reporttest.NewDocument(s.document), s.err
}

// entries are findings as an audit finds them.
func entries(found ...finding.Finding) []*report.Finding {
	var all []*report.Finding
	for _, f := range found {
		all = append(all, &report.Finding{Finding: f})
	}
	return all
}

func fault(rule string, kind finding.Kind, id string, workspace int64) finding.Finding {
	s := finding.Subject{Kind: kind, ID: id, Workspace: workspace}
	return finding.Finding{ID: finding.StableID(rule, s, ""), Rule: rule, Severity: finding.High, Subject: s, Title: rule}
}

// state says a report in short: "rule id status since", days from the first.
func state(r *report.Report) []string {
	var out []string
	since := func(t time.Time) int { return int(t.Sub(reporttest.TakenAt) / day) }
	for _, f := range r.Findings {
		out = append(out, fmt.Sprintf("%s %s %s since %d", f.Rule, f.Subject.ID, f.Status, since(f.FirstSeen)))
	}
	for _, f := range r.JustResolved() {
		out = append(out, fmt.Sprintf("%s %s resolved since %d", f.Rule, f.Subject.ID, since(f.FirstSeen)))
	}
	slices.Sort(out)
	return out
}

func check(t *testing.T, r *report.Report, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := state(r); !slices.Equal(got, want) {
		t.Errorf("audit %s: %q, want %q", r.ID, got, want)
	}
}

func TestALife(t *testing.T) {
	d := newDiary(t)
	unused := fault("unused", finding.Token, "a", 1)
	broad := fault("broad", finding.Token, "b", 1)
	check(t, d.audit(nil, unused), "unused a new since 0")
	check(t, d.audit(nil, unused, broad), "unused a open since 0", "broad b new since 1")
	check(t, d.audit(nil, broad), "unused a resolved since 0", "broad b open since 1")
	check(t, d.audit(nil), "broad b resolved since 1")
	check(t, d.audit(nil))
	// It is the fault of day 0 that is back, and everybody may know.
	check(t, d.audit(nil, unused), "unused a reopened since 0")
	check(t, d.audit(nil, unused), "unused a open since 0")
}

func TestAResolvedFindingIsForgottenAtLast(t *testing.T) {
	d := newDiary(t)
	one := fault("unused", finding.Token, "a", 1)
	d.audit(nil, one)
	d.audit(nil)
	d.now = d.now.Add(history.Memory - day) // the last day of its memory
	check(t, d.audit(nil))
	if n := len(d.last.Resolved); n != 1 {
		t.Fatalf("%d resolved findings are remembered", n)
	}
	d.audit(nil)
	if n := len(d.last.Resolved); n != 0 {
		t.Fatalf("%d resolved findings are remembered", n)
	}
	if r := d.audit(nil, one); r.Findings[0].Status != report.New || !r.Findings[0].FirstSeen.Equal(r.TakenAt) {
		t.Errorf("it is %+v", r.Findings[0])
	}
}

func TestOneFindingTwiceIsOne(t *testing.T) {
	one := fault("unused", finding.Token, "a", 1)
	check(t, newDiary(t).audit(nil, one, one), "unused a new since 0")
}

func gap(part report.Part, where string, workspace int64) report.Gap {
	return report.Gap{Part: part, Where: where, What: "everything", Why: "it is down", Workspace: workspace}
}

// What lies behind a gap is not resolved, and so not opened again tomorrow.
func TestGapsHide(t *testing.T) {
	inOne := fault("unused", finding.Token, "one", 1)
	inTwo := fault("unused", finding.Token, "two", 2)
	principal := fault("admin", finding.ServicePrincipal, "sp", 0)
	secret := fault("foreign", finding.OAuthSecret, "s", 0)
	managed := fault("overdue", finding.ManagedSecret, "arn", 0)
	source := fault("unread", finding.Source, "x", 1)
	all := []finding.Finding{inOne, inTwo, principal, secret, managed, source}
	for name, test := range map[string]struct {
		gap    report.Gap
		hidden []string
	}{
		"workspace": {gap(report.PartWorkspace, "https://one", 1), []string{"one", "sp", "s", "arn"}},
		"AWS":       {gap(report.PartAWS, "AWS", 0), []string{"arn", "s", "sp"}},
		"account":   {gap(report.PartAccount, "the account", 0), []string{"one", "two", "sp", "s", "arn"}},
		"usage":     {gap(report.PartUsage, "the usage log", 0), []string{"one", "two", "sp", "s", "arn"}},
		"the past":  {gap(report.PartAudit, "the audit", 0), []string{"one", "two", "sp", "s", "arn"}},
		"unheard":   {gap("moon", "the moon", 0), []string{"one", "two", "sp", "s", "arn"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDiary(t)
			d.audit(nil, all...)
			for range 3 { // for as long as the gap is there
				r := d.audit([]report.Gap{test.gap})
				var hidden []string
				for _, f := range r.Findings {
					if f.Status != report.Unchecked || !slices.Equal(f.HiddenBy, []string{test.gap.Name()}) {
						t.Errorf("%s is %s, hidden by %q", f.Subject.ID, f.Status, f.HiddenBy)
					}
					hidden = append(hidden, f.Subject.ID)
				}
				slices.Sort(hidden)
				slices.Sort(test.hidden)
				if !slices.Equal(hidden, test.hidden) {
					t.Errorf("hidden are %q, want %q", hidden, test.hidden)
				}
			}
			// The gap closes: what is there still is as old as it was, the rest
			// is resolved.
			r := d.audit(nil, principal)
			if r.Findings[0].Status != report.Open || !r.Findings[0].FirstSeen.Equal(reporttest.TakenAt) || r.Findings[0].HiddenBy != nil {
				t.Errorf("it is %+v", r.Findings[0])
			}
			if len(r.Findings) != 1 || len(r.JustResolved())+1 != len(test.hidden) {
				t.Errorf("%d findings, %d resolved", len(r.Findings), len(r.JustResolved()))
			}
		})
	}
}

// A gap that was there when the finding was seen cannot hide it, or a
// workspace that can never be read would keep it open for ever.
func TestAnOldGapHidesNothing(t *testing.T) {
	d := newDiary(t)
	one := fault("unused", finding.Token, "a", 1)
	always := []report.Gap{gap(report.PartAccount, "the account", 0)}
	d.audit(always, one)
	check(t, d.audit(always), "unused a resolved since 0")
	// A second gap does.
	d = newDiary(t)
	d.audit(always, one)
	both := append(slices.Clone(always), gap(report.PartWorkspace, "https://one", 1))
	check(t, d.audit(both), "unused a unchecked since 0")
	check(t, d.audit(both), "unused a unchecked since 0")
	check(t, d.audit(always), "unused a resolved since 0")
}

func TestTrend(t *testing.T) {
	d := newDiary(t)
	one, two := fault("unused", finding.Token, "a", 1), fault("unused", finding.Token, "b", 1)
	d.audit(nil, one)
	d.audit(nil, one, two)
	d.audit(nil, two)
	d.audit(nil, two, one)
	var got []string
	for _, p := range d.last.Trend {
		got = append(got, fmt.Sprintf("%s high %d new %d resolved %d", p.ID, p.Open.High, p.New, p.Resolved))
	}
	want := []string{
		"20261124T060000Z high 1 new 1 resolved 0",
		"20261125T060000Z high 2 new 1 resolved 0",
		"20261126T060000Z high 1 new 0 resolved 1",
		"20261127T060000Z high 2 new 1 resolved 0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for range 500 {
		d.audit(nil, one)
	}
	if n := len(d.last.Trend); n != 400 || d.last.Trend[399].ID != d.last.ID {
		t.Errorf("%d points, the last is %s", n, d.last.Trend[n-1].ID)
	}
}

func TestTheFirstAuditComparesWithNothing(t *testing.T) {
	past, gap := history.Load(t.Context(), stored{})
	if gap != nil || past.ID != "" {
		t.Fatalf("past %+v, gap %+v", past, gap)
	}
	if n := len(past.Notices()); n != 0 {
		t.Errorf("%d notices", n)
	}
	r := &report.Report{ID: "x", TakenAt: reporttest.TakenAt, Findings: entries(fault("unused", finding.Token, "a", 1))}
	past.Compare(r)
	if r.Previous != "" || r.Findings[0].Status != report.New || len(r.Trend) != 1 {
		t.Errorf("report %+v", r)
	}
}

func TestLoadMakesAGapOfWhatItCannotRead(t *testing.T) {
	for name, test := range map[string]struct {
		s    stored
		want string
	}{
		"no bucket":    {stored{err: errors.New("AccessDenied: \x1b[2J")}, `could not be read: AccessDenied: \u001b[2J`},
		"cut short":    {stored{document: []byte(`{"version":`)}, "not a report that this version understands"},
		"next version": {stored{document: []byte(`{"version":"databricks-credential-audit/9"}`)}, "audit/9"},
	} {
		past, gap := history.Load(t.Context(), test.s)
		if gap == nil || past.ID != "" || !strings.Contains(gap.Why, test.want) || !strings.Contains(gap.Why, "notice periods begin again") {
			t.Errorf("%s: gap %+v", name, gap)
		}
	}
}

func TestNoticesAreThoseOfTheLastPlan(t *testing.T) {
	document, err := report.Encode(reporttest.Sample())
	if err != nil {
		t.Fatal(err)
	}
	past, _ := history.Load(t.Context(), stored{document: document})
	got := past.Notices()
	if at := got["narrow a1b2c3"]; !at.Equal(reporttest.TakenAt.Add(-2 * day)) {
		t.Errorf("noticed at %v", at)
	}
	if n := len(got); n != 4 {
		t.Errorf("%d notices", n)
	}
}

// Whatever comes and goes: a finding is open or resolved and not both, once;
// it is resolved only by an audit that could see; it never gets younger.
func TestHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var universe []finding.Finding
		for i, kind := range []finding.Kind{finding.Token, finding.Token, finding.ServicePrincipal, finding.OAuthSecret, finding.ManagedSecret} {
			universe = append(universe, fault("rule", kind, fmt.Sprint(i), int64(i%2)))
		}
		possible := []report.Gap{gap(report.PartWorkspace, "https://one", 1), gap(report.PartAWS, "AWS", 0), gap(report.PartUsage, "usage", 0)}
		d := newDiary(t)
		firstSeen := map[string]time.Time{}
		var lastGaps []report.Gap
		for range rapid.IntRange(1, 12).Draw(t, "audits") {
			found := rapid.SliceOfDistinct(rapid.SampledFrom(universe), func(f finding.Finding) string { return f.ID }).Draw(t, "found")
			gaps := rapid.SliceOfDistinct(rapid.SampledFrom(possible), report.Gap.Name).Draw(t, "gaps")
			before := d.last
			r := d.audit(gaps, found...)

			open := map[string]*report.Finding{}
			for _, f := range r.Findings {
				if _, twice := open[f.ID]; twice {
					t.Fatalf("%s is open twice", f.ID)
				}
				open[f.ID] = f
			}
			closed := map[string]bool{}
			for _, f := range r.Resolved {
				if _, both := open[f.ID]; both || closed[f.ID] {
					t.Fatalf("%s is resolved twice, or open as well", f.ID)
				}
				closed[f.ID] = true
			}
			for _, f := range found {
				if got := open[f.ID].Status; got == "" || got == report.Unchecked {
					t.Fatalf("%s was found and is %q", f.ID, got)
				}
			}
			if before != nil {
				for _, f := range before.Findings {
					if _, is := open[f.ID]; !is && !closed[f.ID] {
						t.Fatalf("%s was open and is gone without a word", f.ID)
					}
				}
			}
			sameGaps := maps.Equal(names(lastGaps), names(gaps))
			for _, f := range open {
				if at, known := firstSeen[f.ID]; known && !f.FirstSeen.Equal(at) {
					t.Fatalf("%s was first seen %v, now it says %v", f.ID, at, f.FirstSeen)
				}
				firstSeen[f.ID] = f.FirstSeen
				if f.Status == report.Unchecked && len(gaps) == 0 {
					t.Fatalf("%s is unchecked, and there is no gap", f.ID)
				}
				wasSeen := before != nil && slices.ContainsFunc(before.Findings, func(b *report.Finding) bool {
					return b.ID == f.ID && b.Status != report.Unchecked
				})
				if f.Status == report.Unchecked && sameGaps && wasSeen {
					t.Fatalf("%s is hidden by gaps that did not hide it yesterday", f.ID)
				}
			}
			lastGaps = gaps
		}
	})
}

func names(gaps []report.Gap) map[string]bool {
	m := map[string]bool{}
	for _, g := range gaps {
		m[g.Name()] = true
	}
	return m
}

// brittle can be read once.
type brittle struct{ reporttest.Document }

func (brittle) Seek(int64, int) (int64, error) { return 0, errors.New("input/output error") }

func (b brittle) Last(context.Context) (history.Document, error) { return b, nil }

// A report that was read and cannot be read again costs the comparison, and
// says so; the audit goes on.
func TestReportThatCannotBeReadAgain(t *testing.T) {
	document, err := report.Encode(reporttest.Sample())
	if err != nil {
		t.Fatal(err)
	}
	past, none := history.Load(t.Context(), brittle{reporttest.NewDocument(document)})
	if none != nil {
		t.Fatal(none)
	}
	r := &report.Report{ID: "x", TakenAt: reporttest.TakenAt.Add(day), Findings: entries(reporttest.Sample().Findings[0].Finding)}
	past.Compare(r)
	if len(r.Gaps) != 1 || !strings.Contains(r.Gaps[0].Why, "a second time: input/output error") || r.Findings[0].Status != report.New || len(r.Resolved) > 0 {
		t.Errorf("gaps %+v, status %s, %d resolved", r.Gaps, r.Findings[0].Status, len(r.Resolved))
	}
}

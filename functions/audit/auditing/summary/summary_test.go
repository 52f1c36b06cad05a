package summary_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"databricks-credential-rotation/functions/audit/auditing/prune"
	"databricks-credential-rotation/functions/audit/auditing/report"
	"databricks-credential-rotation/functions/audit/auditing/reporttest"
	"databricks-credential-rotation/functions/audit/auditing/summary"
)

const limit = 256 << 10

var where = summary.Where{
	Link: "https://eu-west-1.console.aws.amazon.com/s3/object/evidence?prefix=audits/x/report.html",
	URI:  "s3://evidence/audits/x/report.html",
}

func chat(t *testing.T, r *report.Report, w summary.Where) []byte {
	t.Helper()
	document, err := summary.Chat(r, w)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func TestGolden(t *testing.T) {
	empty := &report.Report{ID: "x", TakenAt: reporttest.TakenAt, Deployment: "databricks-credentials"}
	stopped := reporttest.Sample()
	stopped.DryRun, stopped.Prune.Done = true, nil
	stopped.Prune.Plan.Stopped = "247 of 412 credentials would be removed, and the budget is 100 credentials, 10%"
	lost := summary.Where{Missing: "put s3://evidence/audits/x/report.html: AccessDenied"}
	for name, test := range map[string]struct {
		r *report.Report
		w summary.Where
	}{
		"sample":  {reporttest.Sample(), where},
		"hostile": {reporttest.Hostile(), where},
		"empty":   {empty, summary.Where{URI: where.URI}},
		"stopped": {stopped, lost},
	} {
		t.Run(name, func(t *testing.T) {
			reporttest.Golden(t, name+".txt", []byte(summary.Text(test.r, test.w, limit)))
			reporttest.Golden(t, name+".chat.json", chat(t, test.r, test.w))
		})
	}
}

// What a mail or a chat may not get from a name: characters that act, a new
// line, a link.
func TestHostileNames(t *testing.T) {
	r := reporttest.Hostile()
	text := summary.Text(r, where, limit)
	act := func(c rune) bool { return c != '\n' && unicode.In(c, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }
	if i := strings.IndexFunc(text, act); i >= 0 {
		t.Errorf("a character acts in the text: %q", text[max(0, i-30):i+30])
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "Nothing to do today") {
			t.Errorf("a name made a line: %q", line)
		}
		// A remedy is a command of ours about the name; it stays what it is.
		if strings.Contains(line, "://pwned") && !strings.HasPrefix(strings.TrimSpace(line), "do: ") {
			t.Errorf("a name made a link: %q", line)
		}
	}

	var n struct {
		Version, Source string
		Content         struct {
			TextType, Title, Description string
			NextSteps                    []string
		}
	}
	if err := json.Unmarshal(chat(t, r, where), &n); err != nil {
		t.Fatal(err)
	}
	if n.Version != "1.0" || n.Source != "custom" || n.Content.TextType != "client-markdown" {
		t.Errorf("Amazon Q Developer would drop %+v", n)
	}
	for _, s := range append(n.Content.NextSteps, n.Content.Title, n.Content.Description) {
		if strings.ContainsAny(s, "<>") || strings.ContainsFunc(s, act) {
			t.Errorf("something acts in %q", s)
		}
		outside := regexp.MustCompile("`[^`\n]*`").ReplaceAllString(s, "")
		if strings.Contains(outside, "pwned") || strings.Contains(outside, "`") {
			t.Errorf("a name left its inline code: %q", outside)
		}
	}
}

// SNS refuses a message over 256 KiB, and nobody would hear of the audit.
func TestTextStaysWithinItsBound(t *testing.T) {
	for _, findings := range []int{0, 1, 10, 3000} {
		large := reporttest.Large(findings)
		for i := range large.Findings { // as many rules as findings
			large.Findings[i].Rule = fmt.Sprintf("rule-%d", i)
		}
		full := len(summary.Text(large, where, 64<<20))
		for _, most := range []int{full + 1, full, full - 1, full / 2, limit, 8 << 10, 2000} {
			text := summary.Text(large, where, most)
			if len(text) > most {
				t.Errorf("%d findings: %d bytes, at most %d", findings, len(text), most)
			}
			if !utf8.ValidString(text) {
				t.Errorf("%d findings, %d bytes: cut within a character", findings, most)
			}
			listed := strings.Count(text, "     do: ") + len(regexp.MustCompile(`(?m)^   \[\w+\] .*: 1$`).FindAllString(text, -1))
			var left int
			if m := regexp.MustCompile(`\n(\d+) findings? more, in the report`).FindStringSubmatch(text); m != nil {
				if _, err := fmt.Sscan(m[1], &left); err != nil {
					t.Fatal(err)
				}
			}
			if most >= 8<<10 && listed+left != findings {
				t.Errorf("%d findings, %d bytes: %d listed and %d said to be left", findings, most, listed, left)
			}
		}
	}
}

func TestChatStaysShort(t *testing.T) {
	r := reporttest.Large(1000)
	for i := range r.Findings {
		r.Findings[i].Rule = fmt.Sprintf("rule-%d", i)
	}
	r.Prune.Plan.Stopped = strings.Repeat("why ", 500)
	var n struct {
		Content struct {
			Title, Description string
			NextSteps          []string
		}
	}
	if err := json.Unmarshal(chat(t, r, where), &n); err != nil {
		t.Fatal(err)
	}
	if got := utf8.RuneCountInString(n.Content.Description); got > 2800 {
		t.Errorf("the description has %d characters", got)
	}
	if !strings.Contains(n.Content.Description, where.Link) || !strings.Contains(n.Content.Description, "more, in the report") {
		t.Errorf("the pointer to the report is missing: %s", n.Content.Description)
	}
	if len(n.Content.NextSteps) != 5 {
		t.Errorf("%d next steps", len(n.Content.NextSteps))
	}
}

func TestSubjectFitsAMailHeader(t *testing.T) {
	worst := reporttest.Large(20_000)
	worst.Gaps = make([]report.Gap, 1234567)
	worst.Prune.Plan.Stopped = "x"
	for name, r := range map[string]*report.Report{"sample": reporttest.Sample(), "hostile": reporttest.Hostile(), "worst": worst} {
		s := summary.Subject(r)
		if len(s) > 100 || strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Errorf("%s: %q, %d bytes", name, s, len(s))
		}
	}
	if got, want := summary.Subject(&report.Report{}), "Databricks credentials: no findings"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A command that is cut is a wrong command.
func TestRemediesAreNeverCut(t *testing.T) {
	r := reporttest.Sample()
	r.Findings = r.Findings[:1]
	r.Findings[0].Remedy = "databricks " + strings.Repeat("x", 1600)
	if text := summary.Text(r, where, limit); !strings.Contains(text, "do: see the report") || strings.Contains(text, "xxxx") {
		t.Error("a long command is not left to the report")
	}
	if document := chat(t, r, where); strings.Contains(string(document), "xxxx") {
		t.Error("the chat has a part of a long command")
	}
}

func TestPruneTellsWhatBecameOfEachItem(t *testing.T) {
	r := reporttest.Sample()
	text := summary.Text(r, where, limit)
	for _, want := range []string{"laptop: in use", "notebook: removed", "CI deploys: from 2026-12-06", "to jobs", "break glass: exempt", "kept for incidents"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing", want)
		}
	}
	r.Prune.Done = &prune.Done{}
	if text := summary.Text(r, where, limit); !strings.Contains(text, "laptop: due, not done") {
		t.Error("what is due and was not done is not told")
	}
}

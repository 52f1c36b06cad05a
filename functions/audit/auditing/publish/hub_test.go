package publish_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/report"
	"databricks-credential-rotation/functions/audit/auditing/reporttest"
	"databricks-credential-rotation/shared/awstest"
	"databricks-credential-rotation/shared/faulttest"
)

// onlyHub leaves out the other media.
func onlyHub(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.Bucket, w.Topic, w.Metrics = nil, nil, nil
	return w
}

func (w *world) stored(t *testing.T, id string) awstest.SecurityFinding {
	t.Helper()
	for _, f := range w.SecurityFindings() {
		if strings.HasSuffix(f.ID, "/"+id) {
			return f
		}
	}
	t.Fatalf("%s is not in Security Hub", id)
	return awstest.SecurityFinding{}
}

func TestHubGolden(t *testing.T) {
	w := onlyHub(t)
	if err := w.Deliver(t.Context(), reporttest.Sample()).Err(); err != nil {
		t.Fatal(err)
	}
	body, err := json.MarshalIndent(w.SecurityFindings(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	reporttest.Golden(t, "securityhub.json", body)
}

// A finding's life: new, still there, resolved, back. It is one finding all
// along, and its update times grow.
func TestHubFollowsAFinding(t *testing.T) {
	w := onlyHub(t)
	r := reporttest.Sample()
	one := r.Findings[0]
	last := ""
	for day, test := range []struct {
		status report.Status
		state  string
	}{{report.New, "ACTIVE"}, {report.Open, "ACTIVE"}, {report.Unchecked, "ACTIVE"}, {"", "ARCHIVED"}, {report.Reopened, "ACTIVE"}} {
		r.TakenAt = reporttest.TakenAt.AddDate(0, 0, day)
		one.Status = test.status
		r.Findings, r.Resolved = []*report.Finding{one}, nil
		if test.status == "" {
			r.Findings, r.Resolved = nil, []report.Resolved{{Finding: one.Finding, ResolvedAt: r.TakenAt}}
		}
		if err := w.Deliver(t.Context(), r).Err(); err != nil {
			t.Fatal(err)
		}
		got := w.stored(t, one.ID)
		if len(w.SecurityFindings()) != 1 || got.RecordState != test.state || got.UpdatedAt <= last {
			t.Errorf("day %d: %d findings, %s, updated %s after %s", day, len(w.SecurityFindings()), got.RecordState, got.UpdatedAt, last)
		}
		if got.FirstObservedAt != "2026-11-24T06:00:00.000Z" || got.CreatedAt != got.FirstObservedAt {
			t.Errorf("day %d: first observed %s, created %s", day, got.FirstObservedAt, got.CreatedAt)
		}
		if observed := got.LastObservedAt == got.UpdatedAt; observed != (test.status != "" && test.status != report.Unchecked) {
			t.Errorf("day %d: last observed %q, updated %q", day, got.LastObservedAt, got.UpdatedAt)
		}
		last = got.UpdatedAt
	}
}

func TestHubSendsBatches(t *testing.T) {
	w := onlyHub(t)
	r := reporttest.Large(250)
	r.Resolved = nil
	if err := w.Deliver(t.Context(), r).Err(); err != nil {
		t.Fatal(err)
	}
	if n := w.calls("BatchImportFindings"); n != 3 || len(w.SecurityFindings()) != 250 {
		t.Errorf("%d calls, %d findings", n, len(w.SecurityFindings()))
	}
}

// The emulator refuses what Security Hub refuses: sizes, lengths, names.
func TestHubTakesTheWorstFindings(t *testing.T) {
	w := onlyHub(t)
	r := reporttest.Hostile()
	for n := range 101 {
		huge := strings.Repeat("\U0001f4a3\u202e", 3000)
		f := *r.Findings[0]
		f.ID = fmt.Sprint("huge-", n)
		f.Title, f.Owner, f.Rule, f.Remedy = huge, huge, huge, huge
		f.Subject = finding.Subject{Kind: finding.Token, ID: huge, Name: huge, ClientID: huge}
		f.Evidence = nil
		for i := range 60 {
			f.Evidence = append(f.Evidence, finding.Evidence{Name: fmt.Sprint(i, huge), Value: huge})
		}
		r.Findings = append(r.Findings, &f)
	}
	empty := report.Finding{Finding: finding.Finding{ID: "empty", Severity: finding.Info, FirstSeen: r.TakenAt}, Status: report.New}
	empty.Evidence = []finding.Evidence{{}}
	r.Findings = append(r.Findings, &empty)
	r.Deployment = "databricks-credentials"
	if err := w.Deliver(t.Context(), r).Err(); err != nil {
		t.Fatal(err)
	}
	if got, want := len(w.SecurityFindings()), len(r.Findings)+len(r.Resolved); got != want {
		t.Errorf("%d findings, want %d", got, want)
	}
	if text := w.stored(t, "huge-0").Remediation.Recommendation.Text; !strings.Contains(text, "too long") {
		t.Errorf("a command was cut: %q", text)
	}
}

func TestHubNamesWhatWasRefused(t *testing.T) {
	w := onlyHub(t)
	r := reporttest.Sample()
	r.Findings[2].FirstSeen = r.TakenAt.AddDate(0, 0, 1) // created after it was updated
	result := w.Deliver(t.Context(), r)
	err := result.Err()
	if err == nil || !strings.Contains(err.Error(), r.Findings[2].ID+" was refused: InvalidInput: ") || strings.Count(err.Error(), "refused") != 1 {
		t.Errorf("error %v", err)
	}
	if n := len(w.SecurityFindings()); n != len(r.Findings)+len(r.Resolved)-1 {
		t.Errorf("%d findings", n)
	}
	if result.Deliveries[0].Detail != "8 findings" {
		t.Errorf("detail %q", result.Deliveries[0].Detail)
	}
}

func TestHubStopsWhereItIsNotEnabled(t *testing.T) {
	w := onlyHub(t)
	w.DisableSecurityHub()
	r := reporttest.Large(950)
	r.Resolved = nil
	err := w.Deliver(t.Context(), r).Err()
	if err == nil || !strings.Contains(err.Error(), "not subscribed") || !strings.Contains(err.Error(), "850 more were not tried") {
		t.Errorf("error %v", err)
	}
	if n := w.calls("BatchImportFindings"); n != 1 {
		t.Errorf("%d calls", n)
	}
}

// A call that fails costs its own findings only.
func TestHubGoesOnAfterAFailure(t *testing.T) {
	w := onlyHub(t)
	w.Faults().Add(faulttest.Fault{Op: "BatchImportFindings", Kind: faulttest.ServerError, Times: 3}) // all tries of the first
	r := reporttest.Large(250)
	r.Resolved = nil
	err := w.Deliver(t.Context(), r).Err()
	if err == nil || !strings.Contains(err.Error(), "importing 100 findings") || len(w.SecurityFindings()) != 150 {
		t.Errorf("%d findings, error %v", len(w.SecurityFindings()), err)
	}
}

func TestHubGivesUpAtLast(t *testing.T) {
	w := onlyHub(t)
	w.Faults().Add(faulttest.Fault{Op: "BatchImportFindings", Kind: faulttest.ServerError, Times: faulttest.Forever})
	r := reporttest.Large(950)
	r.Resolved = nil
	err := w.Deliver(t.Context(), r).Err()
	if err == nil || !strings.Contains(err.Error(), "450 more were not tried") || strings.Count(err.Error(), "importing 100 findings") != 5 {
		t.Errorf("error %v", err)
	}
}

// The import of very many findings ends before the invocation does, so that
// the metrics and the error can tell of it.
func TestHubLeavesTimeToSaySo(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	result := w.Deliver(ctx, reporttest.Large(250))
	if err := result.Err(); err == nil || !strings.Contains(err.Error(), "Security Hub: importing 100 findings: the time ran out") || !strings.Contains(err.Error(), "more were not tried") {
		t.Errorf("error %v", err)
	}
	if ctx.Err() != nil || !strings.Contains(w.log.String(), `"Undelivered":1`) {
		t.Errorf("the metrics do not tell: %s", w.log.String())
	}
	if _, kind := w.object(t, folder+"report.json"); kind != "application/json" {
		t.Errorf("the report is a %s", kind)
	}
}

package publish_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"databricks-credential-rotation/functions/audit/auditing/history"
	"databricks-credential-rotation/functions/audit/auditing/publish"
	"databricks-credential-rotation/functions/audit/auditing/report"
	"databricks-credential-rotation/functions/audit/auditing/reporttest"
	"databricks-credential-rotation/shared/faulttest"
)

var _ history.Source = publish.Bucket{}

func TestEvidenceIsNotWrittenOver(t *testing.T) {
	w := newWorld(t)
	if err := w.Deliver(t.Context(), reporttest.Sample()).Err(); err != nil {
		t.Fatal(err)
	}
	before, _ := w.object(t, folder+"report.json")
	other := reporttest.Sample()
	other.Findings = other.Findings[:1]
	err := w.Deliver(t.Context(), other).Err()
	if err == nil || !strings.Contains(err.Error(), "evidence is not written over") {
		t.Errorf("error %v", err)
	}
	if after, _ := w.object(t, folder+"report.json"); !bytes.Equal(after, before) {
		t.Error("the evidence changed")
	}
	if document := last(t, w); !bytes.Equal(document, before) {
		t.Error("the last audit is no longer what it was")
	}
}

// last reads the last audit's report.
func last(t *testing.T, w *world) []byte {
	t.Helper()
	document, err := w.Bucket.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = document.Close() }()
	body, err := io.ReadAll(document)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestLast(t *testing.T) {
	w := newWorld(t)
	if document, err := w.Bucket.Last(t.Context()); document != nil || err != nil {
		t.Fatalf("before the first audit: %v, %v", document, err)
	}
	if err := w.Deliver(t.Context(), reporttest.Sample()).Err(); err != nil {
		t.Fatal(err)
	}
	if r, err := report.Decode(last(t, w)); err != nil || r.ID != reporttest.Sample().ID {
		t.Errorf("report %+v, %v", r, err)
	}

	// A later audit takes its place.
	next := reporttest.Sample()
	next.ID, next.TakenAt = "20261125T060000Z", next.TakenAt.AddDate(0, 0, 1)
	if err := w.Deliver(t.Context(), next).Err(); err != nil {
		t.Fatal(err)
	}
	past, gap := history.Load(t.Context(), w.Bucket)
	if gap != nil || past.ID != next.ID {
		t.Errorf("past %+v, gap %+v", past, gap)
	}
}

// Two audits at once: the last is the one that looked last, whichever ends
// last. Invariant 8.
func TestThePointerDoesNotGoBack(t *testing.T) {
	later := reporttest.Sample()
	later.ID, later.TakenAt = "20261124T061500Z", later.TakenAt.Add(15*time.Minute)
	latest := later.ID
	check := func(t *testing.T, w *world) {
		t.Helper()
		if past, gap := history.Load(t.Context(), w.Bucket); gap != nil || past.ID != latest {
			t.Errorf("past %+v, gap %+v", past, gap)
		}
	}
	deliver := func(t *testing.T, w *world, r *report.Report) {
		t.Helper()
		w.Topic, w.Hub, w.Metrics = nil, nil, nil
		if err := w.Deliver(t.Context(), r).Err(); err != nil {
			t.Error(err)
		}
	}
	t.Run("one after the other", func(t *testing.T) {
		w := newWorld(t)
		deliver(t, w, later)
		deliver(t, w, reporttest.Sample())
		check(t, w)
	})
	// The other audit's whole publication happens between this one's look at
	// the pointer and its write.
	for name, order := range map[string][]*report.Report{
		"the later between": {reporttest.Sample(), later}, "the earlier between": {later, reporttest.Sample()},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			done := false
			w.Faults().OnCall(nil, func(c faulttest.Call) {
				if c.Op == "GetObject" && c.Target == bucket+"/"+pointer && !done {
					done = true
					deliver(t, w, order[1])
				}
			})
			deliver(t, w, order[0])
			w.Faults().OnCall(nil, nil)
			check(t, w)
		})
	}
}

func TestAPointerWhoseReplyWasLostIsWritten(t *testing.T) {
	for _, first := range []bool{true, false} {
		w := newWorld(t)
		w.Topic, w.Hub, w.Metrics = nil, nil, nil
		if !first {
			before := reporttest.Sample()
			before.ID, before.TakenAt = "20261123T060000Z", before.TakenAt.AddDate(0, 0, -1)
			if err := w.Deliver(t.Context(), before).Err(); err != nil {
				t.Fatal(err)
			}
		}
		w.Faults().Add(faulttest.Fault{Op: "PutObject", Target: bucket + "/" + pointer, Kind: faulttest.ReplyLost})
		if err := w.Deliver(t.Context(), reporttest.Sample()).Err(); err != nil {
			t.Error(err)
		}
		if past, gap := history.Load(t.Context(), w.Bucket); gap != nil || past.ID != reporttest.Sample().ID {
			t.Errorf("past %+v, gap %+v", past, gap)
		}
	}
}

// A last audit that cannot be read is a gap, and the audit goes on.
func TestLastThatCannotBeRead(t *testing.T) {
	put := func(t *testing.T, w *world, key, body string) {
		t.Helper()
		if _, err := w.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: strings.NewReader(body)}); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		spoil func(*testing.T, *world)
		want  string
	}{
		"pointer is HTML":  {func(t *testing.T, w *world) { put(t, w, pointer, "<html>") }, "latest.json: invalid character"},
		"pointer has more": {func(t *testing.T, w *world) { put(t, w, pointer, `{"next": 1}`) }, `unknown field "next"`},
		"pointer is newer": {func(t *testing.T, w *world) {
			put(t, w, pointer, `{"version":"databricks-credential-audit-pointer/2"}`)
		}, "pointer/2"},
		"pointer leads away": {func(t *testing.T, w *world) {
			put(t, w, pointer, `{"version":"databricks-credential-audit-pointer/1","report":"other/report.json"}`)
		}, "points outside"},
		"report is gone": {func(t *testing.T, w *world) {
			put(t, w, pointer, `{"version":"databricks-credential-audit-pointer/1","report":"audits/none.json"}`)
		}, "audits/none.json: NoSuchKey"},
		"report was changed":  {func(t *testing.T, w *world) { put(t, w, folder+"report.json", "{}") }, "changed or cut short"},
		"bucket is closed":    {func(_ *testing.T, w *world) { w.deny("s3:GetObject") }, "AccessDenied"},
		"list is not allowed": {func(_ *testing.T, w *world) { w.deny("s3:GetObject") }, "without s3:ListBucket"},
		"bucket is silent": {func(_ *testing.T, w *world) {
			w.Faults().Add(faulttest.Fault{Op: "GetObject", Kind: faulttest.ServerError, Times: faulttest.Forever})
		}, "could not be read"},
		"report is not a report": {func(t *testing.T, w *world) {
			put(t, w, pointer, `{"version":"databricks-credential-audit-pointer/1","report":"audits/x.json","sha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}`)
			put(t, w, "audits/x.json", "{}")
		}, "not a report that this version understands"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if err := w.Deliver(t.Context(), reporttest.Sample()).Err(); err != nil {
				t.Fatal(err)
			}
			test.spoil(t, w)
			past, gap := history.Load(t.Context(), w.Bucket)
			if gap == nil || !strings.Contains(gap.Why, test.want) || past.ID != "" {
				t.Fatalf("gap %+v, want %q", gap, test.want)
			}
			// What follows is as in the first audit.
			r := reporttest.Sample()
			r.ID = "20261125T060000Z"
			r.Gaps = append(r.Gaps, *gap)
			past.Compare(r)
			w.SetAuthorizer(nil)
			w.Faults().Clear()
			if err := w.Deliver(t.Context(), r).Err(); err != nil {
				t.Error(err)
			}
			if _, gap := history.Load(t.Context(), w.Bucket); gap != nil {
				t.Errorf("the next audit has a gap, too: %+v", gap)
			}
		})
	}
}

func TestLastEndsWithTheTime(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Bucket.Last(ctx); err == nil || !strings.Contains(err.Error(), "the time ran out") {
		t.Errorf("error %v", err)
	}
}

func TestLinksLeadToTheRightConsole(t *testing.T) {
	for region, want := range map[string]string{
		"eu-west-1":     "https://eu-west-1.console.aws.amazon.com/s3/object/evidence?region=eu-west-1&prefix=audits%2F2026%2F11%2F24%2F20261124T060000Z-5f1c9a277d4e%2Freport.html",
		"us-gov-west-1": "https://us-gov-west-1.console.amazonaws-us-gov.com/",
		"cn-north-1":    "https://cn-north-1.console.amazonaws.cn/",
		"":              "",
	} {
		w := newWorld(t)
		w.Bucket.Region = region
		if got := w.Deliver(t.Context(), reporttest.Sample()).Where.Link; !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q", region, got)
		}
	}
}

// Without a place for temporary files nothing can be stored, and people are
// told of that.
func TestNoRoomForFiles(t *testing.T) {
	w := newWorld(t)
	t.Setenv("TMPDIR", t.TempDir()+"/none")
	result := w.Deliver(t.Context(), reporttest.Sample())
	if err := result.Err(); err == nil || !strings.Contains(err.Error(), "a temporary file for the report: ") || !strings.Contains(err.Error(), "published all the same: SNS, Security Hub, metrics") {
		t.Errorf("error %v", err)
	}
	if result.Where.URI != "" || !strings.Contains(result.Where.Missing, "temporary file") {
		t.Errorf("where: %+v", result.Where)
	}
}

// What is read or written for an audit leaves no file behind.
func TestLeavesNoFiles(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	if err := w.Deliver(t.Context(), reporttest.Sample()).Err(); err != nil {
		t.Fatal(err)
	}
	past, gap := history.Load(t.Context(), w.Bucket)
	if gap != nil {
		t.Fatal(gap)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
	if err := past.Close(); err != nil {
		t.Error(err)
	}
}

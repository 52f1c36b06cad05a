package publish_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"databricks-credential-rotation/functions/audit/auditing/publish"
	"databricks-credential-rotation/functions/audit/auditing/reporttest"
	"databricks-credential-rotation/shared/faulttest"
)

func TestEveryMediumGetsTheReport(t *testing.T) {
	w := newWorld(t)
	r := reporttest.Sample()
	result := w.Deliver(t.Context(), r)
	if err := result.Err(); err != nil {
		t.Fatal(err)
	}
	if got, want := w.keys(t), []string{folder + "findings.csv", folder + "report.html", folder + "report.json", pointer}; !slices.Equal(got, want) {
		t.Errorf("objects %q, want %q", got, want)
	}
	for name, want := range map[string]string{"report.json": "application/json", "findings.csv": "text/csv; charset=utf-8", "report.html": "text/html; charset=utf-8"} {
		if body, kind := w.object(t, folder+name); kind != want || len(body) == 0 {
			t.Errorf("%s is %s, %d bytes", name, kind, len(body))
		}
	}
	body, _ := w.object(t, pointer)
	reporttest.Golden(t, "latest.json", body)
	messages := w.Published(w.Topic.ARN)
	if len(messages) != 1 || !strings.Contains(messages[0].Body, "s3://"+bucket+"/"+folder+"report.html") {
		t.Fatalf("messages %+v", messages)
	}
	if n := len(w.SecurityFindings()); n != len(r.Findings)+len(r.Resolved) {
		t.Errorf("%d findings in Security Hub, want %d", n, len(r.Findings)+len(r.Resolved))
	}
	if !strings.Contains(w.log.String(), `"_aws"`) {
		t.Error("there are no metrics in the log")
	}
}

// Invariant 8: a report that is published again changes nothing.
func TestDeliverAgain(t *testing.T) {
	w := newWorld(t)
	var before []any
	for range 2 {
		if err := w.Deliver(t.Context(), reporttest.Sample()).Err(); err != nil {
			t.Fatal(err)
		}
		now := []any{w.keys(t), w.SecurityFindings()}
		if before != nil && fmt.Sprint(now) != fmt.Sprint(before) {
			t.Errorf("it changed\n%v\ninto\n%v", before, now)
		}
		before = now
	}
}

// Each medium fails in turn; the others get the report, and the error says
// who did not.
func TestOneMediumFails(t *testing.T) {
	for name, test := range map[string]struct {
		deny      string
		s3, topic bool
		findings  bool
		want      []string
	}{
		"everything in S3": {"s3:PutObject", false, true, true, []string{"S3: storing s3://evidence/" + folder + "report.json: AccessDenied", "still points at the audit before", "published all the same: SNS, Security Hub, metrics"}},
		"the JSON":         {"report.json", true, true, true, []string{"report.json: AccessDenied", "still points at the audit before"}},
		"the HTML":         {"report.html", true, true, true, []string{"report.html: AccessDenied"}},
		"the pointer":      {"latest.json", true, true, true, []string{"still points at the audit before, with which the next one compares: AccessDenied"}},
		"SNS":              {"sns:Publish", true, false, true, []string{"SNS: publishing to arn:aws:sns:eu-west-1:123456789012:audits: AuthorizationError", "published all the same: S3, Security Hub, metrics"}},
		"Security Hub":     {"securityhub:", true, true, false, []string{"Security Hub: importing 9 findings: AccessDeniedException", "published all the same: S3, SNS, metrics"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.deny(test.deny)
			result := w.Deliver(t.Context(), reporttest.Sample())
			err := result.Err()
			if err == nil {
				t.Fatal("there is no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want %q in it", err, want)
				}
			}
			w.SetAuthorizer(nil)
			if got := slices.ContainsFunc(w.keys(t), func(k string) bool { return strings.HasPrefix(k, folder) }); got != test.s3 {
				t.Errorf("documents in S3: %t", got)
			}
			messages := w.Published(w.Topic.ARN)
			if (len(messages) == 1) != test.topic {
				t.Fatalf("%d messages", len(messages))
			}
			if test.topic {
				if got := strings.Contains(messages[0].Body, "COULD NOT BE STORED"); got == test.s3 {
					t.Errorf("the message says of a missing report: %t\n%s", got, messages[0].Body)
				}
			}
			if got := len(w.SecurityFindings()) > 0; got != test.findings {
				t.Errorf("findings in Security Hub: %t", got)
			}
			var line map[string]any
			if err := json.Unmarshal(w.log.Bytes(), &line); err != nil {
				t.Fatal(err)
			}
			if line["Undelivered"] != 1.0 {
				t.Errorf("Undelivered is %v", line["Undelivered"])
			}
		})
	}
}

func TestPublishTellsWhereTheReportIs(t *testing.T) {
	w := newWorld(t)
	w.deny("sns:Publish")
	location, err := w.Publish(t.Context(), reporttest.Sample())
	if want := "s3://" + bucket + "/" + folder + "report.html"; location != want || err == nil {
		t.Errorf("%q, %v; want %q and an error of SNS", location, err, want)
	}
}

func TestErrTellsIfNobodyWasTold(t *testing.T) {
	w := newWorld(t)
	w.deny("")
	w.Metrics = nil
	if err := w.Deliver(t.Context(), reporttest.Sample()).Err(); err == nil || !strings.Contains(err.Error(), "nobody was told") {
		t.Errorf("error %v", err)
	}
}

func TestMediaThatAreNotSetAreLeftOut(t *testing.T) {
	result := publish.Publisher{}.Deliver(t.Context(), reporttest.Sample())
	if err := result.Err(); err != nil || len(result.Deliveries) != 0 || result.Where.Missing == "" {
		t.Errorf("%+v", result)
	}
}

// A change whose reply was lost is made, and is no failure.
func TestLostReplies(t *testing.T) {
	for _, op := range []string{"PutObject", "Publish", "BatchImportFindings"} {
		for _, kind := range []faulttest.Kind{faulttest.ReplyLost, faulttest.RequestLost, faulttest.ServerError, faulttest.Throttled} {
			t.Run(fmt.Sprint(op, " ", kind), func(t *testing.T) {
				w := newWorld(t)
				w.Faults().Add(faulttest.Fault{Op: op, Kind: kind})
				if err := w.Deliver(t.Context(), reporttest.Sample()).Err(); err != nil {
					t.Error(err)
				}
				if n := w.calls(op); n < 2 {
					t.Errorf("%d calls", n)
				}
				if document, err := w.Bucket.Last(t.Context()); err != nil || document == nil {
					t.Errorf("the last audit is not there: %v", err)
				}
			})
		}
	}
}

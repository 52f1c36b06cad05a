package publish_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"databricks-credential-rotation/functions/audit/auditing/publish"
	"databricks-credential-rotation/functions/audit/auditing/report"
	"databricks-credential-rotation/functions/audit/auditing/reporttest"
	"databricks-credential-rotation/functions/audit/auditing/summary"
)

func TestMessageIsInTheFormatThatIsSet(t *testing.T) {
	for format, isJSON := range map[publish.Format]bool{"": false, publish.Text: false, publish.Chat: true} {
		w := newWorld(t)
		w.Topic.Format = format
		if err := w.Deliver(t.Context(), reporttest.Sample()).Err(); err != nil {
			t.Fatal(err)
		}
		m := w.Published(w.Topic.ARN)[0]
		var n struct{ Source string }
		if err := json.Unmarshal([]byte(m.Body), &n); (err == nil && n.Source == "custom") != isJSON {
			t.Errorf("%q: %s", format, m.Body)
		}
		if m.Subject != summary.Subject(reporttest.Sample()) {
			t.Errorf("%q: subject %q", format, m.Subject)
		}
		if want := map[string]string{"severity": "critical", "news": "true"}; !maps.Equal(m.Attributes, want) {
			t.Errorf("%q: attributes %v, want %v", format, m.Attributes, want)
		}
	}
}

// What SNS takes, the emulator takes: 256 KiB with attributes, and no more.
func TestMessageFitsHoweverMuchWasFound(t *testing.T) {
	for _, format := range []publish.Format{publish.Text, publish.Chat} {
		w := newWorld(t)
		w.Bucket, w.Hub, w.Topic.Format = nil, nil, format
		large := reporttest.Large(3000)
		for i := range large.Findings {
			large.Findings[i].Rule = fmt.Sprint("rule-", strings.Repeat("x", 80), i)
		}
		if err := w.Deliver(t.Context(), large).Err(); err != nil {
			t.Fatal(err)
		}
		if n := len(w.Published(w.Topic.ARN)[0].Body); format == publish.Text && n < 250<<10 {
			t.Errorf("the message has %d bytes: it does not come near the bound, so this proves nothing", n)
		}
	}
}

func TestAttributesOfAQuietAudit(t *testing.T) {
	w := newWorld(t)
	if err := w.Deliver(t.Context(), &report.Report{ID: "x", TakenAt: reporttest.TakenAt}).Err(); err != nil {
		t.Fatal(err)
	}
	if got, want := w.Published(w.Topic.ARN)[0].Attributes, map[string]string{"severity": "none", "news": "false"}; !maps.Equal(got, want) {
		t.Errorf("attributes %v, want %v", got, want)
	}
}

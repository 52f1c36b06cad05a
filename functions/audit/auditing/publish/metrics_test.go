package publish_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	"databricks-credential-rotation/functions/audit/auditing/publish"
	"databricks-credential-rotation/functions/audit/auditing/report"
	"databricks-credential-rotation/functions/audit/auditing/reporttest"
	"databricks-credential-rotation/shared/metric"
)

// CloudWatch takes a line for metrics only if it keeps the format's rules, and
// says nothing if it does not.
func TestMetricsKeepTheFormatsRules(t *testing.T) {
	for name, r := range map[string]*report.Report{"sample": reporttest.Sample(), "hostile": reporttest.Hostile(), "empty": {TakenAt: reporttest.TakenAt}} {
		var log bytes.Buffer
		// A level is for people; metrics are for alarms.
		logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))
		p := publish.Publisher{Metrics: &publish.Metrics{Logger: logger}}
		if err := p.Deliver(t.Context(), r).Err(); err != nil {
			t.Fatal(err)
		}
		if log.Len() > 1<<20 || strings.Count(log.String(), "\n") != 1 {
			t.Fatalf("%s: %d bytes, %d lines", name, log.Len(), strings.Count(log.String(), "\n"))
		}
		var line map[string]any
		if err := json.Unmarshal(log.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		var meta struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name, Unit string }
			}
		}
		var envelope struct {
			AWS json.RawMessage `json:"_aws"`
		}
		if err := json.Unmarshal(log.Bytes(), &envelope); err != nil {
			t.Fatal(err)
		}
		dec := json.NewDecoder(bytes.NewReader(envelope.AWS))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&meta); err != nil {
			t.Fatal(err)
		}
		if meta.Timestamp != reporttest.TakenAt.UnixMilli() || len(meta.CloudWatchMetrics) != 1 {
			t.Fatalf("%s: %+v", name, meta)
		}
		group := meta.CloudWatchMetrics[0]
		if group.Namespace != metric.Namespace || len(group.Metrics) == 0 || len(group.Metrics) > 100 {
			t.Errorf("%s: %+v", name, group)
		}
		seen := map[string]bool{}
		for _, m := range group.Metrics {
			if _, ok := line[m.Name].(float64); !ok || m.Unit != "Count" || seen[m.Name] {
				t.Errorf("%s: metric %+v is %v", name, m, line[m.Name])
			}
			seen[m.Name] = true
		}
		for _, set := range group.Dimensions {
			for _, d := range set {
				if v, ok := line[d].(string); !ok || v == "" || len(v) > 1024 {
					t.Errorf("%s: dimension %s is %v", name, d, line[d])
				}
			}
		}
	}
}

func TestMetricsGolden(t *testing.T) {
	w := newWorld(t)
	if err := w.Deliver(t.Context(), reporttest.Sample()).Err(); err != nil {
		t.Fatal(err)
	}
	var line map[string]any
	if err := json.Unmarshal(w.log.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	delete(line, "time")
	body, err := json.MarshalIndent(line, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	reporttest.Golden(t, "metrics.json", body)
}

type brokenPipe struct{ io.Writer }

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestMetricsThatCannotBeWrittenAreAFailure(t *testing.T) {
	p := publish.Publisher{Metrics: &publish.Metrics{Logger: slog.New(slog.NewJSONHandler(brokenPipe{}, nil))}}
	if err := p.Deliver(t.Context(), reporttest.Sample()).Err(); err == nil || !strings.Contains(err.Error(), "broken pipe") {
		t.Errorf("error %v", err)
	}
}

// Whoever makes an alarm looks the names up in docs/report.md.
func TestMetricsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/report.md")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	p := publish.Publisher{Metrics: &publish.Metrics{Logger: slog.New(slog.NewJSONHandler(&log, nil))}}
	if err := p.Deliver(t.Context(), reporttest.Sample()).Err(); err != nil {
		t.Fatal(err)
	}
	var line struct {
		AWS struct {
			CloudWatchMetrics []struct{ Metrics []struct{ Name string } }
		} `json:"_aws"`
	}
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	for _, m := range line.AWS.CloudWatchMetrics[0].Metrics {
		if !bytes.Contains(page, []byte("`"+m.Name+"`")) {
			t.Errorf("%s is missing", m.Name)
		}
	}
}

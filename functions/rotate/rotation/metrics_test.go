package rotation_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/managedsecret"
	"databricks-credential-rotation/shared/metric"
	"databricks-credential-rotation/shared/policy"
)

var update = flag.Bool("update", false, "write what the tests compare with")

const stackName = "databricks-credential-rotation"

// metricLine is what CloudWatch reads of a line.
type metricLine struct {
	AWS struct {
		Timestamp         int64
		CloudWatchMetrics []struct {
			Namespace  string
			Dimensions [][]string
			Metrics    []struct{ Name, Unit string }
		}
	} `json:"_aws"`
	Door, Deployment string
	values           map[string]any
}

// metricLines are the lines of the log that CloudWatch takes for metrics.
func (w *world) metricLines() []metricLine {
	w.t.Helper()
	var all []metricLine
	for line := range strings.Lines(w.log.String()) {
		if !strings.Contains(line, `"_aws"`) {
			continue
		}
		var m metricLine
		w.must(json.Unmarshal([]byte(line), &m))
		w.must(json.Unmarshal([]byte(line), &m.values))
		all = append(all, m)
	}
	return all
}

func (w *world) lastMetrics() metricLine {
	w.t.Helper()
	all := w.metricLines()
	if len(all) == 0 {
		w.t.Fatal("no metrics were written")
	}
	return all[len(all)-1]
}

// Invariant 6: a metric names no principal, and holds no more than numbers.
func TestMetrics(t *testing.T) {
	inWorld(t, func(w *world) {
		t := w.t
		w.engine.Deployment = stackName
		var managed []*estatetest.Managed
		for _, name := range []string{"one", "two", "three"} {
			managed = append(managed, w.register(estatetest.Registration{Name: name, Fresh: true}))
		}
		w.sweep("")
		expect := func(door string, want map[string]float64) {
			t.Helper()
			m := w.lastMetrics()
			if m.Door != door || m.Deployment != stackName {
				t.Errorf("by door %q of %q", m.Door, m.Deployment)
			}
			for name, value := range want {
				if got, ok := m.values[name].(float64); !ok || got != value {
					t.Errorf("%s is %v, want %v", name, m.values[name], value)
				}
			}
		}
		expect("sweep", map[string]float64{
			"Secrets": 3, "Rotated": 3, "Retired": 0, "Failed": 0, "Blocked": 0, "Held": 0, "Overdue": 0,
			"Queued": 0, "Left": 0, "OldestCredentialDays": 0, "FailedByDoor": 0,
		})

		time.Sleep(10 * 24 * time.Hour)
		// One is dead and is healed; another is dead and cannot be.
		w.DeleteByHand(managed[0], w.current(managed[0]).OAuthSecretID)
		w.DeleteByHand(managed[1], w.current(managed[1]).OAuthSecretID)
		w.SetActive(managed[1], false)
		_, err := w.engine.Sweep(t.Context(), true, false)
		w.checkErr(err, "inactive")
		m := w.lastMetrics()
		expect("reconcile", map[string]float64{"Secrets": 3, "Rotated": 1, "Blocked": 1, "DeadCurrent": 2, "Failed": 0})
		if days, ok := m.values["OldestCredentialDays"].(float64); !ok || days < 9.9 || days > 10.1 {
			t.Errorf("the oldest is of %v days, want 10", m.values["OldestCredentialDays"])
		}
		lifetime := w.policy.Lifetime.Hours() / 24
		if days, ok := m.values["DaysToFirstExpiry"].(float64); !ok || days < lifetime-11.1 || days > lifetime-10 {
			t.Errorf("the first expires in %v days, want some %v", m.values["DaysToFirstExpiry"], lifetime-10)
		}
		// A sweep does not look at what the reconcile has found, and does not say
		// that it is mended.
		w.sweep("")
		for _, name := range []string{"DeadCurrent", "Withheld"} {
			if value, ok := w.lastMetrics().values[name]; ok {
				t.Errorf("a sweep says that %s is %v", name, value)
			}
		}
		if now := time.Now().UnixMilli(); m.AWS.Timestamp > now || m.AWS.Timestamp < now-60_000 {
			t.Errorf("timestamp %d, now it is %d", m.AWS.Timestamp, now)
		}

		// A run over one secret knows nothing of the others.
		_, err = w.engine.Rotate(t.Context(), "direct", rotation.RotateRequest{Secrets: []string{"three"}, Force: true})
		w.must(err)
		expect("direct", map[string]float64{"Secrets": 1, "Rotated": 1})
		for _, name := range []string{"OldestCredentialDays", "DaysToFirstExpiry", "Overdue", "DeadCurrent", "Withheld"} {
			if value, ok := w.lastMetrics().values[name]; ok {
				t.Errorf("a run over one secret says that %s is %v", name, value)
			}
		}

		lines := len(w.metricLines())
		_, err = w.engine.Sweep(t.Context(), false, true)
		w.must(err)
		if n := len(w.metricLines()); n != lines {
			t.Errorf("a dry run wrote %d lines of metrics", n-lines)
		}
		w.SetActive(managed[1], true)
		w.reconcile()
		w.checkFormat(m)
	})
}

// checkFormat holds a line against the format's rules and what is published
// of it: CloudWatch says nothing of a line that it does not understand.
func (w *world) checkFormat(m metricLine) {
	w.t.Helper()
	names := map[string]any{}
	for _, group := range m.AWS.CloudWatchMetrics {
		if group.Namespace != metric.Namespace || len(group.Metrics) == 0 || len(group.Metrics) > 100 || len(group.Dimensions) != 1 {
			w.t.Errorf("%+v", group)
			continue
		}
		for _, dimension := range group.Dimensions[0] {
			if value, ok := m.values[dimension].(string); !ok || value == "" {
				w.t.Errorf("the dimension %s is %v", dimension, m.values[dimension])
			}
		}
		for _, metric := range group.Metrics {
			if _, ok := m.values[metric.Name].(float64); !ok {
				w.t.Errorf("%s is %v", metric.Name, m.values[metric.Name])
			}
			names[metric.Name] = map[string]any{"unit": metric.Unit, "dimensions": group.Dimensions[0]}
		}
	}
	for name := range m.values {
		if _, ok := names[name]; !ok && !slices.Contains([]string{"time", "level", "msg", "_aws", "Door", "Deployment"}, name) {
			w.t.Errorf("the line also holds %s", name)
		}
	}
	got, err := json.MarshalIndent(names, "", "  ")
	w.must(err)
	got = append(got, '\n')
	path := filepath.Join("testdata", "metrics.json")
	if *update {
		w.must(os.WriteFile(path, got, 0o600))
		return
	}
	want, err := os.ReadFile(path)
	w.must(err)
	if !bytes.Equal(got, want) {
		w.t.Errorf("%s (run the test with -update if it should be so):\n%s", path, cmp.Diff(string(want), string(got)))
	}
}

// Without a deployment there is nothing to tell metrics apart by.
func TestNoDeploymentNoMetrics(t *testing.T) {
	inWorld(t, func(w *world) {
		w.register(estatetest.Registration{Name: "one", Fresh: true})
		w.sweep("")
		if n := len(w.metricLines()); n != 0 {
			t.Errorf("%d lines of metrics", n)
		}
	})
}

// Each kind of trouble has a number of its own, for an alarm of its own.
func TestMetricsOfTrouble(t *testing.T) {
	zero := map[string]float64{
		"Failed": 0, "Blocked": 0, "Held": 0, "Overdue": 0, "DeadCurrent": 0, "Withheld": 0, "Queued": 0, "Left": 0,
	}
	for name, test := range map[string]struct {
		make func(w *world, m *estatetest.Managed)
		err  string
		want map[string]float64
	}{
		"nothing": {func(*world, *estatetest.Managed) {}, "", nil},
		"a revocation, whose credential is dead on purpose": {func(w *world, m *estatetest.Managed) {
			w.must(w.engine.Store.SetHold(w.t.Context(), m.ARN, managedsecret.Hold{Kind: managedsecret.Revoked, Since: time.Now()}))
			w.DeleteByHand(m, w.current(m).OAuthSecretID)
		}, "revoked", map[string]float64{"Held": 1}},
		"a rotation that never ends": {func(w *world, m *estatetest.Managed) {
			time.Sleep(w.policy.Interval + 49*time.Hour)
			value, _ := w.AWS.Current(m.Name)
			_, err := w.SecretsManager("operator").PutSecretValue(w.t.Context(), &secretsmanager.PutSecretValueInput{
				SecretId: &m.Name, SecretString: &value.Value, VersionStages: []string{managedsecret.Pending},
			})
			w.must(err)
		}, "overdue", map[string]float64{"Overdue": 1}},
		"orphans over the budget": {func(w *world, m *estatetest.Managed) {
			w.policy.Budgets.Rotate = policy.Budget{Count: 1, Share: 1}
			w.orphan(m)
			w.orphan(m)
			time.Sleep(time.Hour)
		}, "over the budget", map[string]float64{"Withheld": 2}},
		"a value that cannot be read": {func(w *world, _ *estatetest.Managed) {
			_, err := w.AWS.CreateSecret("broken", "{}", map[string]string{managedsecret.TagKey: managedsecret.TagValue})
			w.must(err)
		}, "malformed", map[string]float64{"Failed": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.engine.Deployment = stackName
				m := w.register(estatetest.Registration{Name: "etl", Fresh: true})
				w.sweep("")
				test.make(w, m)
				_, err := w.engine.Sweep(w.t.Context(), true, false)
				w.checkErr(err, test.err)
				want := maps.Clone(zero)
				maps.Copy(want, test.want)
				values := w.lastMetrics().values
				for name, value := range want {
					if values[name] != value {
						w.t.Errorf("%s is %v, want %v", name, values[name], value)
					}
				}
			})
		})
	}
}

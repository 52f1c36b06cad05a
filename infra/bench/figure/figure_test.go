package figure_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/infra/bench/figure"
)

func sheet() *figure.Sheet {
	s := &figure.Sheet{}
	s.Add("sweep 50 writes", "time", 204.318, "s")
	s.AtLeast("sweep 50 writes", "throughput of the bound", 0.9789, "ratio", 0.95)
	s.AtMost("sweep 50 writes", "throttled requests", 2.5, "%", 2)
	s.AtMost("calls", "idle, Databricks", 0, "calls/secret", 0)
	return s
}

func TestTable(t *testing.T) {
	var out strings.Builder
	if err := sheet().Table(&out); err != nil {
		t.Fatal(err)
	}
	want := `scenario         figure                   value  unit          target  
sweep 50 writes  time                     204    s                     
                 throughput of the bound  0.98   ratio         ≥ 0.95  met
                 throttled requests       2.50   %             ≤ 2     MISSED
calls            idle, Databricks         0      calls/secret  ≤ 0     met
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestMissed(t *testing.T) {
	missed := sheet().Missed()
	if len(missed) != 1 || missed[0].Name != "throttled requests" {
		t.Errorf("missed are %+v, want the throttled requests", missed)
	}
	tooLow := &figure.Sheet{}
	tooLow.AtLeast("s", "n", 1, "u", 2)
	if len(tooLow.Missed()) != 1 {
		t.Error("a value below its target is met")
	}
}

// The lines are what benchstat reads: a name without blanks, a count, pairs of
// a value and a unit.
func TestBenchmarks(t *testing.T) {
	var out strings.Builder
	if err := sheet().Benchmarks(&out); err != nil {
		t.Fatal(err)
	}
	want := `BenchmarkSweep50Writes/time 1 204.318 s
BenchmarkSweep50Writes/throughput-of-the-bound 1 0.9789 ratio
BenchmarkSweep50Writes/throttled-requests 1 2.5 %
BenchmarkCalls/idle,-Databricks 1 0 calls/secret
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestJSON(t *testing.T) {
	var out strings.Builder
	if err := sheet().JSON(&out); err != nil {
		t.Fatal(err)
	}
	var back figure.Sheet
	if err := json.Unmarshal([]byte(out.String()), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sheet(), &back); diff != "" {
		t.Error(diff)
	}
}

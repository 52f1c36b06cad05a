package estatetest

import (
	"fmt"
	"testing"
	"testing/synctest"

	"databricks-credential-rotation/shared/faulttest"
)

// Cell is a call of an undisturbed run, and one way in which it can fail.
type Cell struct {
	service string
	Call    faulttest.Call
	Fault   faulttest.Fault
}

func (c Cell) String() string {
	times := "once"
	if c.Fault.Times == faulttest.Forever {
		times = "for good"
	}
	return fmt.Sprintf("%s #%d %v %s", c.Call.Op, c.Fault.Skip+1, c.Fault.Kind, times)
}

// Cells crosses the calls that were recorded since the last reset with the ways
// in which each can fail, once or for as long as a run lasts, and with more of
// them.
func (e *Estate) Cells(more ...faulttest.Fault) []Cell {
	var cells []Cell
	for service, calls := range map[string][]faulttest.Call{"databricks": e.Databricks.Faults().Calls(), "aws": e.AWS.Faults().Calls()} {
		seen := map[string]int{}
		for _, call := range calls {
			for _, fault := range append(faultsOf(call), more...) {
				fault.Op, fault.Skip = call.Op, seen[call.Op]
				cells = append(cells, Cell{service, call, fault})
			}
			seen[call.Op]++
		}
	}
	return cells
}

func faultsOf(c faulttest.Call) []faulttest.Fault {
	var faults []faulttest.Fault
	for _, kind := range []faulttest.Kind{faulttest.RequestLost, faulttest.ReplyLost, faulttest.Throttled, faulttest.ServerError, faulttest.Timeout} {
		faults = append(faults, faulttest.Fault{Kind: kind}, faulttest.Fault{Kind: kind, Times: faulttest.Forever})
	}
	faults = append(faults, faulttest.Fault{Kind: faulttest.Kill}, faulttest.Fault{Kind: faulttest.KillAfter})
	if c.Read {
		faults = append(faults, faulttest.Fault{Kind: faulttest.StaleRead}, faulttest.Fault{Kind: faulttest.StaleRead, Times: faulttest.Forever})
	}
	return faults
}

// Plant has a cell's call fail.
func (e *Estate) Plant(c Cell) {
	injector := e.Databricks.Faults()
	if c.service == "aws" {
		injector = e.AWS.Faults()
	}
	injector.Add(c.Fault)
}

// PlayMatrix plays every so many cases of a crash matrix, each in virtual time
// of its own.
func PlayMatrix[C fmt.Stringer](t *testing.T, cases []C, stride int, play func(*testing.T, C) []Violation) {
	t.Helper()
	if len(cases) < 300 {
		t.Errorf("only %d cases: the recording found too few calls", len(cases))
	}
	violations, played := 0, 0
	for i := 0; i < len(cases); i += stride {
		c := cases[i]
		played++
		synctest.Test(t, func(t *testing.T) {
			for _, v := range play(t, c) {
				violations++
				t.Errorf("%v: %v", c, v)
			}
		})
		if violations > 20 {
			t.Fatal("too many violations; the rest is not run")
		}
	}
	t.Logf("crash matrix: %d of %d cases, %d violations", played, len(cases), violations)
}

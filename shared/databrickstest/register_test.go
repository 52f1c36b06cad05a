package databrickstest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// A register and a plain list see the same random writes and agree, on what
// is and on what was before the last write.
func TestRegisterAgainstAList(t *testing.T) {
	type row struct{ id, value string }
	for seed := range uint64(5) {
		random := rand.New(rand.NewPCG(seed, 1))
		var g register[string]
		var now, before []row
		for step := range 1000 {
			before = slices.Clone(now)
			at := random.IntN(len(now) + 1)
			value := fmt.Sprint(step)
			switch {
			case at == len(now) || random.IntN(3) == 0:
				now = append(now, row{value, value})
				g.put(value, &value, false)
			case random.IntN(2) == 0:
				now[at].value = value
				g.put(now[at].id, &value, false)
			default:
				g.put(now[at].id, nil, false)
				now = slices.Delete(now, at, at+1)
			}
			for stale, want := range map[bool][]row{false: now, true: before} {
				var got []string
				for value := range g.all(stale) {
					got = append(got, *value)
				}
				if !slices.EqualFunc(want, got, func(r row, s string) bool { return r.value == s }) {
					t.Fatalf("seed %d step %d stale %t: %v, want %v", seed, step, stale, got, want)
				}
			}
		}
		for range 500 {
			g.put("passing", new(string), false)
			g.put("passing", nil, false)
			g.put(fmt.Sprint("gone", g.next), new(string), false)
			g.put(fmt.Sprint("gone", g.next-1), nil, false)
		}
		if len(g.rows) > 2*len(now)+130 || len(g.byID) != len(g.rows) {
			t.Errorf("seed %d: %d rows and %d ids kept for %d things", seed, len(g.rows), len(g.byID), len(now))
		}
	}
}

func TestRegisterTakesBack(t *testing.T) {
	var g register[string]
	a, b := "a", "b"
	g.put("x", &a, false)
	g.put("x", nil, false)
	g.put("x", &b, false)
	if g.get("x", true) != nil || g.get("x", false) != &b || g.dead != 0 {
		t.Errorf("after removal and return: %v, %v, %d dead", g.get("x", true), g.get("x", false), g.dead)
	}
	g.put("y", nil, false)
	if g.get("y", false) != nil || len(g.rows) != 1 {
		t.Error("removing nothing made something")
	}
}

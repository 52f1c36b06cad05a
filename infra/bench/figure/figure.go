// Package figure is what a measurement found, for people and for programs: a
// table, JSON, and lines in the format of Go's benchmarks, which benchstat
// compares.
package figure

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Figure is one number.
type Figure struct {
	// Scenario and Name say what was measured.
	Scenario string  `json:"scenario"`
	Name     string  `json:"name"`
	Value    float64 `json:"value"`
	// Unit is as in Go's benchmarks, such as "ms" or "calls/rotation".
	Unit string `json:"unit"`
	// AtLeast and AtMost are the targets, nil for none.
	AtLeast *float64 `json:"at_least,omitempty"`
	AtMost  *float64 `json:"at_most,omitempty"`
}

// Met tells whether the figure meets its targets.
func (f Figure) Met() bool {
	return (f.AtLeast == nil || f.Value >= *f.AtLeast) && (f.AtMost == nil || f.Value <= *f.AtMost)
}

func (f Figure) target() string {
	var parts []string
	if f.AtLeast != nil {
		parts = append(parts, "≥ "+number(*f.AtLeast))
	}
	if f.AtMost != nil {
		parts = append(parts, "≤ "+number(*f.AtMost))
	}
	return strings.Join(parts, ", ")
}

func (f Figure) verdict() string {
	switch {
	case f.AtLeast == nil && f.AtMost == nil:
		return ""
	case f.Met():
		return "met"
	default:
		return "MISSED"
	}
}

// number shows three digits or more, and no more than are worth a look.
func number(v float64) string {
	switch size := math.Abs(v); {
	case v == math.Trunc(v) || size >= 1000:
		return strconv.FormatFloat(math.Round(v), 'f', -1, 64)
	case size >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case size >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case size >= 0.1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
}

// Sheet is the figures of a run, in order.
type Sheet struct {
	Figures []Figure `json:"figures"`
}

// Add notes a number without a target.
func (s *Sheet) Add(scenario, name string, value float64, unit string) {
	s.Figures = append(s.Figures, Figure{Scenario: scenario, Name: name, Value: value, Unit: unit})
}

// AtMost notes a number that must not be greater than a target.
func (s *Sheet) AtMost(scenario, name string, value float64, unit string, target float64) {
	s.Figures = append(s.Figures, Figure{Scenario: scenario, Name: name, Value: value, Unit: unit, AtMost: &target})
}

// AtLeast notes a number that must not be less than a target.
func (s *Sheet) AtLeast(scenario, name string, value float64, unit string, target float64) {
	s.Figures = append(s.Figures, Figure{Scenario: scenario, Name: name, Value: value, Unit: unit, AtLeast: &target})
}

// Missed are the figures that do not meet their targets.
func (s *Sheet) Missed() []Figure {
	var missed []Figure
	for _, f := range s.Figures {
		if !f.Met() {
			missed = append(missed, f)
		}
	}
	return missed
}

// Table writes the figures for people.
func (s *Sheet) Table(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	rows := []string{"scenario\tfigure\tvalue\tunit\ttarget\t"}
	last := ""
	for _, f := range s.Figures {
		scenario := f.Scenario
		if scenario == last {
			scenario = ""
		}
		last = f.Scenario
		rows = append(rows, strings.Join([]string{scenario, f.Name, number(f.Value), f.Unit, f.target(), f.verdict()}, "\t"))
	}
	if _, err := fmt.Fprintln(table, strings.Join(rows, "\n")); err != nil {
		return err
	}
	return table.Flush()
}

// JSON writes the figures for programs.
func (s *Sheet) JSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(s)
}

// Benchmarks writes the figures as lines of Go's benchmark format, each a
// benchmark with one metric.
func (s *Sheet) Benchmarks(w io.Writer) error {
	for _, f := range s.Figures {
		name := title(f.Scenario) + "/" + strings.ReplaceAll(f.Name, " ", "-")
		unit := strings.ReplaceAll(f.Unit, " ", "-")
		if _, err := fmt.Fprintf(w, "Benchmark%s 1 %s %s\n", name, strconv.FormatFloat(f.Value, 'g', -1, 64), unit); err != nil {
			return err
		}
	}
	return nil
}

// title is a scenario as part of a benchmark's name, which begins with a
// capital.
func title(scenario string) string {
	words := strings.Fields(scenario)
	for i, word := range words {
		words[i] = strings.ToUpper(word[:1]) + word[1:]
	}
	return strings.Join(words, "")
}

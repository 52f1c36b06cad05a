package table_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode"

	"databricks-credential-rotation/functions/audit/auditing/report"
	"databricks-credential-rotation/functions/audit/auditing/reporttest"
	"databricks-credential-rotation/functions/audit/auditing/table"
)

func write(t *testing.T, r *report.Report) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := table.Write(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGolden(t *testing.T) {
	reporttest.Golden(t, "sample.csv", write(t, reporttest.Sample()))
	reporttest.Golden(t, "hostile.csv", write(t, reporttest.Hostile()))
}

func TestNoCellIsAFormula(t *testing.T) {
	r := reporttest.Hostile()
	document := write(t, r)
	rows, err := csv.NewReader(bytes.NewReader(document)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if want := 1 + len(r.Findings) + len(r.JustResolved()); len(rows) != want {
		t.Fatalf("%d rows, want %d", len(rows), want)
	}
	for _, row := range rows {
		for _, cell := range row {
			if formula(cell) {
				t.Errorf("a spreadsheet runs %q", cell)
			}
			if strings.ContainsFunc(cell, func(c rune) bool { return unicode.In(c, unicode.Cc, unicode.Cf) }) {
				t.Errorf("a terminal acts on %q", cell)
			}
		}
	}
	// A spreadsheet of another country splits at semicolons or tabs instead.
	for line := range strings.Lines(string(document)) {
		for _, cell := range strings.FieldsFunc(strings.TrimRight(line, "\r\n"), func(c rune) bool { return c == '\t' || c == ';' }) {
			if formula(cell) {
				t.Errorf("with other separators, a spreadsheet runs %q", cell)
			}
		}
	}
}

func formula(cell string) bool {
	cell = strings.TrimLeft(cell, " \"")
	return cell != "" && strings.ContainsAny(cell[:1], "=+-@|%")
}

func TestResolvedFindingsHaveTheirRows(t *testing.T) {
	rows, err := csv.NewReader(bytes.NewReader(write(t, reporttest.Sample()))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	last := rows[len(rows)-1]
	at := slices.Index(rows[0], "resolved_at")
	if last[0] != "resolved" || last[at] != "2026-11-24T06:00:00Z" {
		t.Errorf("the last row is %q", last)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestWriteTellsOfAFailure(t *testing.T) {
	if err := table.Write(full{}, reporttest.Large(100)); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("error %v", err)
	}
}

// Package table writes an audit's findings as CSV: a row for each, for
// spreadsheets and for evidence. It is UTF-8 by RFC 4180.
package table

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/escape"
	"databricks-credential-rotation/functions/audit/auditing/finding"
	"databricks-credential-rotation/functions/audit/auditing/report"
)

// Columns are the table's. New ones are added at the end.
func Columns() []string {
	return []string{
		"status", "severity", "rule", "title", "kind", "id", "name", "workspace", "client_id",
		"owner", "first_seen", "resolved_at", "evidence", "remedy", "finding_id", "audit_id",
	}
}

// Write writes the open findings and those that this audit resolved. No cell
// is a formula to a spreadsheet: what could be one begins with an apostrophe.
func Write(w io.Writer, r *report.Report) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	if err := out.Write(Columns()); err != nil {
		return fmt.Errorf("write the CSV: %w", err)
	}
	for _, f := range r.Findings {
		if err := out.Write(row(r, &f.Finding, string(f.Status), time.Time{})); err != nil {
			return fmt.Errorf("write the CSV: %w", err)
		}
	}
	for _, f := range r.JustResolved() {
		if err := out.Write(row(r, &f.Finding, "resolved", f.ResolvedAt)); err != nil {
			return fmt.Errorf("write the CSV: %w", err)
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write the CSV: %w", err)
	}
	return nil
}

func row(r *report.Report, f *finding.Finding, status string, resolvedAt time.Time) []string {
	evidence := make([]string, 0, len(f.Evidence))
	for _, e := range f.Evidence {
		evidence = append(evidence, e.Name+": "+e.Value)
	}
	workspace := ""
	if f.Subject.Workspace != 0 {
		workspace = strconv.FormatInt(f.Subject.Workspace, 10)
	}
	cells := []string{
		status, f.Severity.String(), f.Rule, f.Title, string(f.Subject.Kind), f.Subject.ID, f.Subject.Name, workspace, f.Subject.ClientID,
		f.Owner, stamp(f.FirstSeen), stamp(resolvedAt), strings.Join(evidence, "; "), f.Remedy, f.ID, r.ID,
	}
	for i, cell := range cells {
		cells[i] = escape.Cell(cell)
	}
	return cells
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

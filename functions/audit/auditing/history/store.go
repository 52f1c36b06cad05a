package history

import (
	"context"
	"fmt"
	"io"

	"databricks-credential-rotation/functions/audit/auditing/escape"
	"databricks-credential-rotation/functions/audit/auditing/report"
)

// Document is the JSON of a report. It may be too large to be held in memory,
// and is read twice.
type Document interface {
	io.ReadSeeker
	io.Closer
}

// Source gives the last audit's report, nil if there was none.
type Source interface {
	Last(ctx context.Context) (Document, error)
}

// Load reads the last audit, which must be closed. One that cannot be read is a gap of this audit
// and no failure: without it every finding looks new, and nothing is resolved.
func Load(ctx context.Context, s Source) (Past, *report.Gap) {
	document, err := s.Last(ctx)
	if err != nil {
		return Past{}, gap(fmt.Sprintf("it could not be read: %v", err))
	}
	if document == nil {
		return Past{}, nil
	}
	last, err := report.Read(document, func(*report.Finding) {}, func(*report.Resolved) {})
	if err != nil {
		_ = document.Close() // it was only read
		return Past{}, gap(fmt.Sprintf("it is not a report that this version understands: %v", err))
	}
	past := Past{ID: last.ID, gaps: last.Gaps, trend: last.Trend, notices: last.Prune.Plan.Notices(), document: document}
	return past, nil
}

func gap(why string) *report.Gap {
	return &report.Gap{
		Part:  report.PartAudit,
		Where: "the audit",
		What:  "the report of the last audit",
		Why:   escape.Clip(why+". Every finding counts as new, notice periods begin again, and the trend starts here", 600),
	}
}

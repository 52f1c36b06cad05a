package history

import (
	"context"
	"fmt"

	"databricks-credential-rotation/functions/audit/auditing/escape"
	"databricks-credential-rotation/functions/audit/auditing/report"
)

// Source gives the JSON of the last audit's report, nil if there was none.
type Source interface {
	Last(ctx context.Context) ([]byte, error)
}

// Load reads the last audit. One that cannot be read is a gap of this audit
// and no failure: without it every finding looks new, and nothing is resolved.
func Load(ctx context.Context, s Source) (Past, *report.Gap) {
	document, err := s.Last(ctx)
	if err != nil {
		return Past{}, gap(fmt.Sprintf("it could not be read: %v", err))
	}
	if document == nil {
		return Past{}, nil
	}
	last, err := report.Decode(document)
	if err != nil {
		return Past{}, gap(fmt.Sprintf("it is not a report that this version understands: %v", err))
	}
	return Past{Report: last}, nil
}

func gap(why string) *report.Gap {
	return &report.Gap{
		Part:  report.PartAudit,
		Where: "the audit",
		What:  "the report of the last audit",
		Why:   escape.Clip(why+". Every finding counts as new, notice periods begin again, and the trend starts here", 600),
	}
}

package show

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"databricks-credential-rotation/infra/sandbox/fleet"
	"databricks-credential-rotation/infra/sandbox/terminal"
)

// statusStyles are for the words that the function's own report uses.
var statusStyles = map[string]terminal.Style{
	"rotated": terminal.Green, "issued": terminal.Green, "retired": terminal.Cyan,
	"blocked": terminal.Yellow, "failed": terminal.Red, "unchanged": terminal.Dim,
}

// tellFleet shows the fleet as it is before anything happens.
func (s *Show) tellFleet() {
	var rows [][]terminal.Cell
	for _, m := range s.fleet.Managed {
		c := s.fleet.Condition(m)
		rows = append(rows, []terminal.Cell{
			{Text: m.Name}, {Text: m.Level}, {Text: became(c, c)}, {Text: strconv.Itoa(len(c.Live))}, {Text: m.Story},
		})
	}
	s.screen.Table([]string{"secret", "level", "OAuth secret", "live", "story"}, rows)
}

// table shows what an invocation did with each secret.
func (s *Show) table(i invocation) {
	var rows [][]terminal.Cell
	for _, m := range s.fleet.Managed {
		outcome := i.outcomes[m.Name]
		status := cmp.Or(outcome.Status, "unchanged")
		before, after := i.before[m.Name], i.after[m.Name]
		rows = append(rows, []terminal.Cell{
			{Text: m.Name},
			{Text: became(before, after)},
			{Text: fmt.Sprintf("%d → %d", len(before.Live), len(after.Live))},
			{Text: status, Style: statusStyles[status]},
			{Text: why(outcome.Reason, outcome.Block, len(outcome.Retired))},
		})
	}
	s.screen.Table([]string{"secret", "OAuth secret", "live", "status", "why"}, rows)
}

func became(before, after fleet.Condition) string {
	switch {
	case after.Current == "":
		return "–"
	case before.Current == after.Current:
		return short(after.Current) + ", " + age(after.Age)
	case before.Current == "":
		return "– → " + short(after.Current)
	default:
		return short(before.Current) + ", " + age(before.Age) + " → " + short(after.Current)
	}
}

func age(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	case d >= time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	}
}

func why(reason, block string, deleted int) string {
	// Reasons speak of the current credential, which the row is about.
	text := cmp.Or(block, strings.TrimPrefix(reason, "the current credential "))
	if deleted == 0 {
		return text
	}
	also := fmt.Sprintf("%d OAuth secret deleted", deleted)
	if deleted > 1 {
		also = fmt.Sprintf("%d OAuth secrets deleted", deleted)
	}
	if text == "" {
		return also
	}
	return text + "; " + also
}

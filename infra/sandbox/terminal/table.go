package terminal

import (
	"strings"
	"unicode/utf8"
)

// Cell is one field of a table.
type Cell struct {
	Text  string
	Style Style
}

// Table writes rows under headings, each column as wide as its widest cell.
// The last column is left as long as it is.
func (s *Screen) Table(headings []string, rows [][]Cell) {
	all := make([][]Cell, 0, len(rows)+1)
	var head []Cell
	for _, h := range headings {
		head = append(head, Cell{h, Dim})
	}
	all = append(append(all, head), rows...)

	widths := make([]int, len(headings))
	for _, row := range all {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell.Text))
		}
	}
	lines := make([]string, 0, len(all))
	for _, row := range all {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString("  " + s.Paint(cell.Style, cell.Text))
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell.Text)))
			}
		}
		lines = append(lines, strings.TrimRight(line.String(), " "))
	}
	s.Line("%s", strings.Join(lines, "\n"))
}

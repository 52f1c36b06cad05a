package page

import (
	"fmt"
	"strings"

	"github.com/go-analyze/charts"

	"databricks-credential-rotation/functions/audit/auditing/escape"
	"databricks-credential-rotation/functions/audit/auditing/report"
)

// chart is a picture with its numbers, for those who cannot see it.
type chart struct {
	Title string
	// Note says how to read it.
	Note string
	SVG  string
	// Head and Rows are its numbers.
	Head []string
	Rows [][]string
}

// A chart's colors are variables of the page's style sheet, so that one
// picture serves light and dark: it is drawn in marks, each a color that
// nothing else has, which are then exchanged.
var (
	ink   = mark{charts.Color{R: 1, G: 1, B: 1, A: 255}, "--ink"}
	grid  = mark{charts.Color{R: 2, G: 2, B: 2, A: 255}, "--line"}
	axis  = mark{charts.Color{R: 3, G: 3, B: 3, A: 255}, "--quiet"}
	paper = mark{charts.Color{R: 4, G: 4, B: 4, A: 255}, "--card"}

	first  = mark{charts.Color{R: 11, G: 11, B: 11, A: 255}, "--first"}
	second = mark{charts.Color{R: 12, G: 12, B: 12, A: 255}, "--second"}
	third  = mark{charts.Color{R: 13, G: 13, B: 13, A: 255}, "--third"}

	critical = mark{charts.Color{R: 21, G: 21, B: 21, A: 255}, "--critical"}
	high     = mark{charts.Color{R: 22, G: 22, B: 22, A: 255}, "--high"}
	medium   = mark{charts.Color{R: 23, G: 23, B: 23, A: 255}, "--medium"}
	low      = mark{charts.Color{R: 24, G: 24, B: 24, A: 255}, "--low"}
	info     = mark{charts.Color{R: 25, G: 25, B: 25, A: 255}, "--info"}
)

type mark struct {
	color    charts.Color
	variable string
}

var exchange = func() *strings.Replacer {
	var pairs []string
	for _, m := range []mark{ink, grid, axis, paper, first, second, third, critical, high, medium, low, info} {
		pairs = append(pairs, fmt.Sprintf("rgb(%d,%d,%d)", m.color.R, m.color.G, m.color.B), "var("+m.variable+")")
	}
	// The page's own font, not the one whose widths the picture was laid out by.
	pairs = append(pairs, "font-family:'Roboto Medium',sans-serif", "font-family:inherit")
	return strings.NewReplacer(pairs...)
}()

func theme(series ...mark) charts.ColorPalette {
	colors := make([]charts.Color, 0, len(series))
	for _, m := range series {
		colors = append(colors, m.color)
	}
	return charts.MakeTheme(charts.ThemeOption{
		AxisStrokeColor:    axis.color,
		AxisSplitLineColor: grid.color,
		BackgroundColor:    paper.color,
		TextColor:          ink.color,
		SeriesColors:       colors,
	})
}

// draw makes the pictures for which there is something to draw.
func draw(r *report.Report) ([]chart, error) {
	type drawing struct {
		wanted bool
		draw   func() (chart, error)
	}
	var pictures []chart
	for _, d := range []drawing{
		{len(r.Trend) > 1, func() (chart, error) { return trend(r.Trend) }},
		{len(r.Measures.Ages) > 0, func() (chart, error) { return ages(r.Measures) }},
		{len(r.Measures.LastUse) > 0, func() (chart, error) { return lastUse(r.Measures) }},
		{len(r.Measures.Scopes) > 0, func() (chart, error) { return scopes(r.Measures) }},
	} {
		if !d.wanted {
			continue
		}
		c, err := d.draw()
		if err != nil {
			return nil, err
		}
		pictures = append(pictures, c)
	}
	return pictures, nil
}

const (
	chartWidth = 440
	fontSize   = 9 // points, of which the library makes 12 pixels
	// maxLabel is in characters: a role's name is in the picture only so far.
	maxLabel = 18
	// maxBars is how many roles a picture shows.
	maxBars = 12
)

// picture draws on a canvas and returns it as SVG for the page. Labels are
// ours, or went through [label]; what the library writes is only shapes and
// text that it escapes.
func picture(height int, palette charts.ColorPalette, draw func(*charts.Painter) error) (string, error) {
	painter := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: chartWidth, Height: height, Theme: palette})
	if err := draw(painter); err != nil {
		return "", fmt.Errorf("draw a chart: %w", err)
	}
	svg, err := painter.Bytes()
	if err != nil {
		return "", fmt.Errorf("draw a chart: %w", err)
	}
	text := strings.Replace(exchange.Replace(string(svg)), "<svg ", `<svg aria-hidden="true" focusable="false" `, 1)
	return text, nil
}

// label leaves in a name only what needs no escaping in any medium.
func label(name string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`<>&"'()`, r) {
			return '·'
		}
		return r
	}, escape.Clip(name, maxLabel))
}

func bars(palette charts.ColorPalette, height int, horizontal bool, labels, names []string, values [][]float64) (string, error) {
	return picture(height, palette, func(p *charts.Painter) error {
		opt := charts.NewBarChartOptionWithData(values)
		opt.Theme = palette
		opt.Horizontal = horizontal
		opt.StackSeries = charts.Ptr(len(values) > 1)
		opt.Padding = charts.NewBoxEqual(8)
		opt.CategoryAxis.Labels = labels
		opt.CategoryAxis.LabelFontStyle = charts.NewFontStyleWithSize(fontSize)
		value := charts.ValueAxisOption{LabelFontStyle: charts.NewFontStyleWithSize(fontSize), Min: charts.Ptr(0.0)}
		if horizontal {
			value.LabelCount = 5 // beside each other, more would touch
		}
		opt.ValueAxis = []charts.ValueAxisOption{value}
		opt.ValueFormatter = whole
		opt.Legend = legend(names)
		return p.BarChart(opt)
	})
}

func legend(names []string) charts.LegendOption {
	return charts.LegendOption{
		Show:        charts.Ptr(len(names) > 1),
		SeriesNames: names,
		FontStyle:   charts.NewFontStyleWithSize(fontSize),
		Symbol:      charts.SymbolSquare,
	}
}

// whole leaves out the labels between whole numbers: half a token is none.
func whole(v float64) string {
	if v != float64(int(v)) {
		return ""
	}
	return fmt.Sprint(int(v))
}

func ages(m report.Measures) (chart, error) {
	c := chart{Title: "Age of credentials", Note: "In days since each was made.", Head: []string{"Age in days", "OAuth secrets", "Tokens"}}
	values := [][]float64{nil, nil}
	var labels []string
	for _, b := range m.Ages {
		labels = append(labels, short(b.Label))
		values[0], values[1] = append(values[0], float64(b.OAuthSecrets)), append(values[1], float64(b.Tokens))
		c.Rows = append(c.Rows, []string{b.Label, fmt.Sprint(b.OAuthSecrets), fmt.Sprint(b.Tokens)})
	}
	svg, err := bars(theme(first, second), 250, false, labels, []string{"OAuth secrets", "tokens"}, values)
	c.SVG = svg
	return c, err
}

func lastUse(m report.Measures) (chart, error) {
	c := chart{Title: "Last use of tokens", Note: "In days since. Of OAuth secrets nothing tells when they were used.", Head: []string{"Days since", "Tokens"}}
	values := [][]float64{nil}
	var labels []string
	for _, b := range m.LastUse {
		labels = append(labels, short(b.Label))
		values[0] = append(values[0], float64(b.Tokens))
		c.Rows = append(c.Rows, []string{b.Label, fmt.Sprint(b.Tokens)})
	}
	svg, err := bars(theme(second), 250, false, labels, []string{"tokens"}, values)
	c.SVG = svg
	return c, err
}

// short is a span for an axis.
func short(span string) string {
	return strings.NewReplacer("up to 7 days", "≤7", "8 to 30", "≤30", "31 to 90", "≤90", "91 to 180", "≤180", "181 to 365", "≤365",
		"over a year", ">365", "never, or not known", "never", "not known", "?").Replace(span)
}

func scopes(m report.Measures) (chart, error) {
	c := chart{
		Title: "Scopes by role", Note: "Credentials whose scopes are within what the policy's role allows, beyond it, or everything.",
		Head: []string{"Role", "Within", "Beyond", "Unrestricted"},
	}
	values := [][]float64{nil, nil, nil}
	var labels []string
	for i, s := range m.Scopes {
		name := s.Role
		if name == "" {
			name = "no role"
		}
		c.Rows = append(c.Rows, []string{escape.Clip(name, 100), fmt.Sprint(s.Within), fmt.Sprint(s.Beyond), fmt.Sprint(s.Unrestricted)})
		if i < maxBars {
			labels = append(labels, label(name))
			values[0], values[1], values[2] = append(values[0], float64(s.Within)), append(values[1], float64(s.Beyond)), append(values[2], float64(s.Unrestricted))
		}
	}
	svg, err := bars(theme(first, medium, critical), 110+30*len(labels), true, labels, []string{"within", "beyond", "unrestricted"}, values)
	c.SVG = svg
	return c, err
}

// maxPoints is how many audits the trend shows.
const maxPoints = 60

func trend(points []report.Point) (chart, error) {
	c := chart{
		Title: "Open findings over past audits", Note: fmt.Sprintf("At most the last %d audits.", maxPoints),
		Head: []string{"Audit", "Critical", "High", "Medium", "Low", "Info", "New", "Resolved", "Credentials"},
	}
	points = points[max(0, len(points)-maxPoints):]
	values := make([][]float64, 5)
	var labels []string
	for _, p := range points {
		labels = append(labels, p.TakenAt.UTC().Format("01-02"))
		row := []string{stamp(p.TakenAt)}
		for i, s := range report.Severities() {
			values[i] = append(values[i], float64(p.Open.Of(s)))
			row = append(row, fmt.Sprint(p.Open.Of(s)))
		}
		c.Rows = append(c.Rows, append(row, fmt.Sprint(p.New), fmt.Sprint(p.Resolved), fmt.Sprint(p.Credentials)))
	}
	palette := theme(critical, high, medium, low, info)
	svg, err := picture(250, palette, func(p *charts.Painter) error {
		opt := charts.NewLineChartOptionWithData(values)
		opt.Theme = palette
		opt.Padding = charts.NewBoxEqual(8)
		opt.XAxis.Labels = labels
		opt.XAxis.LabelFontStyle = charts.NewFontStyleWithSize(fontSize)
		opt.XAxis.LabelCount = min(len(labels), 5)
		opt.YAxis = []charts.YAxisOption{{LabelFontStyle: charts.NewFontStyleWithSize(fontSize), Min: charts.Ptr(0.0)}}
		opt.ValueFormatter = whole
		opt.Legend = legend([]string{"critical", "high", "medium", "low", "info"})
		opt.LineStrokeWidth = 2
		opt.Symbol = charts.Symbol{Shape: charts.SymbolDot, Size: 2}
		return p.LineChart(opt)
	})
	c.SVG = svg
	return c, err
}

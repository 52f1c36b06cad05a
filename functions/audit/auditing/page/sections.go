package page

import (
	"fmt"
	"strconv"
	"strings"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"databricks-credential-rotation/functions/audit/auditing/escape"
	"databricks-credential-rotation/functions/audit/auditing/prune"
	"databricks-credential-rotation/functions/audit/auditing/report"
)

func header(r *report.Report, title string) g.Node {
	notice := func(children ...g.Node) g.Node { return h.P(h.Class("notice"), g.Group(children)) }
	compared := g.Text(" There is no earlier audit to compare with.")
	if r.Previous != "" {
		compared = g.Group{g.Text(" Compared with "), code(r.Previous), g.Text(".")}
	}
	return h.Header(
		h.H1(g.Text(title)),
		h.P(h.Class("quiet"),
			g.Text("Audit "), code(r.ID), g.Text(" of "+stamp(r.TakenAt)+", deployment "), text(r.Deployment),
			g.If(r.AccountID != "", g.Group{g.Text(", account "), code(r.AccountID)}),
			g.If(r.AskedBy != "", g.Group{g.Text(", asked for by "), text(r.AskedBy)}),
			g.Text("."), compared,
		),
		g.If(r.DryRun, notice(h.Strong(g.Text("Dry run.")), g.Text(" Nothing was changed."))),
		g.If(r.Prune.Plan.Stopped != "", notice(h.Strong(g.Text("The prune was stopped; nothing was removed. ")), text(r.Prune.Plan.Stopped))),
		g.If(len(r.Gaps) > 0, notice(
			h.Strong(g.Text(plural(len(r.Gaps), "part of the estate was", "parts of the estate were")+" not read.")),
			g.Text(" What is there was not judged. "), h.A(h.Href("#gaps"), g.Text("See which")), g.Text("."),
		)),
		tiles(r),
	)
}

func tiles(r *report.Report) g.Node {
	tile := func(class string, n int, label string) g.Node {
		return h.Li(h.Strong(g.If(class != "", h.Class(class)), g.Text(strconv.Itoa(n))), g.Text(label))
	}
	list := []g.Node{h.Class("tiles"), g.Attr("aria-label", "Open findings by severity, and what has changed")}
	counts := r.Counts()
	for _, s := range report.Severities() {
		list = append(list, tile(s.String(), counts.Of(s), s.String()))
	}
	list = append(list, tile("", r.WithStatus(report.New), "new"), tile("", len(r.JustResolved()), "resolved"))
	if n := r.WithStatus(report.Reopened); n > 0 {
		list = append(list, tile("", n, "back again"))
	}
	if n := r.WithStatus(report.Unchecked); n > 0 {
		list = append(list, tile("", n, "not checked"))
	}
	return h.Ul(list...)
}

func todo(r *report.Report) g.Node {
	groups := r.Groups()
	if len(groups) == 0 {
		return nil
	}
	var items []g.Node
	for _, group := range groups[:min(len(groups), firstThings)] {
		f := group.Examples[0]
		items = append(items, h.Li(
			severity(group.Severity), g.Text(" "), text(group.Title),
			g.Text(": "+plural(group.Count, "finding", "findings")+" "), quietly(g.Text("("), code(group.Rule), g.Text(")")), br(),
			what(f.Subject), g.If(f.Owner != "", g.Group{g.Text(", owner "), text(f.Owner)}), br(), brief(f.Remedy),
		))
	}
	return section("first-title", "What to do first", h.Div(h.Class("card"), h.Ol(h.Class("first"), g.Group(items))))
}

// brief is a remedy among others, or says where it is.
func brief(s string) g.Node {
	if len(s) > maxBrief {
		return h.A(h.Href("#findings-title"), g.Text("The remedy is among the findings."))
	}
	return remedy(s)
}

func estate(r *report.Report, pictures []chart) g.Node {
	t := r.Measures.Totals
	var figures []g.Node
	for _, c := range pictures {
		figures = append(figures, figure(c))
	}
	return section("charts-title", "The estate",
		h.P(g.Text(fmt.Sprintf("%s with %s, %s, %s, %s; %s, %s, %s.",
			plural(t.ServicePrincipals, "service principal", "service principals"), plural(t.OAuthSecrets, "OAuth secret", "OAuth secrets"),
			plural(t.Tokens, "token", "tokens"), plural(t.Apps, "OAuth app", "OAuth apps"),
			plural(t.FederationPolicies, "federation policy", "federation policies"), plural(t.People, "user", "users"),
			plural(t.Workspaces, "workspace", "workspaces"), plural(t.ManagedSecrets, "managed secret", "managed secrets")))),
		h.Div(h.Class("charts"), g.Group(figures)),
	)
}

// figure is a picture with its numbers beside it.
func figure(c chart) g.Node {
	var head, rows []g.Node
	for i, label := range c.Head {
		head = append(head, h.Th(h.Scope("col"), g.If(i > 0, h.Class("number")), g.Text(label)))
	}
	for _, row := range c.Rows {
		numbers := []g.Node{h.Th(h.Scope("row"), g.Text(row[0]))}
		for _, n := range row[1:] {
			numbers = append(numbers, h.Td(h.Class("number"), g.Text(n)))
		}
		rows = append(rows, h.Tr(numbers...))
	}
	return h.Figure(h.Class("card"),
		h.FigCaption(h.H3(g.Text(c.Title)), quiet(c.Note)),
		g.Raw(c.SVG),
		h.Details(h.Summary(g.Text("Numbers")), h.Div(h.Class("scroll"),
			h.Table(h.THead(h.Tr(head...)), h.TBody(rows...)))),
	)
}

func findings(r *report.Report) g.Node {
	if len(r.Findings) == 0 {
		verdict := "No rule found a fault."
		if len(r.Gaps) > 0 {
			verdict = "No rule found a fault in what could be read."
		}
		return section("findings-title", "Findings", h.P(h.Class("card"), g.Text(verdict)))
	}
	listed := r.Findings[:min(len(r.Findings), maxRows)]
	columns := []column{{"Severity", ""}, {"What", "what"}, {"Subject", ""}, {"Owner", ""}, {"Since", "since"}, {"Remedy", "remedy"}}
	var rows []g.Node
	for _, f := range listed {
		rows = append(rows, row(columns, f))
	}
	hidden := len(r.Findings) - len(listed)
	return section("findings-title", "Findings",
		filter(r),
		h.P(h.Class("quiet"), h.ID("count"), h.Role("status"), g.Text(plural(len(listed), "finding", "findings"))),
		g.If(hidden > 0, h.P(h.Class("notice"), g.Text(fmt.Sprintf(
			"The %d most severe are listed; %d more are in the JSON and CSV of this audit.", len(listed), hidden)))),
		cells("findings", "The most severe first", columns, rows),
	)
}

// filter is the form that the script shows and serves.
func filter(r *report.Report) g.Node {
	choice := func(id, label string, options []string) g.Node {
		list := []g.Node{h.ID(id), h.Name(id), h.Option(h.Value(""), g.Text("all"))}
		for _, o := range options {
			list = append(list, h.Option(h.Value(o), g.Text(o)))
		}
		return h.Div(h.Label(h.For(id), g.Text(label)), h.Select(list...))
	}
	var severities, rules []string
	for _, s := range report.Severities() {
		severities = append(severities, s.String())
	}
	seen := map[string]bool{}
	for _, group := range r.Groups() {
		if rule := escape.Line(group.Rule); !seen[rule] {
			seen[rule] = true
			rules = append(rules, rule)
		}
	}
	return h.Form(h.ID("filter"), g.Attr("hidden"),
		h.Div(h.Label(h.For("text"), g.Text("Text")), h.Input(h.ID("text"), h.Name("text"), h.Type("search"), h.AutoComplete("off"))),
		choice("severity", "Severity", severities),
		choice("status", "Status", []string{string(report.New), string(report.Open), string(report.Reopened), string(report.Unchecked)}),
		choice("rule", "Rule", rules),
		h.Div(h.Button(h.Type("reset"), g.Text("Show all"))),
	)
}

func row(columns []column, f *report.Finding) g.Node {
	var evidence []g.Node
	for _, e := range f.Evidence {
		if e.Value == "" {
			continue
		}
		evidence = append(evidence, h.Dt(text(e.Name)), h.Dd(text(e.Value)))
	}
	s := f.Subject
	owner := quiet("nobody known")
	if f.Owner != "" {
		owner = text(f.Owner)
	}
	return h.Tr(h.Role("row"),
		g.Attr("data-severity", f.Severity.String()), g.Attr("data-status", string(f.Status)), g.Attr("data-rule", escape.Line(f.Rule)),
		cell(columns[0], severity(f.Severity)),
		cell(columns[1], text(f.Title), g.Text(" "), quietly(code(f.Rule)),
			g.If(len(evidence) > 0, h.Dl(evidence...)),
			g.If(len(f.HiddenBy) > 0, h.P(h.Class("quiet"), g.Text("Could not be checked: "), text(strings.Join(f.HiddenBy, ", "))))),
		cell(columns[2], what(s),
			g.If(s.Name != "", g.Group{br(), code(s.ID)}),
			g.If(s.ClientID != "", g.Group{br(), quiet("client "), code(s.ClientID)}),
			g.If(s.Workspace != 0, g.Group{br(), quiet("workspace " + strconv.FormatInt(s.Workspace, 10))})),
		cell(columns[3], owner),
		cell(columns[4], g.Text(date(f.FirstSeen)), br(), quiet(string(f.Status))),
		cell(columns[5], remedy(f.Remedy)),
	)
}

func resolved(r *report.Report) g.Node {
	just := r.JustResolved()
	if len(just) == 0 {
		return nil
	}
	columns := []column{{"Severity", ""}, {"What", ""}, {"Subject", ""}, {"First seen", "since"}}
	var rows []g.Node
	for _, f := range just[:min(len(just), maxResolved)] {
		rows = append(rows, h.Tr(h.Role("row"),
			cell(columns[0], g.Text(f.Severity.String())),
			cell(columns[1], text(f.Title), g.Text(" "), quietly(code(f.Rule))),
			cell(columns[2], what(f.Subject)),
			cell(columns[3], g.Text(date(f.FirstSeen))),
		))
	}
	return section("resolved-title", "Resolved since the last audit",
		cells("", "", columns, rows), more(len(just)-len(rows), "JSON and CSV"))
}

// more tells of what a list left out.
func more(n int, where string) g.Node {
	if n <= 0 {
		return nil
	}
	return h.P(h.Class("quiet"), g.Text(fmt.Sprintf("… and %d more, in the %s of this audit.", n, where)))
}

func exposures(r *report.Report) g.Node {
	worst := r.Exposures[:min(len(r.Exposures), maxExposures)]
	if len(worst) == 0 {
		return nil
	}
	columns := []column{{"Score", "number"}, {"Credential", ""}, {"May call", ""}, {"On what", ""}, {"Until", ""}}
	var rows []g.Node
	for _, x := range worst {
		until := "never ends by itself"
		if !x.Until.IsZero() {
			until = date(x.Until)
		}
		rows = append(rows, h.Tr(h.Role("row"),
			cell(columns[0], g.Text(fmt.Sprintf("%.1f", x.Score))),
			cell(columns[1], g.Text(report.Word(x.Subject.Kind)+" of "), text(x.Holder), br(), code(x.Subject.ID)),
			cell(columns[2], text(strings.Join(x.Scopes, " "))),
			cell(columns[3],
				g.If(x.Admin != "none" && x.Admin != "", g.Group{h.Strong(h.Class("critical"), text(x.Admin), g.Text(" admin")), br()}),
				g.Text(plural(x.WorkspaceCount, "workspace", "workspaces")),
				g.If(len(x.Workspaces) > 0, g.Group{g.Text(": "), text(strings.Join(x.Workspaces, ", "))}),
				g.If(len(x.Access) > 0, g.Group{br(), text(strings.Join(x.Access, ", "))})),
			cell(columns[4], g.Text(until)),
		))
	}
	return section("blast-title", "Greatest blast radius",
		h.P(h.Class("quiet"), g.Text(fmt.Sprintf(
			"What a thief could do with each credential: the worst %d of %d. A score is between 0 and 100.", len(worst), r.ExposureCount))),
		cells("", "", columns, rows))
}

func pruned(r *report.Report) g.Node {
	plan := r.Prune.Plan
	summary := h.P(g.Text("Mode "), h.Strong(text(string(plan.Mode))), g.Text(", right-sizing "), h.Strong(text(string(plan.RightSize))),
		g.If(plan.Budget != "", g.Group{g.Text("; budget "), text(plan.Budget)}),
		g.Text("; "+plural(plan.LookedAt, "live credential was", "live credentials were")+" looked at."))
	actions := r.Prune.Actions()
	if len(actions) == 0 {
		return section("prune-title", "Prune", summary, h.P(h.Class("card"), g.Text("There is nothing to remove or narrow.")))
	}
	columns := []column{{"Action", ""}, {"Credential", ""}, {"Why", ""}, {"Noticed", "since"}, {"Due", "since"}, {"Outcome", ""}}
	var rows []g.Node
	for _, a := range actions[:min(len(actions), maxActions)] {
		outcome := string(a.State)
		switch {
		case a.Result != "":
			outcome = string(a.Result)
		case a.State == prune.Due:
			outcome = "due, not done"
		}
		rows = append(rows, h.Tr(h.Role("row"),
			cell(columns[0], text(string(a.Action))),
			cell(columns[1], what(a.Subject), br(), code(a.Subject.ID), g.If(a.Owner != "", g.Group{br(), quiet("owner "), text(a.Owner)})),
			cell(columns[2], text(a.Why), g.If(len(a.From)+len(a.To) > 0,
				g.Group{br(), code(strings.Join(a.From, " ")), g.Text(" to "), code(strings.Join(a.To, " "))})),
			cell(columns[3], g.Text(date(a.NoticedAt))),
			cell(columns[4], g.Text(date(a.DueAt))),
			cell(columns[5], h.Strong(text(outcome)),
				g.If(a.Detail != "", g.Group{br(), text(a.Detail)}), g.If(a.Exemption != "", g.Group{br(), text(a.Exemption)})),
		))
	}
	return section("prune-title", "Prune", summary, cells("", "", columns, rows), more(len(actions)-len(rows), "JSON"))
}

func gaps(r *report.Report) g.Node {
	if len(r.Gaps) == 0 {
		return nil
	}
	columns := []column{{"Where", ""}, {"What", ""}, {"Why", ""}}
	var rows []g.Node
	for _, x := range r.Gaps[:min(len(r.Gaps), maxRows)] {
		rows = append(rows, h.Tr(h.Role("row"), cell(columns[0], text(x.Where)), cell(columns[1], text(x.What)),
			cell(columns[2], g.El("bdi", g.Text(escape.Clip(x.Why, 2*maxText))))))
	}
	return section("gaps", "Not read, so not judged", cells("", "", columns, rows), more(len(r.Gaps)-len(rows), "JSON"))
}

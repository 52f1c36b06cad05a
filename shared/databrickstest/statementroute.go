package databrickstest

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// statementBody is a submission.
type statementBody struct {
	WarehouseID string `json:"warehouse_id"`
	Statement   string `json:"statement"`
	Catalog     string `json:"catalog"`
	Schema      string `json:"schema"`
	Parameters  []struct {
		Name  string  `json:"name"`
		Value *string `json:"value"`
		Type  string  `json:"type"`
	} `json:"parameters"`
	WaitTimeout   string `json:"wait_timeout"`
	OnWaitTimeout string `json:"on_wait_timeout"`
	Disposition   string `json:"disposition"`
	Format        string `json:"format"`
	RowLimit      int64  `json:"row_limit"`
}

// prepareStatement reads a submission and runs it, before the server is
// locked: what answers statements is the caller's function. It does neither
// for one that is refused before it is looked at.
func prepareStatement(r *request) {
	var body statementBody
	if err := r.decode(&body); err != nil {
		return
	}
	s := r.server
	s.mu.Lock()
	f, allowed := s.evaluate, r.authenticate() == nil && r.mayUse(body.WarehouseID) == nil
	r.caller, r.token = nil, nil
	s.mu.Unlock()
	if allowed {
		r.outcome = evaluate(f, body)
	}
}

func submitStatement(r *request) (reply, *failure) {
	var body statementBody
	if err := r.decode(&body); err != nil {
		return reply{}, err
	}
	if err := body.check(); err != nil {
		return reply{}, err
	}
	if err := r.mayUse(body.WarehouseID); err != nil {
		return reply{}, err
	}
	t := &statement{id: r.server.source.uuid(), owner: r.caller, polls: r.server.polls, outcome: r.outcome}
	if t.polls > 0 && body.OnWaitTimeout == "CANCEL" {
		t.outcome = outcome{state: stateCanceled}
	}
	w := r.site.workspace
	w.statements = append(w.statements, t)
	if len(w.statements) > keepStatements {
		w.statements = slices.Delete(w.statements, 0, 1)
	}
	return reply{http.StatusOK, r.statement(t)}, nil
}

// mayUse wants a warehouse that the caller may use.
func (r *request) mayUse(warehouse string) *failure {
	w := r.site.workspace
	list, ok := w.objects["warehouses/"+warehouse]
	if !ok {
		return missing("warehouse %q does not exist", warehouse)
	}
	if _, admin := r.caller.in(w); !admin && !r.has(list) {
		return denied("%s may not use warehouse %s", r.caller, warehouse)
	}
	return nil
}

var waitTimeout = regexp.MustCompile(`^(0|[5-9]|[1-4][0-9]|50)s$`)

func (b *statementBody) check() *failure {
	switch {
	case strings.TrimSpace(b.Statement) == "":
		return invalid("statement is empty")
	case len(b.Statement) > maxStatement:
		return invalid("statement is longer than %d bytes", maxStatement)
	case b.WaitTimeout != "" && !waitTimeout.MatchString(b.WaitTimeout):
		return invalid("wait_timeout %q is neither 0s nor from 5s to 50s", b.WaitTimeout)
	case !slices.Contains([]string{"", "CONTINUE", "CANCEL"}, b.OnWaitTimeout):
		return invalid("on_wait_timeout %q is neither CONTINUE nor CANCEL", b.OnWaitTimeout)
	case b.OnWaitTimeout == "CANCEL" && b.WaitTimeout == "0s":
		return invalid("on_wait_timeout CANCEL does not go with wait_timeout 0s")
	case b.Disposition != "" && b.Disposition != "INLINE":
		return invalid("disposition %q is not simulated: only INLINE is", b.Disposition)
	case b.Format != "" && b.Format != "JSON_ARRAY":
		return invalid("format %q does not go with disposition INLINE", b.Format)
	case b.RowLimit < 0:
		return invalid("row_limit is negative")
	}
	var names []string
	for _, p := range b.Parameters {
		if p.Name == "" || slices.Contains(names, p.Name) {
			return invalid("parameter %q is unnamed or given twice", p.Name)
		}
		names = append(names, p.Name)
	}
	for _, match := range parameterMarker.FindAllStringSubmatch(sqlText(b.Statement), -1) {
		if name := match[1]; !slices.Contains(names, name) {
			return invalid("[UNBOUND_SQL_PARAMETER] parameter %q is used and not given", name)
		}
	}
	return nil
}

// parameterMarker finds the markers of named parameters; a colon after another
// is a cast.
var parameterMarker = regexp.MustCompile(`(?:^|[^:\w]):([A-Za-z_]\w*)`)

// sqlQuoted is what is no code in a statement: comments, strings and quoted
// names.
var sqlQuoted = regexp.MustCompile(`--[^\n]*|(?s:/\*.*?\*/)|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|` + "`[^`]*`")

func sqlText(statement string) string { return sqlQuoted.ReplaceAllString(statement, " ") }

// pathStatement returns the statement in the path, which only who submitted it
// may see.
func (r *request) pathStatement() (*statement, *failure) {
	for _, t := range r.site.workspace.statements {
		if t.id == r.param("statement") {
			if t.owner != r.caller {
				return nil, denied("%s did not submit statement %s", r.caller, t.id)
			}
			return t, nil
		}
	}
	return nil, missing("statement %s does not exist", r.param("statement"))
}

func getStatement(r *request) (reply, *failure) {
	t, err := r.pathStatement()
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, r.statement(t)}, nil
}

func cancelStatement(r *request) (reply, *failure) {
	t, err := r.pathStatement()
	if err != nil {
		return reply{}, err
	}
	if t.polls > 0 {
		t.outcome = outcome{state: stateCanceled}
	}
	return reply{http.StatusOK, struct{}{}}, nil
}

func getStatementChunk(r *request) (reply, *failure) {
	t, err := r.pathStatement()
	if err != nil {
		return reply{}, err
	}
	if t.polls > 0 || t.look(r.now) != stateSucceeded {
		return reply{}, missing("statement %s has no result", t.id)
	}
	index, bad := strconv.Atoi(r.param("chunk"))
	if bad != nil || index < 0 || index >= r.chunks(t) {
		return reply{}, missing("statement %s has no chunk %s", t.id, r.param("chunk"))
	}
	return reply{http.StatusOK, r.chunk(t, index)}, nil
}

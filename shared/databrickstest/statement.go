package databrickstest

import (
	"fmt"
	"slices"
	"time"
)

// Null in a row that a [Statements] function returns is SQL's NULL.
const Null = "\x00NULL"

// Statements answers an SQL statement: the names of the columns, and rows of
// as many values, each in the text that SQL's cast to a string gives it, or
// [Null]. A parameter that is NULL is not among the parameters. An error is a
// statement that failed.
type Statements func(statement string, parameters map[string]string) (columns []string, rows [][]string, err error)

// SetStatements says what answers statements, on all warehouses. Without it
// every statement fails. It is called without the server's lock.
func (s *Server) SetStatements(f Statements) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.evaluate = f
}

// StatementPolls makes that many looks at a statement find it unfinished, the
// reply to its submission among them. It is 2 at first: PENDING when it is
// submitted, RUNNING when it is first asked for.
func (s *Server) StatementPolls(looks int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.polls = looks
}

// AddWarehouse makes an SQL warehouse that those on its access list, and the
// workspace's admins, may use.
func (w *Workspace) AddWarehouse(id string, list ...Access) {
	w.SetAccess("warehouses/"+id, list...)
}

// The states of a statement.
const (
	statePending   = "PENDING"
	stateRunning   = "RUNNING"
	stateSucceeded = "SUCCEEDED"
	stateFailed    = "FAILED"
	stateCanceled  = "CANCELED"
	stateClosed    = "CLOSED"
)

const (
	// maxStatement is the longest text of a statement, in bytes.
	maxStatement = 16 << 20
	// maxInline is the longest result that is given inline, in bytes.
	maxInline = 25 << 20
	// keepStatements is how many statements a workspace remembers.
	keepStatements = 100
	// keepResult is how long a result can be fetched once it is there.
	keepResult = time.Hour
)

// statement is one that was submitted.
type statement struct {
	id      string
	owner   *principal
	polls   int // looks that still find it unfinished
	looked  bool
	outcome outcome
	done    time.Time // when it was first seen finished
}

// outcome is what a statement comes to.
type outcome struct {
	state     string // succeeded, failed or canceled
	code      string // of the error
	message   string
	columns   []string
	rows      [][]string
	truncated bool
}

// look returns the statement's state, one look further on.
func (t *statement) look(now time.Time) string {
	if t.polls > 0 && t.outcome.state != stateCanceled {
		t.polls--
		if t.looked {
			return stateRunning
		}
		t.looked = true
		return statePending
	}
	if t.done.IsZero() {
		t.done = now
	}
	if t.outcome.state == stateSucceeded && now.Sub(t.done) >= keepResult {
		return stateClosed
	}
	return t.outcome.state
}

// evaluate runs a statement. It must not hold the server's lock.
func evaluate(f Statements, body statementBody) outcome {
	if f == nil {
		return outcome{state: stateFailed, code: "BAD_REQUEST", message: "[UNKNOWN_STATEMENT] nothing answers statements here"}
	}
	parameters := map[string]string{}
	for _, p := range body.Parameters {
		if p.Value != nil {
			parameters[p.Name] = *p.Value
		}
	}
	columns, rows, err := f(body.Statement, parameters)
	if err != nil {
		return outcome{state: stateFailed, code: "BAD_REQUEST", message: err.Error()}
	}
	o := outcome{state: stateSucceeded, columns: slices.Clone(columns)}
	size := 0
	for i, row := range rows {
		if len(row) != len(columns) {
			return outcome{state: stateFailed, code: "INTERNAL_ERROR", message: fmt.Sprintf("row %d has %d values for %d columns", i, len(row), len(columns))}
		}
		if body.RowLimit > 0 && int64(i) == body.RowLimit {
			o.truncated = true
			break
		}
		for _, value := range row {
			size += len(value)
		}
		o.rows = append(o.rows, slices.Clone(row))
	}
	if size > maxInline {
		return outcome{state: stateFailed, code: "BAD_REQUEST", message: fmt.Sprintf("inline results are limited to %d bytes", maxInline)}
	}
	return o
}

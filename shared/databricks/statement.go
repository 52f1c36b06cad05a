package databricks

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"databricks-credential-rotation/shared/pattern"
)

const (
	// statementWait is how long the first request waits for the result. It is
	// well below callTimeout, so that a late reply is not taken for a lost one.
	statementWait = 20 * time.Second
	// statementBudget bounds a statement: some warehouses take minutes to
	// start, and what runs for longer does not belong into a function.
	statementBudget = 6 * time.Minute
	pollFirst       = 500 * time.Millisecond
	pollMost        = 5 * time.Second
	cancelTimeout   = 5 * time.Second
	// statementRows is past what an aggregate should return. More is cut off,
	// and the table says so.
	statementRows = 100_000
	// statementTries is how often a statement that the warehouse was too busy
	// for is sent.
	statementTries = 3
)

// Warehouse is a SQL warehouse of a workspace.
type Warehouse struct {
	Host Host
	ID   string
}

var warehousePattern = pattern.New(`^(https?://[^/?#]+)/sql/1\.0/warehouses/([0-9A-Za-z]{1,64})$`)

// ParseWarehouse reads a warehouse as the workspace's address and the HTTP
// path that the warehouse's connection details show:
// https://dbc-1a2b.cloud.databricks.com/sql/1.0/warehouses/abc123.
func ParseWarehouse(address string) (Warehouse, error) {
	m := warehousePattern.FindStringSubmatch(address)
	if m == nil {
		return Warehouse{}, fmt.Errorf("warehouse %q must be of the form https://workspace-host/sql/1.0/warehouses/id", scrub(address))
	}
	return Warehouse{Host: Host{URL: m[1]}, ID: m[2]}, nil
}

func (w Warehouse) String() string {
	if w.ID == "" {
		return ""
	}
	return w.Host.URL + "/sql/1.0/warehouses/" + w.ID
}

func (w Warehouse) statementsURL() string { return w.Host.URL + "/api/2.0/sql/statements" }

// Statement reads something from a warehouse. It must change nothing: it is
// sent again when its outcome is unknown.
type Statement struct {
	// Name is what it reads, for a reader: "failed authentications".
	Name string
	SQL  string
	// Parameters are the named parameters, all of them strings; the statement
	// casts them.
	Parameters map[string]string
}

// Table is a statement's result. Values are text as the warehouse prints them,
// nil for NULL.
type Table struct {
	Columns []string
	Rows    [][]*string
	// Truncated tells that there were more rows than the table has.
	Truncated bool
}

type statementRequest struct {
	WarehouseID   string               `json:"warehouse_id"`
	Statement     string               `json:"statement"`
	Parameters    []statementParameter `json:"parameters,omitempty"`
	Disposition   string               `json:"disposition"`
	Format        string               `json:"format"`
	WaitTimeout   string               `json:"wait_timeout"`
	OnWaitTimeout string               `json:"on_wait_timeout"`
	RowLimit      int                  `json:"row_limit"`
}

type statementParameter struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type statementReply struct {
	StatementID string `json:"statement_id"`
	Status      struct {
		State string `json:"state"`
		Error struct {
			Code    string `json:"error_code"`
			Message string `json:"message"`
		} `json:"error"`
		SQLState string `json:"sql_state"`
	} `json:"status"`
	Manifest struct {
		Schema struct {
			Columns []struct {
				Name string `json:"name"`
			} `json:"columns"`
		} `json:"schema"`
		Chunks    int   `json:"total_chunk_count"`
		Rows      int64 `json:"total_row_count"`
		Truncated bool  `json:"truncated"`
	} `json:"manifest"`
	Result statementChunk `json:"result"`
}

type statementChunk struct {
	Rows [][]*string `json:"data_array"`
}

// Query runs a statement and returns the whole result, which must be below 25
// MiB. The statement is canceled if the context ends first.
func (c *Client) Query(ctx context.Context, w Warehouse, s Statement) (Table, error) {
	ctx, cancel := context.WithTimeout(ctx, statementBudget)
	defer cancel()
	for try := 1; ; try++ {
		table, err := c.query(ctx, w, s)
		if try == statementTries || !errors.Is(err, errWarehouseBusy) || pause(ctx, time.Duration(try)*pollMost) != nil {
			return table, err
		}
	}
}

func (c *Client) query(ctx context.Context, w Warehouse, s Statement) (Table, error) {
	op := "query " + s.Name
	reply, err := c.startStatement(ctx, w, s, op)
	if err != nil {
		return Table{}, err
	}
	if reply.StatementID == "" {
		return Table{}, &Error{Op: op, Host: w.Host.URL, kind: ErrUncertain, Message: unreadable}
	}
	for wait := pollFirst; reply.Status.State == "PENDING" || reply.Status.State == "RUNNING"; wait = min(2*wait, pollMost) {
		err := pause(ctx, wait)
		if err == nil {
			id := reply.StatementID
			reply = statementReply{}
			err = c.call(ctx, w.Host, request{op: op, method: http.MethodGet, url: w.statementsURL() + "/" + url.PathEscape(id)}, &reply)
			reply.StatementID = id
		}
		if err != nil {
			c.cancelStatement(ctx, w, reply.StatementID)
			if ctx.Err() != nil {
				return Table{}, &Error{
					Op: op, Host: w.Host.URL, kind: ErrUncertain, cause: ctx.Err(),
					Message: "the warehouse did not finish in time and was told to stop; see whether it can start, and whether it is too small",
				}
			}
			return Table{}, err
		}
	}
	if reply.Status.State != "SUCCEEDED" {
		return Table{}, reply.failure(op, w)
	}
	return c.statementTable(ctx, w, reply, op)
}

func (c *Client) startStatement(ctx context.Context, w Warehouse, s Statement, op string) (statementReply, error) {
	body := statementRequest{
		WarehouseID: w.ID, Statement: s.SQL, Disposition: "INLINE", Format: "JSON_ARRAY",
		WaitTimeout: strconv.Itoa(int(statementWait.Seconds())) + "s", OnWaitTimeout: "CONTINUE", RowLimit: statementRows,
	}
	for _, name := range slices.Sorted(maps.Keys(s.Parameters)) {
		body.Parameters = append(body.Parameters, statementParameter{Name: name, Value: s.Parameters[name]})
	}
	var reply statementReply
	err := c.call(ctx, w.Host, request{op: op, method: http.MethodPost, url: w.statementsURL(), body: body}, &reply)
	return reply, err
}

// statementTable fetches what is left of a result. The first chunk comes with
// the reply.
func (c *Client) statementTable(ctx context.Context, w Warehouse, reply statementReply, op string) (Table, error) {
	table := Table{Rows: reply.Result.Rows, Truncated: reply.Manifest.Truncated}
	for _, column := range reply.Manifest.Schema.Columns {
		table.Columns = append(table.Columns, column.Name)
	}
	for i := 1; i < reply.Manifest.Chunks; i++ {
		var chunk statementChunk
		err := c.call(ctx, w.Host, request{
			op: op, method: http.MethodGet,
			url: w.statementsURL() + "/" + url.PathEscape(reply.StatementID) + "/result/chunks/" + strconv.Itoa(i),
		}, &chunk)
		if err != nil {
			return Table{}, err
		}
		table.Rows = append(table.Rows, chunk.Rows...)
	}
	// A part of a result must not pass for the whole.
	if int64(len(table.Rows)) != reply.Manifest.Rows {
		return Table{}, &Error{
			Op: op, Host: w.Host.URL, kind: ErrUncertain,
			Message: fmt.Sprintf("%d of %d rows arrived", len(table.Rows), reply.Manifest.Rows),
		}
	}
	for _, row := range table.Rows {
		if len(row) != len(table.Columns) {
			return Table{}, &Error{Op: op, Host: w.Host.URL, kind: ErrUncertain, Message: unreadable}
		}
	}
	return table, nil
}

// cancelStatement stops a statement that nobody waits for any more. If that
// fails, the warehouse's own limit ends it.
func (c *Client) cancelStatement(ctx context.Context, w Warehouse, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelTimeout)
	defer cancel()
	_ = c.call(ctx, w.Host, request{
		op: "cancel a statement", method: http.MethodPost, url: w.statementsURL() + "/" + url.PathEscape(id) + "/cancel", once: true,
	}, nil)
}

// errWarehouseBusy means that the same statement may be luckier later.
var errWarehouseBusy = fmt.Errorf("the warehouse is busy: %w", ErrBusy)

// failure is the error of a statement that ended without a result, which
// Databricks reports with status 200.
func (r statementReply) failure(op string, w Warehouse) *Error {
	e := &Error{Op: op, Host: w.Host.URL, kind: ErrRejected, Code: r.Status.Error.Code, Message: scrub(r.Status.Error.Message)}
	switch r.Status.Error.Code {
	case "RESOURCE_EXHAUSTED", "TEMPORARILY_UNAVAILABLE", "SERVICE_UNDER_MAINTENANCE", "WORKSPACE_TEMPORARILY_UNAVAILABLE", "ABORTED":
		e.kind = errWarehouseBusy
	case "UNAUTHENTICATED", "PERMISSION_DENIED":
		e.kind = ErrDenied
	case "NOT_FOUND":
		e.kind = ErrNotFound
	}
	// What the warehouse itself objects to is a bad request, told apart by
	// SQLSTATE alone.
	switch {
	case strings.HasPrefix(r.Status.SQLState, "42501"):
		e.kind = ErrDenied
	case strings.HasPrefix(r.Status.SQLState, "42P01"):
		e.kind = ErrNotFound
	}
	if !codePattern.MatchString(e.Code) {
		e.Code = ""
	}
	if e.Message == "" {
		e.Message = "the statement ended as " + scrub(r.Status.State)
	}
	return e
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

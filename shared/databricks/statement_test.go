package databricks_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/faulttest"
)

// warehouse answers the statement API from a list of replies, and notes what
// it was asked.
type warehouse struct {
	asked   []string
	body    map[string]any
	replies map[string][]string
}

func (w *warehouse) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	call := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/api/2.0/sql/statements")
	w.asked = append(w.asked, call)
	if r.Method == http.MethodPost && w.body == nil {
		text, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(text, &w.body)
	}
	left := w.replies[call]
	if len(left) == 0 {
		writeJSON(rw, http.StatusNotFound, `{"error_code":"NOT_FOUND","message":"no such call"}`)
		return
	}
	if len(left) > 1 {
		w.replies[call] = left[1:]
	}
	writeJSON(rw, http.StatusOK, left[0])
}

// query runs a statement on virtual time.
func query(t *testing.T, w *warehouse, limit time.Duration, check func(databricks.Table, error, time.Duration)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		client, host, _ := stub(t, w.ServeHTTP)
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		start := time.Now()
		table, err := client.Query(ctx, databricks.Warehouse{Host: host, ID: "abc"}, databricks.Statement{
			Name: "usage", SQL: "SELECT :b, :a", Parameters: map[string]string{"b": "2", "a": ""},
		})
		check(table, err, time.Since(start))
	})
}

const (
	pending   = `{"statement_id":"s1","status":{"state":"PENDING"}}`
	running   = `{"statement_id":"s1","status":{"state":"RUNNING"}}`
	succeeded = `{"statement_id":"s1","status":{"state":"SUCCEEDED"},
		"manifest":{"schema":{"columns":[{"name":"x"},{"name":"y"}]},"total_chunk_count":2,"total_row_count":3},
		"result":{"chunk_index":0,"data_array":[["1",null],["2",""]],"next_chunk_index":1}}`
	secondChunk = `{"chunk_index":1,"data_array":[["3","z"]]}`
)

func TestQuery(t *testing.T) {
	w := &warehouse{replies: map[string][]string{
		"POST ":                   {pending},
		"GET /s1":                 {pending, running, succeeded},
		"GET /s1/result/chunks/1": {secondChunk},
		"POST /s1/cancel":         {`{}`},
	}}
	query(t, w, time.Hour, func(got databricks.Table, err error, _ time.Duration) {
		if err != nil {
			t.Fatal(err)
		}
		text := func(s string) *string { return &s }
		want := databricks.Table{
			Columns: []string{"x", "y"},
			Rows:    [][]*string{{text("1"), nil}, {text("2"), text("")}, {text("3"), text("z")}},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
	wantAsked := []string{"POST ", "GET /s1", "GET /s1", "GET /s1", "GET /s1/result/chunks/1"}
	if diff := cmp.Diff(wantAsked, w.asked); diff != "" {
		t.Error(diff)
	}
	wantBody := map[string]any{
		"warehouse_id": "abc", "statement": "SELECT :b, :a", "disposition": "INLINE", "format": "JSON_ARRAY",
		"wait_timeout": "20s", "on_wait_timeout": "CONTINUE", "row_limit": 100000.0,
		"parameters": []any{map[string]any{"name": "a", "value": ""}, map[string]any{"name": "b", "value": "2"}},
	}
	if diff := cmp.Diff(wantBody, w.body); diff != "" {
		t.Error(diff)
	}
}

func TestQueryTruncated(t *testing.T) {
	w := &warehouse{replies: map[string][]string{"POST ": {
		`{"statement_id":"s1","status":{"state":"SUCCEEDED"},"manifest":{"schema":{"columns":[{"name":"x"}]},"total_chunk_count":1,"total_row_count":1,"truncated":true},"result":{"data_array":[["1"]]}}`,
	}}}
	query(t, w, time.Hour, func(got databricks.Table, err error, _ time.Duration) {
		if err != nil || !got.Truncated {
			t.Errorf("truncated %v, %v", got.Truncated, err)
		}
	})
}

func TestQueryFails(t *testing.T) {
	failed := func(code, state, message string) string {
		return fmt.Sprintf(`{"statement_id":"s1","status":{"state":"FAILED","sql_state":%q,"error":{"error_code":%q,"message":%q}}}`, state, code, message)
	}
	tests := map[string]struct {
		reply string
		kind  error
		posts int
		want  string
	}{
		"no right": {
			failed("BAD_REQUEST", "42501", "[INSUFFICIENT_PERMISSIONS] no SELECT"), databricks.ErrDenied, 1,
			"query usage at https://stub.example.com: the rotator was denied: [INSUFFICIENT_PERMISSIONS] no SELECT",
		},
		"no table": {
			failed("BAD_REQUEST", "42P01", "[TABLE_OR_VIEW_NOT_FOUND] none"), databricks.ErrNotFound, 1,
			"query usage at https://stub.example.com: not found: [TABLE_OR_VIEW_NOT_FOUND] none",
		},
		"denied": {
			failed("PERMISSION_DENIED", "", "no"), databricks.ErrDenied, 1,
			"query usage at https://stub.example.com: the rotator was denied: no",
		},
		"no warehouse": {
			failed("NOT_FOUND", "", "no"), databricks.ErrNotFound, 1,
			"query usage at https://stub.example.com: not found: no",
		},
		"secret in the message": {
			failed("BAD_REQUEST", "", "near dose0123456789abcdef"), databricks.ErrRejected, 1,
			"query usage at https://stub.example.com: request rejected: near [secret]",
		},
		"busy": {
			failed("RESOURCE_EXHAUSTED", "", "later"), databricks.ErrBusy, 3,
			"query usage at https://stub.example.com: the warehouse is busy: too many requests: later",
		},
		"canceled by somebody": {
			`{"statement_id":"s1","status":{"state":"CANCELED"}}`, databricks.ErrRejected, 1,
			"query usage at https://stub.example.com: request rejected: the statement ended as CANCELED",
		},
		"no id": {
			`{"status":{"state":"PENDING"}}`, databricks.ErrUncertain, 1,
			"query usage at https://stub.example.com: outcome unknown: the reply could not be read",
		},
		"rows missing": {
			`{"statement_id":"s1","status":{"state":"SUCCEEDED"},"manifest":{"schema":{"columns":[{"name":"x"}]},"total_chunk_count":1,"total_row_count":2},"result":{"data_array":[["1"]]}}`,
			databricks.ErrUncertain, 1, "query usage at https://stub.example.com: outcome unknown: 1 of 2 rows arrived",
		},
		"short row": {
			`{"statement_id":"s1","status":{"state":"SUCCEEDED"},"manifest":{"schema":{"columns":[{"name":"x"},{"name":"y"}]},"total_chunk_count":1,"total_row_count":1},"result":{"data_array":[["1"]]}}`,
			databricks.ErrUncertain, 1, "query usage at https://stub.example.com: outcome unknown: the reply could not be read",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := &warehouse{replies: map[string][]string{"POST ": {test.reply}}}
			query(t, w, time.Hour, func(_ databricks.Table, err error, _ time.Duration) {
				if !errors.Is(err, test.kind) || err.Error() != test.want {
					t.Errorf("got  %v\nwant %s", err, test.want)
				}
			})
			if len(w.asked) != test.posts {
				t.Errorf("asked %v", w.asked)
			}
		})
	}
}

// Nobody waits for ever, and what nobody waits for is stopped.
func TestQueryDeadline(t *testing.T) {
	for name, limit := range map[string]time.Duration{"the caller's": time.Minute, "its own": time.Hour} {
		t.Run(name, func(t *testing.T) {
			w := &warehouse{replies: map[string][]string{"POST ": {pending}, "GET /s1": {running}, "POST /s1/cancel": {`{}`}}}
			query(t, w, limit, func(_ databricks.Table, err error, took time.Duration) {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
				if want := min(limit, 6*time.Minute); took < want || took > want+10*time.Second {
					t.Errorf("took %v, want %v", took, want)
				}
			})
			if last := w.asked[len(w.asked)-1]; last != "POST /s1/cancel" {
				t.Errorf("last call %s", last)
			}
		})
	}
}

func TestParseWarehouse(t *testing.T) {
	w, err := databricks.ParseWarehouse("https://dbc-1a2b.cloud.databricks.com/sql/1.0/warehouses/abc123")
	want := databricks.Warehouse{Host: databricks.Host{URL: "https://dbc-1a2b.cloud.databricks.com"}, ID: "abc123"}
	if err != nil || w != want || w.String() != "https://dbc-1a2b.cloud.databricks.com/sql/1.0/warehouses/abc123" {
		t.Errorf("got %+v, %v", w, err)
	}
	for _, broken := range []string{"", "abc123", "https://host/sql/1.0/warehouses/", "https://host/sql/1.0/warehouses/a/b", "https://host/sql/1.0/endpoints/abc", "https://host/x/sql/1.0/warehouses/abc"} {
		if _, err := databricks.ParseWarehouse(broken); err == nil {
			t.Errorf("%q was accepted", broken)
		}
	}
}

// A statement outlives what the network does to it, over the simulator's own
// chunks of two rows.
func TestQueryWithFaults(t *testing.T) {
	const statement = "SELECT :x"
	for _, op := range []string{databrickstest.OpSubmitStatement, databrickstest.OpGetStatement, databrickstest.OpGetStatementChunk} {
		for _, kind := range []faulttest.Kind{faulttest.RequestLost, faulttest.ReplyLost, faulttest.Throttled, faulttest.ServerError} {
			t.Run(op+" "+kind.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFleet(t)
					f.workspace.AddWarehouse("abc")
					f.SetStatements(func(got string, parameters map[string]string) ([]string, [][]string, error) {
						if got != statement {
							t.Errorf("statement %q", got)
						}
						var rows [][]string
						for i := range 5 {
							rows = append(rows, []string{strconv.Itoa(i), parameters["x"], databrickstest.Null})
						}
						return []string{"n", "x", "nothing"}, rows, nil
					})
					l := f.levels(nil)[1]
					f.Faults().Add(faulttest.Fault{Op: op, Kind: kind, Times: 2})
					table, err := l.client.Query(t.Context(), databricks.Warehouse{Host: l.host, ID: "abc"}, databricks.Statement{
						Name: "x", SQL: statement, Parameters: map[string]string{"x": "y"},
					})
					if err != nil {
						t.Fatal(err)
					}
					if len(table.Rows) != 5 || *table.Rows[4][0] != "4" || *table.Rows[4][1] != "y" || table.Rows[4][2] != nil {
						t.Errorf("table %+v", table)
					}
				})
			})
		}
	}
}

// Who may not use the warehouse is told so.
func TestQueryDenied(t *testing.T) {
	f := newFleet(t)
	f.workspace.AddWarehouse("abc")
	f.SetStatements(func(string, map[string]string) ([]string, [][]string, error) { return []string{"x"}, nil, nil })
	client := &databricks.Client{Allowed: f.allowed(), Identity: f.identity(f.app), Transport: f.Transport()}
	host := databricks.Host{URL: f.workspace.Host()}
	if _, err := client.Query(t.Context(), databricks.Warehouse{Host: host, ID: "abc"}, databricks.Statement{Name: "x", SQL: "SELECT 1"}); !errors.Is(err, databricks.ErrDenied) {
		t.Errorf("got %v", err)
	}
	l := f.levels(nil)[1]
	if _, err := l.client.Query(t.Context(), databricks.Warehouse{Host: l.host, ID: "other"}, databricks.Statement{Name: "x", SQL: "SELECT 1"}); !errors.Is(err, databricks.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

package databrickstest_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/databricks/databricks-sdk-go/apierr"
	"github.com/databricks/databricks-sdk-go/service/sql"
	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/databrickstest"
)

const statementsPath = "/api/2.0/sql/statements"

func TestSDKRunsStatements(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, transport http.RoundTripper) {
		w.workspace.AddWarehouse("abc")
		var asked map[string]string
		w.SetStatements(func(statement string, parameters map[string]string) ([]string, [][]string, error) {
			asked = parameters
			if statement != "SELECT * FROM t WHERE a = :a AND b = :b" {
				return nil, nil, fmt.Errorf("[PARSE_SYNTAX_ERROR] %s", statement)
			}
			var rows [][]string
			for i := range 7 {
				rows = append(rows, []string{fmt.Sprint(i), databrickstest.Null})
			}
			return []string{"n", "nothing"}, rows, nil
		})
		boss := w.someone("boss@example.com")
		w.Assign(boss.ID, w.workspace, true)
		token := w.personalToken(boss.ID, databrickstest.TokenSpec{})
		api := sql.NewStatementExecution(patSDK(t, w, token.Value, transport))
		submit := func(statement string) *sql.StatementResponse {
			t.Helper()
			got, err := api.ExecuteStatement(t.Context(), sql.ExecuteStatementRequest{
				WarehouseId: "abc", Statement: statement, WaitTimeout: "0s", Disposition: sql.DispositionInline, Format: sql.FormatJsonArray,
				Parameters: []sql.StatementParameterListItem{{Name: "a", Value: "1", Type: "INT"}, {Name: "b"}},
			})
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		look := func(id string) *sql.StatementResponse {
			t.Helper()
			got, err := api.GetStatement(t.Context(), sql.GetStatementRequest{StatementId: id})
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		got := submit("SELECT * FROM t WHERE a = :a AND b = :b")
		states := []sql.StatementState{got.Status.State}
		for range 2 {
			got = look(got.StatementId)
			states = append(states, got.Status.State)
		}
		if !slices.Equal(states, []sql.StatementState{"PENDING", "RUNNING", "SUCCEEDED"}) {
			t.Fatalf("states %v", states)
		}
		if diff := cmp.Diff(map[string]string{"a": "1"}, asked); diff != "" {
			t.Errorf("parameters (-want +got):\n%s", diff)
		}
		want := &sql.ResultManifest{
			Format: "JSON_ARRAY", TotalChunkCount: 3, TotalRowCount: 7,
			Chunks: []sql.BaseChunkInfo{{RowCount: 3}, {ChunkIndex: 1, RowOffset: 3, RowCount: 3}, {ChunkIndex: 2, RowOffset: 6, RowCount: 1}},
			Schema: &sql.ResultSchema{ColumnCount: 2, Columns: []sql.ColumnInfo{
				{Name: "n", TypeName: "STRING", TypeText: "STRING"}, {Name: "nothing", Position: 1, TypeName: "STRING", TypeText: "STRING"},
			}},
		}
		if diff := cmp.Diff(want, got.Manifest, ignoreForced); diff != "" {
			t.Errorf("manifest (-want +got):\n%s", diff)
		}
		rows, data := got.Result.DataArray, got.Result
		for data.NextChunkIndex != 0 {
			next, err := api.GetStatementResultChunkN(t.Context(), sql.GetStatementResultChunkNRequest{StatementId: got.StatementId, ChunkIndex: data.NextChunkIndex})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(data.NextChunkInternalLink, fmt.Sprint(got.StatementId, "/result/chunks/", next.ChunkIndex)) {
				t.Errorf("link %s", data.NextChunkInternalLink)
			}
			rows, data = append(rows, next.DataArray...), next
		}
		if len(rows) != 7 || rows[6][0] != "6" || rows[6][1] != "" {
			t.Errorf("rows %v", rows)
		}
		if _, err := api.GetStatementResultChunkN(t.Context(), sql.GetStatementResultChunkNRequest{StatementId: got.StatementId, ChunkIndex: 3}); !errors.Is(err, apierr.ErrNotFound) {
			t.Errorf("a chunk too far: %v", err)
		}
		w.clock.advance(time.Hour)
		if closed := look(got.StatementId); closed.Status.State != sql.StatementStateClosed || closed.Manifest != nil {
			t.Errorf("an hour later: %+v", closed)
		}

		w.StatementPolls(0)
		if got := submit("SELEC"); got.Status.State != sql.StatementStateFailed || got.Status.Error.Message != "[PARSE_SYNTAX_ERROR] SELEC" || got.Result != nil {
			t.Errorf("a statement that fails: %+v", got.Status)
		}
		w.StatementPolls(2)
		canceled := submit("SELECT * FROM t WHERE a = :a AND b = :b")
		if err := api.CancelExecution(t.Context(), sql.CancelExecutionRequest{StatementId: canceled.StatementId}); err != nil {
			t.Error(err)
		}
		if got := look(canceled.StatementId); got.Status.State != sql.StatementStateCanceled || got.Result != nil {
			t.Errorf("canceled: %+v", got.Status)
		}
		w.SetStatements(nil)
		w.StatementPolls(0)
		if got := submit("SELECT 1"); got.Status.State != sql.StatementStateFailed {
			t.Errorf("without an evaluator: %+v", got.Status)
		}
	})
}

// The body of a result is as documented: text or null, and no chunks when
// there are no rows.
func TestStatementResults(t *testing.T) {
	w := newWorld(t, databrickstest.Config{ChunkRows: 2})
	w.StatementPolls(0)
	w.workspace.AddWarehouse("abc")
	rows := [][]string{{"a"}, {databrickstest.Null}}
	w.SetStatements(func(string, map[string]string) ([]string, [][]string, error) { return []string{"x"}, rows, nil })
	run := func(more string) map[string]any {
		t.Helper()
		got := w.api(http.MethodPost, w.workspace.Host()+statementsPath, w.asManager(), `{"warehouse_id":"abc","statement":"SELECT 1"`+more+`}`)
		if got.status != 200 {
			t.Fatalf("submit: %+v", got)
		}
		return got.body
	}
	result := run("")["result"]
	want := map[string]any{"chunk_index": 0.0, "row_offset": 0.0, "row_count": 2.0, "data_array": []any{[]any{"a"}, []any{nil}}}
	if diff := cmp.Diff(want, result); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	limited := run(`,"row_limit":1`)
	if m, _ := limited["manifest"].(map[string]any); m["truncated"] != true || m["total_row_count"] != 1.0 {
		t.Errorf("limited: %v", m)
	}
	rows = nil
	none := run("")
	if m, _ := none["manifest"].(map[string]any); m["total_chunk_count"] != 0.0 || m["chunks"] != nil {
		t.Errorf("no rows: %v", m)
	}
	if r, _ := none["result"].(map[string]any); r["data_array"] != nil || r["next_chunk_index"] != nil {
		t.Errorf("no rows: %v", r)
	}
	state := func(body map[string]any) string {
		status, _ := body["status"].(map[string]any)
		text, _ := status["state"].(string)
		return text
	}
	rows = [][]string{{strings.Repeat("x", 25<<20)}, {"y"}}
	if got := run(""); state(got) != "FAILED" {
		t.Errorf("a result beyond 25 MiB: %s", state(got))
	}
	rows = [][]string{{"a", "b"}}
	if got := run(""); state(got) != "FAILED" {
		t.Errorf("two values for one column: %s", state(got))
	}
	rows = [][]string{{"a"}}
	w.StatementPolls(1)
	if got := run(`,"wait_timeout":"5s","on_wait_timeout":"CANCEL"`); state(got) != "CANCELED" {
		t.Errorf("not done in time: %s", state(got))
	}
	w.StatementPolls(0)
	if got := run(`,"wait_timeout":"50s","on_wait_timeout":"CANCEL"`); state(got) != "SUCCEEDED" {
		t.Errorf("done in time: %s", state(got))
	}
}

func TestStatementRefusals(t *testing.T) {
	w := newWorld(t, databrickstest.Config{})
	w.StatementPolls(0)
	ann, bob := w.someone("ann@example.com"), w.someone("bob@example.com")
	w.workspace.AddWarehouse("abc", databrickstest.Access{Who: ann.ID, Level: "CAN_USE"})
	runs := 0
	w.SetStatements(func(string, map[string]string) ([]string, [][]string, error) {
		runs++
		return []string{"x"}, [][]string{{"1"}}, nil
	})
	asAnn := w.personalToken(ann.ID, databrickstest.TokenSpec{Scopes: []string{"sql"}}).Value
	asBob := w.personalToken(bob.ID, databrickstest.TokenSpec{}).Value
	unscoped := w.personalToken(ann.ID, databrickstest.TokenSpec{Scopes: []string{"jobs"}}).Value
	target := w.workspace.Host() + statementsPath
	const good = `{"warehouse_id":"abc","statement":"SELECT 1"}`
	if got := w.api(http.MethodPost, target, asAnn, good); got.status != 200 || runs != 1 {
		t.Fatalf("one who may: %+v after %d runs", got, runs)
	}
	with := func(more string) string { return strings.TrimSuffix(good, "}") + "," + more + "}" }
	statement := func(text string) string {
		return strings.Replace(good, "SELECT 1", text, 1)
	}
	tests := []struct {
		name, bearer, body string
		status             int
		says               string
	}{
		{"not on the access list", asBob, good, 403, "bob@example.com may not use warehouse abc"},
		{"another scope", unscoped, good, 403, "required scopes: sql"},
		{"no such warehouse", asAnn, strings.Replace(good, "abc", "x", 1), 404, `"x"`},
		{"no statement", asAnn, statement(" "), 400, "empty"},
		{"short wait", asAnn, with(`"wait_timeout":"4s"`), 400, "wait_timeout"},
		{"long wait", asAnn, with(`"wait_timeout":"51s"`), 400, "wait_timeout"},
		{"odd end of waiting", asAnn, with(`"on_wait_timeout":"STOP"`), 400, "on_wait_timeout"},
		{"cancel at once", asAnn, with(`"wait_timeout":"0s","on_wait_timeout":"CANCEL"`), 400, "CANCEL"},
		{"links", asAnn, with(`"disposition":"EXTERNAL_LINKS"`), 400, "disposition"},
		{"format", asAnn, with(`"format":"CSV"`), 400, "format"},
		{"limit", asAnn, with(`"row_limit":-1`), 400, "row_limit"},
		{"unknown field", asAnn, with(`"wait":"5s"`), 400, "wait"},
		{"parameter twice", asAnn, with(`"parameters":[{"name":"a"},{"name":"a"}]`), 400, `"a"`},
		{"parameter not given", asAnn, statement("SELECT :a"), 400, `"a"`},
		{"parameter in a string", asAnn, statement("SELECT ':a', x::int -- :b"), 200, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := w.api(http.MethodPost, target, test.bearer, test.body)
			if got.status != test.status || !strings.Contains(got.message(), test.says) {
				t.Errorf("answered %+v, want %d saying %q", got, test.status, test.says)
			}
		})
	}
	made := w.api(http.MethodPost, target, asAnn, good)
	id, _ := made.body["statement_id"].(string)
	for _, path := range []string{"/" + id, "/" + id + "/result/chunks/0"} {
		if got := w.api(http.MethodGet, target+path, w.asManager(), ""); got.status != 403 {
			t.Errorf("%s as another: %+v", path, got)
		}
		if got := w.api(http.MethodGet, target+path, asAnn, ""); got.status != 200 {
			t.Errorf("%s: %+v", path, got)
		}
	}
	if got := w.api(http.MethodGet, target+"/x", asAnn, ""); got.status != 404 {
		t.Errorf("no such statement: %+v", got)
	}
	for range 100 {
		w.api(http.MethodPost, target, asAnn, good)
	}
	if got := w.api(http.MethodGet, target+"/"+id, asAnn, ""); got.status != 404 {
		t.Errorf("a statement of long ago: %+v", got)
	}
}

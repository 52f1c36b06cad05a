package usagelogtest_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/audit/auditing/usage"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/usagelogtest"
)

var now = time.Date(2026, 11, 20, 6, 0, 0, 0, time.UTC)

func statement(t *testing.T, name string) (string, map[string]string) {
	t.Helper()
	for _, s := range (usage.Question{Now: now, Policy: policy.Default()}).Statements() {
		if s.Name == name {
			return s.SQL, s.Parameters
		}
	}
	t.Fatalf("no statement %s", name)
	return "", nil
}

func TestStatement(t *testing.T) {
	var log usagelogtest.Log
	log.Add(
		usagelogtest.Event{At: now.Add(-time.Hour), Identity: "A@Example.com", Service: "jobs", Action: "runNow"},
		usagelogtest.Event{At: now, Identity: "a@example.com", Service: "clusters", Action: "create"},
	)
	sql, params := statement(t, "what each identity uses")
	columns, rows, err := log.Statement(sql, params)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(columns, " "); got != "identity first_seen last_seen events work" {
		t.Errorf("columns %s", got)
	}
	at := "1795150800000000"
	if diff := cmp.Diff([][]string{{"a@example.com", at, at, "1", "jobs"}}, rows); diff != "" {
		t.Error(diff)
	}
}

// What Spark would refuse is refused here.
func TestStatementRefused(t *testing.T) {
	var log usagelogtest.Log
	sql, params := statement(t, "addresses")
	for name, test := range map[string]struct {
		sql    string
		change func()
		want   string
	}{
		"another statement":    {sql + " ", func() {}, "[UNKNOWN_STATEMENT]"},
		"a parameter too few":  {sql, func() { delete(params, "recent") }, "[UNBOUND_SQL_PARAMETER] there is no parameter recent"},
		"a number that is not": {sql, func() { params["recent"] = "1h" }, "[CAST_INVALID_INPUT] parameter recent"},
	} {
		t.Run(name, func(t *testing.T) {
			test.change()
			if _, _, err := log.Statement(test.sql, params); err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// A row has the columns that Databricks documents, and NULL for what is empty.
func TestEventJSON(t *testing.T) {
	text, err := json.Marshal(usagelogtest.Event{ID: "e1", At: now, Service: "accounts", Action: "login", Params: map[string]string{"user": "a"}})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"account_id": "3f0a1b2c-0000-4000-8000-000000000000", "workspace_id": "0", "version": "2.0",
		"event_time": "2026-11-20T06:00:00.000000Z", "event_date": "2026-11-20", "source_ip_address": nil, "user_agent": nil, "session_id": nil,
		"user_identity": map[string]any{"email": nil, "subject_name": nil}, "service_name": "accounts", "action_name": "login", "request_id": "e1",
		"request_params": map[string]any{"user": "a"}, "response": map[string]any{"status_code": nil, "error_message": nil, "result": nil},
		"audit_level": "ACCOUNT_LEVEL", "event_id": "e1", "identity_metadata": map[string]any{"run_by": nil, "run_as": nil},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

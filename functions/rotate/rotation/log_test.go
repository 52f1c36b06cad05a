package rotation_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/functions/rotate/rotation"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/estatetest"
)

// logged are the lines of the log with a message, since a place in it.
func (w *world) logged(message string, since int) (lines []map[string]any) {
	w.t.Helper()
	for line := range strings.Lines(w.log.String()[since:]) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == message {
			delete(fields, "time")
			lines = append(lines, fields)
		}
	}
	return lines
}

// The log has a line for each secret that there is something to say about, with
// what there is and no more.
func TestLog(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true})
		first := w.current(m).OAuthSecretID
		var since int
		sweep := func(check, dry bool, wantErr string) {
			since = len(w.log.String())
			_, err := w.engine.Sweep(w.t.Context(), check, dry)
			w.checkErr(err, wantErr)
		}
		expect := func(nothing bool, want map[string]any) {
			w.t.Helper()
			lines := w.logged("secret", since)
			if want == nil && len(lines) > 0 || want != nil && len(lines) != 1 {
				w.t.Fatalf("the lines are %v", lines)
			}
			if want != nil {
				want["msg"], want["secret"], want["client_id"] = "secret", "etl", m.Principal.ApplicationID
				if diff := cmp.Diff(want, lines[0]); diff != "" {
					w.t.Errorf("the line (-want +got):\n%s", diff)
				}
			}
			if run := w.logged("run finished", since); len(run) != 1 || run[0]["nothing_to_do"] != nothing || run[0]["level"] != "INFO" {
				w.t.Errorf("of the run it says %v", run)
			}
		}

		sweep(true, false, "")
		expect(true, nil)

		time.Sleep(w.policy.Interval)
		sweep(false, true, "")
		expect(false, map[string]any{"level": "INFO", "status": "rotated", "reason": string(rotation.Due), "dry_run": true})

		sweep(false, false, "")
		v, _ := w.AWS.Current(m.Name)
		expect(false, map[string]any{
			"level": "INFO", "status": "rotated", "reason": string(rotation.Due), "oauth_secret_id": w.current(m).OAuthSecretID, "version_id": v.ID,
		})

		time.Sleep(w.policy.Grace)
		foreign, err := w.Databricks.AddSecret(m.Principal.ID, databrickstest.SecretSpec{Lifetime: 365 * day})
		w.must(err)
		sweep(false, false, "")
		expect(false, map[string]any{"level": "INFO", "status": "retired", "retired": []any{first}, "foreign": []any{foreign.ID}})

		sweep(true, false, "")
		expect(true, map[string]any{"level": "INFO", "status": "unchanged", "foreign": []any{foreign.ID}})

		w.SetActive(m, false)
		time.Sleep(w.policy.Interval)
		sweep(false, false, "switched off")
		lines := w.logged("secret", since)
		if len(lines) != 1 || lines[0]["level"] != "ERROR" || lines[0]["block"] != "inactive" || !strings.Contains(lines[0]["error"].(string), "switched off") {
			w.t.Errorf("of what is blocked it says %v", lines)
		}
		if slices.Contains(w.ids(m), first) {
			w.t.Error("the first is still there")
		}
	})
}

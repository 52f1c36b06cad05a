package stage_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/usagelogtest"
)

// The deployed function asks the warehouse that the stack names before it ends
// a predecessor, and keeps that for a reader who has not come back, as long as
// the policy says.
func TestReadersThatHaveNotComeBack(t *testing.T) {
	s := open(t)
	p := policy.Default()
	p.ExtendGrace = 48 * time.Hour
	if err := s.SetPolicy(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	const rotated = 26 * time.Hour // ago
	s.Clock.SetBack(rotated + 2*time.Hour)
	w := registered(t, s, &secretsmanager.CreateSecretInput{
		Tags: []types.Tag{{Key: aws.String("databricks-rotation"), Value: aws.String("managed")}},
	})
	token := func(ago time.Duration) {
		s.UsageLog.Add(usagelogtest.Event{
			At: time.Now().Add(-ago), Identity: w.principal.ApplicationID, Address: "203.0.113.7:4711", Agent: "databricks-sdk-py/0.156.0",
			Service: "accounts", Action: "mintOAuthToken", Status: 200,
		})
	}
	sweep := func() (may []struct {
		KeptUntil time.Time `json:"kept_until"`
		Readers   []struct{ Address, Agent string }
	},
	) {
		t.Helper()
		answer, err := s.Invoke(t.Context(), "rotate", []byte(`{"action":"sweep"}`))
		if err != nil {
			t.Fatal(err)
		}
		var report struct {
			Outcomes []struct {
				MayBeInUse json.RawMessage `json:"may_be_in_use"`
			}
		}
		if err := json.Unmarshal(answer, &report); err != nil {
			t.Fatal(err)
		}
		for _, o := range report.Outcomes {
			if o.MayBeInUse != nil {
				if err := json.Unmarshal(o.MayBeInUse, &may); err != nil {
					t.Fatal(err)
				}
			}
		}
		return may
	}
	asked := func() (n int) {
		for _, c := range s.Databricks.Faults().Calls() {
			if c.Op == databrickstest.OpSubmitStatement {
				n++
			}
		}
		return n
	}
	token(rotated + time.Hour)
	s.Clock.SetBack(rotated)
	if _, err := s.Invoke(t.Context(), "rotate", []byte(`{"action":"rotate","secrets":["etl"],"force":true}`)); err != nil {
		t.Fatal(err)
	}
	if n := len(s.Databricks.Secrets(w.principal.ID)); n != 2 || asked() != 0 {
		t.Fatalf("%d OAuth secrets after the rotation, the log was asked %d times", n, asked())
	}

	s.Clock.SetBack(0)
	may := sweep()
	if len(may) != 1 || len(may[0].Readers) != 1 || may[0].Readers[0].Address != "203.0.113.7" || may[0].Readers[0].Agent != "databricks-sdk-py" {
		t.Fatalf("may be in use: %+v", may)
	}
	if left := time.Until(may[0].KeptUntil); left > 46*time.Hour || left < 45*time.Hour {
		t.Errorf("kept for another %v, want grace and its extension from the rotation on", left)
	}
	if n := len(s.Databricks.Secrets(w.principal.ID)); n != 2 || asked() != 1 {
		t.Errorf("%d OAuth secrets while a reader is missing, the log was asked %d times", n, asked())
	}
	if log := s.Logs.Texts()["rotate"]; !strings.Contains(log, `"level":"WARN","message":"a predecessor may still be in use, and is kept for longer"`) {
		t.Errorf("nobody is warned:\n%s", log)
	}

	token(0)
	if may := sweep(); len(may) != 0 {
		t.Errorf("everybody has come back: %+v", may)
	}
	if n := len(s.Databricks.Secrets(w.principal.ID)); n != 1 || asked() != 2 {
		t.Errorf("%d OAuth secrets when the reader is back, the log was asked %d times", n, asked())
	}
	if unknown := s.Unknown(); len(unknown) > 0 {
		t.Errorf("calls that the simulators do not know: %v", unknown)
	}
}

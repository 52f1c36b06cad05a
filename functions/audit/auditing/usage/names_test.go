package usage_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/usage"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/usagelog"
	"databricks-credential-rotation/shared/usagelogtest"
)

// What the tables say of themselves holds.
func TestNames(t *testing.T) {
	read := func(name string, into any) {
		text, err := os.ReadFile(filepath.Join("data", name))
		if err == nil {
			err = json.Unmarshal(text, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var scopes struct {
		Work []struct {
			Name, Sure string
			Scopes     []string
		}
	}
	read("scopes.json", &scopes)

	work := regexp.MustCompile(`^[A-Za-z]+(\.[A-Za-z]+)?$`)
	seen := map[string]bool{}
	services := map[string]bool{}
	for _, s := range scopes.Work {
		if !work.MatchString(s.Name) || seen[s.Name] || !slices.Contains([]string{"named", "believed"}, s.Sure) {
			t.Errorf("work %+v", s)
		}
		seen[s.Name] = true
		service, _, byAction := strings.Cut(s.Name, ".")
		if was, ok := services[service]; ok && was != byAction {
			t.Errorf("%s is listed as a whole and by action, which the statement cannot tell apart", service)
		}
		services[service] = byAction
		for _, scope := range s.Scopes {
			if strings.TrimSpace(scope) == "" || scope == "all-apis" {
				t.Errorf("%s needs scope %q", s.Name, scope)
			}
		}
	}
}

// Each statement is asked as it wants to be, and each that an audit has is
// asked.
func TestStatements(t *testing.T) {
	q := usage.Question{Now: now, Policy: policy.Default(), Revoked: []usage.Revocation{{Subject: etl, At: now.Add(-time.Hour)}}}
	asked := map[string]bool{}
	for _, s := range q.Statements() {
		asked[s.SQL] = true
		for _, fault := range usagelogtest.Faults(s) {
			t.Error(fault)
		}
	}
	for _, name := range []string{"usage", "addresses", "agents", "bursts", "awakenings", "changes", "after_revocation"} {
		if !asked[usagelog.SQL(name)] {
			t.Errorf("nothing asks %s", name)
		}
	}
}

// A revocation that cannot be passed to the statement is left out rather than
// read as two.
func TestHostileRevocation(t *testing.T) {
	q := usage.Question{Now: now, Policy: policy.Default(), Revoked: []usage.Revocation{
		{Subject: "a,b", At: now}, {TokenID: "x=1", At: now}, {Subject: "Carol@Example.com", At: now.Add(-90 * day)},
	}}
	for _, s := range q.Statements() {
		if revoked, ok := s.Parameters["revoked"]; ok {
			if want := "carol@example.com=" + strconv.FormatInt(now.Add(-90*day).UnixMicro(), 10); revoked != want {
				t.Errorf("revoked %q, want %q", revoked, want)
			}
			// The log is not asked about more than the history.
			if want := now.Add(-60 * day).Format(time.DateOnly); s.Parameters["from_date"] != want {
				t.Errorf("from %s, want %s", s.Parameters["from_date"], want)
			}
			return
		}
	}
	t.Error("nothing asks about revocations")
}

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
	var actions struct {
		Actions []struct {
			Name, Sure string
			For        []string
		}
	}
	var scopes struct {
		Work []struct {
			Name, Sure string
			Scopes     []string
		}
	}
	read("actions.json", &actions)
	read("scopes.json", &scopes)

	action := regexp.MustCompile(`^[A-Za-z]+\.[A-Za-z]+$`)
	purposes := []string{"authentication", "token_login", "token_creation", "secret_creation", "admin_grant", "group_grant", "acl_change"}
	served := map[string]bool{}
	seen := map[string]bool{}
	for _, a := range actions.Actions {
		if !action.MatchString(a.Name) || seen[a.Name] || len(a.For) == 0 || !slices.Contains([]string{"documented", "seen", "believed"}, a.Sure) {
			t.Errorf("action %+v", a)
		}
		seen[a.Name] = true
		for _, p := range a.For {
			served[p] = true
			if !slices.Contains(purposes, p) {
				t.Errorf("%s is for %s, which nothing looks at", a.Name, p)
			}
		}
	}
	for _, p := range purposes {
		if !served[p] {
			t.Errorf("no action is for %s", p)
		}
	}

	work := regexp.MustCompile(`^[A-Za-z]+(\.[A-Za-z]+)?$`)
	seen = map[string]bool{}
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

var (
	marker   = regexp.MustCompile(`:([a-z_]+)\b`)
	comment  = regexp.MustCompile(`--[^\n]*`)
	literals = regexp.MustCompile(`'[^']*'`)
)

// Each file is asked, with exactly the parameters that it has, and looks at
// the date before anything else.
func TestStatements(t *testing.T) {
	q := usage.Question{Now: now, Policy: policy.Default(), Revoked: []usage.Revocation{{Subject: etl, At: now.Add(-time.Hour)}}}
	asked := map[string]bool{}
	for _, s := range q.Statements() {
		asked[s.SQL] = true
		code := literals.ReplaceAllString(comment.ReplaceAllString(s.SQL, ""), "''")
		used := map[string]bool{}
		for _, m := range marker.FindAllStringSubmatch(code, -1) {
			used[m[1]] = true
			if _, ok := s.Parameters[m[1]]; !ok {
				t.Errorf("%s: no parameter %s", s.Name, m[1])
			}
		}
		for name := range s.Parameters {
			if !used[name] {
				t.Errorf("%s: parameter %s is not used", s.Name, name)
			}
		}
		_, where, _ := strings.Cut(code, "WHERE")
		if first := strings.TrimSpace(where); !strings.HasPrefix(first, "event_date >=") && !strings.HasPrefix(first, "item <> ''") {
			t.Errorf("%s: the first condition is %.40s", s.Name, first)
		}
		if !strings.Contains(code, "event_date >= CAST(:from_date AS DATE)") {
			t.Errorf("%s: no condition on event_date", s.Name)
		}
	}
	files, err := filepath.Glob("sql/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".sql"); !asked[usage.SQL(name)] {
			t.Errorf("nothing asks %s", file)
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

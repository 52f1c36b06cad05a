package usagelogtest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"databricks-credential-rotation/shared/databricks"
)

var (
	marker   = regexp.MustCompile(`:([a-z_]+)\b`)
	comment  = regexp.MustCompile(`--[^\n]*`)
	literals = regexp.MustCompile(`'[^']*'`)
)

// Faults are what is wrong with a statement before a warehouse has seen it: it
// must be asked with exactly the parameters that it has, and look at the date
// before anything else.
func Faults(s databricks.Statement) []string {
	var faults []string
	code := literals.ReplaceAllString(comment.ReplaceAllString(s.SQL, ""), "''")
	used := map[string]bool{}
	for _, m := range marker.FindAllStringSubmatch(code, -1) {
		used[m[1]] = true
		if _, ok := s.Parameters[m[1]]; !ok {
			faults = append(faults, fmt.Sprintf("%s: no parameter %s", s.Name, m[1]))
		}
	}
	for name := range s.Parameters {
		if !used[name] {
			faults = append(faults, fmt.Sprintf("%s: parameter %s is not used", s.Name, name))
		}
	}
	_, where, _ := strings.Cut(code, "WHERE")
	if first := strings.TrimSpace(where); !strings.HasPrefix(first, "event_date >=") && !strings.HasPrefix(first, "item <> ''") {
		faults = append(faults, fmt.Sprintf("%s: the first condition is %.40s", s.Name, first))
	}
	if !strings.Contains(code, "event_date >= CAST(:from_date AS DATE)") {
		faults = append(faults, s.Name+": no condition on event_date")
	}
	slices.Sort(faults)
	return faults
}

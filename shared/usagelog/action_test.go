package usagelog_test

import (
	"regexp"
	"slices"
	"testing"

	"databricks-credential-rotation/shared/usagelog"
)

// What the table of actions says of itself holds.
func TestActions(t *testing.T) {
	action := regexp.MustCompile(`^[A-Za-z]+\.[A-Za-z]+$`)
	purposes := []usagelog.Purpose{
		usagelog.Authentication, usagelog.TokenLogin, usagelog.TokenCreation, usagelog.SecretCreation,
		usagelog.AdminGrant, usagelog.GroupGrant, usagelog.ACLChange, usagelog.TokenGrant,
	}
	served := map[usagelog.Purpose]bool{}
	seen := map[string]bool{}
	for _, a := range usagelog.Names.Actions {
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
}

// A value with a separator in it cannot be passed, and must not be read as two.
func TestList(t *testing.T) {
	if got := usagelog.List([]string{"a,b", "c", "d=e", "f"}); got != "c,f" {
		t.Errorf("got %q", got)
	}
}

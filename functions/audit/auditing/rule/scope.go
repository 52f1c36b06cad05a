package rule

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"databricks-credential-rotation/shared/credential"
)

// unrestricted tells whether scopes leave nothing out. None at all do not.
func unrestricted(scopes []string) bool {
	return len(scopes) == 0 || slices.Contains(scopes, credential.AllAPIs)
}

// beyond returns the scopes that are not among the allowed.
func beyond(scopes, allowed []string) []string {
	if slices.Contains(allowed, credential.AllAPIs) {
		return nil
	}
	var over []string
	for _, s := range scopes {
		// Every client may ask who it is and stay signed in.
		if !slices.Contains(allowed, s) && !slices.Contains(identityScopes, s) {
			over = append(over, s)
		}
	}
	slices.Sort(over)
	return slices.Compact(over)
}

// identityScopes give no access to data or to any API but the caller's own
// identity.
var identityScopes = []string{"openid", "profile", "email", "offline_access"}

// narrower returns what would be left of scopes if only those needed stayed,
// and whether that is less. A scope is never added.
func narrower(scopes, needed []string) ([]string, bool) {
	if len(needed) == 0 || slices.Contains(needed, credential.AllAPIs) {
		return nil, false
	}
	keep := slices.Clone(needed)
	slices.Sort(keep)
	keep = slices.Compact(keep)
	if unrestricted(scopes) {
		return keep, true
	}
	keep = slices.DeleteFunc(keep, func(s string) bool { return !slices.Contains(scopes, s) })
	for _, s := range scopes {
		if slices.Contains(identityScopes, s) && !slices.Contains(keep, s) {
			keep = append(keep, s)
		}
	}
	slices.Sort(keep)
	distinct := slices.Clone(scopes)
	slices.Sort(distinct)
	return keep, len(keep) > 0 && len(keep) < len(slices.Compact(distinct))
}

// words lists scopes for a reader.
func words(scopes []string) string {
	if len(scopes) == 0 {
		return credential.AllAPIs + " (unrestricted)"
	}
	return strings.Join(scopes, " ")
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

func date(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.DateOnly)
}

// days writes a duration in days, as people count credentials' ages.
func days(d time.Duration) string {
	if d > 0 && d < day {
		return d.Round(time.Minute).String()
	}
	n := int64(d / day)
	if n == 1 {
		return "1 day"
	}
	return number(n) + " days"
}

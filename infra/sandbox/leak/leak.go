// Package leak looks for secret values where none may be.
package leak

import (
	"regexp"
	"slices"
)

// Search is what was looked for, where, and what turned up.
type Search struct {
	// Values is how many different secret values were looked for.
	Values int
	// Bytes is how much text was searched.
	Bytes int
	// Found are the names of the texts that hold a value, once for each value.
	// The value itself is not repeated.
	Found []string
}

// webToken is the beginning of a signed web token, whatever it says: its
// header is a JSON object in base64.
var webToken = regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}`)

// shortest is the length from which a value is taken for a secret. What is
// shorter would be found by chance.
const shortest = 16

// Look searches every text, by its name, for every value and for anything
// that looks like a signed web token.
//
// Values are many and texts are long, so each place of a text is looked up
// among the values of one length at a time.
func Look(values []string, texts map[string]string) Search {
	byLength := map[int]map[string]bool{}
	result := Search{}
	for _, value := range values {
		if len(value) < shortest {
			continue
		}
		set := byLength[len(value)]
		if set == nil {
			set = map[string]bool{}
			byLength[len(value)] = set
		}
		if !set[value] {
			set[value] = true
			result.Values++
		}
	}
	for name, text := range texts {
		result.Bytes += len(text)
		seen := map[string]bool{}
		for length, set := range byLength {
			for i := 0; i+length <= len(text); i++ {
				if window := text[i : i+length]; set[window] && !seen[window] {
					seen[window] = true
					result.Found = append(result.Found, name)
				}
			}
		}
		for range webToken.FindAllString(text, -1) {
			result.Found = append(result.Found, name)
		}
	}
	slices.Sort(result.Found)
	return result
}

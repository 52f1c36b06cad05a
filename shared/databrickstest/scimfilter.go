package databrickstest

import (
	"strconv"
	"strings"
)

// filter is a SCIM filter: any of its groups must match, and of a group every
// comparison.
type filter [][]comparison

// comparison is one "attribute eq value".
type comparison struct{ attribute, value string }

// scimFields are what a filter may compare.
type scimFields struct {
	id, applicationID, userName, displayName string
	active                                   bool
}

func (f filter) matches(p scimFields) bool {
	for _, group := range f {
		all := true
		for _, c := range group {
			all = all && c.matches(p)
		}
		if all {
			return true
		}
	}
	return false
}

func (c comparison) matches(p scimFields) bool {
	switch c.attribute {
	case "id":
		return p.id == c.value
	case "applicationid":
		return strings.EqualFold(p.applicationID, c.value)
	case "username":
		return strings.EqualFold(p.userName, c.value)
	case "displayname":
		return strings.EqualFold(p.displayName, c.value)
	default: // active, by parseFilter
		return strconv.FormatBool(p.active) == strings.ToLower(c.value)
	}
}

func invalidFilter(format string, args ...any) *failure {
	f := invalid(format, args...)
	f.scim = "invalidFilter"
	return f
}

// parseFilter reads comparisons joined by "and" and "or", of which "and" binds
// closer. Values may be in quotes. There are no brackets and no other operators.
func parseFilter(text string) (filter, *failure) {
	words, ok := filterWords(text)
	if !ok {
		return nil, invalidFilter("a quote in filter %q is not closed", text)
	}
	f := filter{nil}
	for {
		if len(words) < 3 {
			return nil, invalidFilter("filter %q ends too early", text)
		}
		attribute, operator := strings.ToLower(words[0]), strings.ToLower(words[1])
		switch attribute {
		case "id", "applicationid", "username", "displayname", "active":
		default:
			return nil, invalidFilter("filter %q: attribute %q is not simulated", text, words[0])
		}
		if operator != "eq" {
			return nil, invalidFilter("filter %q: operator %q is not simulated", text, words[1])
		}
		last := len(f) - 1
		f[last] = append(f[last], comparison{attribute, words[2]})
		words = words[3:]
		if len(words) == 0 {
			return f, nil
		}
		switch joint := strings.ToLower(words[0]); joint {
		case "and":
		case "or":
			f = append(f, nil)
		default:
			return nil, invalidFilter("filter %q: %q is neither and nor or", text, words[0])
		}
		words = words[1:]
	}
}

// filterWords cuts a filter at its spaces, except within quotes. A backslash
// in quotes takes the next character as it is.
func filterWords(text string) (words []string, ok bool) {
	var word strings.Builder
	quoted, begun := false, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\' && i+1 < len(text):
			i++
			word.WriteByte(text[i])
		case c == '"':
			quoted, begun = !quoted, true
		case c == ' ' && !quoted:
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteByte(c)
			begun = true
		}
	}
	if begun {
		words = append(words, word.String())
	}
	return words, !quoted
}

package awstest

import (
	"regexp"
	"slices"
	"strings"
)

// filter narrows a listing: of its values any may match, and of several
// filters all must.
type filter struct {
	Key    string
	Values []string
}

const maxFilters = 10

var filterValue = regexp.MustCompile(`^!?[a-zA-Z0-9 :_@/+=.\-!]{0,512}$`)

func checkFilters(filters []filter) error {
	if len(filters) > maxFilters {
		return validation("1 validation error detected: Value at 'filters' failed to satisfy constraint: Member must have length less than or equal to %d", maxFilters)
	}
	for _, f := range filters {
		if _, ok := filterAttributes[f.Key]; !ok && f.Key != "all" {
			return validation("1 validation error detected: Value '%s' at 'filters.key' failed to satisfy constraint: Member must satisfy enum value set: [description, name, tag-key, tag-value, primary-region, owning-service, all]", f.Key)
		}
		if len(f.Values) == 0 || len(f.Values) > maxFilters {
			return invalidParameter("Invalid filter values for key: %s", f.Key)
		}
		for _, v := range f.Values {
			if !filterValue.MatchString(v) {
				return validation("1 validation error detected: Value '%s' at 'filters.values' failed to satisfy constraint: characters or length", v)
			}
		}
	}
	return nil
}

// filterAttributes are the texts of a secret that a key is matched against.
var filterAttributes = map[string]func(sec *secret, st *state) []string{
	"name":        func(sec *secret, _ *state) []string { return []string{sec.name} },
	"description": func(_ *secret, st *state) []string { return []string{st.description} },
	"tag-key": func(_ *secret, st *state) []string {
		keys := make([]string, len(st.tags))
		for i, t := range st.tags {
			keys[i] = t.Key
		}
		return keys
	},
	"tag-value": func(_ *secret, st *state) []string {
		values := make([]string, len(st.tags))
		for i, t := range st.tags {
			values[i] = t.Value
		}
		return values
	},
	// Nothing is replicated, and nothing owned by a service.
	"primary-region": func(*secret, *state) []string { return nil },
	"owning-service": func(*secret, *state) []string { return nil },
}

func matchesAll(filters []filter, sec *secret, st *state) bool {
	for _, f := range filters {
		if !slices.ContainsFunc(f.Values, func(value string) bool { return f.matches(value, sec, st) }) {
			return false
		}
	}
	return true
}

func (f filter) matches(value string, sec *secret, st *state) bool {
	if wanted, negated := strings.CutPrefix(value, "!"); negated {
		return !f.matches(wanted, sec, st)
	}
	if f.Key == "all" {
		return matchesWords(value, sec, st)
	}
	texts := filterAttributes[f.Key](sec, st)
	if f.Key == "description" {
		// The one attribute whose case does not count.
		value, texts[0] = strings.ToLower(value), strings.ToLower(texts[0])
	}
	return slices.ContainsFunc(texts, func(text string) bool { return strings.HasPrefix(text, value) })
}

var wordBreak = regexp.MustCompile(`[^a-z0-9]+`)

// matchesWords is the key "all": each word of the value begins a word of some
// attribute, in any case.
func matchesWords(value string, sec *secret, st *state) bool {
	var words []string
	for _, texts := range filterAttributes {
		for _, text := range texts(sec, st) {
			words = append(words, wordBreak.Split(strings.ToLower(text), -1)...)
		}
	}
	for _, wanted := range wordBreak.Split(strings.ToLower(value), -1) {
		if !slices.ContainsFunc(words, func(word string) bool { return strings.HasPrefix(word, wanted) }) {
			return false
		}
	}
	return true
}

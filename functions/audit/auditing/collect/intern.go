package collect

import "strings"

// interner keeps one copy of what comes again and again: ten thousand
// principals in fifty workspaces have few different groups and entitlements.
type interner struct {
	texts map[string]string
	lists map[string][]string
}

func newInterner() interner {
	return interner{texts: map[string]string{}, lists: map[string][]string{}}
}

func (i interner) text(s string) string {
	if s == "" {
		return ""
	}
	if one, ok := i.texts[s]; ok {
		return one
	}
	// A string that was decoded may be part of a longer one.
	s = strings.Clone(s)
	i.texts[s] = s
	return s
}

// list returns the one copy of a list. Nobody may write to it.
func (i interner) list(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	key := strings.Join(list, "\x00")
	if one, ok := i.lists[key]; ok {
		return one
	}
	one := make([]string, len(list))
	for n, s := range list {
		one[n] = i.text(s)
	}
	i.lists[key] = one
	return one
}

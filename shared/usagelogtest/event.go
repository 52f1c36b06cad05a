package usagelogtest

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// event is a row as the first part of each statement reads it.
type event struct {
	Event
	micros                             int64
	identity, address, action, product string
}

var (
	ported    = regexp.MustCompile(`^([0-9.]+):[0-9]+$`)
	bracketed = regexp.MustCompile(`^\[(.*)\](:[0-9]+)?$`)
	firstWord = regexp.MustCompile(`^[^/ ]+`)
	principal = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
)

func read(e Event, nobody []string) event {
	r := event{Event: e, micros: e.At.UnixMicro(), action: e.Service + "." + e.Action, product: firstWord.FindString(e.Agent)}
	r.address = bracketed.ReplaceAllString(ported.ReplaceAllString(e.Address, "$1"), "$1")
	r.identity = strings.ToLower(e.Identity)
	if slices.Contains(nobody, r.identity) {
		r.identity = strings.ToLower(e.Params["user"])
	}
	return r
}

func (e event) failed() bool { return e.Status >= 400 }

// under is what the request has under the first of the keys.
func (e event) under(keys []string) string {
	for _, key := range keys {
		if value := e.Params[key]; value != "" {
			return value
		}
	}
	return ""
}

// group is events that a statement counts together.
type group struct {
	key    []string
	events []event
}

func (g *group) first() int64 { return slices.MinFunc(g.events, byTime).micros }
func (g *group) last() int64  { return slices.MaxFunc(g.events, byTime).micros }

func byTime(a, b event) int { return cmp.Compare(a.micros, b.micros) }

func (g *group) count(when func(event) bool) (n int) {
	for _, e := range g.events {
		if when(e) {
			n++
		}
	}
	return n
}

// distinct are the different values, sorted, without the empty one.
func (g *group) distinct(of func(event) string) []string {
	seen := map[string]bool{}
	for _, e := range g.events {
		if v := of(e); v != "" {
			seen[v] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

func few(values []string) string { return strings.Join(values[:min(len(values), 5)], ",") }

// groupBy collects events under keys, sorted by them. Events with no key are
// left out.
func groupBy(events []event, keyOf func(event) []string) []*group {
	groups := map[string]*group{}
	for _, e := range events {
		key := keyOf(e)
		if key == nil {
			continue
		}
		name := strings.Join(key, "\x00")
		if groups[name] == nil {
			groups[name] = &group{key: key}
		}
		groups[name].events = append(groups[name].events, e)
	}
	return slices.SortedFunc(maps.Values(groups), func(a, b *group) int { return slices.Compare(a.key, b.key) })
}

func number[T int | int64](n T) string { return strconv.FormatInt(int64(n), 10) }

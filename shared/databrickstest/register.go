package databrickstest

import (
	"iter"
	"sort"
)

// register keeps things of one kind in the order of their creation, and what
// the last write to it changed, for reads that are stale. A thing is never
// changed once it is in: a write puts another in its place.
type register[T any] struct {
	rows []*entry[T] // by seq
	byID map[string]*entry[T]
	next int64
	dead int // entries whose thing is gone

	last    *entry[T] // what was written last
	before  *T        // what stood there before that, nil for nothing
	lagging bool      // the next listing shows the state before the last write
}

type entry[T any] struct {
	id  string
	seq int64 // from 1
	now *T    // nil when it was removed
}

// put makes value what stands under the id; nil removes it.
func (g *register[T]) put(id string, value *T, lag bool) {
	e := g.byID[id]
	switch {
	case value == nil && (e == nil || e.now == nil):
		return
	case value == nil:
		g.dead++
	case e != nil && e.now == nil:
		g.dead-- // it is back
	case e == nil:
		if g.byID == nil {
			g.byID = map[string]*entry[T]{}
		}
		g.next++
		e = &entry[T]{id: id, seq: g.next}
		g.byID[id] = e
		g.rows = append(g.rows, e)
	}
	g.last, g.before, g.lagging = e, e.now, lag
	e.now = value
	if g.dead > len(g.rows)/2 && g.dead > 64 {
		g.compact()
	}
}

// compact drops what was removed, except for what a stale read still shows.
func (g *register[T]) compact() {
	kept := g.rows[:0]
	g.dead = 0
	for _, e := range g.rows {
		switch {
		case e.now != nil:
		case e == g.last:
			g.dead++
		default:
			delete(g.byID, e.id)
			continue
		}
		kept = append(kept, e)
	}
	clear(g.rows[len(kept):])
	g.rows = kept
}

func (g *register[T]) view(e *entry[T], stale bool) *T {
	if stale && e == g.last {
		return g.before
	}
	return e.now
}

// get returns what stands under the id, nil for nothing.
func (g *register[T]) get(id string, stale bool) *T {
	e := g.byID[id]
	if e == nil {
		return nil
	}
	return g.view(e, stale)
}

// after yields what was put in after the given number, each with its own.
func (g *register[T]) after(seq int64, stale bool) iter.Seq2[int64, *T] {
	from := sort.Search(len(g.rows), func(i int) bool { return g.rows[i].seq > seq })
	return func(yield func(int64, *T) bool) {
		for _, e := range g.rows[from:] {
			if value := g.view(e, stale); value != nil && !yield(e.seq, value) {
				return
			}
		}
	}
}

// all yields everything.
func (g *register[T]) all(stale bool) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for _, value := range g.after(0, stale) {
			if !yield(value) {
				return
			}
		}
	}
}

// beginListing tells whether a listing that begins now shows the state before
// the last write, which it does once.
func (g *register[T]) beginListing() (stale bool) {
	stale, g.lagging = g.lagging, false
	return stale
}

package interleave

import (
	"fmt"
	"slices"
	"strings"
)

// A model is the queue as one would write it for one thread.
type model struct {
	limit  int
	latest bool // one entry a key
	queued []entry
	closed bool
	final  int // what comes after the last entry of a finished queue; 0: nothing
}

type entry struct {
	value   int
	pending bool
}

// keys is how many keys there are under Latest.
const keys = 3

func (m *model) sameKey(value int) int {
	return slices.IndexFunc(m.queued, func(e entry) bool { return e.value%keys == value%keys })
}

// An effect is one indivisible change or finding; it says whether the model
// allows it, and applies it. Effects do not keep the slice they are given.
type effect struct {
	name  string
	apply func(m *model) bool
}

func dropsOldest() effect {
	return effect{"drop", func(m *model) bool {
		if len(m.queued) < m.limit || m.closed {
			return false
		}
		m.queued = m.queued[1:]
		return true
	}}
}

func appends(value int, pending bool) effect {
	return effect{fmt.Sprintf("append %d", value), func(m *model) bool {
		if len(m.queued) >= m.limit || m.closed || m.latest && m.sameKey(value) >= 0 {
			return false
		}
		m.queued = append(m.queued[:len(m.queued):len(m.queued)], entry{value, pending})
		return true
	}}
}

func replaces(value int, pending bool) effect {
	return effect{fmt.Sprintf("replace by %d", value), func(m *model) bool {
		i := m.sameKey(value)
		if i < 0 || m.closed {
			return false
		}
		m.queued = slices.Clone(m.queued)
		m.queued[i] = entry{value, pending}
		return true
	}}
}

func finishes(final int) effect {
	return effect{"finish", func(m *model) bool {
		if m.closed {
			return false
		}
		m.closed, m.final = true, final
		return true
	}}
}

func findsFull() effect {
	return effect{"full", func(m *model) bool { return len(m.queued) >= m.limit }}
}

func findsClosed() effect {
	return effect{"closed", func(m *model) bool { return m.closed }}
}

func takes(value int) effect {
	return effect{fmt.Sprintf("take %d", value), func(m *model) bool {
		if len(m.queued) == 0 && m.final == value {
			m.final = 0
			return true
		}
		if len(m.queued) == 0 || m.queued[0] != (entry{value, false}) {
			return false
		}
		m.queued = m.queued[1:]
		return true
	}}
}

func findsReady(ready bool) effect {
	return effect{fmt.Sprintf("ready %v", ready), func(m *model) bool {
		if len(m.queued) == 0 {
			return ready == (m.final != 0)
		}
		return ready == !m.queued[0].pending
	}}
}

func answers(value int, found bool) effect {
	return effect{fmt.Sprintf("answer %d %v", value, found), func(m *model) bool {
		for i, e := range m.queued {
			if e == (entry{value, true}) {
				m.queued = slices.Clone(m.queued)
				m.queued[i].pending = false
				return found
			}
		}
		return !found
	}}
}

func closes() effect {
	return effect{"close", func(m *model) bool { m.closed = true; return true }}
}

func discards() effect {
	return effect{"discard", func(m *model) bool {
		if !m.closed || len(m.queued) == 0 {
			return false
		}
		m.queued = m.queued[1:]
		return true
	}}
}

func findsEmpty() effect {
	return effect{"empty", func(m *model) bool {
		m.final = 0 // closing discards it without counting
		return len(m.queued) == 0
	}}
}

func times(n int, e effect) (all []effect) {
	for range n {
		all = append(all, e)
	}
	return all
}

// linearizable searches for an order of all effects that the model allows, in
// which those of an operation follow each other and come after every operation
// that had ended before it began (Wing and Gong, "Testing and Verifying
// Concurrent Objects", 1993, with the states that led nowhere remembered as by
// Lowe, 2017).
func linearizable(start model, ops []*op) bool {
	done := make([]int, len(ops)) // effects applied, by operation
	hopeless := map[string]bool{}
	var search func(m model) bool
	search = func(m model) bool {
		key := fmt.Sprint(done, m)
		if hopeless[key] {
			return false
		}
		finished := true
		for i, o := range ops {
			if done[i] == len(o.effects) {
				continue
			}
			finished = false
			if precededByUnfinished(ops, done, o) {
				continue
			}
			next := m
			if !o.effects[done[i]].apply(&next) {
				continue
			}
			done[i]++
			if search(next) {
				return true
			}
			done[i]--
		}
		hopeless[key] = true
		return finished
	}
	return search(start)
}

func precededByUnfinished(ops []*op, done []int, o *op) bool {
	for j, other := range ops {
		if other.end < o.begin && done[j] < len(other.effects) {
			return true
		}
	}
	return false
}

// history shows operations for a failure.
func history(ops []*op) string {
	var b strings.Builder
	for _, o := range ops {
		fmt.Fprintf(&b, "\n%4d–%-4d %s:", o.begin, o.end, o.name)
		for _, e := range o.effects {
			fmt.Fprintf(&b, " %s,", e.name)
		}
	}
	return b.String()
}

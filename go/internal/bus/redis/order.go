package redis

import (
	"cmp"
	"slices"
	"strings"
)

// sortEntries puts entries into the order in which they are given: that of their times.
// Between channels, Redis tells no order of the entries of one millisecond. The ids of
// events that one process made ascend, so there they come as they were published, unless
// a channel's own order says otherwise.
func sortEntries(entries []entry) {
	if !slices.IsSortedFunc(entries, compareEvents) {
		sortEvents(entries)
	}
	newest := make(map[uint64]streamID)
	for first := 0; first < len(entries); {
		end := first + 1
		for end < len(entries) && entries[end].id.ms == entries[first].id.ms {
			end++
		}
		if run := entries[first:end]; len(run) > 1 && !isOrdered(run, newest) {
			slices.SortFunc(run, compareEntries)
		}
		first = end
	}
}

// sortEvents sorts by compareEvents. An entry is large, and its event's id far away: what
// is sorted is smaller, and each entry is moved once.
func sortEvents(entries []entry) {
	type key struct {
		ms    uint64
		event string
		index int
	}
	keys := make([]key, len(entries))
	for i := range entries {
		keys[i] = key{entries[i].id.ms, entries[i].eventID(), i}
	}
	slices.SortFunc(keys, func(a, b key) int {
		if a.ms != b.ms {
			return cmp.Compare(a.ms, b.ms)
		}
		if a.event != "" && b.event != "" { // both are events, and so of one rank
			if order := strings.Compare(a.event, b.event); order != 0 {
				return order
			}
		}
		return compareEvents(entries[a.index], entries[b.index])
	})
	for first := range keys { // around each circle of those that change places
		held := entries[first]
		for at := first; keys[at].index >= 0; {
			from := keys[at].index
			keys[at].index = -1
			if from == first {
				entries[at] = held
				break
			}
			entries[at], at = entries[from], from
		}
	}
}

// isOrdered reports whether every channel's entries are in their own order. newest is
// memory.
func isOrdered(entries []entry, newest map[uint64]streamID) bool {
	clear(newest)
	for i := range entries {
		e := &entries[i]
		if e.id.compare(newest[e.hash]) < 0 {
			return false
		}
		newest[e.hash] = e.id
	}
	return true
}

func compareEntries(a, b entry) int {
	if order := cmp.Compare(a.id.ms, b.id.ms); order != 0 {
		return order
	}
	return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.id.seq, b.id.seq), strings.Compare(a.channel, b.channel))
}

func compareEvents(a, b entry) int {
	if order := cmp.Compare(a.id.ms, b.id.ms); order != 0 {
		return order
	}
	if order := cmp.Compare(a.rank(), b.rank()); order != 0 {
		return order
	}
	if order := strings.Compare(a.eventID(), b.eventID()); order != 0 {
		return order
	}
	return compareEntries(a, b)
}

func (e *entry) eventID() string {
	if e.event == nil {
		return ""
	}
	return e.event.ID
}

package redis

import (
	"cmp"
	"slices"
	"strings"
)

// sortEntries puts entries into the order in which they are given: that of their times.
// Between channels, Redis tells no order of the entries of one millisecond. The ids of
// events that one process made ascend, so there they come as they were published.
func sortEntries(entries []entry) {
	if !slices.IsSortedFunc(entries, compareEntries) {
		slices.SortStableFunc(entries, compareEntries)
	}
	for first := 0; first < len(entries); {
		end := first + 1
		several := false
		for ; end < len(entries) && entries[end].id.ms == entries[first].id.ms; end++ {
			several = several || entries[end].hash != entries[first].hash
		}
		if several {
			sortMillisecond(entries[first:end])
		}
		first = end
	}
}

// sortMillisecond orders the entries of one millisecond by the ids of their events, if
// that is the order of each channel, too.
func sortMillisecond(entries []entry) {
	if slices.ContainsFunc(entries, func(e entry) bool { return e.event == nil }) {
		return
	}
	byEvent := slices.Clone(entries)
	slices.SortStableFunc(byEvent, func(a, b entry) int { return strings.Compare(a.event.ID, b.event.ID) })
	newest := make(map[uint64]uint64, len(entries))
	for _, e := range byEvent {
		if seq, some := newest[e.hash]; some && seq > e.id.seq {
			return
		}
		newest[e.hash] = e.id.seq
	}
	copy(entries, byEvent)
}

func compareEntries(a, b entry) int {
	return cmp.Or(cmp.Compare(a.id.ms, b.id.ms), cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.id.seq, b.id.seq), strings.Compare(a.channel, b.channel))
}

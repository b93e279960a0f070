package redis

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
)

// sortEntries puts entries into the order in which they are given: that of their times.
// Between channels, Redis tells no order of the entries of one millisecond. The ids of
// events that one process made ascend, so there they come as they were published, unless
// a channel's own order says otherwise.
func sortEntries(entries []entry) {
	sortEvents(entries)
	for i := range entries {
		entries[i].from.sorted = streamID{}
	}
	for first := 0; first < len(entries); {
		end, ordered := first, true
		for ; end < len(entries) && entries[end].id.ms == entries[first].id.ms; end++ {
			e := &entries[end]
			ordered = ordered && e.id.compare(e.from.sorted) >= 0
			e.from.sorted = e.id
		}
		if !ordered {
			slices.SortFunc(entries[first:end], func(a, b entry) int { return compareEntries(&a, &b) })
		}
		first = end
	}
}

// key is what entries are sorted by first: their time, and what follows in the ids of their events
// on what all those begin with.
type key struct {
	ms    uint64
	event uint64
	index int
}

// sortEvents sorts by compareEvents. An entry is large, and its event's id far away: what
// is sorted is smaller, and each entry is moved once.
func sortEvents(entries []entry) {
	keys := make([]key, len(entries))
	common, sorted := commonPrefix(entries), true
	for i := range entries {
		keys[i] = key{ms: entries[i].id.ms, index: i}
		if id := entries[i].eventID(); id != "" {
			keys[i].event = leading(id[len(common):])
		}
		sorted = sorted && (i == 0 || compareKeys(entries, &keys[i-1], &keys[i]) <= 0)
	}
	if sorted {
		return
	}
	slices.SortFunc(keys, func(a, b key) int { return compareKeys(entries, &a, &b) })
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

// commonPrefix is what the ids of all events begin with.
func commonPrefix(entries []entry) (common string) {
	some := false
	for i := range entries {
		id := entries[i].eventID()
		switch {
		case id == "":
		case !some:
			common, some = id, true
		default:
			for !strings.HasPrefix(id, common) {
				common = common[:len(common)-1]
			}
		}
	}
	return common
}

// leading are the first bytes of a text as a number, which orders as texts do that have them.
func leading(text string) uint64 {
	var bytes [8]byte
	copy(bytes[:], text)
	return binary.BigEndian.Uint64(bytes[:])
}

func compareKeys(entries []entry, a, b *key) int {
	if a.ms != b.ms {
		return cmp.Compare(a.ms, b.ms)
	}
	if a.event != b.event && a.event != 0 && b.event != 0 { // both are events, and so of one rank
		return cmp.Compare(a.event, b.event)
	}
	return compareEvents(&entries[a.index], &entries[b.index])
}

func compareEntries(a, b *entry) int {
	if order := cmp.Compare(a.id.ms, b.id.ms); order != 0 {
		return order
	}
	return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.id.seq, b.id.seq), strings.Compare(a.channel(), b.channel()))
}

func compareEvents(a, b *entry) int {
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

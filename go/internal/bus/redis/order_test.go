package redis

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// chosenID is an id as an application may choose it: often the beginning of another one.
func chosenID(r *rand.Rand, common string) string {
	letters := []string{"\x00", "\x01", "0", "a", "\x7f", "\u0080", "\u00ff", "\U0010ffff"}
	id := common[:r.IntN(len(common)+1)]
	if r.IntN(2) == 0 {
		id = common
	}
	for range r.IntN(11) {
		id += letters[r.IntN(len(letters))]
	}
	return id
}

// someEntries are entries of a few milliseconds: events, what is none, and notices.
func someEntries(r *rand.Rand) (entries []entry) {
	streams := []*stream{{key: channelsKey}, {key: wakePrefix + "n"}, {channel: "a"}, {channel: "b"}, {channel: "c"}}
	common := []string{"", "\x00\x00", "order-", "0196f0c4-7e1b-7"}[r.IntN(4)]
	for n := range r.IntN(40) {
		e := entry{id: streamID{ms: 5 + uint64(r.IntN(3)), seq: uint64(n)}, from: streams[r.IntN(len(streams))]}
		switch {
		case e.from == streams[0]:
			e.notice = &notice{announced: "a"}
		case e.from == streams[1]:
			e.notice = &notice{wake: 1 + r.Uint64N(9)}
		case r.IntN(5) == 0:
			e.wrong = errElse
		default:
			e.event = &event.Event{ID: chosenID(r, common)}
		}
		entries = append(entries, e)
	}
	r.Shuffle(len(entries), func(i, k int) { entries[i], entries[k] = entries[k], entries[i] })
	return entries
}

func TestEntriesAreSortedByTheWholeIDsOfTheirEvents(t *testing.T) {
	for seed := range uint64(20_000) {
		entries := someEntries(rand.New(rand.NewPCG(seed, 1)))
		want := slices.Clone(entries)
		slices.SortFunc(want, func(a, b entry) int { return compareEvents(&a, &b) })
		if sortEvents(entries); !slices.EqualFunc(entries, want, isSame) {
			t.Fatalf("seed %d: %s, want %s", seed, inOrder(entries), inOrder(want))
		}
		// Sorted once more, nothing moves.
		if sortEvents(entries); !slices.EqualFunc(entries, want, isSame) {
			t.Fatalf("seed %d: what was in order is given as %s", seed, inOrder(entries))
		}
		if sortEntries(entries); !isOrderedByStream(entries) {
			t.Fatalf("seed %d: a stream has another order than its own: %s", seed, inOrder(entries))
		}
	}
}

func isSame(a, b entry) bool {
	return a.id == b.id && a.from == b.from && a.event == b.event && a.notice == b.notice
}

func isOrderedByStream(entries []entry) bool {
	newest := make(map[*stream]streamID)
	for _, e := range entries {
		if e.id.compare(newest[e.from]) < 0 {
			return false
		}
		newest[e.from] = e.id
	}
	return true
}

func inOrder(entries []entry) (all []string) {
	for i := range entries {
		e := &entries[i]
		all = append(all, fmt.Sprintf("%s %d %q", e.id, e.rank(), e.eventID()))
	}
	return all
}

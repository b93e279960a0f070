package limit

// swept is how many entries a call looks at. Two for one that it can add at most: so
// the hand is always faster than what grows.
const swept = 2

// hand goes round a set of entries, a few a call, and takes out those that nobody
// needs: what a timer would do, without one.
type hand[T any] struct {
	entries []T
	at      int
}

func (h *hand[T]) add(one T) { h.entries = append(h.entries, one) }

// sweep looks at the next entries; those for which gone is true leave the set.
func (h *hand[T]) sweep(gone func(T) bool) {
	for range min(swept, len(h.entries)) {
		if h.at >= len(h.entries) {
			h.at = 0
		}
		if !gone(h.entries[h.at]) {
			h.at++
			continue
		}
		last := len(h.entries) - 1
		h.entries[h.at] = h.entries[last]
		var none T
		h.entries[last] = none
		if h.entries = h.entries[:last]; 4*last < cap(h.entries) {
			h.entries = append(make([]T, 0, 2*last), h.entries...)
		}
	}
}

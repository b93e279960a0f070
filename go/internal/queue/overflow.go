package queue

import "math"

// Overflow says who gives way when a response does not fit.
type Overflow uint8

const (
	// DropOldest removes queued responses from the front, places of answers still
	// being computed included, until the new one fits.
	DropOldest Overflow = iota
	// DropNewest refuses the response that does not fit.
	DropNewest
)

// Policy bounds a queue. One value is shared by every queue it governs and is
// not changed while they use it.
type Policy struct {
	MaxResponses int   // queued responses, pending places included; below 1 admits nothing, above 4 million (2^22) counts as that
	MaxBytes     int64 // sum of the queued payloads' lengths; a longer response is never admitted
	Overflow     Overflow
}

func (p *Policy) admits(size int64) bool {
	return p.MaxResponses > 0 && size <= p.MaxBytes
}

// limit is MaxResponses within what a tally can count.
func (p *Policy) limit() int { return min(p.MaxResponses, maxCount) }

// Outcome says what became of a response.
type Outcome uint8

const (
	// Accepted: the response is queued.
	Accepted Outcome = iota
	// Dropped: the response itself was refused, and counts as one drop that is not
	// in the Dropped field.
	Dropped
	// Closed: the queue is closed, the response was not queued; no drop.
	Closed
	// Gone, from Settle only: the place was dropped or its queue closed before the
	// answer came. Whoever did that has counted it.
	Gone
)

// Result reports one Push or Settle. Each response that leaves a queue unread is
// reported exactly once: in the Dropped field of the call that removed it, as its
// own outcome Dropped, or in what Close returns.
type Result struct {
	Outcome Outcome
	Dropped int // other responses, older ones, removed to make room
}

// Drops returns how many drops the call has to be counted with.
func (r Result) Drops() int {
	if r.Outcome == Dropped {
		return r.Dropped + 1
	}
	return r.Dropped
}

// fitBytes makes the queue's bytes fit one more response of that size, or says
// that the policy refuses it. Under DropNewest the bytes are then already
// counted: of two pushes for which there is room for one, one has to lose here.
func (q *Queue) fitBytes(p *Policy, size int64) (dropped int, ok bool) {
	if p.Overflow == DropOldest {
		for q.queued().bytes()+size > p.MaxBytes && q.dropBefore(math.MaxUint64) {
			dropped++
		}
		return dropped, true
	}
	for {
		in := q.pushed()
		if (in-q.popped()).bytes()+size > p.MaxBytes {
			return 0, false
		}
		if q.in.CompareAndSwap(uint64(in), uint64(in+bytesTally(size))) {
			return 0, true
		}
	}
}

// trim drops the oldest responses, but never the newest, while the queue holds
// too many bytes. Each response fits alone, so when the last of several
// concurrent pushes has counted its own and trimmed, the bound holds.
func (q *Queue) trim(p *Policy) (dropped int) {
	for q.queued().bytes() > p.MaxBytes && q.dropBefore(max(q.end(), 1)-1) {
		dropped++
	}
	return dropped
}

// fitCount brings the number of responses below the bound for an append at index
// at, or says that the policy refuses it. Its answer stays true until that
// append, since the head only moves forward.
func (q *Queue) fitCount(p *Policy, at uint64) (dropped int, ok bool) {
	limit := at + 1 - uint64(p.limit()) // the head has to be here or later
	if p.Overflow == DropOldest {
		for q.dropBefore(limit) {
			dropped++
		}
		return dropped, true
	}
	s, i, _ := q.first()
	return 0, s == closedSegment || s.base+uint64(i) >= limit
}

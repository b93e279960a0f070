// Package queue carries finished responses from the dispatcher to whoever hands
// them out: a bounded queue per subscription, the list of subscriptions that have
// something to read, and the file descriptor that wakes their consumer.
//
// Guarantees:
//
//   - The queue is a linearizable FIFO for any number of producers and consumers.
//     It is lock-free: a goroutine stopped between any two steps keeps no other
//     from finishing.
//   - It never holds more responses than its policy allows. Its bytes are exact
//     at rest; see [Queue.Push] for what counts while calls are under way.
//   - Every response that is not handed out is reported exactly once, to the call
//     that dropped it.
//   - No wake-up is lost, also when a subscription moves to another consumer while
//     producers run.
//   - An idle queue is four words; what has been read is released at once.
package queue

import (
	"math"
	"sync/atomic"
)

// Queue is a bounded FIFO of responses. The zero value is an empty open queue;
// embed it by value and do not copy it after first use. All methods may be called
// by any goroutine at any time.
//
// The algorithm is the linked queue of Michael and Scott ("Simple, Fast, and
// Practical Non-Blocking and Blocking Concurrent Queue Algorithms", PODC 1996) at
// the granularity of array cells instead of nodes, with segments and indices as
// in Ramalhete and Correia's FAAArrayQueue (2016) and the end mark in the tail
// cell after LCRQ (Morrison and Afek, PPoPP 2013). Unlike FAAArrayQueue it claims
// a cell by compare-and-swap on the cell alone: a fetch-and-add leaves gaps,
// which would forbid looking at the head without taking it. Nothing is reused, so
// there is no ABA: a cell never returns to an earlier state.
//
// A push takes effect when its CAS turns the first nil cell into the response, a
// pop when its CAS turns the first queued cell into taken, an answer when it
// replaces its place. The tallies and the segment pointers only say where the
// search starts; whoever finds a pointer behind moves it on.
type Queue struct {
	head, tail atomic.Pointer[segment]
	in, out    atomic.Uint64 // tallies of all that was ever pushed and taken
}

// Push appends r, which is ready or a fresh pending place.
//
// The number of queued responses never exceeds p.MaxResponses. Bytes never exceed
// p.MaxBytes under DropNewest; under DropOldest pushes that run at the same time
// may together exceed it by their own sizes until they return. Bytes of responses
// that are just being popped still count. A response larger than MaxBytes is
// dropped and leaves the others be.
//
// Making room under DropOldest and appending are steps of their own: a consumer
// may pop between them.
func (q *Queue) Push(p *Policy, r *Response) Result {
	size := r.size()
	if !p.admits(size) {
		return q.refused(0)
	}
	dropped, counted := 0, int64(0)
	if p.Overflow == DropNewest {
		if _, ok := q.fitBytes(p, size); !ok {
			return q.refused(0)
		}
		counted = size
	} else if q.queued().bytes()+size > p.MaxBytes {
		dropped, _ = q.fitBytes(p, size)
	}
	for wait := 0; ; wait = pause(wait) {
		s, i := q.last()
		if s == nil {
			q.in.Add(-uint64(bytesTally(counted)))
			return Result{Outcome: Closed, Dropped: dropped}
		}
		at := s.base + uint64(i)
		if -q.popped().countSince(at) >= p.limit() {
			n, ok := q.fitCount(p, at)
			dropped += n
			if !ok {
				q.in.Add(-uint64(bytesTally(counted)))
				return q.refused(dropped)
			}
		}
		if r.isPending() {
			r.place = at + 1
		}
		if s.cells[i].CompareAndSwap(nil, r) {
			break
		}
	}
	in := tally(q.in.Add(uint64(bytesTally(size-counted) + oneCount)))
	if (in - q.popped()).bytes() > p.MaxBytes {
		dropped += q.trim(p)
	}
	return Result{Outcome: Accepted, Dropped: dropped}
}

// refused is the result of a push that the policy does not let in.
func (q *Queue) refused(dropped int) Result {
	if q.head.Load() != nil {
		if s, _ := q.last(); s == nil {
			return Result{Outcome: Closed, Dropped: dropped}
		}
	}
	return Result{Outcome: Dropped, Dropped: dropped}
}

// pause lets the goroutine that won a cell get on with its next ones before this
// one tries again, at most about a microsecond: two cores that fight for every
// cell are several times slower than two that take turns. It waits for nobody.
func pause(n int) int {
	n = min(2*n+64, 4096)
	for range n {
	}
	return n
}

// Pop removes and returns the oldest response. It returns nil and false when the
// queue is empty or closed, or when its oldest entry is a place that still waits
// for its answer.
func (q *Queue) Pop() (*Response, bool) {
	for wait := 0; ; wait = pause(wait) {
		s, i, r := q.first()
		if r == nil || r.isPending() {
			return nil, false
		}
		if s.cells[i].CompareAndSwap(r, taken) {
			q.out.Add(uint64(bytesTally(r.size()) + oneCount))
			if r != void {
				return r, true
			}
		}
	}
}

// AppendPop pops up to maximum responses, oldest first, and appends them to dst.
// Fewer mean that Pop would have returned false. It costs less than as many Pops;
// the bytes of up to 64 are
// released together.
func (q *Queue) AppendPop(dst []*Response, maximum int) []*Response {
	s := q.head.Load()
	if s == nil {
		return dst
	}
	var (
		i     = s.from(q.popped())
		r     *Response
		total tally
	)
	for maximum > 0 {
		s, i, r = q.firstFrom(s, i)
		if r == nil || r.isPending() {
			break
		}
		if s.cells[i].CompareAndSwap(r, taken) {
			total += bytesTally(r.size()) + oneCount
			if r != void {
				dst = append(dst, r)
				maximum--
			}
			if total.count() == maxLag {
				q.out.Add(uint64(total))
				total = 0
			}
		}
	}
	if total != 0 {
		q.out.Add(uint64(total))
	}
	return dst
}

// dropBefore removes the oldest entry, pending or not, when its index is below
// limit. It returns false when there is none.
func (q *Queue) dropBefore(limit uint64) bool {
	for wait := 0; ; wait = pause(wait) {
		s, i, r := q.first()
		if r == nil || r == ended || s.base+uint64(i) >= limit {
			return false
		}
		if s.cells[i].CompareAndSwap(r, taken) {
			q.out.Add(uint64(bytesTally(r.size()) + oneCount))
			if r != void {
				return true
			}
		}
	}
}

// Close discards what is queued, refuses later pushes and answers, and returns
// how many responses this call discarded. When any call of Close has returned,
// the queue holds nothing, whatever pushes and pops are under way. Idempotent.
func (q *Queue) Close() (discarded int) {
	if q.head.Load() == nil && q.head.CompareAndSwap(nil, closedSegment) {
		return 0
	}
	for {
		s, i := q.last()
		if s == nil || s.cells[i].CompareAndSwap(nil, ended) {
			break // no push can pass the end mark
		}
	}
	for q.dropBefore(math.MaxUint64) {
		discarded++
	}
	q.tail.Store(closedSegment)
	q.head.Store(closedSegment)
	return discarded
}

// HasReady reports whether Pop would return a response.
func (q *Queue) HasReady() bool {
	_, _, r := q.first()
	return r != nil && !r.isPending()
}

// Len returns how many responses are queued, pending places included: never more
// than are there at the moment it looks at the head.
func (q *Queue) Len() int {
	end := q.end() // before the head, so that the difference is never too large
	s, i, r := q.first()
	if s == nil || r == nil || r == ended {
		return 0
	}
	if head := s.base + uint64(i); head < end {
		return int(end - head)
	}
	return 0
}

// Bytes returns the length of the queued payloads together. Those being taken at
// the moment are still counted, those being pushed may be.
func (q *Queue) Bytes() int64 { return max(q.queued().bytes(), 0) }

// Package queue carries finished responses from the dispatcher to whoever hands
// them out: a bounded queue per subscription, the list of subscriptions that have
// something to read, and the file descriptor that wakes their consumer.
//
// Guarantees:
//
//   - The queue is a linearizable FIFO for any number of producers and consumers.
//     It is lock-free: a goroutine stopped between any two steps keeps no other
//     from finishing.
//   - But for responses that are Waiting it never holds more than its policy allows,
//     nor more bytes once the calls under way have returned; see [Queue.Push].
//   - Every response that is not handed out is reported exactly once, to the call
//     that dropped it.
//   - No wake-up is lost, also when a subscription moves to another consumer while
//     producers run.
//   - An idle queue is three words; what has been read is released at once.
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
// replaces its place. Nothing else is written on the way, as a rule: where the
// ends are is found by looking at the cells, from a hint that may be behind. The
// CAS on the first nil cell also makes what a push has seen of the queue before
// it good: had anything been appended since, the cell would not be nil.
type Queue struct {
	head, tail atomic.Pointer[segment]
	large      atomic.Uint64 // bytes of the queued responses above smallSize
}

// Push appends r, which is ready or a fresh pending place.
//
// The number of queued responses never exceeds p.MaxResponses, but for those that
// are Waiting. Their bytes do not exceed p.MaxBytes once the calls under way have
// returned: an answer that settles while others are pushed may add its own until
// then. A response larger than MaxBytes is dropped and leaves the others be.
//
// Making room and appending are steps of their own: a consumer may pop between
// them.
func (q *Queue) Push(p *Policy, r *Response) Result {
	size := r.size()
	if !p.admits(size) {
		return q.refused(0)
	}
	q.arrives(r)
	result := q.append(p, r, size)
	if result.Outcome != Accepted && result.Outcome != Waiting {
		q.leaves(r)
	}
	return result
}

// append is Push for a response that is counted already.
func (q *Queue) append(p *Policy, r *Response, size int64) Result {
	dropped := 0
	for wait := 0; ; wait = pause(wait) {
		s, i := q.last()
		if s == nil {
			return Result{Outcome: Closed, Dropped: dropped}
		}
		at := s.base + uint64(i)
		if p.Overflow == Latest {
			if replaced, again := q.replace(at, r); again {
				continue
			} else if replaced {
				more, _ := q.trim(p, math.MaxUint64, math.MaxUint64)
				return Result{Outcome: Accepted, Dropped: dropped + 1 + more}
			}
		}
		outcome, recheck := Accepted, false
		if !q.surelyFits(p, at, size) {
			wanted := q.demand(p, at, size)
			if !wanted.met {
				switch p.Overflow {
				case DropNewest:
					return Result{Outcome: Dropped, Dropped: dropped}
				case Disconnect:
					return Result{Outcome: Overflowed, Dropped: dropped}
				case Block:
					outcome = Waiting
				default:
					for {
						if _, ok := q.dropBefore(wanted.head); !ok {
							break
						}
						dropped++
					}
				}
			}
			recheck = wanted.pending && outcome == Accepted
		}
		if r.isPending() {
			r.place = at + 1
		}
		if !s.cells[i].CompareAndSwap(nil, r) {
			continue
		}
		s.fill(i)
		if !recheck {
			return Result{Outcome: outcome, Dropped: dropped, Place: placeOf(outcome, at)}
		}
		return q.recheck(p, &s.cells[i], at, r, dropped)
	}
}

func placeOf(outcome Outcome, at uint64) uint64 {
	if outcome == Waiting {
		return at + 1
	}
	return 0
}

// recheck is for a push that saw places: had one been answered since, the bytes
// may be too many, and whoever looks last sees that.
func (q *Queue) recheck(p *Policy, cell *atomic.Pointer[Response], at uint64, r *Response, dropped int) Result {
	if p.Overflow == DropOldest || p.Overflow == Latest {
		more, _ := q.trim(p, at, math.MaxUint64)
		return Result{Outcome: Accepted, Dropped: dropped + more}
	}
	if q.demand(p, at, r.size()).met || !cell.CompareAndSwap(r, void) {
		return Result{Outcome: Accepted, Dropped: dropped}
	}
	if p.Overflow == Disconnect {
		return Result{Outcome: Overflowed, Dropped: dropped}
	}
	return Result{Outcome: Dropped, Dropped: dropped}
}

// refused is the result of a push that the policy never lets in.
func (q *Queue) refused(dropped int) Result {
	if q.head.Load() != nil {
		if s, _ := q.last(); s == nil {
			return Result{Outcome: Closed, Dropped: dropped}
		}
	}
	return Result{Outcome: Dropped, Dropped: dropped}
}

// pause lets the goroutine that won a cell get on with its next ones before this
// one tries again, for one to twenty microseconds: two cores that fight for every
// cell are several times slower than two that take turns. It waits for nobody, and
// costs about what waking a goroutine that waits for a mutex does.
func pause(n int) int {
	n = min(2*n+4096, 65536)
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
			return s.takeFinal(r)
		}
		if s.cells[i].CompareAndSwap(r, taken) {
			s.empty(i)
			q.leaves(r)
			return r, true
		}
	}
}

// AppendPop pops up to maximum responses, oldest first, and appends them to dst.
// Fewer mean that Pop would have returned false. It costs less than as many Pops.
func (q *Queue) AppendPop(dst []*Response, maximum int) []*Response {
	s := q.head.Load()
	if s == nil {
		return dst
	}
	var (
		i = s.emptied.Load()
		r *Response
	)
	for maximum > 0 {
		s, i, r = q.firstFrom(s, i)
		if r == nil || r.isPending() {
			if r, ok := s.takeFinal(r); ok {
				dst = append(dst, r)
			}
			break
		}
		if s.cells[i].CompareAndSwap(r, taken) {
			s.empty(i)
			q.leaves(r)
			dst = append(dst, r)
			maximum--
		}
	}
	return dst
}

// dropBefore removes the oldest entry, pending or not, when its index is below
// limit, and returns that. It returns false when there is none.
func (q *Queue) dropBefore(limit uint64) (index uint64, ok bool) {
	for wait := 0; ; wait = pause(wait) {
		s, i, r := q.first()
		if r == nil || isEnd(r) || s.base+uint64(i) >= limit {
			return 0, false
		}
		if s.cells[i].CompareAndSwap(r, taken) {
			s.empty(i)
			q.leaves(r)
			return s.base + uint64(i), true
		}
	}
}

// HasReady reports whether Pop would return a response.
func (q *Queue) HasReady() bool {
	s, _, r := q.first()
	if isEnd(r) {
		return r == finished && s.final.Load() != nil
	}
	return r != nil && !r.isPending()
}

// Len returns how many responses are queued at the moment it looks at the head,
// pending places included and the final one not. It looks at each.
func (q *Queue) Len() int {
	n, _ := q.content()
	return n
}

// Bytes returns the length of their payloads together.
func (q *Queue) Bytes() int64 {
	_, bytes := q.content()
	return bytes
}

func (q *Queue) content() (n int, bytes int64) {
	for {
		end := q.end()
		s, i, r := q.first()
		if r == nil || isEnd(r) {
			return 0, 0
		}
		n, bytes = 0, 0
		for w := (walk{s, i}); ; {
			r := w.next(end)
			if r == nil {
				break
			}
			if r != void {
				n++
			}
			bytes += r.size()
		}
		if s.cells[i].Load() != taken {
			return n, bytes // none of them was taken meanwhile
		}
	}
}

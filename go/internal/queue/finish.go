package queue

import "math"

// Finish refuses later pushes and keeps what is queued. final, which may be nil,
// comes after the last of it, whatever the bounds. It returns false when the queue
// was closed or finished before. It is called once: of two that run at the same
// time, consumers might see both finals.
func (q *Queue) Finish(final *Response) bool {
	for {
		s, i := q.last()
		if s == nil {
			return false
		}
		// Before the mark, so that whoever sees that sees this. If a push comes first,
		// nobody looks for it here.
		s.final.Store(final)
		if s.cells[i].CompareAndSwap(nil, finished) {
			return true
		}
	}
}

// Finished reports that a closed or finished queue has nothing left.
func (q *Queue) Finished() bool {
	s, _, r := q.first()
	return r == ended || r == finished && s.final.Load() == nil
}

// takeFinal is what a consumer gets that has found r, nothing to pop, in s.
func (s *segment) takeFinal(r *Response) (*Response, bool) {
	if r != finished || s.final.Load() == nil {
		return nil, false
	}
	final := s.final.Swap(nil)
	return final, final != nil
}

// Close discards what is queued, refuses later pushes and answers, and returns
// how many responses this call discarded, not counting the final one. When any
// call of Close has returned, the queue holds nothing, whatever pushes and pops
// are under way. Idempotent.
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
	discarded = q.Clear()
	q.tail.Store(closedSegment)
	q.head.Store(closedSegment)
	return discarded
}

// Clear drops what is queued, places of answers included, and returns how many. A
// finished queue keeps its final response, and holds nothing else from then on.
func (q *Queue) Clear() (dropped int) {
	for {
		if _, ok := q.dropBefore(math.MaxUint64); !ok {
			return dropped
		}
		dropped++
	}
}

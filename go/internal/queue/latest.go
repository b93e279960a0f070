package queue

// replace puts r into the place of the response with the same key before index at,
// the tail. again: somebody took, answered or replaced that first.
func (q *Queue) replace(at uint64, r *Response) (replaced, again bool) {
	s, i, first := q.first()
	if first == nil || isEnd(first) {
		return false, false
	}
	for w := (walk{s, i}); ; {
		old := w.next(at)
		if old == nil {
			return false, false
		}
		if old == taken || old == void || old.key != r.key {
			continue
		}
		if r.isPending() {
			r.place = w.index()
		}
		if !w.segment.cells[w.i-1].CompareAndSwap(old, r) {
			return false, true
		}
		q.leaves(old)
		return true, false
	}
}

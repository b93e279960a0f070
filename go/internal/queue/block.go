package queue

// Fits reports that a response which Push returned as Waiting has come within the
// bound, or has left the queue.
func (q *Queue) Fits(p *Policy, place uint64) bool {
	at := place - 1
	cell := q.cell(at)
	if cell == nil {
		return true
	}
	r := cell.Load()
	return r == nil || r == taken || q.demand(p, at, r.size()).met
}

// Withdraw drops a Waiting response, or the answer that has come into its place.
// It returns false when that has left the queue already.
func (q *Queue) Withdraw(place uint64) bool {
	cell := q.cell(place - 1)
	if cell == nil {
		return false
	}
	for {
		r := cell.Load()
		if r == nil || r == taken || r == void {
			return false
		}
		if cell.CompareAndSwap(r, void) {
			q.leaves(r)
			return true
		}
	}
}

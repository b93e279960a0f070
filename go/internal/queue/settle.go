package queue

import "math"

// Settle puts the answer into the place that a completed Push gave to place. The
// answer may be shared with other queues. Its bytes count from now on and are
// bounded as in Push: under DropOldest older responses give way, in the end the
// place itself (outcome Gone, and one of the Dropped); an answer larger than
// MaxBytes, or one that does not fit under DropNewest, is dropped and its place
// removed, which counts towards Len until everything before it has left.
//
// Each place is settled once; a later call returns Gone.
func (q *Queue) Settle(p *Policy, place, answer *Response) Result {
	cell := q.cell(place.place - 1)
	if cell == nil {
		return Result{Outcome: Gone}
	}
	size := answer.size()
	dropped, ok := 0, p.admits(size)
	if ok && p.Overflow == DropNewest {
		_, ok = q.fitBytes(p, size)
	}
	if !ok {
		// void keeps the order of cells intact; a consumer passes over it.
		if cell.CompareAndSwap(place, void) {
			return Result{Outcome: Dropped}
		}
		return Result{Outcome: Gone}
	}
	if p.Overflow == DropOldest {
		q.in.Add(uint64(bytesTally(size)))
		for q.queued().bytes() > p.MaxBytes && cell.Load() == place && q.dropBefore(math.MaxUint64) {
			dropped++
		}
	}
	if cell.CompareAndSwap(place, answer) {
		return Result{Outcome: Accepted, Dropped: dropped}
	}
	q.in.Add(-uint64(bytesTally(size)))
	return Result{Outcome: Gone, Dropped: dropped}
}

package queue

import "math"

// Settle puts the answer into the place that a completed Push gave to place. The
// answer may be shared with other queues. Its bytes count from now on and are
// bounded as in Push: where older responses give way they do, in the end the
// place itself (outcome Gone, and one of the Dropped); an answer larger than
// MaxBytes, or one that does not fit where the newest is refused, is dropped and
// its place removed. Under Block it stays: what waits is told by [Queue.Fits]. Under Disconnect
// it is Overflowed and its place removed.
//
// Each place is settled once; a later call returns Gone.
func (q *Queue) Settle(p *Policy, place, answer *Response) Result {
	at := place.place - 1
	cell := q.cell(at)
	if cell == nil {
		return Result{Outcome: Gone}
	}
	if answer.key != place.key {
		answer = ReadyKeyed(answer.payload, place.key)
	}
	if !p.admits(answer.size()) {
		// void keeps the order of cells intact; a consumer passes over it.
		if cell.CompareAndSwap(place, void) {
			return Result{Outcome: Dropped}
		}
		return Result{Outcome: Gone}
	}
	q.arrives(answer)
	if !cell.CompareAndSwap(place, answer) {
		q.leaves(answer)
		return Result{Outcome: Gone}
	}
	switch p.Overflow {
	case DropOldest, Latest:
		dropped, itself := q.trim(p, math.MaxUint64, at)
		if itself {
			return Result{Outcome: Gone, Dropped: dropped}
		}
		return Result{Outcome: Accepted, Dropped: dropped}
	case Block:
		return Result{Outcome: Accepted}
	}
	if _, over := q.excess(p); !over || !cell.CompareAndSwap(answer, void) {
		return Result{Outcome: Accepted}
	}
	q.leaves(answer)
	if p.Overflow == Disconnect {
		return Result{Outcome: Overflowed}
	}
	return Result{Outcome: Dropped}
}

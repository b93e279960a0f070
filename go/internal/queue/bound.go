package queue

// smallSize is the payload, in bytes, up to which a response is not counted one by
// one: a queue of n responses holds at most n times this and what Queue.large
// says. With that below MaxBytes, which is the rule, nobody has to add up bytes;
// where it is not, the queue is walked and the sum is exact.
const smallSize = 4096

// surelyFits reports, without looking at the queued responses, that one of that
// size fits at index at. The head may be further on than it believes.
func (q *Queue) surelyFits(p *Policy, at uint64, size int64) bool {
	n := int64(at - q.passed())
	return n < int64(p.MaxResponses) && n*smallSize+q.largeBytes()+size <= p.MaxBytes
}

// A demand is what has to be true before a response fits at index at.
type demand struct {
	head    uint64 // the head has to be here or later
	met     bool   // it is
	pending bool   // among the responses there were places: their bytes may change
}

// demand looks at the responses before index at, of which one of that size would
// be the next. What it says stays true until somebody appends or answers, since
// the head only moves forward.
func (q *Queue) demand(p *Policy, at uint64, size int64) demand {
	for {
		s, i, r := q.first()
		head := s.base + uint64(i)
		if r == nil || isEnd(r) || head >= at {
			return demand{met: true} // nothing is before it, and alone it fits
		}
		var wanted demand
		if limit := uint64(p.MaxResponses); at >= limit {
			wanted.head = at + 1 - limit
		}
		if int64(min(at-head, uint64(p.MaxResponses)))*smallSize+q.largeBytes()+size > p.MaxBytes {
			if !q.demandBytes(&wanted, s, i, at, p.MaxBytes-size) {
				continue // somebody took one meanwhile
			}
		}
		wanted.met = head >= wanted.head
		return wanted
	}
}

// demandBytes raises wanted.head until the responses from there to index at have
// no more bytes than room. It gives up when one of them is taken meanwhile: cell i
// of s, the head, is the first to go.
func (q *Queue) demandBytes(wanted *demand, s *segment, i uint32, at uint64, room int64) bool {
	bytes := int64(0)
	for w := (walk{s, i}); ; {
		r := w.next(at)
		if r == nil {
			break
		}
		wanted.pending = wanted.pending || r.isPending()
		bytes += r.size()
	}
	for w := (walk{s, i}); bytes > room; {
		r := w.next(at)
		if r == nil {
			break
		}
		bytes -= r.size()
		wanted.head = max(wanted.head, w.index())
	}
	return s.cells[i].Load() != taken
}

// A walk goes over cells from a position on.
type walk struct {
	segment *segment
	i       uint32
}

// next returns what lies in the next cell, and nil where index at, the tail or
// the end mark is reached.
func (w *walk) next(at uint64) *Response {
	for w.i == uint32(len(w.segment.cells)) {
		next := w.segment.next.Load()
		if next == nil {
			return nil
		}
		w.segment, w.i = next, 0
	}
	if w.index() >= at {
		return nil
	}
	r := w.segment.cells[w.i].Load()
	if r == nil || isEnd(r) {
		return nil
	}
	w.i++
	return r
}

// index is that of the next cell.
func (w *walk) index() uint64 { return w.segment.base + uint64(w.i) }

// excess returns the index that the head has to reach before all that is queued
// has no more than MaxBytes; over: it is not there yet.
func (q *Queue) excess(p *Policy) (index uint64, over bool) {
	for {
		s, i, r := q.first()
		if r == nil || isEnd(r) {
			return 0, false
		}
		head, end := s.base+uint64(i), q.end()
		if head >= end || int64(end-head)*smallSize+q.largeBytes() <= p.MaxBytes {
			return 0, false
		}
		var wanted demand
		if q.demandBytes(&wanted, s, i, end, p.MaxBytes) {
			return wanted.head, wanted.head > head
		}
	}
}

// trim drops the oldest responses while there are too many bytes, but none from
// index keep on, and says whether the one at index own was among them. Each
// response fits alone, so when the last of several calls that added some has
// trimmed, the bound holds.
func (q *Queue) trim(p *Policy, keep, own uint64) (dropped int, itself bool) {
	for {
		wanted, over := q.excess(p)
		if !over {
			return dropped, itself
		}
		index, ok := q.dropBefore(min(wanted, keep))
		if !ok {
			return dropped, itself
		}
		dropped++
		itself = itself || index == own
	}
}

func (q *Queue) largeBytes() int64 { return int64(q.large.Load()) }

// arrives counts a response before it is shown, leaves when it is gone.
func (q *Queue) arrives(r *Response) {
	if size := r.size(); size > smallSize {
		q.large.Add(uint64(size))
	}
}

func (q *Queue) leaves(r *Response) {
	if size := r.size(); size > smallSize {
		q.large.Add(-uint64(size))
	}
}

package queue

import (
	"math"
	"sync/atomic"
)

// A segment is a run of cells. A cell only ever goes
//
//	nil → response → taken      and a place in between:  nil → pending → answer → taken
//	nil → ended or finished     before taken, a response may become void or, under
//	                            Latest, another of the same key
//
// and is filled only when every cell before it is, taken only when every cell
// before it is taken. So the cells of a queue, read from its first segment to its
// last, are always: taken ones, queued ones, nil ones.
type segment struct {
	base  uint64 // index of cells[0] in the queue's whole life
	next  atomic.Pointer[segment]
	final atomic.Pointer[Response] // comes after the mark finished, if that is here
	// At least so many cells have been filled, and taken: where the search for the
	// ends begins. Written now and then only.
	filled, emptied atomic.Uint32
	cells           []atomic.Pointer[Response]
}

// hintEvery is how many cells there are to a hint: a store costs as much as the
// CAS of a push, looking at a few cells of one cache line far less.
const hintEvery = 4

func (s *segment) fill(i uint32) {
	if i%hintEvery == hintEvery-1 {
		s.filled.Store(i + 1)
	}
}

func (s *segment) empty(i uint32) {
	if i%hintEvery == hintEvery-1 {
		s.emptied.Store(i + 1)
	}
}

// Segment sizes: the first is small because most subscriptions are idle; the
// largest is what stays behind, emptied, after a burst.
const (
	firstCells  = 4
	steadyCells = 16
	burstCells  = 64
)

var (
	taken = new(Response) // mark of a consumed cell
	void  = new(Response) // stands for what was withdrawn from the middle; see firstFrom
	// The marks in the cell where a closed queue ends, and a finished one. They are
	// places that never get an answer, so consumers need no extra check for them.
	ended, finished = Pending(), Pending()
	// closedSegment is where every closed queue points.
	closedSegment = newSegment(math.MaxUint64, firstCells)
)

func isEnd(r *Response) bool { return r == ended || r == finished }

// newSegment allocates header and cells as one object.
func newSegment(base uint64, cells int) *segment {
	var (
		s    *segment
		room []atomic.Pointer[Response]
	)
	switch cells {
	case firstCells:
		block := new(struct {
			segment
			room [firstCells]atomic.Pointer[Response]
		})
		s, room = &block.segment, block.room[:]
	case steadyCells:
		block := new(struct {
			segment
			room [steadyCells]atomic.Pointer[Response]
		})
		s, room = &block.segment, block.room[:]
	default:
		block := new(struct {
			segment
			room [burstCells]atomic.Pointer[Response]
		})
		s, room = &block.segment, block.room[:]
	}
	s.base, s.cells = base, room
	return s
}

// extend returns the segment after s, which is full, and links one if there is
// none. A queue that somebody reads keeps small segments; a backlog grows them.
func (s *segment) extend(backlog uint64) *segment {
	if next := s.next.Load(); next != nil {
		return next
	}
	cells := steadyCells
	if backlog >= steadyCells {
		cells = burstCells
	}
	next := newSegment(s.base+uint64(len(s.cells)), cells)
	if s.next.CompareAndSwap(nil, next) {
		return next
	}
	return s.next.Load()
}

// first finds the head: the first cell that is not taken, and what it held then.
// nil means that the queue was empty at that moment; s is nil when it never held
// anything.
func (q *Queue) first() (s *segment, i uint32, r *Response) {
	s = q.head.Load()
	if s == nil {
		return nil, 0, nil
	}
	return q.firstFrom(s, s.emptied.Load())
}

// firstFrom is first for a caller who knows that everything before cell i of s
// is taken.
func (q *Queue) firstFrom(s *segment, i uint32) (*segment, uint32, *Response) {
	if s == closedSegment {
		return s, 0, ended
	}
	for {
		for ; i < uint32(len(s.cells)); i++ {
			switch r := s.cells[i].Load(); r {
			case taken:
			case void: // all before it is taken, so it may be, by anybody
				s.cells[i].CompareAndSwap(void, taken)
			default:
				return s, i, r
			}
		}
		next := s.next.Load()
		if next == nil {
			return s, i, nil
		}
		q.retire(s, next)
		s, i = next, next.emptied.Load()
	}
}

// passed returns an index that the head has reached.
func (q *Queue) passed() uint64 {
	s := q.head.Load()
	if s == nil {
		return 0
	}
	return s.base + uint64(s.emptied.Load())
}

// retire moves the queue off a consumed segment. The tail moves first, so that it
// never points to a segment that the head has left (which would keep it, and all
// after it, alive).
func (q *Queue) retire(s, next *segment) {
	if tail := q.tail.Load(); tail == nil || tail == s {
		q.tail.CompareAndSwap(tail, next)
	}
	q.head.CompareAndSwap(s, next)
}

// last finds the tail: the first cell that is nil. It returns a nil segment when
// the queue is closed.
func (q *Queue) last() (s *segment, i uint32) {
	s = q.tail.Load()
	if s == nil {
		s = q.begin()
	}
	if s == closedSegment {
		return nil, 0
	}
	i = s.filled.Load()
	for {
		for ; i < uint32(len(s.cells)); i++ {
			r := s.cells[i].Load()
			if r == nil {
				return s, i
			}
			if isEnd(r) {
				return nil, 0
			}
		}
		next := s.extend(s.base + uint64(len(s.cells)) - q.passed())
		q.tail.CompareAndSwap(s, next)
		s, i = next, next.filled.Load()
	}
}

// begin gives the queue its first segment.
func (q *Queue) begin() *segment {
	if q.head.Load() == nil {
		q.head.CompareAndSwap(nil, newSegment(0, firstCells))
	}
	s := q.head.Load()
	q.tail.CompareAndSwap(nil, s)
	return s
}

// end returns the tail's index without making a segment.
func (q *Queue) end() uint64 {
	s := q.tail.Load()
	if s == nil {
		s = q.head.Load()
	}
	if s == nil || s == closedSegment {
		return 0
	}
	for i := s.filled.Load(); ; i = 0 {
		for ; i < uint32(len(s.cells)); i++ {
			if r := s.cells[i].Load(); r == nil || isEnd(r) {
				return s.base + uint64(i)
			}
		}
		next := s.next.Load()
		if next == nil {
			return s.base + uint64(i)
		}
		s = next
	}
}

// cell returns the cell of an index, or nil when the head has left its segment.
func (q *Queue) cell(index uint64) *atomic.Pointer[Response] {
	s := q.head.Load()
	if tail := q.tail.Load(); tail != nil && tail.base <= index {
		s = tail
	}
	for ; s != nil && s.base <= index; s = s.next.Load() {
		if i := index - s.base; i < uint64(len(s.cells)) {
			return &s.cells[i]
		}
	}
	return nil
}

// Code generated from package queue by its TestTheCopyForInterleavingIsCurrent. DO NOT EDIT.

package interleave

import "math"

// From response.go.

// Response is what a queue holds: the finished bytes of an answer, or the place
// of an answer that is still being computed.
//
// A ready response is immutable and may lie in any number of queues at once: the
// members of a group share one. A pending one belongs to the single queue it is
// pushed to.
type Response struct {
	payload []byte
	key     string
	// place is 0 in a ready response. In a pending one it is unplaced until it is
	// pushed, then 1 + the index of its cell; the pushing goroutine writes it
	// before it publishes the cell, and nobody does afterwards.
	place uint64
}

const unplaced = math.MaxUint64

// Ready returns a response of finished bytes, which the caller must not change
// afterwards.
func Ready(payload []byte) *Response {
	return &Response{payload: payload}
}

// ReadyKeyed is Ready with the key by which the policy Latest tells what it
// replaces.
func ReadyKeyed(payload []byte, key string) *Response {
	return &Response{payload: payload, key: key}
}

// Pending returns a place for an answer that comes later: push it, then give it
// to [Queue.Settle] with the answer. It holds back every response behind it and
// counts as one response of no bytes.
func Pending() *Response { return PendingKeyed("") }

// PendingKeyed is Pending with a key. The answer takes the key of its place.
func PendingKeyed(key string) *Response {
	return &Response{key: key, place: unplaced}
}

// Payload returns the response's bytes, shared and not to be changed; nil while
// it is pending.
func (r *Response) Payload() []byte { return r.payload }

func (r *Response) size() int64     { return int64(len(r.payload)) }
func (r *Response) isPending() bool { return r.place != 0 }

// From overflow.go.

// Overflow says who gives way when a response does not fit.
type Overflow uint8

const (
	// DropOldest removes queued responses from the front, places of answers still
	// being computed included, until the new one fits.
	DropOldest Overflow = iota
	// DropNewest refuses the response that does not fit.
	DropNewest
	// Latest lets a response take the place of the queued one with the same key,
	// pending or not, so that there is one a key. Without one it is DropOldest.
	Latest
	// Block queues the response all the same, as Waiting: the caller waits until it
	// Fits, or takes it out again with Withdraw.
	Block
	// Disconnect queues nothing: the caller is to end the subscription.
	Disconnect
)

// Policy bounds a queue. One value is shared by every queue it governs and is
// not changed while they use it.
type Policy struct {
	MaxResponses int   // queued responses, pending places included; below 1 admits nothing
	MaxBytes     int64 // sum of the queued payloads' lengths; a longer response is never admitted
	Overflow     Overflow
}

func (p *Policy) admits(size int64) bool {
	return p.MaxResponses > 0 && size <= p.MaxBytes
}

// Outcome says what became of a response.
type Outcome uint8

const (
	// Accepted: the response is queued.
	Accepted Outcome = iota
	// Dropped: the response itself was refused, and counts as one drop that is not
	// in the Dropped field.
	Dropped
	// Closed: the queue is closed or finished, the response was not queued; no drop.
	Closed
	// Gone, from Settle only: the place was dropped or its queue closed before the
	// answer came. Whoever did that has counted it.
	Gone
	// Waiting, under Block only: the response is queued beyond the bound.
	Waiting
	// Overflowed, under Disconnect only: Dropped, and the subscription is to end.
	Overflowed
)

// Result reports one Push or Settle. Each response that leaves a queue unread is
// reported exactly once: in the Dropped field of the call that removed it, as its
// own outcome Dropped or Overflowed, by Withdraw, or in what Close returns.
type Result struct {
	Outcome Outcome
	Dropped int    // other responses, older ones, removed to make room
	Place   uint64 // of a Waiting response, for Fits and Withdraw
}

// Drops returns how many drops the call has to be counted with.
func (r Result) Drops() int {
	if r.Outcome == Dropped || r.Outcome == Overflowed {
		return r.Dropped + 1
	}
	return r.Dropped
}

// From segment.go.

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
	next  steppedPointer[segment]
	final steppedPointer[Response] // comes after the mark finished, if that is here
	// At least so many cells have been filled, and taken: where the search for the
	// ends begins. Written now and then only.
	filled, emptied steppedUint32
	cells           []steppedPointer[Response]
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
		room []steppedPointer[Response]
	)
	switch cells {
	case firstCells:
		block := new(struct {
			segment
			room [firstCells]steppedPointer[Response]
		})
		s, room = &block.segment, block.room[:]
	case steadyCells:
		block := new(struct {
			segment
			room [steadyCells]steppedPointer[Response]
		})
		s, room = &block.segment, block.room[:]
	default:
		block := new(struct {
			segment
			room [burstCells]steppedPointer[Response]
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
func (q *Queue) cell(index uint64) *steppedPointer[Response] {
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

// From queue.go.

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
	head, tail steppedPointer[segment]
	large      steppedUint64 // bytes of the queued responses above smallSize
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
func (q *Queue) recheck(p *Policy, cell *steppedPointer[Response], at uint64, r *Response, dropped int) Result {
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

// From bound.go.

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

// From latest.go.

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

// From block.go.

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

// From settle.go.

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

// From finish.go.

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

// From readylist.go.

// List is one consumer's list of owners that have something to read. Any number
// of goroutines schedule; Next and NextQuiet are for one goroutine at a time.
//
// It is a stack pushed to by compare-and-swap and emptied as a whole by swap
// (Treiber, "Systems Programming: Coping with Parallelism", IBM RJ 5118, 1986;
// taking everything at once leaves no room for ABA), then reversed: first in,
// first out within each batch, and nothing that is scheduled while a batch is
// being worked off comes before the rest of it.
type List[T any] struct {
	stack    steppedPointer[node[T]]
	notifier *Notifier
	batch    *node[T] // taken from the stack, oldest first; the consumer's own
}

// NewList makes the list of the consumer that waits on n, which may be nil for a
// consumer that is not to be woken.
func NewList[T any](n *Notifier) *List[T] {
	return &List[T]{notifier: n}
}

// Signal makes the consumer's descriptor readable. Whoever gets a list from
// Schedule owes it one Signal, before doing anything that may wait; one is enough
// for any number of Schedules before it.
func (l *List[T]) Signal() {
	if l.notifier != nil {
		l.notifier.Signal()
	}
}

// Next removes the next owner and re-arms it: from here on, what is pushed to it
// schedules it again. The caller drains what it likes and, when something is
// still ready then, calls the link's Schedule itself. It returns nil when nothing
// is scheduled.
func (l *List[T]) Next() *T { return l.next(idle) }

// NextQuiet removes the next owner and leaves it quiet: nothing schedules it
// until its link's Rearm.
func (l *List[T]) NextQuiet() *T { return l.next(quiet) }

// HasNext reports whether Next would find a node; its owner may have left.
func (l *List[T]) HasNext() bool { return l.batch != nil || l.stack.Load() != nil }

func (l *List[T]) next(state uint32) *T {
	for {
		if l.batch == nil {
			l.batch = reverse(l.stack.Swap(nil))
			if l.batch == nil {
				return nil
			}
		}
		n := l.batch
		l.batch = n.next
		n.next = nil
		// Before the caller looks at the queue: a push that it then misses finds the
		// node idle and schedules it again.
		n.state.Store(state)
		if owner := n.owner.Load(); owner != nil {
			return owner
		}
	}
}

func reverse[T any](n *node[T]) *node[T] {
	var reversed *node[T]
	for n != nil {
		n.next, reversed, n = reversed, n, n.next
	}
	return reversed
}

// push puts nodes that are linked from top to bottom, newest first, on the list.
func (l *List[T]) push(top, bottom *node[T]) {
	for {
		old := l.stack.Load()
		bottom.next = old
		if l.stack.CompareAndSwap(old, top) {
			return
		}
	}
}

// A node is one attachment of an owner to one list, for good: moving to another
// list takes a new node, so that an old entry can neither be pushed to two lists
// nor hold back a wake-up on the new one.
type node[T any] struct {
	list  *List[T]
	owner steppedPointer[T] // nil once detached: the list may hold the node, not the owner
	next  *node[T]          // belongs to whoever scheduled the node, then to the list
	state steppedUint32
}

const (
	idle      uint32 = iota // a push schedules it
	scheduled               // it is on the list
	quiet                   // reported; its consumer will look again by itself
)

// Link is an owner's place on the list of the consumer it is attached to; embed
// it by value. All methods may be called by any goroutine at any time. The zero
// value is attached to nothing.
//
// Why no wake-up is lost: a producer first pushes, then calls Schedule; a consumer
// first re-arms (Next, Rearm), then looks at the queue; a mover first attaches,
// then looks at the queue. All these are sequentially consistent, so of any two
// at least one sees the other: the look sees the push, or Schedule sees the node
// armed, and on the new list.
type Link[T any] struct {
	node steppedPointer[node[T]]
}

// Attach moves the owner to a list. The caller then calls Schedule if the owner
// has something ready: what was scheduled on the old list is not reported there
// any more.
func (k *Link[T]) Attach(l *List[T], owner *T) {
	n := &node[T]{list: l}
	n.owner.Store(owner)
	k.replace(n)
}

// Detach takes the owner off its list, which then no longer keeps it reachable.
func (k *Link[T]) Detach() { k.replace(nil) }

func (k *Link[T]) replace(n *node[T]) {
	if old := k.node.Swap(n); old != nil {
		old.owner.Store(nil)
	}
}

// List returns the list that the owner is attached to, or nil.
func (k *Link[T]) List() *List[T] {
	if n := k.node.Load(); n != nil {
		return n.list
	}
	return nil
}

// Schedule puts the owner on its list, unless it is there already, quiet or
// detached. A list that is returned is owed a Signal.
func (k *Link[T]) Schedule() *List[T] {
	n := k.claim()
	if n == nil {
		return nil
	}
	n.list.push(n, n)
	return n.list
}

// claim returns the node that the caller now has to push, or nil.
func (k *Link[T]) claim() *node[T] {
	n := k.node.Load()
	if n == nil || n.state.Load() != idle || !n.state.CompareAndSwap(idle, scheduled) {
		return nil
	}
	return n
}

// Rearm ends the quiet that NextQuiet began. The caller then looks at the queue
// once more and, if something is ready, reads it or calls Schedule.
func (k *Link[T]) Rearm() {
	if n := k.node.Load(); n != nil && n.state.Load() == quiet {
		n.state.CompareAndSwap(quiet, idle)
	}
}

// Hold makes the owner quiet until Rearm, unless it is on its list: then it is reported
// once more, and armed.
func (k *Link[T]) Hold() {
	if n := k.node.Load(); n != nil {
		n.state.CompareAndSwap(idle, quiet)
	}
}

// From chain.go.

// Chain schedules many owners of one list at the price of one: they are linked
// here and put on the list together. The zero value is empty. It is for one
// goroutine, and what is added owes a Flush before anything that may wait.
type Chain[T any] struct {
	list        *List[T]
	top, bottom *node[T]
	length      int
}

// chainLength bounds how long the first of a chain waits for the others.
const chainLength = 256

// Add schedules k's owner as [Link.Schedule] does, with the next Flush.
func (c *Chain[T]) Add(k *Link[T]) {
	n := k.claim()
	if n == nil {
		return
	}
	if n.list != c.list || c.length == chainLength {
		c.Flush()
		c.list, c.bottom = n.list, n
	}
	n.next, c.top = c.top, n
	c.length++
}

// Flush puts what was added on its list and signals that.
func (c *Chain[T]) Flush() {
	if c.top != nil {
		c.list.push(c.top, c.bottom)
		c.list.Signal()
	}
	*c = Chain[T]{}
}

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

// Pending returns a place for an answer that comes later: push it, then give it
// to [Queue.Settle] with the answer. It holds back every response behind it and
// counts as one response of no bytes.
func Pending() *Response {
	return &Response{place: unplaced}
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
)

// Policy bounds a queue. One value is shared by every queue it governs and is
// not changed while they use it.
type Policy struct {
	MaxResponses int   // queued responses, pending places included; below 1 admits nothing, above 4 million (2^22) counts as that
	MaxBytes     int64 // sum of the queued payloads' lengths; a longer response is never admitted
	Overflow     Overflow
}

func (p *Policy) admits(size int64) bool {
	return p.MaxResponses > 0 && size <= p.MaxBytes
}

// limit is MaxResponses within what a tally can count.
func (p *Policy) limit() int { return min(p.MaxResponses, maxCount) }

// Outcome says what became of a response.
type Outcome uint8

const (
	// Accepted: the response is queued.
	Accepted Outcome = iota
	// Dropped: the response itself was refused, and counts as one drop that is not
	// in the Dropped field.
	Dropped
	// Closed: the queue is closed, the response was not queued; no drop.
	Closed
	// Gone, from Settle only: the place was dropped or its queue closed before the
	// answer came. Whoever did that has counted it.
	Gone
)

// Result reports one Push or Settle. Each response that leaves a queue unread is
// reported exactly once: in the Dropped field of the call that removed it, as its
// own outcome Dropped, or in what Close returns.
type Result struct {
	Outcome Outcome
	Dropped int // other responses, older ones, removed to make room
}

// Drops returns how many drops the call has to be counted with.
func (r Result) Drops() int {
	if r.Outcome == Dropped {
		return r.Dropped + 1
	}
	return r.Dropped
}

// fitBytes makes the queue's bytes fit one more response of that size, or says
// that the policy refuses it. Under DropNewest the bytes are then already
// counted: of two pushes for which there is room for one, one has to lose here.
func (q *Queue) fitBytes(p *Policy, size int64) (dropped int, ok bool) {
	if p.Overflow == DropOldest {
		for q.queued().bytes()+size > p.MaxBytes && q.dropBefore(math.MaxUint64) {
			dropped++
		}
		return dropped, true
	}
	for {
		in := q.pushed()
		if (in-q.popped()).bytes()+size > p.MaxBytes {
			return 0, false
		}
		if q.in.CompareAndSwap(uint64(in), uint64(in+bytesTally(size))) {
			return 0, true
		}
	}
}

// trim drops the oldest responses, but never the newest, while the queue holds
// too many bytes. Each response fits alone, so when the last of several
// concurrent pushes has counted its own and trimmed, the bound holds.
func (q *Queue) trim(p *Policy) (dropped int) {
	for q.queued().bytes() > p.MaxBytes && q.dropBefore(max(q.end(), 1)-1) {
		dropped++
	}
	return dropped
}

// fitCount brings the number of responses below the bound for an append at index
// at, or says that the policy refuses it. Its answer stays true until that
// append, since the head only moves forward.
func (q *Queue) fitCount(p *Policy, at uint64) (dropped int, ok bool) {
	limit := at + 1 - uint64(p.limit()) // the head has to be here or later
	if p.Overflow == DropOldest {
		for q.dropBefore(limit) {
			dropped++
		}
		return dropped, true
	}
	s, i, _ := q.first()
	return 0, s == closedSegment || s.base+uint64(i) >= limit
}

// From tally.go.

// A tally is a number of responses and their bytes in one word, bytes<<24 +
// count. Sums and differences of tallies are those of the parts as long as the
// result is within half the range: 2^23 responses and 512 GiB. Running totals may
// wrap.
type tally uint64

const (
	countBits = 24
	oneCount  = tally(1)
	// maxCount bounds Policy.MaxResponses in effect, maxLag what one consumer may
	// have taken but not counted. Together they leave tallies room to be compared.
	maxCount = 1 << (countBits - 2)
	maxLag   = 1 << 6
)

func bytesTally(n int64) tally { return tally(uint64(n) << countBits) }

func (t tally) count() int   { return int(int64(t<<(64-countBits)) >> (64 - countBits)) }
func (t tally) bytes() int64 { return int64(t-tally(t.count())) >> countBits }

// countSince returns how far the count is past index, which may be negative.
// From an index more than 2^23 behind it returns too little, never too much.
func (t tally) countSince(index uint64) int { return (t - tally(index)).count() }

// pushed counts the cells that completed pushes have filled: a lower bound of the
// tail's index that lags by the pushes under way, and so where to start looking
// for it. popped does the same for taken cells and the head.
func (q *Queue) pushed() tally { return tally(q.in.Load()) }
func (q *Queue) popped() tally { return tally(q.out.Load()) }

// queued is what lies between them. Responses being appended may be missing,
// those being taken are still in it. The count may be momentarily negative.
func (q *Queue) queued() tally {
	in := q.pushed() // first: out only grows, so the sum is never too large for long
	return in - q.popped()
}

// From segment.go.

// A segment is a run of cells. A cell only ever goes
//
//	nil → response → taken      and a place in between:  nil → pending → answer → taken
//	nil → ended
//
// and is filled only when every cell before it is, taken only when every cell
// before it is taken. So the cells of a queue, read from its first segment to its
// last, are always: taken ones, queued ones, nil ones.
type segment struct {
	base  uint64 // index of cells[0] in the queue's whole life
	next  steppedPointer[segment]
	cells []steppedPointer[Response]
}

// from returns the position in s of the cell that so many earlier cells precede
// in the queue; anything else, before s or beyond it, becomes its start or end.
func (s *segment) from(t tally) uint32 {
	return uint32(min(max(t.countSince(s.base), 0), len(s.cells)))
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
	void  = new(Response) // stands for an answer that did not fit; consumers skip it
	// ended is the mark in the cell where a closed queue ends. It is a place that
	// never gets an answer, so consumers need no extra check for it.
	ended = Pending()
	// closedSegment is where every closed queue points.
	closedSegment = newSegment(math.MaxUint64, firstCells)
)

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
func (s *segment) extend(backlog int) *segment {
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
	return q.firstFrom(s, s.from(q.popped()))
}

// firstFrom is first for a caller who knows that everything before cell i of s
// is taken.
func (q *Queue) firstFrom(s *segment, i uint32) (*segment, uint32, *Response) {
	if s == closedSegment {
		return s, 0, ended
	}
	for {
		for ; i < uint32(len(s.cells)); i++ {
			if r := s.cells[i].Load(); r != taken {
				return s, i, r
			}
		}
		next := s.next.Load()
		if next == nil {
			return s, i, nil
		}
		q.retire(s, next)
		s, i = next, 0
	}
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
	i = s.from(q.pushed())
	for {
		for ; i < uint32(len(s.cells)); i++ {
			r := s.cells[i].Load()
			if r == nil {
				return s, i
			}
			if r == ended {
				return nil, 0
			}
		}
		next := s.extend(q.queued().count())
		q.tail.CompareAndSwap(s, next)
		s, i = next, 0
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
	for i := s.from(q.pushed()); ; i = 0 {
		for ; i < uint32(len(s.cells)); i++ {
			if r := s.cells[i].Load(); r == nil || r == ended {
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
// replaces its place. The tallies and the segment pointers only say where the
// search starts; whoever finds a pointer behind moves it on.
type Queue struct {
	head, tail steppedPointer[segment]
	in, out    steppedUint64 // tallies of all that was ever pushed and taken
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

// From settle.go.

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

func (l *List[T]) push(n *node[T]) {
	for {
		top := l.stack.Load()
		n.next = top
		if l.stack.CompareAndSwap(top, n) {
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
	n := k.node.Load()
	if n == nil || n.state.Load() != idle || !n.state.CompareAndSwap(idle, scheduled) {
		return nil
	}
	n.list.push(n)
	return n.list
}

// Rearm ends the quiet that NextQuiet began. The caller then looks at the queue
// once more and, if something is ready, reads it or calls Schedule.
func (k *Link[T]) Rearm() {
	if n := k.node.Load(); n != nil && n.state.Load() == quiet {
		n.state.CompareAndSwap(quiet, idle)
	}
}

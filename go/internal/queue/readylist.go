package queue

import "sync/atomic"

// List is one consumer's list of owners that have something to read. Any number
// of goroutines schedule; Next and NextQuiet are for one goroutine at a time.
//
// It is a stack pushed to by compare-and-swap and emptied as a whole by swap
// (Treiber, "Systems Programming: Coping with Parallelism", IBM RJ 5118, 1986;
// taking everything at once leaves no room for ABA), then reversed: first in,
// first out within each batch, and nothing that is scheduled while a batch is
// being worked off comes before the rest of it.
type List[T any] struct {
	stack    atomic.Pointer[node[T]]
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
	owner atomic.Pointer[T] // nil once detached: the list may hold the node, not the owner
	next  *node[T]          // belongs to whoever scheduled the node, then to the list
	state atomic.Uint32
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
	node atomic.Pointer[node[T]]
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

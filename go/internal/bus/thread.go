package bus

import (
	"sync"
	"unsafe"
)

// GIL is Python's global interpreter lock as held by the current OS thread.
type GIL interface {
	// Unlocked runs f with the lock given up and takes it again.
	Unlocked(f func())
}

// Thread is the thread of control that a call came in on. It belongs to one OS
// thread for the length of one call from outside and is not safe for concurrent
// use.
type Thread struct {
	// GIL is nil on threads that do not hold the lock.
	GIL GIL
	// Loop is true on a thread with a running event loop: it never waits, but a moment
	// for a server that a registration has to ask.
	Loop bool
	// Engine is true on the engine's own threads.
	Engine bool
	// Awaits is true where whoever publishes waits for the outcome of one publish, or forsakes
	// it, before the next: its events may overtake others', and it may get positions at once, without
	// tickets.
	Awaits bool
	// Finish is told the ticket of an event once it has been dispatched, where
	// the publish returned before that. It must not block. Optional.
	Finish func(ticket uint64)
	// Receipts is memory for those of the next publish, if its caller has any to give.
	Receipts []Receipt
	// State belongs to whoever made the thread: the bridge keeps the interpreter's
	// thread state in it.
	State unsafe.Pointer

	resolving int
	owed      []func(t *Thread)
}

// TakeReceipts is empty room for n receipts.
func (t *Thread) TakeReceipts(n int) []Receipt {
	given := t.Receipts
	t.Receipts = nil
	if cap(given) < n {
		return make([]Receipt, n)
	}
	given = given[:n]
	clear(given)
	return given
}

// Unlocked runs f without the GIL: every wait, and all work that takes more than
// about 100 µs, goes through here.
func (t *Thread) Unlocked(f func()) {
	if t.GIL == nil {
		f()
		return
	}
	t.GIL.Unlocked(f)
}

// spins is how often Lock looks again before it gives the GIL up, which can cost
// 5 ms where holding the lock costs others a fraction of a microsecond.
const spins = 256

// Lock takes mu, and gives the GIL up if that means waiting: a thread that waits
// for a Go lock with the GIL held would stop every Python thread, its holder's
// included. It never waits for the GIL with mu held either: that would stop
// everybody who needs mu for as long as another thread runs Python.
func (t *Thread) Lock(mu *sync.Mutex) {
	if mu.TryLock() {
		return
	}
	if t.GIL == nil {
		mu.Lock()
		return
	}
	for {
		for range spins {
			if mu.TryLock() {
				return
			}
		}
		t.GIL.Unlocked(func() {
			mu.Lock()
			defer mu.Unlock() // it was free just now; take it with the GIL in hand
		})
	}
}

// Resolving runs f, a call into Python. Until it ends, publishes on this thread
// are nested: they wait for acceptance only.
func (t *Thread) Resolving(f func()) {
	t.resolving++
	defer func() { t.resolving-- }()
	f()
}

// Nested is true inside a resolver that this thread is calling.
func (t *Thread) Nested() bool { return t.resolving > 0 }

// Owe keeps task until the event in hand is done.
func (t *Thread) Owe(task func(t *Thread)) { t.owed = append(t.owed, task) }

// Settle runs what was owed, in order, and what that owes in turn. Inside a
// resolver it leaves everything to the call that owes it.
func (t *Thread) Settle() {
	if t.Nested() {
		return
	}
	for len(t.owed) > 0 {
		tasks := t.owed
		t.owed = nil
		for _, task := range tasks {
			task(t)
		}
	}
}

// HandOver lends what was owed to threads that may run it, for a thread that may not:
// a reader of a server has no Python.
func (t *Thread) HandOver(lend func(task func(t *Thread))) {
	tasks := t.owed
	t.owed = nil
	for _, task := range tasks {
		lend(func(t *Thread) {
			task(t)
			t.Settle()
		})
	}
}

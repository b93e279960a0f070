package executor

import (
	"container/heap"
	"math"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// clock is the time of day, and a timer; tests have their own.
type clock struct {
	now func() int64 // unix nanoseconds
	// after calls f once, on a goroutine of its own, unless it is stopped before.
	after func(d time.Duration, f func()) (stop func() bool)
}

var systemClock = clock{
	now:   func() int64 { return time.Now().UnixNano() },
	after: func(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop },
}

// expiries are the cohorts whose context expires, in a heap by when, with one timer
// for the first of them. Guarded by Executor.mu.
type expiries struct {
	heap expiryHeap
	stop func() bool // the timer's; nil: there is none
	due  int64       // when it fires
	any  atomic.Int64
	// first is when the first of them expires, in unix nanoseconds, or did while its
	// subscriptions are being ended; 0: none. Read without a lock.
	first  atomic.Int64
	ending bool
}

// longestTimer bounds how late the timer can be after the time of day was set.
const longestTimer = time.Minute

// isExpired says that the spec's context has expired. No context has at 0.
func (s *spec) isExpired(now int64) bool { return s.expires != 0 && now >= s.expires }

// expiryClock is the time by which an event's candidates are judged: read once an
// event, and only while any context expires.
func (x *Executor) expiryClock() int64 {
	if x.expiries.any.Load() == 0 {
		return 0
	}
	return x.clock.now()
}

// addExpiry watches a cohort from before the index shows it. x.mu is held.
func (x *Executor) addExpiry(c *cohort) {
	if c.spec.expires == 0 {
		return
	}
	x.expiries.any.Add(1)
	heap.Push(&x.expiries.heap, c)
	x.noteFirstExpiry()
	x.armExpiry()
}

// removeExpiry undoes addExpiry. x.mu is held.
func (x *Executor) removeExpiry(c *cohort) {
	if c.spec.expires == 0 {
		return
	}
	x.expiries.any.Add(-1)
	if c.expiry > 0 {
		heap.Remove(&x.expiries.heap, c.expiry-1)
	}
	x.noteFirstExpiry()
	if len(x.expiries.heap) == 0 && x.expiries.stop != nil {
		x.expiries.stop()
		x.expiries.stop = nil
	}
}

// armExpiry lets the timer fire when the first context expires. x.mu is held.
func (x *Executor) armExpiry() {
	e := &x.expiries
	if len(e.heap) == 0 || x.closed.Load() {
		return
	}
	first := e.heap[0].spec.expires
	if e.stop != nil {
		if e.due <= first {
			return
		}
		e.stop()
	}
	now := x.clock.now()
	wait := longestTimer
	if left := first - now; left < int64(longestTimer) {
		wait = time.Duration(max(left, 0))
	}
	e.due = now + int64(wait)
	e.stop = x.clock.after(wait, x.expireContexts)
}

// stopExpiring is for an executor that is closed.
func (x *Executor) stopExpiring(t *bus.Thread) {
	t.Lock(&x.mu)
	defer x.mu.Unlock()
	if x.expiries.stop != nil {
		x.expiries.stop()
		x.expiries.stop = nil
	}
}

// noteFirstExpiry keeps first. x.mu is held.
func (x *Executor) noteFirstExpiry() {
	e := &x.expiries
	switch {
	case e.ending: // who reads waits until that is done
	case len(e.heap) == 0:
		e.first.Store(0)
	default:
		e.first.Store(e.heap[0].spec.expires)
	}
}

// expireContexts is what the timer calls.
func (x *Executor) expireContexts() {
	defer func() {
		if cause := recover(); cause != nil {
			x.LogPanic("ending expired subscriptions panicked", cause)
		}
	}()
	x.endExpired(&bus.Thread{})
}

// expireBeforeReading ends what has expired before somebody reads: the timer may be
// late. Without contexts that expire it costs one atomic load.
func (x *Executor) expireBeforeReading(t *bus.Thread) {
	if first := x.expiries.first.Load(); first != 0 && x.clock.now() >= first {
		x.endExpired(t)
	}
}

// endExpired ends the subscriptions whose context has expired: nothing that they
// have queued can be read any more.
func (x *Executor) endExpired(t *bus.Thread) {
	r := new(replacements)
	t.Lock(&x.replacing) // a context that is renewed until here is not found, later ones find the end
	t.Unlocked(func() {
		outside := &bus.Thread{}
		for _, s := range x.takeExpired() {
			x.endFor(outside, s, expired(), r)
		}
		x.mu.Lock()
		x.expiries.ending = false
		x.noteFirstExpiry()
		x.mu.Unlock()
	})
	x.replacing.Unlock()
	if r.ended == 0 {
		return
	}
	x.Audit(AuditRecord{Kind: AuditExpired, Reason: "contexts have expired", Code: string(fault.Expired), Count: r.ended})
	ids := make([]string, 0, len(r.emptied))
	for _, s := range r.emptied {
		ids = append(ids, s.ID())
	}
	x.Lend(func(t *bus.Thread) {
		x.python.Emptied(t, ids)
		x.concludeReplacing(t, r)
	})
}

// takeExpired is the live subscriptions of the cohorts that have expired. Nobody
// joins those any more: who registers looks at the clock.
func (x *Executor) takeExpired() (all []*Subscription) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := &x.expiries
	if e.stop != nil {
		e.stop()
	}
	e.stop, e.due, e.ending = nil, math.MaxInt64, true
	now := x.clock.now()
	for len(e.heap) > 0 && e.heap[0].spec.isExpired(now) {
		c := heap.Pop(&e.heap).(*cohort)
		c.members.each(func(m *member) {
			if m.subscription.current == m {
				all = append(all, m.subscription)
			}
		})
	}
	x.armExpiry()
	return all
}

func expired() *ending {
	return newEnding(Final{Message: "the subscription's context has expired", Code: string(fault.Expired)}, EndExpired)
}

// expiryHeap implements heap.Interface.
type expiryHeap []*cohort

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].spec.expires < h[j].spec.expires }

func (h expiryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].expiry, h[j].expiry = i+1, j+1
}

// Push implements heap.Interface.
func (h *expiryHeap) Push(c any) {
	*h = append(*h, c.(*cohort))
	c.(*cohort).expiry = len(*h)
}

// Pop implements heap.Interface.
func (h *expiryHeap) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	c.expiry = 0
	return c
}

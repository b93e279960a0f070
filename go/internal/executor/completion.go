package executor

import (
	"sync"
	"sync/atomic"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
)

// completions are the tickets of publishes that have been dispatched.
type completions struct {
	mu      sync.Mutex
	tickets []uint64
	any     atomic.Bool
}

// Completion is what a publish calls when its event has been dispatched after it
// returned: the consumer's next drain reports the ticket.
func (x *Executor) Completion(number int) func(ticket uint64) {
	return func(ticket uint64) {
		// Runs on any thread, also one that holds the GIL: these locks are held
		// for moments only, by code that needs no GIL to go on.
		x.consumersMu.Lock()
		c := x.consumers[number]
		x.consumersMu.Unlock()
		if c == nil {
			return
		}
		c.completed.mu.Lock()
		c.completed.tickets = append(c.completed.tickets, ticket)
		c.completed.any.Store(true)
		c.completed.mu.Unlock()
		c.notifier.Signal()
	}
}

// appendTo moves the tickets to dst.
func (c *completions) appendTo(t *bus.Thread, dst []uint64) []uint64 {
	if !c.any.Load() {
		return dst
	}
	t.Lock(&c.mu)
	defer c.mu.Unlock()
	dst = append(dst, c.tickets...)
	c.tickets = c.tickets[:0]
	c.any.Store(false)
	return dst
}

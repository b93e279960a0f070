package executor

import (
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
)

// fairShare is how many responses one subscription hands out before the next
// ready one gets its turn.
const fairShare = 64

// QueueResponse gives a response to a subscription's queue and wakes its
// consumer. False: it was dropped, or the subscription has ended.
func (x *Executor) QueueResponse(s *Subscription, response *queue.Response) bool {
	result := s.queue.Push(s.policy(), response)
	x.count(s, result)
	if result.Outcome != queue.Accepted {
		return false
	}
	s.notify()
	return true
}

// count records what a queue dropped, and logs when a subscription starts to
// lose responses.
func (x *Executor) count(s *Subscription, result queue.Result) {
	drops := result.Drops()
	if drops == 0 {
		return
	}
	policy := overflowNames[s.policy().Overflow]
	x.metrics.Dropped(policy, drops)
	if !s.overflowing.Swap(true) {
		x.log.Warn("a subscription reads too slowly and loses responses",
			"subscription", s.ID(), "connection", s.connection, "policy", policy)
	}
}

// notify puts s on its consumer's ready list.
func (s *Subscription) notify() {
	if list := s.link.Schedule(); list != nil {
		list.Signal()
	}
}

// NextResponses takes at most maximum responses of s, oldest first. When there are
// fewer, s is re-armed: the next response makes its consumer readable again.
func (x *Executor) NextResponses(s *Subscription, maximum int) *Batch {
	b := x.newBatch()
	if b.take(s, maximum, false) < maximum {
		s.link.Rearm()
		if s.queue.HasReady() {
			s.notify()
		}
	}
	return b
}

// Drain clears the consumer's descriptor and takes at most maximum responses over
// all of its ready subscriptions, fair between them, and the tickets of publishes
// that have been dispatched. While something is left the descriptor is readable.
func (x *Executor) Drain(t *bus.Thread, number, maximum int) (*Batch, error) {
	c, err := x.consumer(t, number)
	if err != nil {
		return nil, err
	}
	b := x.newBatch()
	t.Lock(&c.mu)
	defer c.mu.Unlock()
	c.notifier.Clear()
	b.Tickets = c.completed.appendTo(t, b.Tickets)
	for left := maximum; left > 0; {
		var s *Subscription
		if c.quiet {
			s = c.ready.NextQuiet()
		} else {
			s = c.ready.Next()
		}
		if s == nil {
			break
		}
		share := min(fairShare, left)
		taken := b.take(s, share, true)
		left -= taken
		if c.quiet {
			if taken > 0 {
				continue // its loop is told, and will look again by itself
			}
			// Its oldest response is a place still being computed, or another
			// reader was faster: the loop is not told, so it must not stay quiet.
			s.link.Rearm()
		} else if taken < share {
			continue // armed before it was found empty: what comes schedules it
		}
		if s.queue.HasReady() {
			s.notify()
		}
	}
	if c.ready.HasNext() {
		c.notifier.Signal()
	}
	return b, nil
}

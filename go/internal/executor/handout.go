package executor

import (
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
)

// fairShare is how many responses one subscription hands out before the next
// ready one gets its turn.
const fairShare = 64

// wakeUps is how many subscriptions one drain hands to an event loop at most. Each
// wakes a task that takes microseconds of the same turn of the loop: a thousand at
// once would keep everything else there waiting for milliseconds.
const wakeUps = 128

// notify puts s on its consumer's ready list.
func (s *Subscription) notify() {
	if list := s.link.Schedule(); list != nil {
		list.Signal()
	}
}

// NextResponses takes at most maximum responses of s, oldest first. When there are
// fewer, s is re-armed: the next response makes its consumer readable again. One
// that the server ended gives its final message last, and is not found after that.
func (x *Executor) NextResponses(t *bus.Thread, s *Subscription, maximum int) (*Batch, error) {
	x.expireBeforeReading(t)
	b := x.newBatch()
	taken := b.take(s, maximum, false)
	if taken < maximum {
		s.link.Rearm()
		if s.inbox.Load().HasReady() {
			s.notify()
		}
	}
	if s.isRead() && (taken == 0 || !s.streamed.Load()) {
		x.forget(t, s)
		if taken == 0 {
			b.Recycle()
			return nil, notFound(s.ID())
		}
	}
	return b, nil
}

// Drain clears the consumer's descriptor and takes at most maximum responses over
// all of its ready subscriptions, fair between them, and the tickets of publishes
// that have been dispatched; for an event loop from wakeUps of them at most. While
// something is left the descriptor is readable.
func (x *Executor) Drain(t *bus.Thread, number, maximum int) (*Batch, error) {
	c, err := x.consumer(t, number)
	if err != nil {
		return nil, err
	}
	x.expireBeforeReading(t)
	b := x.newBatch()
	x.forget(t, x.drain(t, c, b, maximum)...)
	return b, nil
}

// drain fills b, and returns the subscriptions that have been read to their end:
// those of the plain side, since a loop's are asked for more by their streams.
func (x *Executor) drain(t *bus.Thread, c *consumer, b *Batch, maximum int) (read []*Subscription) {
	t.Lock(&c.mu)
	defer c.mu.Unlock()
	c.notifier.Clear()
	b.Tickets = c.completed.appendTo(t, b.Tickets)
	looked := 0
	for left := maximum; left > 0; {
		var s *Subscription
		if c.quiet {
			if looked++; looked > wakeUps {
				break
			}
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
			if taken > 0 && s.eager.Load() {
				c.handed = append(c.handed, s)
				continue
			}
			if taken > 0 {
				continue // its loop is told, and will look again by itself
			}
			// Its oldest response is a place still being computed, or another
			// reader was faster: the loop is not told, so it must not stay quiet.
			s.link.Rearm()
		} else if s.isRead() {
			read = append(read, s)
			continue
		} else if taken < share {
			continue // armed before it was found empty: what comes schedules it
		}
		if s.inbox.Load().HasReady() {
			s.notify()
		}
	}
	// Only now: one that has more is not to be drained twice in one turn of the loop.
	for _, s := range c.handed {
		s.link.Rearm()
		if s.inbox.Load().HasReady() {
			s.notify()
		}
	}
	clear(c.handed)
	c.handed = c.handed[:0]
	if c.ready.HasNext() {
		c.notifier.Signal()
	}
	return read
}

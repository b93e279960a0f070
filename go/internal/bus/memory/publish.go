package memory

import (
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// maxPending is how many events may be accepted and not yet dispatched when
// another publish comes. Publishers that never wait could otherwise fill the
// memory behind one slow resolver.
const maxPending = 100_000

// PublishWithExecutor implements bus.Bus. An event with a chosen id that the
// history still knows gets the position it has; nothing is dispatched for it.
func (b *Bus) PublishWithExecutor(t *bus.Thread, events []*event.Event, wait bus.Wait) ([]bus.Receipt, error) {
	if len(events) == 1 { // the usual case, in one allocation
		one := new(struct {
			jobs     [1]job
			receipts [1]bus.Receipt
			lane     lane
		})
		return b.publish(t, events, wait, one.jobs[:], one.receipts[:], &one.lane)
	}
	return b.publish(t, events, wait, make([]job, len(events)), make([]bus.Receipt, len(events)), nil)
}

// publish fills jobs and receipts, one an event. spare is memory for a lane, or
// nil.
func (b *Bus) publish(t *bus.Thread, events []*event.Event, wait bus.Wait, jobs []job, receipts []bus.Receipt, spare *lane) ([]bus.Receipt, error) {
	nested := t.Nested()
	waits := wait == bus.WaitDispatched && !t.Loop && !nested
	t.Lock(&b.mu)
	if err := b.refusal(); err != nil {
		b.mu.Unlock()
		return nil, err
	}
	for i, ev := range events {
		if offset, seen := b.history.seen(ev); seen {
			receipts[i].Position = b.position(offset)
			continue
		}
		l := b.lane(ev.Channel, spare)
		switch {
		case l.holder != nil:
		case !nested:
			l.holder = t
		case l.last == nil || l.last.thread != t:
			// The event in hand goes first; this one follows on the same thread
			// unless somebody else gets to it before.
			t.Owe(func(t *bus.Thread) { b.takeUp(t, l) })
		}
		jobs[i].thread, jobs[i].waiting = t, waits
		b.accept(ev, l, &jobs[i])
		receipts[i].Position = b.position(jobs[i].offset)
	}
	if nested {
		b.mu.Unlock()
		return receipts, nil
	}
	for i := range jobs { // in the order of the batch, across lanes
		if l := jobs[i].lane; l != nil && l.holder == t {
			b.drive(t, l, &jobs[i])
		}
	}
	for i := range jobs {
		if l := jobs[i].lane; l != nil && l.holder == t {
			b.drive(t, l, nil)
		}
	}
	for i := range jobs {
		receipts[i].Ticket = b.ticket(t, &jobs[i])
	}
	b.mu.Unlock()
	t.Settle()
	return receipts, nil
}

// refusal is why nothing can be accepted now, or nil. b.mu is held.
func (b *Bus) refusal() error {
	if b.closed {
		return fault.New(fault.EngineClosed, "the executor is closed; nothing was published")
	}
	if pending := b.flight.len(); pending >= maxPending {
		return fault.Exceeded(fault.LimitExceeded, "max_pending_events", maxPending, float64(pending+1), "%d events wait to be dispatched, the most there may be; nothing was published, publish again when resolvers have caught up", pending)
	}
	return nil
}

// lane is the lane of a channel, made if there is none, in spare if that is not
// nil. b.mu is held.
func (b *Bus) lane(channel string, spare *lane) *lane {
	if l := b.lanes[channel]; l != nil {
		return l
	}
	if spare == nil {
		spare = new(lane)
	}
	spare.channel = channel
	b.lanes[channel] = spare
	return spare
}

// accept gives ev its place in the order. b.mu is held.
func (b *Bus) accept(ev *event.Event, l *lane, j *job) {
	b.last++
	ev.Offset = b.last
	b.history.add(ev)
	b.flight.add(ev.Offset)
	j.event, j.offset = ev, ev.Offset
	l.push(j)
}

// ticket gives a number to an event that is still to be dispatched, if somebody
// waits for that or wants to be told. b.mu is held.
func (b *Bus) ticket(t *bus.Thread, j *job) uint64 {
	if j.lane == nil || j.done || !j.waiting && t.Finish == nil {
		return 0
	}
	b.lastTicket++
	j.ticket, j.finish = b.lastTicket, t.Finish
	b.tickets[j.ticket] = j
	return j.ticket
}

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
	receipts := make([]bus.Receipt, len(events))
	var jobs []job
	if len(events) != 1 {
		jobs = make([]job, len(events))
	}
	t.Lock(&b.mu)
	if err := b.refusal(); err != nil {
		b.mu.Unlock()
		return nil, err
	}
	if len(events) == 1 { // the usual case
		one := b.takeSpare()
		b.publish(t, events, wait, one.jobs[:], receipts, &one.lane)
		b.giveBack(one)
	} else {
		b.publish(t, events, wait, jobs, receipts, nil)
	}
	b.mu.Unlock()
	t.Settle()
	return receipts, nil
}

// publish fills jobs and receipts, one an event. spare is memory for a lane, or
// nil. b.mu is held on entry and on return, and not while events are dispatched.
func (b *Bus) publish(t *bus.Thread, events []*event.Event, wait bus.Wait, jobs []job, receipts []bus.Receipt, spare *lane) {
	nested := t.Nested()
	waits := wait == bus.WaitDispatched && !t.Loop && !nested
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
		return
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
}

// single is what a publish of one event needs.
type single struct {
	jobs [1]job
	lane lane
}

// takeSpare is memory for a publish of one event. b.mu is held.
func (b *Bus) takeSpare() *single {
	one := b.spare
	if b.spare = nil; one == nil {
		one = new(single)
	}
	return one
}

// giveBack lets the next publish have the memory of one that is over, unless somebody else may still
// have it: a ticket or a grant refers to its job, and whoever dispatches behind it has its lane.
// A job that is done is in no lane, and a lane without a holder and events in no table. b.mu is held.
func (b *Bus) giveBack(one *single) {
	j, l := &one.jobs[0], &one.lane
	if j.done && j.ticket == 0 && j.unused == nil && l.holder == nil && l.first == nil {
		*one = single{}
		b.spare = one
	}
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

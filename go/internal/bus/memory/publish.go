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
	receipts := t.TakeReceipts(len(events))
	p := b.take(len(events))
	t.Lock(&b.mu)
	if err := b.refusal(); err != nil {
		b.mu.Unlock()
		return nil, err
	}
	b.publish(t, events, wait, p, receipts)
	over := p.isOver()
	b.mu.Unlock()
	if over {
		b.giveBack(p)
	}
	t.Settle()
	return receipts, nil
}

// publish fills p's jobs and receipts, one an event. b.mu is held on entry and on
// return, and not while events are dispatched.
func (b *Bus) publish(t *bus.Thread, events []*event.Event, wait bus.Wait, p *publishing, receipts []bus.Receipt) {
	nested := t.Nested()
	waits := wait == bus.WaitDispatched && !t.Loop && !nested
	jobs := p.jobs
	var l *lane
	for i, ev := range events {
		if offset, seen := b.history.seen(ev); seen {
			receipts[i].Position = b.position(offset)
			continue
		}
		if l == nil || l.channel != ev.Channel { // the events of a batch are of few channels
			l = b.lane(ev.Channel, p)
		}
		switch {
		case l.holder != nil:
		case !nested:
			l.holder = t
		case l.last == nil || l.last.thread != t:
			// The event in hand goes first; this one follows on the same thread
			// unless somebody else gets to it before.
			owed := l
			t.Owe(func(t *bus.Thread) { b.takeUp(t, owed) })
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

// maxJobs is the number of events from which the memory of a publish is not kept.
const maxJobs = 1024

// publishing is the memory of a publish.
type publishing struct {
	jobs []job // one an event
	lane lane  // of the first channel that needs one
}

// take is memory for a publish of n events.
func (b *Bus) take(n int) *publishing {
	p, some := b.publishings.Get().(*publishing)
	if !some {
		p = new(publishing)
	}
	if cap(p.jobs) < n {
		p.jobs = make([]job, n)
	}
	p.jobs = p.jobs[:n]
	return p
}

// isOver tells that nobody else has p: no ticket and no grant refers to a job of it, and nobody dispatches
// in its lane. A job that is done is in no lane, and a lane without a holder and events in no
// table. b.mu is held.
func (p *publishing) isOver() bool {
	for i := range p.jobs {
		if j := &p.jobs[i]; j.lane != nil && (!j.done || j.ticket != 0 || j.unused != nil) {
			return false
		}
	}
	return p.lane.holder == nil && p.lane.first == nil
}

// giveBack lets a later publish have the memory of one that is over.
func (b *Bus) giveBack(p *publishing) {
	if len(p.jobs) <= maxJobs {
		clear(p.jobs)
		p.lane = lane{}
		b.publishings.Put(p)
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

// lane is the lane of a channel, made if there is none. b.mu is held.
func (b *Bus) lane(channel string, p *publishing) *lane {
	l := b.lanes[channel]
	if l == nil {
		if l = &p.lane; l.channel != "" {
			l = new(lane)
		}
		l.channel = channel
		b.lanes[channel] = l
	}
	return l
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

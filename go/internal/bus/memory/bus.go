// Package memory is the embedded event bus: events are dispatched in the
// publishing call, in one order per channel, and the newest ones of each channel
// are kept so that a subscription can resume.
//
// The order of a channel is kept by its lane: whoever holds the lane's turn
// dispatches its events one after another. Events that need no Python are
// dispatched by whichever publisher holds the turn (flat combining: Hendler,
// Incze, Shavit, Tzafrir 2010). An event whose answer needs a Python resolver is
// dispatched only by its own publisher or, where that does not wait for it, by a
// thread of the engine: never under another publisher's thread and locks.
package memory

import (
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// Bus is the in-memory bus. All methods are safe for concurrent use.
type Bus struct {
	dispatcher bus.Dispatcher
	epoch      string

	// mu guards everything below. It is held for tens of nanoseconds, never
	// across a dispatch, and is taken through Thread.Lock only.
	mu         sync.Mutex
	closed     bool
	last       uint64 // offset of the newest accepted event
	highest    uint64 // highest offset dispatched
	dispatched uint64
	lanes      map[string]*lane
	inFlight   []uint64 // accepted and not yet dispatched, ascending
	tickets    map[uint64]*job
	lastTicket uint64
	settling   []settling
	history    history
}

// settling is a call that waits until everything up to an offset is dispatched.
type settling struct {
	upTo uint64
	call func()
}

// New opens a bus that keeps the newest `retain` events of each channel. The
// epoch is new, so positions of an earlier process recover nothing.
func New(dispatcher bus.Dispatcher, retain int) *Bus {
	return &Bus{
		dispatcher: dispatcher,
		epoch:      rand.Text()[:10],
		lanes:      make(map[string]*lane),
		tickets:    make(map[uint64]*job),
		history:    newHistory(retain),
	}
}

// Name implements bus.Bus.
func (b *Bus) Name() string { return "memory" }

// PublishWithExecutor implements bus.Bus.
func (b *Bus) PublishWithExecutor(t *bus.Thread, events []*event.Event, wait bus.Wait) ([]bus.Receipt, error) {
	if len(events) == 1 { // the common case allocates nothing for the batch
		var jobs [1]*job
		return b.publish(t, events, jobs[:0], wait)
	}
	return b.publish(t, events, make([]*job, 0, len(events)), wait)
}

func (b *Bus) publish(t *bus.Thread, events []*event.Event, jobs []*job, wait bus.Wait) ([]bus.Receipt, error) {
	t.Lock(&b.mu)
	if b.closed {
		b.mu.Unlock()
		return nil, fault.New(fault.EngineClosed, "the executor is closed; nothing was published")
	}
	receipts := make([]bus.Receipt, len(events))
	for i, ev := range events {
		if offset, seen := b.history.seen(ev); seen {
			receipts[i].Position = b.position(offset)
			continue
		}
		j := b.accept(t, ev)
		receipts[i].Position = b.position(j.offset)
		jobs = append(jobs, j)
	}
	for _, j := range jobs {
		switch l := j.lane; {
		case t.Nested():
			// The event in hand goes first; this one follows on the same thread
			// unless somebody else gets to it before.
			if l.holder == nil {
				t.Owe(func(t *bus.Thread) { b.takeUp(t, l) })
			}
		case l.holder == nil || l.holder == t:
			l.holder = t
			j.mine = true
		default:
			j.waiting = wait == bus.WaitDispatched && !t.Loop
		}
	}
	b.mu.Unlock()

	for _, j := range jobs { // in the order of the batch, across lanes
		if j.mine {
			b.dispatchUntil(t, j)
		}
	}
	for _, j := range jobs {
		if j.mine {
			b.release(t, j.lane)
		}
	}
	t.Settle()
	b.issue(t, jobs, receipts, events)
	return receipts, nil
}

// accept gives ev its place in the order. b.mu is held.
func (b *Bus) accept(t *bus.Thread, ev *event.Event) *job {
	b.last++
	ev.Offset = b.last
	b.history.add(ev)
	b.inFlight = append(b.inFlight, ev.Offset)
	l := b.lanes[ev.Channel]
	if l == nil {
		l = &lane{channel: ev.Channel}
		b.lanes[ev.Channel] = l
	}
	j := &job{event: ev, offset: ev.Offset, lane: l, thread: t}
	l.push(j)
	return j
}

// issue gives tickets for the events that are still to be dispatched.
func (b *Bus) issue(t *bus.Thread, jobs []*job, receipts []bus.Receipt, events []*event.Event) {
	t.Lock(&b.mu)
	defer b.mu.Unlock()
	if t.Nested() {
		return
	}
	next := 0
	for i := range receipts {
		if next == len(jobs) || jobs[next].event != events[i] {
			continue
		}
		j := jobs[next]
		next++
		if j.done || !j.waiting && t.Finish == nil {
			continue
		}
		b.lastTicket++
		j.ticket = b.lastTicket
		j.finish = t.Finish
		if j.waiting {
			b.tickets[j.ticket] = j
		}
		receipts[i].Ticket = j.ticket
	}
}

// Await implements bus.Bus.
func (b *Bus) Await(t *bus.Thread, ticket uint64, timeout time.Duration) bool {
	t.Lock(&b.mu)
	j := b.tickets[ticket]
	if j == nil {
		b.mu.Unlock()
		return true
	}
	if !j.done && !j.granted {
		if j.signal == nil {
			j.signal = make(chan struct{}, 1)
		}
		signal := j.signal
		b.mu.Unlock()
		t.Unlocked(func() {
			timer := time.NewTimer(timeout)
			defer timer.Stop()
			select {
			case <-signal:
			case <-timer.C:
			}
		})
		t.Lock(&b.mu)
	}
	granted := j.granted
	if granted {
		j.granted = false
		j.thread = t
		j.lane.holder = t
	}
	b.mu.Unlock()
	if granted {
		b.dispatchUntil(t, j)
		b.release(t, j.lane)
		t.Settle()
	}
	t.Lock(&b.mu)
	defer b.mu.Unlock()
	if j.done {
		delete(b.tickets, ticket)
	}
	return j.done
}

// Forsake implements bus.Bus. A turn that was already granted goes on to a
// thread of the engine.
func (b *Bus) Forsake(ticket uint64) {
	b.mu.Lock()
	j := b.tickets[ticket]
	delete(b.tickets, ticket)
	granted := false
	if j != nil {
		granted = j.granted
		j.granted, j.waiting, j.thread = false, false, nil
	}
	b.mu.Unlock()
	if granted {
		b.lend(j.lane)
	}
}

// Now implements bus.Bus.
func (b *Bus) Now(t *bus.Thread) event.Position {
	t.Lock(&b.mu)
	defer b.mu.Unlock()
	return b.position(b.last)
}

func (b *Bus) position(offset uint64) event.Position {
	return event.Position{Epoch: b.epoch, Offset: offset}
}

// reached is the position of a client that has received the event at offset:
// everything up to the highest dispatched one, except what is still on its way
// in other lanes. b.mu is held.
func (b *Bus) reached(offset uint64) event.Position {
	at := b.position(max(offset, b.highest))
	for _, other := range b.inFlight {
		if other >= at.Offset {
			break
		}
		if other != offset {
			at.Missing = append(at.Missing, other)
		}
	}
	return at
}

// Replay implements bus.Bus.
func (b *Bus) Replay(t *bus.Thread, since event.Position, patterns []channel.Pattern, begin func([]*event.Event, uint64, bool)) {
	t.Lock(&b.mu)
	defer b.mu.Unlock()
	if since.Epoch != b.epoch || since.Offset > b.last {
		begin(nil, b.last, false)
		return
	}
	events, complete := b.history.after(since, patterns)
	begin(events, b.last, complete)
}

// Cut implements bus.Bus.
func (b *Bus) Cut(t *bus.Thread, f func(last uint64)) {
	t.Lock(&b.mu)
	defer b.mu.Unlock()
	f(b.last)
}

// Settled implements bus.Bus.
func (b *Bus) Settled(t *bus.Thread, f func()) bool {
	t.Lock(&b.mu)
	defer b.mu.Unlock()
	if len(b.inFlight) == 0 {
		return true
	}
	b.settling = append(b.settling, settling{upTo: b.last, call: f})
	return false
}

// Stats implements bus.Bus.
func (b *Bus) Stats() bus.Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bus.Stats{
		Published:  b.last,
		Dispatched: b.dispatched,
		Pending:    len(b.inFlight),
		Retained:   b.history.len(),
	}
}

// Close implements bus.Bus.
func (b *Bus) Close() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return len(b.inFlight) == 0
}

// finish takes the event at offset off the books and reports the calls that
// waited for that. b.mu is held.
func (b *Bus) finish(j *job) (settled []func()) {
	j.lane.pop()
	j.done = true
	j.delivery = nil
	j.thread = nil
	j.wake()
	b.dispatched++
	b.highest = max(b.highest, j.offset)
	if b.inFlight[0] == j.offset {
		b.inFlight = b.inFlight[1:]
	} else if i, found := slices.BinarySearch(b.inFlight, j.offset); found {
		b.inFlight = slices.Delete(b.inFlight, i, i+1)
	}
	if len(b.inFlight) == 0 {
		b.inFlight = nil
	}
	if len(b.settling) > 0 {
		b.settling = slices.DeleteFunc(b.settling, func(s settling) bool {
			if len(b.inFlight) > 0 && b.inFlight[0] <= s.upTo {
				return false
			}
			settled = append(settled, s.call)
			return true
		})
	}
	return settled
}

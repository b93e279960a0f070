package memory

import (
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// maxCombined is how many events of others a publisher dispatches after its own
// before it hands the turn on, so that no publisher works for the rest forever.
const maxCombined = 256

// lane is the order of one channel. It exists while it has events or a holder.
// Its fields are guarded by Bus.mu; only the holder of the turn removes events.
type lane struct {
	channel string
	holder  *bus.Thread // who has the turn; nil when it is free
	jobs    []*job
}

// passing holds a turn that is on its way to another thread.
var passing = new(bus.Thread)

func (l *lane) push(j *job) { l.jobs = append(l.jobs, j) }

func (l *lane) front() *job {
	if len(l.jobs) == 0 {
		return nil
	}
	return l.jobs[0]
}

func (l *lane) pop() {
	l.jobs[0] = nil
	l.jobs = l.jobs[1:]
}

// job is an accepted event on its way through its lane. Guarded by Bus.mu, but
// for delivery, which belongs to the holder of the turn.
type job struct {
	event    *event.Event
	offset   uint64
	lane     *lane
	delivery bus.Delivery
	thread   *bus.Thread // the publisher, which may run the event's resolvers
	mine     bool        // the publisher took the lane's turn with this event
	waiting  bool        // the publisher waits and takes the turn when granted
	granted  bool
	done     bool
	signal   chan struct{} // made by a waiter; told of grant and of completion
	ticket   uint64
	finish   func(ticket uint64)
}

// wake tells a waiter that something about its event has changed.
func (j *job) wake() {
	if j.signal == nil {
		return
	}
	select {
	case j.signal <- struct{}{}:
	default:
	}
}

// dispatchUntil runs the events of j's lane, whose turn t holds, up to and
// including j. It keeps the turn.
func (b *Bus) dispatchUntil(t *bus.Thread, j *job) {
	for {
		t.Lock(&b.mu)
		front := j.lane.front()
		done := j.done
		b.mu.Unlock()
		if done {
			return
		}
		b.deliver(t, front)
	}
}

// release gives up the turn of l if t has it, after dispatching what others
// queued behind: their events that need no Python, what t itself published, and
// on a thread of the engine whatever nobody waits for. Otherwise the turn goes to
// the publisher that waits for the next event, or to a thread of the engine.
func (b *Bus) release(t *bus.Thread, l *lane) {
	for combined := 0; ; combined++ {
		t.Lock(&b.mu)
		if l.holder != t { // a batch releases a lane once for each of its events
			b.mu.Unlock()
			return
		}
		j := l.front()
		if j == nil {
			l.holder = nil
			delete(b.lanes, l.channel)
			b.mu.Unlock()
			return
		}
		own := j.thread == t
		b.mu.Unlock()
		if j.delivery == nil {
			j.delivery = b.dispatcher.Match(j.event)
		}
		if !own && (combined >= maxCombined || j.delivery.NeedsPython()) && b.passOn(t, j) {
			return
		}
		b.deliver(t, j)
	}
}

// passOn gives the turn to the publisher that waits for j or to the engine. False
// means that t, a thread of the engine, keeps it.
func (b *Bus) passOn(t *bus.Thread, j *job) bool {
	t.Lock(&b.mu)
	if !j.waiting && t.Engine {
		b.mu.Unlock()
		return false
	}
	j.lane.holder = passing
	waiting := j.waiting
	if waiting {
		j.granted = true
		j.wake()
	}
	b.mu.Unlock()
	if !waiting {
		b.lend(j.lane)
	}
	return true
}

// lend gives a turn that is on its way to a thread of the engine.
func (b *Bus) lend(l *lane) {
	b.dispatcher.Lend(func(t *bus.Thread) {
		t.Lock(&b.mu)
		l.holder = t
		b.mu.Unlock()
		b.release(t, l)
		t.Settle()
	})
}

// takeUp dispatches a lane that nested publishes left behind, unless somebody
// else already has.
func (b *Bus) takeUp(t *bus.Thread, l *lane) {
	t.Lock(&b.mu)
	free := l.holder == nil && l.front() != nil
	if free {
		l.holder = t
	}
	b.mu.Unlock()
	if free {
		b.release(t, l)
	}
}

// deliver dispatches j, the front of a lane whose turn t holds.
func (b *Bus) deliver(t *bus.Thread, j *job) {
	if j.delivery == nil {
		j.delivery = b.dispatcher.Match(j.event)
	}
	t.Lock(&b.mu)
	at := b.reached(j.offset)
	b.mu.Unlock()
	j.delivery.Deliver(t, at)
	t.Lock(&b.mu)
	settled := b.finish(j)
	finish, ticket := j.finish, j.ticket
	b.mu.Unlock()
	for _, call := range settled {
		call()
	}
	if finish != nil {
		finish(ticket)
	}
}

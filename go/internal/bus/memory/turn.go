package memory

import (
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
)

const (
	// maxCombined is how many events a publisher dispatches after its own before
	// it hands the turn on, so that no publisher works for the rest forever.
	maxCombined = 256
	// grantPatience is how long a turn that was given to a waiting publisher may
	// lie unused. A publisher that was interrupted and never comes back for it
	// must not stop its channel.
	grantPatience = time.Second
)

// drive dispatches the events of l, whose turn t has, one after another. With
// until, it ends when that event is done and keeps the turn. Without, it goes on
// with what others queued behind: their events that need no Python, what t itself
// published, and on a thread of the engine whatever nobody waits for; an empty
// lane is given up. Either way, the turn goes to another thread where the next
// event must not run on t, or would keep t's event loop for long. b.mu is held on
// entry and on return.
func (b *Bus) drive(t *bus.Thread, l *lane, until *job) {
	for combined := 0; until == nil || !until.done; combined++ {
		j := l.first
		if j == nil {
			l.holder = nil
			delete(b.lanes, l.channel)
			return
		}
		foreign := j.thread != t
		if foreign && combined >= maxCombined && b.passOn(t, j) {
			return
		}
		at := b.reached(j.offset)
		b.mu.Unlock()
		if j.delivery == nil {
			j.delivery = b.dispatcher.DispatchEventToSubscriptions(t, j.event)
		}
		if foreign && j.delivery.NeedsPython() || t.Loop && j.delivery.Leave(t, at) {
			t.Lock(&b.mu)
			if b.passOn(t, j) {
				return
			}
			b.mu.Unlock()
		}
		j.delivery.Deliver(t, at)
		j.event.Release() // the history has its texts
		t.Lock(&b.mu)
		b.finish(t, j)
	}
}

// finish takes j, the front of its lane, off the books and reports to those who
// asked for that, letting b.mu go meanwhile: then j may be another event's. b.mu is held.
func (b *Bus) finish(t *bus.Thread, j *job) {
	j.lane.pop()
	j.done = true
	j.event, j.delivery, j.thread = nil, nil, nil
	j.wake()
	b.dispatched++
	b.highest = max(b.highest, j.offset)
	b.flight.remove(j.offset)
	if j.ticket != 0 {
		delete(b.tickets, j.ticket)
	}
	var calls []func()
	if len(b.settling) > 0 {
		calls = b.settled()
	}
	finish, ticket := j.finish, j.ticket
	if finish == nil && calls == nil {
		return
	}
	b.mu.Unlock()
	for _, call := range calls {
		call()
	}
	if finish != nil {
		finish(ticket)
	}
	t.Lock(&b.mu)
}

// passOn gives the turn of j's lane to the publisher that waits for j or to a
// thread of the engine. False means that t, a thread of the engine, keeps it. b.mu
// is held, and let go meanwhile.
func (b *Bus) passOn(t *bus.Thread, j *job) bool {
	if !j.waiting && t.Engine {
		return false
	}
	j.lane.holder = &b.passing
	if j.waiting {
		j.granted = true
		j.unused = time.AfterFunc(b.patience, func() { b.takeBack(j) })
		j.wake()
		return true
	}
	b.mu.Unlock()
	b.lend(j.lane)
	t.Lock(&b.mu)
	return true
}

// lend gives a turn that is on its way to a thread of the engine.
func (b *Bus) lend(l *lane) {
	b.dispatcher.Lend(func(t *bus.Thread) {
		t.Lock(&b.mu)
		l.holder = t
		b.drive(t, l, nil)
		b.mu.Unlock()
		t.Settle()
	})
}

// takeUp dispatches a lane that nested publishes left behind, unless somebody
// else already has.
func (b *Bus) takeUp(t *bus.Thread, l *lane) {
	t.Lock(&b.mu)
	if l.holder == nil && l.first != nil {
		l.holder = t
		b.drive(t, l, nil)
	}
	b.mu.Unlock()
}

// Await implements bus.Bus.
func (b *Bus) Await(t *bus.Thread, ticket uint64, timeout time.Duration) bool {
	t.Lock(&b.mu)
	j := b.tickets[ticket]
	if j == nil {
		b.mu.Unlock()
		return true
	}
	if !j.granted {
		b.waitFor(t, j, timeout)
	}
	if !j.granted {
		defer b.mu.Unlock()
		return j.done
	}
	j.granted = false
	j.unused.Stop()
	j.thread = t
	j.lane.holder = t
	b.drive(t, j.lane, nil)
	b.mu.Unlock()
	t.Settle()
	return true
}

// waitFor waits at most timeout until j is granted or done. b.mu is held on entry
// and on return, not in between.
func (b *Bus) waitFor(t *bus.Thread, j *job, timeout time.Duration) {
	if j.signal == nil {
		j.signal = make(chan struct{}, 1)
	}
	b.mu.Unlock()
	t.Unlocked(func() {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		select {
		case <-j.signal:
		case <-timer.C:
		}
	})
	t.Lock(&b.mu)
}

// Forsake implements bus.Bus. A turn that was already granted goes on to a
// thread of the engine.
func (b *Bus) Forsake(ticket uint64) {
	b.mu.Lock()
	j := b.tickets[ticket]
	if j == nil {
		b.mu.Unlock()
		return
	}
	j.waiting, j.thread = false, nil
	b.mu.Unlock()
	b.takeBack(j)
}

// takeBack gives a granted turn that its publisher has not taken to a thread of
// the engine.
func (b *Bus) takeBack(j *job) {
	b.mu.Lock()
	granted := j.granted
	if granted {
		j.granted, j.waiting, j.thread = false, false, nil
		j.unused.Stop()
	}
	b.mu.Unlock()
	if granted {
		b.lend(j.lane)
	}
}

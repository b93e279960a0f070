package memory

import (
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// lane is the order of one channel. It exists while it has events or a holder. A
// lane that has events and no holder is owed by a thread that is still inside a
// resolver; anybody may take its turn. Guarded by Bus.mu; only the holder of the
// turn removes events.
type lane struct {
	channel     string
	holder      *bus.Thread // who has the turn; nil when it is free
	first, last *job        // linked by job.next
}

func (l *lane) push(j *job) {
	j.lane = l
	if l.last == nil {
		l.first = j
	} else {
		l.last.next = j
	}
	l.last = j
}

func (l *lane) pop() {
	first := l.first
	l.first, first.next = first.next, nil
	if l.first == nil {
		l.last = nil
	}
}

// job is an accepted event on its way through its lane. Guarded by Bus.mu, but
// for event and delivery, which belong to the holder of the turn.
type job struct {
	event    *event.Event // nil once dispatched
	delivery bus.Delivery
	offset   uint64
	lane     *lane
	next     *job
	thread   *bus.Thread // the publisher, which may run the event's resolvers
	waiting  bool        // the publisher waits and takes the turn when granted
	granted  bool
	done     bool
	signal   chan struct{} // made by a waiter; told of grant and of completion
	unused   *time.Timer   // takes a granted turn back
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

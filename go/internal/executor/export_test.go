package executor

import (
	"fmt"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/limit"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
)

// Remains says what is left in the tables of an executor without subscriptions.
func (x *Executor) Remains() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	sizes := []int{
		len(x.subscriptions), len(x.clients), len(x.connections), len(x.specs), len(x.operations),
		len(x.operationUses), len(x.answers), len(x.cohorts), len(x.pending.answers),
		len(x.waiting.bySubscription), len(x.waiting.publications), len(x.waiting.byBus), len(x.endings.ended), len(x.fields.known), len(x.fields.free),
		len(x.connected), len(x.expiries.heap), int(x.expiries.any.Load()),
	}
	sizes = append(sizes, x.limits.book.Sizes()...)
	for _, size := range sizes {
		if size > 0 {
			return fmt.Sprint(sizes)
		}
	}
	return ""
}

// Locked runs f while the tables of registration are locked.
func (x *Executor) Locked(f func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f()
}

// QueueBehindPlace gives s a place that waits for its answer, and a response behind it;
// withdraw takes the place out.
func (s *Subscription) QueueBehindPlace() (withdraw func() bool) {
	inbox := s.inbox.Load()
	inbox.Push(&s.policy().Policy, queue.Pending())
	inbox.Push(&s.policy().Policy, queue.Ready([]byte("{}")))
	s.notify()
	return func() bool { return s.withdraw(inbox, 1) }
}

// Audience is whom dispatch finds for an event, how many cohorts it looks at for
// that, and how many subscriptions it counts as kept away.
func (x *Executor) Audience(ev *event.Event) (found map[*Subscription]int, visited, kept int) {
	d := x.DispatchEventToSubscriptions(&bus.Thread{}, ev).(*delivery)
	defer d.recycle()
	found = make(map[*Subscription]int)
	for _, target := range d.targets {
		target.cohort.members.each(func(m *member) { found[m.subscription]++ })
	}
	kept = d.filtered
	kept += d.expired
	for _, subscriptions := range d.denied {
		kept += subscriptions
	}
	return found, len(d.candidates), kept
}

// Everybody is Audience without the index of values: each cohort of the channel is
// looked at.
func (x *Executor) Everybody(ev *event.Event) (found map[*Subscription]int, visited, kept int) {
	found = make(map[*Subscription]int)
	facts := facts{event: ev}
	cohorts := x.index.AppendMatches(nil, ev.Channel)
	for _, c := range cohorts {
		switch verdict, _ := x.DispatchEventToSingle(ev, &facts, x.expiryClock(), c); verdict {
		case Deliver:
			c.members.each(func(m *member) { found[m.subscription]++ })
		case Denied, Filtered:
			kept += int(c.members.live.Load())
		}
	}
	return found, len(cohorts), kept
}

// Waiting is how many responses wait beyond the bounds of their queues.
func (x *Executor) Waiting() (count int) {
	x.waiting.mu.Lock()
	defer x.waiting.mu.Unlock()
	for _, responses := range x.waiting.bySubscription {
		count += len(responses)
	}
	return count
}

// SetSlowLogInterval is for before the log has told of anything.
func SetSlowLogInterval(x *Executor, interval time.Duration) { x.slow.interval = interval }

// FinishOnly is the first part of an end by the server, where another thread can
// see it before the rest is done.
func (x *Executor) FinishOnly(s *Subscription) {
	e := slowConsumer()
	s.ending.CompareAndSwap(nil, e)
	s.inbox.Load().Finish(e.final)
}

// SetClock replaces the time of day and the timers, before the first registration.
func SetClock(x *Executor, now func() int64, after func(d time.Duration, f func()) (stop func() bool)) {
	x.clock = clock{now, after}
}

// Dispatch decides for ev and answers it, as a bus would have it done.
func (x *Executor) Dispatch(t *bus.Thread, ev *event.Event) {
	x.DispatchEventToSubscriptions(t, ev).Deliver(t, event.Position{})
}

// SetElapsed replaces the clock of the rates and of the breaker, before the first
// registration.
func SetElapsed(x *Executor, elapsed func() int64) { x.limits.elapsed = elapsed }

// SetBreaker replaces what the policy says of violations, before the first
// registration.
func SetBreaker(x *Executor, most int, window time.Duration) {
	x.limits.breaker = limit.NewBreaker(most, window)
}

// Kept is how many channels and connections the limits remember.
func (x *Executor) Kept() (channels, connections int) {
	if x.limits.channels != nil {
		channels = x.limits.channels.Len()
	}
	return channels, x.limits.breaker.Len()
}

// FinishSoon is an end by the server of which only the part is done that dispatch does.
func (x *Executor) FinishSoon(s *Subscription) { x.finish(s, slowConsumer()) }

// Recycle gives back what DispatchEventToSubscriptions gave, delivered or not.
func (x *Executor) Recycle(d bus.Delivery) { d.(*delivery).recycle() }

// TellEarly gives ev the account of a publisher whom a server's bus tells that there is nothing to
// wait for, as after an answer that stays lost, before ev is dispatched.
func (x *Executor) TellEarly(ev *event.Event, finish func(ticket uint64)) {
	t := &bus.Thread{}
	p := x.newPublication(t)
	p.remote = true
	ev.Publication = p
	p.issue(t, 1, finish)
	x.waiting.mu.Lock()
	defer x.waiting.mu.Unlock()
	x.waiting.forget(p) // as whoever asks for the outcome does
}

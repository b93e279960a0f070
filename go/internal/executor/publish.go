package executor

import (
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// PublishWithExecutor publishes events through the bus: accepted and dispatched
// on this node, or an error and neither. All are accepted or none. Errors:
// InvalidValue, LimitExceeded, RateLimited, EngineClosed.
func (x *Executor) PublishWithExecutor(t *bus.Thread, events []*event.Event, wait bus.Wait) ([]bus.Receipt, error) {
	if err := x.checkOpen(); err != nil {
		return nil, err
	}
	if err := x.checkEvents(events); err != nil {
		x.refused(err)
		return nil, err
	}
	publish := x.bus.PublishWithExecutor
	if x.waitsForRoom(t, wait) {
		publish = x.publishAndWait
	}
	receipts, err := publish(t, events, wait)
	if err != nil {
		x.giveChannels(events)
		x.refused(err)
		return nil, err
	}
	if !x.remote { // a server's acceptance is counted when it is known
		x.metrics.Published(len(events))
	}
	return receipts, nil
}

// publishAndWait is for a publisher that waits for room: its tickets are those of
// publications, which settle after the bus has dispatched their events.
func (x *Executor) publishAndWait(t *bus.Thread, events []*event.Event, wait bus.Wait) ([]bus.Receipt, error) {
	publications := make([]*publication, len(events))
	for i, ev := range events {
		publications[i] = x.newPublication(t)
		ev.Publication = publications[i]
	}
	finish := t.Finish
	if finish != nil {
		// The publication tells; the bus gives tickets only with one.
		t.Finish = func(ticket uint64) {
			if x.remote {
				x.busFinished(&bus.Thread{}, ticket)
			}
		}
		defer func() { t.Finish = finish }()
	}
	receipts, err := x.bus.PublishWithExecutor(t, events, wait)
	for i := range receipts {
		receipts[i].Ticket = publications[i].issue(t, receipts[i].Ticket, finish)
	}
	return receipts, err
}

// checkEvents refuses all events or none. Those that pass have their tokens.
func (x *Executor) checkEvents(events []*event.Event) error {
	valid := ""
	for _, ev := range events {
		if err := x.checkEvent(ev, valid); err != nil {
			return err
		}
		valid = ev.Channel // the events of a batch are of few channels
	}
	return x.takeChannels(events)
}

// checkEvent refuses an event, but for its channel where that is one known to be valid.
func (x *Executor) checkEvent(ev *event.Event, valid string) error {
	if limit := x.options.Limits.EventBytes; limit > 0 && len(ev.Data) > limit {
		return fault.Exceeded(fault.LimitExceeded, "max_event_bytes", float64(limit), float64(len(ev.Data)), "max_event_bytes is %d, the event's data has %d bytes", limit, len(ev.Data))
	}
	if ev.Channel != valid || valid == "" {
		if err := channel.Validate(ev.Channel); err != nil {
			return err
		}
	}
	return x.policy.CheckPublish(ev.Channel, ev.Document().Root())
}

// Await waits at most timeout for the event behind a ticket; true means that it
// has been dispatched. What it caused may still wait for room: see AwaitRoom.
func (x *Executor) Await(t *bus.Thread, ticket uint64, timeout time.Duration) bool {
	if ticket < roomTickets {
		return x.bus.Await(t, ticket, timeout)
	}
	p := x.publication(t, ticket)
	if p == nil || p.busTicket == 0 {
		return true
	}
	done := x.bus.Await(t, p.busTicket, timeout)
	if done && p.remote {
		x.busFinished(t, p.busTicket)
	}
	return done
}

// Outcome tells what became of an event whose receipt had no position: see bus.Bus.
func (x *Executor) Outcome(t *bus.Thread, ticket uint64) (event.Position, error) {
	if ticket < roomTickets {
		return x.bus.Outcome(t, ticket)
	}
	p := x.publication(t, ticket)
	if p == nil {
		return event.Position{}, fault.New(fault.InvalidValue, "there is no ticket %d", ticket)
	}
	at, err := x.bus.Outcome(t, p.busTicket)
	t.Lock(&x.waiting.mu)
	defer x.waiting.mu.Unlock()
	if err != nil || p.isSettled() {
		x.waiting.forget(p)
	}
	return at, err
}

// Forsake gives up waiting for a ticket.
func (x *Executor) Forsake(t *bus.Thread, ticket uint64) {
	if ticket < roomTickets {
		x.bus.Forsake(ticket)
		return
	}
	p := x.publication(t, ticket)
	if p == nil {
		return
	}
	if p.busTicket != 0 {
		x.bus.Forsake(p.busTicket)
	}
	p.abandon()
}

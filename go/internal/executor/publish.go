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
// InvalidValue, LimitExceeded, EngineClosed.
func (x *Executor) PublishWithExecutor(t *bus.Thread, events []*event.Event, wait bus.Wait) ([]bus.Receipt, error) {
	if err := x.checkOpen(); err != nil {
		return nil, err
	}
	for _, ev := range events {
		if err := x.checkEvent(ev); err != nil {
			return nil, err
		}
	}
	receipts, err := x.bus.PublishWithExecutor(t, events, wait)
	if err == nil {
		x.metrics.Published(len(events))
	}
	return receipts, err
}

func (x *Executor) checkEvent(ev *event.Event) error {
	if limit := x.options.Limits.EventBytes; limit > 0 && len(ev.Data) > limit {
		return fault.New(fault.LimitExceeded, "max_event_bytes is %d, the event's data has %d bytes", limit, len(ev.Data))
	}
	if err := channel.Validate(ev.Channel); err != nil {
		return err
	}
	return x.policy.CheckPublish(ev.Channel, ev.Document().Root())
}

// Await waits at most timeout for the event behind a ticket; true means that it
// has been dispatched.
func (x *Executor) Await(t *bus.Thread, ticket uint64, timeout time.Duration) bool {
	return x.bus.Await(t, ticket, timeout)
}

// Forsake gives up waiting for a ticket.
func (x *Executor) Forsake(ticket uint64) { x.bus.Forsake(ticket) }

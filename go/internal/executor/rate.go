package executor

import (
	"sync/atomic"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/limit"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
)

// rates are those at which events reach subscriptions; each may be nil. An event
// beyond one is withheld: counted as dropped, and as a violation of the connection.
type rates struct{ subscription, user *limit.Pace }

// droppedRate is the name under which withheld events are counted, beside the overflow
// policies.
const droppedRate = "rate"

// take takes a token of each rate, or none; limit is the name of the one that has none.
func (r *rates) take(m *member, now int64) (limit string, ok bool) {
	own := &m.subscription.bucket
	if r.subscription != nil && !r.subscription.Take(own, now, 1) {
		return subscriptionRate, false
	}
	if r.user != nil && m.user != nil && !r.user.Take(&m.user.Bucket, now, 1) {
		if r.subscription != nil {
			r.subscription.Give(own, 1)
		}
		return userRate, false
	}
	return "", true
}

// paces says whether the rates let an event reach a member now. Dispatch asks in the
// bus's order, once a member.
func (x *Executor) paces(m *member, now int64) bool {
	rates := x.limits.rates
	if rates == nil {
		return true
	}
	name, ok := rates.take(m, now)
	if ok {
		return true
	}
	if m.subscription.ending.Load() == nil {
		x.metrics.Dropped(droppedRate, 1)
		x.metrics.Rejected(name, 1)
		x.violate(m.subscription.connection, RateExceeded)
	}
	return false
}

// queuePaced is queueSlots where deliveries have rates.
func (d *delivery) queuePaced(slots []atomic.Pointer[member], response *queue.Response, wakes *wakes) (queued int64) {
	offset, x := d.event.Offset, d.executor
	for i := range slots {
		if m := slots[i].Load(); m != nil && m.takes(offset) && x.paces(m, d.moment) && x.QueueResponse(m, response, d.publication, wakes) {
			queued++
		}
	}
	return queued
}

// takeChannels takes a token of its channel for each event, or none at all.
func (x *Executor) takeChannels(events []*event.Event) error {
	channels := x.limits.channels
	if channels == nil {
		return nil
	}
	now := x.limits.elapsed()
	for i, ev := range events {
		if channels.Take(ev.Channel, now, 1) {
			continue
		}
		x.giveChannels(events[:i])
		asked := 0
		for _, other := range events {
			if other.Channel == ev.Channel {
				asked++
			}
		}
		rate := channels.Pace
		return fault.Exceeded(fault.RateLimited, channelRate, rate.PerSecond, float64(asked),
			"%s is %v a second with a burst of %d, and the channel %q has no room for %d more now; nothing was published, publish again later",
			channelRate, rate.PerSecond, rate.Burst, ev.Channel, asked)
	}
	return nil
}

// giveChannels puts back what takeChannels took, when nothing was published.
func (x *Executor) giveChannels(events []*event.Event) {
	if x.limits.channels == nil {
		return
	}
	for _, ev := range events {
		x.limits.channels.Give(ev.Channel, 1)
	}
}

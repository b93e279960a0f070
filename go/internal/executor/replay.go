package executor

import (
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/query"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
)

// replay answers the events that s missed since a position. Their places are
// queued before any live event can be, in the instant in which the bus accepts
// nothing; the answers are made afterwards and settle into their places.
func (x *Executor) replay(t *bus.Thread, s *Subscription, since event.Position) {
	c := s.first.cohort
	type missed struct {
		event *event.Event
		at    event.Position
		place *queue.Response
	}
	var events []missed
	x.bus.Replay(t, since, c.spec.patterns, func(replayed []*event.Event, last uint64, recovered bool) {
		s.recovered = recovered
		s.unrecovered.Store(!recovered)
		at := since
		for _, ev := range replayed {
			at = at.After(ev.Offset)
			facts := x.policy.Read(ev.Channel, ev.Document().Root())
			if verdict, _ := x.DispatchEventToSingle(ev, &facts, c); verdict != Deliver {
				continue
			}
			place := queue.Pending()
			events = append(events, missed{ev, at, place})
			x.QueueResponse(s, place)
		}
		s.first.after.Store(last)
	})
	var problems []query.Problem
	var data []byte
	for _, one := range events {
		a := c.answer
		if a.resolver == 0 {
			data, problems = a.plan.AppendData(data[:0], one.event.Document().Root(), problems[:0])
			x.settleOne(s, one.place, EncodeResponseBytes(data, problems, a.position(&one.at)))
			continue
		}
		var pending *pendingAnswer
		if a.flags&Async != 0 {
			pending = x.pending.open(t, a, one.at)
			x.pending.add(t, pending, s, one.place)
			x.startTimeout(t, pending)
		}
		result := x.InvokePythonResolver(t, one.event, []Call{x.call(a, pending, one.event, one.at)})[0]
		switch {
		case pending == nil:
			x.settleOne(s, one.place, x.payload(a, result, one.at))
		case result.Kind != KindPending:
			x.Settle(t, pending.ticket, result)
		}
	}
	for _, one := range events {
		one.event.ReleaseDocument()
	}
	t.Settle()
}

func (x *Executor) settleOne(s *Subscription, response *queue.Response, payload []byte) {
	x.fill(&pendingAnswer{places: []place{{s, response}}}, payload)
}

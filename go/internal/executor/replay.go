package executor

import (
	"bytes"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
)

const (
	// fewEvents is how many are matched while the bus accepts nothing.
	fewEvents = 64
	// maxRounds bounds how often a replay runs after a bus that is faster.
	maxRounds = 8
)

// missed is an event to be replayed, and its place in the queue.
type missed struct {
	event *event.Event
	at    event.Position
	place *queue.Response
	key   string // under queue.Latest
}

// replay answers the events that s missed since a position. Their places are
// queued in an instant in which the bus accepts nothing, so before any live event
// can be; the answers are made afterwards and settle into their places. Whatever
// does not fit into the queue makes the resume inexact.
func (x *Executor) replay(t *bus.Thread, s *Subscription, since event.Position) error {
	var events []missed
	var err error
	t.Unlocked(func() { events, err = x.reserve(&bus.Thread{Loop: t.Loop}, s, since) })
	if err != nil {
		return err
	}
	s.first.cohort.answer.replay(t, x, s, events)
	for _, one := range events {
		one.event.ReleaseDocument()
	}
	x.unlistEnded(t)
	t.Settle()
	return nil
}

// reserve finds what s missed and queues its places. Most is matched while events
// go on being accepted; what came meanwhile follows, until it is little enough to
// be matched in the instant in which s turns live.
// outside has given up the GIL already.
func (x *Executor) reserve(outside *bus.Thread, s *Subscription, since event.Position) (events []missed, err error) {
	patterns := s.spec().patterns
	reached := since
	for round := 1; ; round++ {
		var found []bus.Replayed
		live := false
		err := x.bus.Replay(outside, reached, patterns, func(replayed []bus.Replayed, last uint64, recovered bool) {
			if !recovered {
				events = nil
				s.lose()
			}
			live = !recovered || len(replayed) <= fewEvents || round == maxRounds
			if !live {
				found = replayed
				return
			}
			events = x.match(s, events, replayed, &reached)
			events = x.place(s, events)
			s.first.after.Store(last)
		})
		if live || err != nil {
			return events, err
		}
		events = x.match(s, events, found, &reached)
	}
}

// match appends those of found that s may see.
func (x *Executor) match(s *Subscription, events []missed, found []bus.Replayed, reached *event.Position) []missed {
	var facts facts
	for _, one := range found {
		ev := one.Event.Apart() // it may just be dispatched
		*reached = one.At
		facts = facts.about(ev)
		if verdict, _ := x.DispatchEventToSingle(ev, &facts, x.expiryClock(), s.first.cohort); verdict == Deliver {
			events = append(events, missed{event: ev, at: one.At})
		} else {
			ev.ReleaseDocument()
		}
	}
	return events
}

// place queues the places of events: the newest, or the oldest, that the queue's
// policy would keep.
func (x *Executor) place(s *Subscription, events []missed) []missed {
	policy := s.policy()
	if policy.Overflow == queue.Latest {
		events = x.conflate(s, events)
	}
	// Under Disconnect it ends with the oldest that fit: the client resumes from there.
	if excess := len(events) - policy.MaxResponses; excess > 0 && policy.Overflow != queue.Disconnect {
		x.metrics.Dropped(policy.name, excess)
		s.lose()
		if policy.Overflow == queue.DropOldest || policy.Overflow == queue.Latest {
			events = events[excess:]
		} else {
			events = events[:policy.MaxResponses]
		}
	}
	var wakes wakes
	defer wakes.Flush()
	for i := range events {
		events[i].place = queue.PendingKeyed(events[i].key)
		if x.QueueResponse(&s.first, events[i].place, nil, &wakes) {
			x.metrics.Delivered(1)
		} else if policy.Overflow == queue.Disconnect {
			return events[:i]
		}
	}
	return events
}

// conflate keeps the newest event of each key, in the place of the oldest.
func (x *Executor) conflate(s *Subscription, events []missed) []missed {
	places := make(map[string]int, len(events))
	kept := events[:0]
	for _, one := range events {
		one.key = s.policy().keyOf(one.event.Document().Root())
		if place, known := places[one.key]; known {
			kept[place] = one
			continue
		}
		places[one.key] = len(kept)
		kept = append(kept, one)
	}
	x.metrics.Dropped(s.policy().name, len(events)-len(kept))
	return kept
}

// lose makes the resume of s inexact, which its first message tells.
func (s *Subscription) lose() {
	s.inexact.Store(true)
	s.unrecovered.Store(true)
}

// replay settles the places of events with their answers.
func (a *answer) replay(t *bus.Thread, x *Executor, s *Subscription, events []missed) {
	if a.resolver == 0 {
		t.Unlocked(func() {
			for _, one := range events {
				payload, _ := a.appendPayload(nil, one.event, &one.at, nil)
				x.settleOne(s, one.place, payload)
			}
		})
		return
	}
	for _, one := range events {
		var pending *pendingAnswer
		if a.flags&Async != 0 {
			pending = x.pending.open(t, a, one.at)
			x.pending.add(t, pending, &s.first, one.place)
			x.startTimeout(t, pending)
		}
		var payload []byte
		var unstarted *Result
		x.InvokePythonResolver(t, one.event, []Call{x.call(a, pending, one.event, one.at)}, func(_ int, result Result) {
			switch {
			case pending == nil:
				payload = x.payload(a, result, one.at)
			case result.Kind != KindPending:
				unstarted = &Result{Kind: result.Kind, Value: bytes.Clone(result.Value)}
			}
		})
		switch {
		case pending == nil:
			x.settleOne(s, one.place, payload)
		case unstarted != nil:
			x.Settle(t, pending.ticket, *unstarted)
		}
	}
}

func (x *Executor) settleOne(s *Subscription, place *queue.Response, payload []byte) {
	if x.settlePlace(s, s.first.inbox, place, queue.Ready(payload)).Drops() > 0 {
		s.lose()
	}
}

// Package bustest is the contract of bus.Bus as tests: one suite that every bus
// passes, and the dispatcher that it is run with.
package bustest

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// Open makes an empty bus that dispatches to d. What it started ends when the
// test does. The suite follows every channel and publishes on channels of unique
// names, at most 50 events on each but for one test, which publishes 2,000 and lets
// the bus keep any number of them from 50 up.
type Open func(t *testing.T, d bus.Dispatcher) bus.Bus

// Run runs the whole suite.
func Run(t *testing.T, open Open) {
	for _, part := range []map[string]func(*testing.T, *bench){
		publishing, nesting, replaying, cutting, ending,
	} {
		for name, test := range part {
			t.Run(name, func(t *testing.T) {
				d := NewDispatcher(t)
				b := open(t, d)
				if err := b.Follow(new(bus.Thread), Patterns(t, "*")); err != nil {
					t.Fatal(err)
				}
				test(t, &bench{T: t, Dispatcher: d, bus: b, prefix: fmt.Sprintf("t%d.", prefixes.Add(1))})
			})
		}
	}
}

// prefixes numbers the tests of this process, so that none sees the channels of
// another on a bus that several share.
var prefixes atomic.Uint64

// bench is what a test works at.
type bench struct {
	*testing.T
	*Dispatcher
	bus    bus.Bus
	prefix string
}

func (b *bench) channel(name string) string { return b.prefix + name }

// event makes an event on the channel of that name. An empty id lets the engine
// choose.
func (b *bench) event(kind, name, id string) *event.Event {
	b.Helper()
	return NewEvent(b.T, kind, b.channel(name), id)
}

// NewEvent makes an event with little data.
func NewEvent(tb testing.TB, kind, channel, id string) *event.Event {
	tb.Helper()
	ev, err := event.New(kind, channel, []byte(`{"id":1}`), "", id)
	if err != nil {
		tb.Fatal(err)
	}
	return ev
}

// publish publishes events from a new thread and returns when they have been
// dispatched.
func (b *bench) publish(events ...*event.Event) []bus.Receipt {
	b.Helper()
	return Publish(b.T, b.bus, new(bus.Thread), events...)
}

// Publish publishes events as an application's publisher does: it takes the turns
// that it is granted, and returns when every event has been dispatched.
func Publish(tb testing.TB, b bus.Bus, t *bus.Thread, events ...*event.Event) []bus.Receipt {
	tb.Helper()
	t.Awaits = true
	receipts, err := b.PublishWithExecutor(t, events, bus.WaitDispatched)
	if err != nil {
		tb.Errorf("publishing failed: %v", err)
		return make([]bus.Receipt, len(events))
	}
	AwaitAll(tb, b, t, receipts)
	return receipts
}

// AwaitAll waits for what the receipts still have tickets for, and fills in the
// positions that they lack.
func AwaitAll(tb testing.TB, b bus.Bus, t *bus.Thread, receipts []bus.Receipt) {
	tb.Helper()
	for i := range receipts {
		receipt := &receipts[i]
		if receipt.Ticket != 0 && !b.Await(t, receipt.Ticket, deadline) {
			tb.Errorf("waited %v for the event at %v", deadline, receipt.Position)
		}
		if !receipt.Position.IsZero() {
			continue
		}
		var err error
		if receipt.Position, err = b.Outcome(t, receipt.Ticket); err != nil || receipt.Position.IsZero() {
			tb.Errorf("an event is at %v, error %v", receipt.Position, err)
		}
	}
}

// Patterns parses channel patterns.
func Patterns(tb testing.TB, texts ...string) []channel.Pattern {
	tb.Helper()
	patterns := make([]channel.Pattern, len(texts))
	for i, text := range texts {
		var err error
		if patterns[i], err = channel.ParsePattern(text); err != nil {
			tb.Fatal(err)
		}
	}
	return patterns
}

// Offsets are the offsets of events.
func Offsets(events []bus.Replayed) []uint64 {
	offsets := make([]uint64, len(events))
	for i, one := range events {
		offsets[i] = one.Event.Offset
	}
	return offsets
}

// ids are the ids of events.
func ids[E interface{ *event.Event | Delivered }](events []E) []string {
	all := make([]string, len(events))
	for i, one := range events {
		switch one := any(one).(type) {
		case *event.Event:
			all[i] = one.ID
		case Delivered:
			all[i] = one.Event.ID
		}
	}
	return all
}

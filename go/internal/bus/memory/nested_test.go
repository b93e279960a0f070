package memory

import (
	"fmt"
	"slices"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

func TestAnEventOfAThreadInsideAResolverNeverRunsOnAnotherPublisher(t *testing.T) {
	for _, loop := range []bool{false, true} {
		t.Run(fmt.Sprintf("loop %v", loop), func(t *testing.T) {
			d := bustest.NewDispatcher(t)
			b := New(d, 64)
			inside, leave := make(chan struct{}), make(chan struct{})
			outer := bustest.NewEvent(t, python, "a", "")
			inner := []*event.Event{bustest.NewEvent(t, plain, "b", ""), bustest.NewEvent(t, python, "b", "")}
			d.Resolver = func(thread *bus.Thread, ev *event.Event) {
				if ev != outer {
					return
				}
				if _, err := b.PublishWithExecutor(thread, inner, bus.WaitDispatched); err != nil {
					t.Error(err)
				}
				close(inside)
				bustest.Receive(t, leave, "the test")
			}
			ended := bustest.Started(func() { bustest.Publish(t, b, new(bus.Thread), outer) })
			bustest.Receive(t, inside, "the resolver")

			// Channel b has events and no holder. The resolver may wait for this
			// publisher, so it must get through, but not by running its events.
			other := &bus.Thread{Loop: loop}
			own := bustest.NewEvent(t, python, "b", "")
			bustest.Publish(t, b, other, own)
			for _, one := range d.AwaitDelivered(3) {
				if one.Event == inner[1] && !one.Thread.Engine {
					t.Errorf("the nested event ran on %+v", one.Thread)
				}
				if one.Event == own && one.Thread != other && !(loop && one.Thread.Engine) {
					t.Errorf("the publisher's own event ran on %+v", one.Thread)
				}
			}
			close(leave)
			bustest.Receive(t, ended, "the outer publisher")
			if offsets := deliveredOffsets(d, "b"); len(offsets) != 3 || !slices.IsSorted(offsets) {
				t.Errorf("channel b has the order %v", offsets)
			}
			checkIdle(t, b)
		})
	}
}

func deliveredOffsets(d *bustest.Dispatcher, channel string) (offsets []uint64) {
	for _, one := range d.Delivered() {
		if one.Event.Channel == channel {
			offsets = append(offsets, one.Event.Offset)
		}
	}
	return offsets
}

func TestNestedPublishesRunOnTheSameThreadAfterwards(t *testing.T) {
	d := bustest.NewDispatcher(t)
	b := New(d, 512)
	thread := new(bus.Thread)
	depth := 0
	d.Resolver = func(on *bus.Thread, _ *event.Event) {
		if depth++; depth > 100 {
			return
		}
		batch := []*event.Event{
			bustest.NewEvent(t, plain, "a", ""),
			bustest.NewEvent(t, python, []string{"a", "b", "c"}[depth%3], ""),
		}
		if _, err := b.PublishWithExecutor(on, batch, bus.WaitDispatched); err != nil {
			t.Error(err)
		}
	}
	bustest.Publish(t, b, thread, bustest.NewEvent(t, python, "a", ""))
	delivered := d.Delivered()
	if len(delivered) != 201 {
		t.Fatalf("%d deliveries when the publish returns, want 201", len(delivered))
	}
	for _, one := range delivered {
		if one.Thread != thread || one.Overtook {
			t.Fatalf("event %d ran on %+v, overtaking %v", one.Event.Offset, one.Thread, one.Overtook)
		}
	}
	for _, channel := range []string{"a", "b", "c"} {
		if offsets := deliveredOffsets(d, channel); !slices.IsSorted(offsets) {
			t.Errorf("channel %s has the order %v", channel, offsets)
		}
	}
	checkIdle(t, b)
}

func TestAResolverMayWaitForAnotherPublisherOnAnotherChannel(t *testing.T) {
	d := bustest.NewDispatcher(t)
	b := New(d, 8)
	outer := bustest.NewEvent(t, python, "a", "")
	d.Resolver = func(_ *bus.Thread, ev *event.Event) {
		if ev == outer {
			bustest.Receive(t, bustest.Started(func() {
				bustest.Publish(t, b, new(bus.Thread), bustest.NewEvent(t, python, "b", ""))
			}), "the other publisher")
		}
	}
	bustest.Publish(t, b, new(bus.Thread), outer)
	if n := len(d.Delivered()); n != 2 {
		t.Errorf("%d deliveries, want 2", n)
	}
}

func TestAThreadOfTheEngineDispatchesWhatItsResolversPublish(t *testing.T) {
	d := bustest.NewDispatcher(t)
	b := New(d, 8)
	outer := bustest.NewEvent(t, python, "a", "")
	d.Resolver = func(thread *bus.Thread, ev *event.Event) {
		if ev == outer {
			accept(t, b, thread, bustest.NewEvent(t, python, "b", ""), bus.WaitDispatched)
		}
	}
	release := holder(t, b, d, new(bus.Thread), "a")
	accept(t, b, &bus.Thread{Loop: true}, outer, bus.WaitDispatched)
	release()
	delivered := d.AwaitDelivered(3)
	if !delivered[1].Thread.Engine || delivered[2].Thread != delivered[1].Thread {
		t.Errorf("delivered on %+v and %+v, want one thread of the engine", delivered[1].Thread, delivered[2].Thread)
	}
}

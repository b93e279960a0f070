package memory

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

const (
	plain  = "plain"
	python = bustest.NeedsPython
	long   = 20 * time.Second // for what never takes long
)

// accept publishes one event and fails the test if that fails.
func accept(t *testing.T, b *Bus, thread *bus.Thread, ev *event.Event, wait bus.Wait) bus.Receipt {
	t.Helper()
	receipts, err := b.PublishWithExecutor(thread, []*event.Event{ev}, wait)
	if err != nil {
		t.Fatal(err)
	}
	return receipts[0]
}

// holder publishes an event on channel that stays in dispatch until release.
func holder(t *testing.T, b *Bus, d *bustest.Dispatcher, thread *bus.Thread, channel string) (release func()) {
	t.Helper()
	open := d.Hold(channel)
	ended := bustest.Started(func() { bustest.Publish(t, b, thread, bustest.NewEvent(t, plain, channel, "")) })
	d.AwaitEntered(channel)
	t.Cleanup(open)
	return func() {
		open()
		bustest.Receive(t, ended, "the holder of the turn")
	}
}

// checkIdle fails if the bus keeps anything but its history.
func checkIdle(t *testing.T, b *Bus) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.lanes) > 0 || len(b.tickets) > 0 || b.flight.len() > 0 || len(b.settling) > 0 {
		t.Errorf("an idle bus keeps %d lanes, %d tickets, %d events in flight, %d settling", len(b.lanes), len(b.tickets), b.flight.len(), len(b.settling))
	}
}

func TestAPublisherDispatchesItsOwnEventOnItsOwnThread(t *testing.T) {
	d := bustest.NewDispatcher(t)
	b := New(d, 8)
	for _, thread := range []*bus.Thread{{}, {Loop: true}, {Engine: true}} {
		for _, wait := range []bus.Wait{bus.WaitDispatched, bus.WaitAccepted} {
			accept(t, b, thread, bustest.NewEvent(t, python, "a", ""), wait)
			delivered := d.Delivered()
			if last := delivered[len(delivered)-1]; last.Thread != thread {
				t.Errorf("delivered on %+v, want %+v", last.Thread, thread)
			}
		}
	}
	checkIdle(t, b)
}

func TestTheHolderCombinesWhatNeedsNoPythonAndPassesOnWhatDoes(t *testing.T) {
	d := bustest.NewDispatcher(t)
	b := New(d, 64)
	first := new(bus.Thread)
	release := holder(t, b, d, first, "a")
	waiter, loop := new(bus.Thread), &bus.Thread{Loop: true}
	var events []*event.Event
	publish := func(thread *bus.Thread, kind string) bus.Receipt {
		ev := bustest.NewEvent(t, kind, "a", "")
		events = append(events, ev)
		return accept(t, b, thread, ev, bus.WaitDispatched)
	}
	tickets := []uint64{
		publish(waiter, plain).Ticket,
		publish(loop, plain).Ticket,
		publish(waiter, python).Ticket,
		publish(loop, python).Ticket,
		publish(loop, plain).Ticket,
		publish(waiter, python).Ticket,
	}
	if tickets[0] == 0 || tickets[1] != 0 || tickets[2] == 0 || tickets[3] != 0 {
		t.Errorf("tickets %v; who waits has one, a loop without Finish has none", tickets)
	}
	release()
	if n := len(d.Delivered()); n != 3 {
		t.Fatalf("%d deliveries, want the holder's own and two combined", n)
	}
	for _, i := range []int{0, 2, 5} {
		if !b.Await(waiter, tickets[i], long) {
			t.Fatalf("event %d is not dispatched", i)
		}
	}
	on := map[string]*bus.Thread{}
	for _, one := range d.AwaitDelivered(7) {
		on[one.Event.ID] = one.Thread
	}
	for i, want := range []*bus.Thread{first, first, waiter, nil, nil, waiter} {
		got := on[events[i].ID]
		if want != nil && got != want || want == nil && !got.Engine {
			t.Errorf("event %d was delivered on %+v, want %+v", i, got, want)
		}
	}
	checkIdle(t, b)
}

func TestALoopNeverWaitsAndItsEventIsLent(t *testing.T) {
	d := bustest.NewDispatcher(t)
	b := New(d, 8)
	release := holder(t, b, d, new(bus.Thread), "a")
	finished := make(chan uint64, 2)
	loop := &bus.Thread{Loop: true, Finish: func(ticket uint64) { finished <- ticket }}
	ticket := accept(t, b, loop, bustest.NewEvent(t, python, "a", ""), bus.WaitDispatched).Ticket
	if ticket == 0 || b.Await(loop, ticket, 0) {
		t.Error("dispatched while the channel is held")
	}
	release()
	if got := bustest.Receive(t, finished, "completion"); got != ticket {
		t.Errorf("told of %d, want %d", got, ticket)
	}
	if last := d.AwaitDelivered(2)[1]; !last.Thread.Engine {
		t.Errorf("delivered on %+v, want a thread of the engine", last.Thread)
	}
	if !b.Await(loop, ticket, 0) || len(finished) > 0 {
		t.Error("not dispatched, or told twice")
	}
}

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

func TestAwaitTimesOutAndTheTurnIsStillToBeHad(t *testing.T) {
	d := bustest.NewDispatcher(t)
	b := New(d, 8)
	release := holder(t, b, d, new(bus.Thread), "a")
	publisher := new(bus.Thread)
	ticket := accept(t, b, publisher, bustest.NewEvent(t, python, "a", ""), bus.WaitDispatched).Ticket
	for range 3 {
		if b.Await(publisher, ticket, time.Microsecond) {
			t.Fatal("dispatched while the channel is held")
		}
	}
	release() // grants the turn while nobody is in Await
	again := new(bus.Thread)
	for range 2 {
		if !b.Await(again, ticket, 0) {
			t.Error("the granted turn is lost")
		}
	}
	if last := d.Delivered()[1]; last.Thread != again {
		t.Errorf("delivered on %+v, want the thread that awaited", last.Thread)
	}
	checkIdle(t, b)
}

func TestAForsakenTurnGoesToTheEngine(t *testing.T) {
	for _, granted := range []bool{false, true} {
		t.Run(fmt.Sprintf("granted %v", granted), func(t *testing.T) {
			d := bustest.NewDispatcher(t)
			b := New(d, 8)
			release := holder(t, b, d, new(bus.Thread), "a")
			ticket := accept(t, b, new(bus.Thread), bustest.NewEvent(t, python, "a", ""), bus.WaitDispatched).Ticket
			if granted {
				release()
			}
			b.Forsake(ticket)
			b.Forsake(ticket)
			if !granted {
				release()
			}
			if last := d.AwaitDelivered(2)[1]; !last.Thread.Engine {
				t.Errorf("delivered on %+v, want a thread of the engine", last.Thread)
			}
			if !b.Await(new(bus.Thread), ticket, long) {
				t.Error("a forsaken event that is dispatched is not done")
			}
			b.Forsake(ticket)
			b.Forsake(12345)
			checkIdle(t, b)
		})
	}
}

func TestAGrantThatNobodyTakesGoesToTheEngine(t *testing.T) {
	d := bustest.NewDispatcher(t)
	b := New(d, 8)
	b.patience = time.Millisecond
	release := holder(t, b, d, new(bus.Thread), "a")
	ticket := accept(t, b, new(bus.Thread), bustest.NewEvent(t, python, "a", ""), bus.WaitDispatched).Ticket
	release()
	if last := d.AwaitDelivered(2)[1]; !last.Thread.Engine {
		t.Errorf("delivered on %+v, want a thread of the engine", last.Thread)
	}
	if !b.Await(new(bus.Thread), ticket, long) {
		t.Error("dispatched, but not to the one who comes late")
	}
	checkIdle(t, b)
}

func TestNoPublisherWorksForTheRestForever(t *testing.T) {
	d := bustest.NewDispatcher(t)
	b := New(d, 8)
	first := new(bus.Thread)
	release := holder(t, b, d, first, "a")
	loop := &bus.Thread{Loop: true}
	for range maxCombined + 10 {
		accept(t, b, loop, bustest.NewEvent(t, plain, "a", ""), bus.WaitDispatched)
	}
	release()
	combined := 0
	for _, one := range d.AwaitDelivered(maxCombined + 11) {
		if one.Thread == first {
			combined++
		} else if !one.Thread.Engine {
			t.Fatalf("delivered on %+v", one.Thread)
		}
	}
	if combined != 1+maxCombined {
		t.Errorf("the holder delivered %d, want its own and %d", combined, maxCombined)
	}
}

func TestAPositionNamesWhatIsStillOnItsWay(t *testing.T) {
	d := bustest.NewDispatcher(t)
	b := New(d, 64)
	bustest.Publish(t, b, new(bus.Thread), bustest.NewEvent(t, plain, "b", ""))
	release := holder(t, b, d, new(bus.Thread), "a") // event 2
	bustest.Publish(t, b, new(bus.Thread), bustest.NewEvent(t, plain, "b", ""))
	bustest.Publish(t, b, new(bus.Thread), bustest.NewEvent(t, plain, "b", ""))
	at := d.Delivered()[2].At
	if at.Offset != 4 || !slices.Equal(at.Missing, []uint64{2}) {
		t.Fatalf("event 4 is delivered at %v, want 4 without 2", at)
	}
	b.Replay(new(bus.Thread), at, bustest.Patterns(t, "*"), func(events []*event.Event, last uint64, recovered bool) {
		if !recovered || last != 4 || !slices.Equal(bustest.Offsets(events), []uint64{2}) {
			t.Errorf("since %v: %v up to %d, recovered %v", at, bustest.Offsets(events), last, recovered)
		}
	})
	release()
	bustest.Publish(t, b, new(bus.Thread), bustest.NewEvent(t, plain, "a", ""))
	if at := d.Delivered()[4].At; at.Offset != 5 || at.Missing != nil {
		t.Errorf("event 5 is delivered at %v", at)
	}
}

func TestTooManyEventsOnTheirWayAreRefused(t *testing.T) {
	d := bustest.NewDispatcher(t)
	b := New(d, 1)
	release := holder(t, b, d, new(bus.Thread), "a")
	b.mu.Lock()
	for b.flight.len() < maxPending {
		b.flight.add(1_000_000 + uint64(b.flight.len()))
	}
	b.mu.Unlock()
	receipts, err := b.PublishWithExecutor(new(bus.Thread), []*event.Event{bustest.NewEvent(t, plain, "b", "")}, bus.WaitDispatched)
	if fault.CodeOf(err) != fault.LimitExceeded || receipts != nil {
		t.Errorf("receipts %v, error %v; want LIMIT_EXCEEDED", receipts, err)
	}
	release()
	bustest.Publish(t, b, new(bus.Thread), bustest.NewEvent(t, plain, "b", ""))
}

func TestLanesOfIdleChannelsDoNotAccumulate(t *testing.T) {
	d := bustest.NewDispatcher(t)
	b := New(d, 0)
	for i := range 500 {
		bustest.Publish(t, b, new(bus.Thread), bustest.NewEvent(t, []string{plain, python}[i%2], fmt.Sprintf("orders.%d", i), ""))
	}
	checkIdle(t, b)
	if size := cap(b.flight.offsets); size > maxSpare {
		t.Errorf("room for %d offsets is kept", size)
	}
}

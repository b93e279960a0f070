package memory

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
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

func TestALoopLeavesALargeAudienceToTheEngineAndGoesOnBeforeItsEnd(t *testing.T) {
	for _, kind := range []string{bustest.Large, bustest.LargeNeedsPython} {
		t.Run(kind, func(t *testing.T) {
			d := bustest.NewDispatcher(t)
			var resolved []*bus.Thread
			d.Resolver = func(t *bus.Thread, _ *event.Event) { resolved = append(resolved, t) }
			b := New(d, 8)
			open := d.Hold("a")
			t.Cleanup(open)
			finished := make(chan uint64, 2)
			loop := &bus.Thread{Loop: true, Finish: func(ticket uint64) { finished <- ticket }}
			tickets := []uint64{
				accept(t, b, loop, bustest.NewEvent(t, kind, "a", ""), bus.WaitDispatched).Ticket,
				accept(t, b, loop, bustest.NewEvent(t, plain, "a", ""), bus.WaitDispatched).Ticket,
			}
			if tickets[0] == 0 || tickets[1] == 0 {
				t.Fatalf("tickets %v: the loop waited for the queueing", tickets)
			}
			if kind == bustest.LargeNeedsPython && !slices.Equal(resolved, []*bus.Thread{loop}) {
				t.Errorf("resolved on %v, want the publisher's thread, before it returns", resolved)
			}
			open()
			for i, one := range d.AwaitDelivered(2) {
				if !one.Thread.Engine || one.Overtook || (one.Event.Type == plain) != (i == 1) {
					t.Errorf("delivery %d: %s on %+v, overtook: %v", i, one.Event.Type, one.Thread, one.Overtook)
				}
			}
			for _, ticket := range tickets {
				if got := bustest.Receive(t, finished, "completion"); got != ticket {
					t.Errorf("told of %d, want %d", got, ticket)
				}
			}
			if want := strings.Count(kind, "resolved"); len(resolved) != want {
				t.Errorf("%d calls of a resolver, want %d", len(resolved), want)
			}
		})
	}
}

func TestALargeAudienceIsDeliveredByItsPublisherWhereNoLoopRuns(t *testing.T) {
	d := bustest.NewDispatcher(t)
	b := New(d, 8)
	for _, thread := range []*bus.Thread{{}, {Engine: true}} {
		accept(t, b, thread, bustest.NewEvent(t, bustest.Large, "a", ""), bus.WaitDispatched)
		delivered := d.Delivered()
		if last := delivered[len(delivered)-1]; last.Thread != thread {
			t.Errorf("delivered on %+v, want %+v", last.Thread, thread)
		}
	}
}

func TestALoopThatHoldsTheTurnGivesAWaitersLargeEventToTheWaiter(t *testing.T) {
	d := bustest.NewDispatcher(t)
	b := New(d, 8)
	release := holder(t, b, d, &bus.Thread{Loop: true}, "a")
	waiter := new(bus.Thread)
	ticket := accept(t, b, waiter, bustest.NewEvent(t, bustest.Large, "a", ""), bus.WaitDispatched).Ticket
	release()
	if !b.Await(waiter, ticket, long) {
		t.Fatal("the waiter did not get the turn")
	}
	if last := d.Delivered()[1]; last.Thread != waiter {
		t.Errorf("delivered on %+v, want the thread that waits", last.Thread)
	}
	checkIdle(t, b)
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

func TestAWaiterIsWokenByItsTurnAndByDispatch(t *testing.T) {
	for _, kind := range []string{plain, python} {
		t.Run(kind, func(t *testing.T) {
			d := bustest.NewDispatcher(t)
			b := New(d, 8)
			release := holder(t, b, d, new(bus.Thread), "a")
			publisher := new(bus.Thread)
			ticket := accept(t, b, publisher, bustest.NewEvent(t, kind, "a", ""), bus.WaitDispatched).Ticket
			ended := bustest.Started(func() {
				if !b.Await(publisher, ticket, time.Hour) {
					t.Error("not dispatched")
				}
			})
			for waits := false; !waits; runtime.Gosched() {
				b.mu.Lock()
				waits = b.tickets[ticket].signal != nil
				b.mu.Unlock()
			}
			release()
			bustest.Receive(t, ended, "the waiter")
		})
	}
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

func TestABatchIsDispatchedInItsOrderAcrossChannels(t *testing.T) {
	d := bustest.NewDispatcher(t)
	b := New(d, 64)
	var batch []*event.Event
	for i := range 30 {
		batch = append(batch, bustest.NewEvent(t, []string{plain, python}[i%2], []string{"a", "b", "c"}[i%3], ""))
	}
	bustest.Publish(t, b, new(bus.Thread), batch...)
	for i, one := range d.Delivered() {
		if one.Event != batch[i] {
			t.Fatalf("event %d is dispatched at place %d", one.Event.Offset, i)
		}
	}
}

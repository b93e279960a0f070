package memory

import (
	"fmt"
	"slices"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

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
	b.Replay(new(bus.Thread), at, bustest.Patterns(t, "*"), func(events []bus.Replayed, last uint64, recovered bool) {
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

func TestAPositionReachesUpToTheNewestDispatchedEvent(t *testing.T) {
	d := bustest.NewDispatcher(t)
	b := New(d, 64)
	release := holder(t, b, d, new(bus.Thread), "a")                                     // event 1
	accept(t, b, new(bus.Thread), bustest.NewEvent(t, plain, "a", ""), bus.WaitAccepted) // 2
	bustest.Publish(t, b, new(bus.Thread), bustest.NewEvent(t, plain, "b", ""))          // 3
	if at := d.Delivered()[0].At; at.Offset != 3 || !slices.Equal(at.Missing, []uint64{1, 2}) {
		t.Errorf("event 3 is delivered at %v, want 3 without 1 and 2", at)
	}
	release()
	if at := d.Delivered()[2].At; at.Offset != 3 || at.Missing != nil {
		t.Errorf("event 2 is delivered at %v after event 3, want 3", at)
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
	batch := make([]*event.Event, 2*maxSpare)
	for i := range batch {
		batch[i] = bustest.NewEvent(t, plain, "a", "")
	}
	bustest.Publish(t, b, new(bus.Thread), batch...)
	checkIdle(t, b)
	if size := cap(b.flight.offsets); size > maxSpare {
		t.Errorf("room for %d offsets is kept", size)
	}
}

func TestSettledWaitsForEverythingBeforeIt(t *testing.T) {
	d := bustest.NewDispatcher(t)
	b := New(d, 8)
	release := holder(t, b, d, new(bus.Thread), "a")
	releaseNext := holder(t, b, d, new(bus.Thread), "b")
	calls := make(chan struct{}, 2)
	if b.Settled(new(bus.Thread), func() { calls <- struct{}{} }) {
		t.Fatal("settled with two events on their way")
	}
	releaseNext()
	if len(calls) > 0 {
		t.Error("called with one event still on its way")
	}
	release()
	bustest.Receive(t, calls, "the call")
	checkIdle(t, b)
}

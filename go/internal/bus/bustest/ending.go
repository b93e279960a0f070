package bustest

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

var cutting = map[string]func(*testing.T, *bench){
	"a cut lies between two events": func(t *testing.T, b *bench) {
		var done atomic.Bool
		var matched sync.Map // of id → whether the cut was done
		b.Matching = func(ev *event.Event) { matched.Store(ev.ID, done.Load()) }
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for range 12 {
					b.publish(b.event("plain", "a", ""))
				}
			})
		}
		b.AwaitDelivered(10)
		var newest uint64
		b.bus.Cut(new(bus.Thread), func(last uint64) {
			newest = last
			done.Store(true)
		})
		group.Wait()
		for _, one := range b.Delivered() {
			if after, _ := matched.Load(one.Event.ID); one.Event.Offset > newest && after != true {
				t.Errorf("event %d was matched before the cut at %d", one.Event.Offset, newest)
			}
		}
		if newest == 0 || newest > b.newest() {
			t.Errorf("the cut was at %d", newest)
		}
	},

	"settled waits for what was accepted before and for nothing else": func(t *testing.T, b *bench) {
		if !b.bus.Settled(new(bus.Thread), func() { t.Error("called though nothing was on its way") }) {
			t.Fatal("an unused bus is not settled")
		}
		releases := map[string]func(){"a": b.Hold(b.channel("a")), "b": b.Hold(b.channel("b"))}
		defer releases["a"]()
		defer releases["b"]()
		var publishers []<-chan struct{}
		calls := make(chan struct{}, 2)
		for _, name := range []string{"a", "b"} {
			before := b.newest()
			publishers = append(publishers, Started(func() { b.publish(b.event(NeedsPython, name, "")) }))
			if name == "a" {
				b.AwaitEntered(b.channel("a"))
				if b.bus.Settled(new(bus.Thread), func() { calls <- struct{}{} }) {
					t.Fatal("settled with an event on its way")
				}
			} else {
				b.await("the second event to be accepted", func() bool { return b.newest() > before })
			}
		}
		if len(calls) > 0 {
			t.Error("called before the event was dispatched")
		}
		releases["a"]()
		Receive(t, calls, "the call")
		releases["b"]()
		for _, ended := range publishers {
			Receive(t, ended, "a publisher")
		}
		if !b.bus.Settled(new(bus.Thread), func() {}) || len(calls) > 0 {
			t.Error("not settled, or called twice")
		}
	},
}

var ending = map[string]func(*testing.T, *bench){
	"a closed bus refuses events and dispatches those it has": func(t *testing.T, b *bench) {
		release := b.Hold(b.channel("a"))
		defer release()
		first := Started(func() { b.publish(b.event(NeedsPython, "a", "")) })
		b.AwaitEntered(b.channel("a"))
		thread := new(bus.Thread)
		receipts, err := b.bus.PublishWithExecutor(thread, []*event.Event{b.event(NeedsPython, "a", "")}, bus.WaitAccepted)
		if err != nil {
			t.Fatal(err)
		}
		AwaitAll(t, b.bus, thread, receipts)
		for range 2 {
			if b.bus.Close() {
				t.Error("done with events on their way")
			}
		}
		batch := []*event.Event{b.event("plain", "b", ""), b.event("plain", "c", "")}
		if receipts, err := b.bus.PublishWithExecutor(new(bus.Thread), batch, bus.WaitDispatched); fault.CodeOf(err) != fault.EngineClosed || receipts != nil {
			t.Errorf("receipts %v, error %v; want ENGINE_CLOSED and none", receipts, err)
		}
		settled := make(chan struct{})
		if b.bus.Settled(new(bus.Thread), func() { close(settled) }) {
			t.Error("settled with events on their way")
		}
		release()
		Receive(t, settled, "the bus to settle")
		for range 2 {
			if !b.bus.Close() {
				t.Error("not done though everything is dispatched")
			}
		}
		Receive(t, first, "the first publisher")
		if n := len(b.Delivered()); n != 2 {
			t.Errorf("%d deliveries, want 2", n)
		}
	},

	"stats count what went through": func(t *testing.T, b *bench) {
		b.publish(b.event("plain", "a", ""), b.event("plain", "b", ""))
		release := b.Hold(b.channel("a"))
		defer release()
		third := Started(func() { b.publish(b.event(NeedsPython, "a", "")) })
		b.AwaitEntered(b.channel("a"))
		if s := b.bus.Stats(); s.Published != 3 || s.Dispatched != 2 || s.Pending != 1 {
			t.Errorf("%+v with one event on its way", s)
		}
		release()
		Receive(t, third, "the third publisher")
		if s := b.bus.Stats(); s.Published != 3 || s.Dispatched != 3 || s.Pending != 0 {
			t.Errorf("%+v at the end", s)
		}
		if b.bus.Name() == "" {
			t.Error("the bus has no name")
		}
	},
}

// newest is the offset of the newest accepted event.
func (b *bench) newest() (offset uint64) {
	b.bus.Cut(new(bus.Thread), func(last uint64) { offset = last })
	return offset
}

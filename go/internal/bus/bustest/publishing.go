package bustest

import (
	"slices"
	"sync"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

var publishing = map[string]func(*testing.T, *bench){
	"an event has been dispatched once its publisher is done waiting": func(t *testing.T, b *bench) {
		for _, kind := range []string{"plain", NeedsPython} {
			before := len(b.Delivered())
			ev := b.event(kind, "a", "")
			receipt := b.publish(ev)[0]
			delivered := b.Delivered()[before:]
			if len(delivered) != 1 || delivered[0].Event.ID != ev.ID || string(delivered[0].Event.Data) != string(ev.Data) {
				t.Fatalf("delivered %v, want the event once", delivered)
			}
			if !delivered[0].At.Equal(receipt.Position) {
				t.Errorf("delivered at %v, accepted at %v", delivered[0].At, receipt.Position)
			}
		}
	},

	"every channel is dispatched in the order of acceptance": func(t *testing.T, b *bench) {
		const publishers, each = 8, 15
		var accepted sync.Map // of ids
		var group sync.WaitGroup
		for p := range publishers {
			group.Go(func() {
				for i := range each {
					kind := []string{"plain", NeedsPython}[(p+i/2)%2]
					ev := b.event(kind, []string{"a", "b", "c"}[i%3], "")
					accepted.Store(ev.ID, true)
					b.publish(ev)
				}
			})
		}
		group.Wait()
		newest := map[string]uint64{}
		delivered := b.Delivered()
		if len(delivered) != publishers*each {
			t.Fatalf("%d deliveries, want %d", len(delivered), publishers*each)
		}
		for _, one := range delivered {
			if _, once := accepted.LoadAndDelete(one.Event.ID); !once {
				t.Fatalf("event %d was delivered twice", one.Event.Offset)
			}
			if one.Overtook || one.Event.Offset <= newest[one.Event.Channel] {
				t.Fatalf("event %d was delivered before %d had been", one.Event.Offset, newest[one.Event.Channel])
			}
			newest[one.Event.Channel] = one.Event.Offset
		}
	},

	"a publisher that waits for acceptance only returns before dispatch": func(t *testing.T, b *bench) {
		release := b.Hold(b.channel("a"))
		defer release()
		first := Started(func() { b.publish(b.event(NeedsPython, "a", "")) })
		b.AwaitEntered(b.channel("a"))
		for _, kind := range []string{"plain", NeedsPython} {
			thread := new(bus.Thread)
			receipts, err := b.bus.PublishWithExecutor(thread, []*event.Event{b.event(kind, "a", "")}, bus.WaitAccepted)
			if err != nil {
				t.Fatal(err)
			}
			AwaitAll(t, b.bus, thread, receipts)
		}
		if n := len(b.Delivered()); n != 0 {
			t.Fatalf("%d deliveries while the channel is held", n)
		}
		release()
		b.AwaitDelivered(3)
		Receive(t, first, "the first publisher")
	},

	"a thread that runs an event loop never waits and is told of completion": func(t *testing.T, b *bench) {
		release := b.Hold(b.channel("a"))
		defer release()
		first := Started(func() { b.publish(b.event(NeedsPython, "a", "")) })
		b.AwaitEntered(b.channel("a"))
		finished := make(chan uint64, 4)
		loop := &bus.Thread{Loop: true, Finish: func(ticket uint64) { finished <- ticket }}
		batch := []*event.Event{b.event("plain", "a", ""), b.event(NeedsPython, "a", "")}
		receipts, err := b.bus.PublishWithExecutor(loop, batch, bus.WaitDispatched)
		if err != nil || receipts[0].Ticket == 0 || receipts[1].Ticket == 0 {
			t.Fatalf("receipts %v, error %v; want tickets", receipts, err)
		}
		release()
		for _, receipt := range receipts {
			if ticket := Receive(t, finished, "completion"); ticket != receipt.Ticket {
				t.Errorf("told of ticket %d, want %d", ticket, receipt.Ticket)
			}
		}
		AwaitAll(t, b.bus, loop, receipts)
		Receive(t, first, "the first publisher")
		if delivered := b.Delivered(); len(delivered) != 3 || len(finished) > 0 {
			t.Errorf("%d deliveries and %d completions too many, want 3 and none", len(delivered), len(finished))
		}
	},

	"a batch keeps its order and its receipts": func(t *testing.T, b *bench) {
		var batch []*event.Event
		for i := range 40 {
			batch = append(batch, b.event([]string{"plain", NeedsPython}[i%2], []string{"a", "b", "c"}[i%3], ""))
		}
		receipts := b.publish(batch...)
		if len(receipts) != len(batch) {
			t.Fatalf("%d receipts, want %d", len(receipts), len(batch))
		}
		for _, name := range []string{"a", "b", "c"} {
			var want []string
			for _, ev := range batch {
				if ev.Channel == b.channel(name) {
					want = append(want, ev.ID)
				}
			}
			if got := b.deliveredOn(name); !slices.Equal(got, want) {
				t.Errorf("channel %s has %v, want %v", name, got, want)
			}
		}
	},

	"an empty batch does nothing": func(t *testing.T, b *bench) {
		if receipts := b.publish(); len(receipts) != 0 {
			t.Errorf("receipts %v", receipts)
		}
	},

	"a chosen id is accepted once": func(t *testing.T, b *bench) {
		first := b.publish(b.event("plain", "a", b.prefix+"one"), b.event("plain", "b", b.prefix+"two"), b.event("plain", "a", b.prefix+"one"))
		third := b.event("plain", "a", "")
		again := b.publish(b.event("plain", "a", b.prefix+"two"), third, b.event("plain", "b", b.prefix+"one"))
		for _, repeated := range []struct {
			at bus.Receipt
			id string
		}{{first[2], "one"}, {again[0], "two"}, {again[2], "one"}} {
			after, _, recovered := b.replay(repeated.at.Position, b.channel(">"))
			if !recovered || slices.Contains(after, b.prefix+repeated.id) || !slices.Contains(after, third.ID) {
				t.Errorf("%q that came again is at %v; after that came %v, recovered %v", repeated.id, repeated.at.Position, after, recovered)
			}
		}
		if n := len(b.Delivered()); n != 3 {
			t.Errorf("%d deliveries, want 3", n)
		}
	},

	"a chosen id is accepted once from many threads": func(t *testing.T, b *bench) {
		var group sync.WaitGroup
		var positions [8]event.Position
		for i := range positions {
			group.Go(func() { positions[i] = b.publish(b.event("plain", "a", b.prefix+"one"))[0].Position })
		}
		group.Wait()
		for _, position := range positions {
			if after, _, recovered := b.replay(position, b.channel(">")); !recovered || len(after) != 0 {
				t.Errorf("after %v came %v, recovered %v", position, after, recovered)
			}
		}
		if n := len(b.AwaitDelivered(1)); n != 1 {
			t.Errorf("%d deliveries, want 1", n)
		}
	},
}

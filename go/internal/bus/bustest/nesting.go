package bustest

import (
	"slices"
	"sync/atomic"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

var nesting = map[string]func(*testing.T, *bench){
	"what a resolver publishes follows the event in hand": func(t *testing.T, b *bench) {
		outer := b.event(NeedsPython, "a", "")
		inner := []*event.Event{b.event("plain", "a", ""), b.event(NeedsPython, "b", ""), b.event("plain", "b", "")}
		b.Resolver = func(thread *bus.Thread, ev *event.Event) {
			if ev.ID != outer.ID {
				return
			}
			receipts, err := b.bus.PublishWithExecutor(thread, inner, bus.WaitDispatched)
			if err != nil {
				t.Errorf("publishing inside a resolver: %v", err)
				return
			}
			AwaitAll(t, b.bus, thread, receipts)
			if n := len(b.deliveredOn("a")); n != 0 {
				t.Errorf("%d deliveries on its channel inside the resolver", n)
			}
		}
		b.publish(outer)
		b.AwaitDelivered(4)
		if got, want := b.deliveredOn("a"), []string{outer.ID, inner[0].ID}; !slices.Equal(got, want) {
			t.Errorf("channel a has %v, want %v", got, want)
		}
		if got, want := b.deliveredOn("b"), []string{inner[1].ID, inner[2].ID}; !slices.Equal(got, want) {
			t.Errorf("channel b has %v, want %v", got, want)
		}
	},

	"resolvers publish a hundred deep": func(t *testing.T, b *bench) {
		const deep = 100
		var depth atomic.Int64
		b.Resolver = func(thread *bus.Thread, _ *event.Event) {
			n := depth.Add(1)
			if n >= deep {
				return
			}
			next := b.event(NeedsPython, []string{"a", "b", "c", "d"}[n%4], "")
			receipts, err := b.bus.PublishWithExecutor(thread, []*event.Event{next}, bus.WaitDispatched)
			if err != nil {
				t.Errorf("at depth %d: %v", n, err)
			}
			AwaitAll(t, b.bus, thread, receipts)
		}
		b.publish(b.event(NeedsPython, "a", ""))
		newest := map[string]uint64{}
		for _, one := range b.AwaitDelivered(deep) {
			if one.Event.Offset <= newest[one.Event.Channel] {
				t.Fatalf("event %d follows %d", one.Event.Offset, newest[one.Event.Channel])
			}
			newest[one.Event.Channel] = one.Event.Offset
		}
	},
}

// deliveredOn are the ids of what was delivered on a channel, in that order.
func (b *bench) deliveredOn(name string) (delivered []string) {
	for _, one := range b.Delivered() {
		if one.Event.Channel == b.channel(name) {
			delivered = append(delivered, one.Event.ID)
		}
	}
	return delivered
}

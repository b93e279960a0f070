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
			for _, receipt := range receipts {
				if receipt.Ticket != 0 || receipt.Position.Offset <= ev.Offset {
					t.Errorf("receipt %v inside the resolver of event %d", receipt, ev.Offset)
				}
			}
			if delivered := b.Delivered(); len(delivered) != 0 {
				t.Errorf("%d deliveries inside the resolver", len(delivered))
			}
		}
		b.publish(outer)
		delivered := b.AwaitDelivered(4)
		if delivered[0].Event.ID != outer.ID {
			t.Error("the event in hand is not the first")
		}
		for _, name := range []string{"a", "b"} {
			if offsets := b.offsetsOn(name); !slices.IsSorted(offsets) {
				t.Errorf("channel %s has the order %v", name, offsets)
			}
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
			if _, err := b.bus.PublishWithExecutor(thread, []*event.Event{next}, bus.WaitDispatched); err != nil {
				t.Errorf("at depth %d: %v", n, err)
			}
		}
		b.publish(b.event(NeedsPython, "a", ""))
		delivered := b.AwaitDelivered(deep)
		for i, one := range delivered {
			if i > 0 && one.Event.Offset <= delivered[i-1].Event.Offset {
				t.Fatalf("event %d follows %d", one.Event.Offset, delivered[i-1].Event.Offset)
			}
		}
	},
}

func (b *bench) offsetsOn(name string) (offsets []uint64) {
	for _, one := range b.Delivered() {
		if one.Event.Channel == b.channel(name) {
			offsets = append(offsets, one.Event.Offset)
		}
	}
	return offsets
}

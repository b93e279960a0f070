package bustest

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// replay is what Replay hands to begin: ids.
func (b *bench) replay(since event.Position, patterns ...string) (replayed []string, last uint64, recovered bool) {
	b.Helper()
	called := 0
	err := b.bus.Replay(new(bus.Thread), since, Patterns(b.T, patterns...), func(events []bus.Replayed, newest uint64, complete bool) {
		called++
		last, recovered = newest, complete
		for _, one := range events {
			replayed = append(replayed, one.Event.ID)
		}
	})
	if called != 1 || err != nil {
		b.Fatalf("begin was called %d times, error %v", called, err)
	}
	if !recovered && len(replayed) > 0 {
		b.Errorf("not recovered, but %d events", len(replayed))
	}
	return replayed, last, recovered
}

var replaying = map[string]func(*testing.T, *bench){
	"a replay has what came after a position on matching channels": func(t *testing.T, b *bench) {
		events := []*event.Event{
			b.event("plain", "a.x", ""), b.event("plain", "a.y", ""), b.event("plain", "b", ""),
			b.event("plain", "a.x", ""), b.event("plain", "c.x.y", ""),
		}
		var receipts []bus.Receipt
		for _, ev := range events { // one by one: in this order on every bus
			receipts = append(receipts, b.publish(ev)...)
		}
		all := ids(events)
		tail := b.channel(">")
		for _, c := range []struct {
			patterns []string
			since    int // receipt
			want     []int
		}{
			{[]string{tail}, 0, []int{1, 2, 3, 4}},
			{[]string{"*"}, 0, []int{1, 2, 3, 4}},
			{[]string{tail, b.channel("a.*"), b.channel("a.x")}, 0, []int{1, 2, 3, 4}},
			{[]string{b.channel("a.x")}, 0, []int{3}},
			{[]string{b.channel("a.x"), b.channel("a.x"), b.channel("b")}, 0, []int{2, 3}},
			{[]string{b.channel("a.*")}, 0, []int{1, 3}},
			{[]string{b.channel("c.>")}, 0, []int{4}},
			{[]string{b.channel("*.x"), b.channel("b")}, 1, []int{2, 3}},
			{[]string{b.channel("nothing")}, 0, nil},
			{[]string{tail}, 4, nil},
		} {
			var want []string
			for _, i := range c.want {
				want = append(want, all[i])
			}
			got, last, recovered := b.replay(receipts[c.since].Position, c.patterns...)
			if !recovered || last != b.newest() || !slices.Equal(got, want) {
				t.Errorf("%v since %d: %v up to %d, recovered %v; want %v", c.patterns, c.since, got, last, recovered, want)
			}
		}
	},

	"a position from amid the events on their way misses none of them": func(t *testing.T, b *bench) {
		release := b.Hold(b.channel("a"))
		defer release()
		held := b.event(NeedsPython, "a", "")
		first := Started(func() { b.publish(held) })
		b.AwaitEntered(b.channel("a"))
		b.publish(b.event("plain", "b", ""))
		since := b.Delivered()[0].At
		later := b.event("plain", "b", "")
		b.publish(later)
		for _, c := range []struct {
			pattern string
			want    []string
		}{{">", []string{held.ID, later.ID}}, {"a", []string{held.ID}}, {"b", []string{later.ID}}} {
			if got, _, recovered := b.replay(since, b.channel(c.pattern)); !recovered || !slices.Equal(got, c.want) {
				t.Errorf("since %v on %s: %v, recovered %v; want %v", since, c.pattern, got, recovered, c.want)
			}
		}
		release()
		Receive(t, first, "the first publisher")
	},

	"every event's own position is where a client goes on": func(t *testing.T, b *bench) {
		var events []*event.Event
		for i := range 30 {
			events = append(events, b.event([]string{"plain", NeedsPython}[i%5/4], []string{"a", "b", "c"}[i%3], ""))
		}
		b.publish(events...)
		all := ids(events)
		for _, one := range b.AwaitDelivered(len(events)) {
			// What had not been delivered then is replayed, and on its own channel exactly
			// what follows.
			name := one.Event.Channel[len(b.prefix):]
			got, _, recovered := b.replay(one.At, one.Event.Channel)
			own := b.deliveredOn(name)
			want := own[slices.Index(own, one.Event.ID)+1:]
			if !recovered || !slices.Equal(got, want) {
				t.Errorf("since %v on %s: %v, recovered %v; want %v of %v", one.At, name, got, recovered, want, all)
			}
		}
	},

	"a position that is not of this history recovers nothing": func(t *testing.T, b *bench) {
		at := b.publish(b.event("plain", "a", ""))[0].Position
		newest := b.newest()
		foreign := at
		foreign.Epoch = "another"
		for _, since := range []event.Position{{}, foreign, {Epoch: at.Epoch, Place: event.Text("x")}} {
			if _, last, recovered := b.replay(since, "*"); recovered || last < newest {
				t.Errorf("since %v: recovered %v, newest %d", since, recovered, last)
			}
		}
		if at.Place != nil {
			return
		}
		if _, _, recovered := b.replay(event.Position{Epoch: at.Epoch, Offset: at.Offset + 1_000_000}, "*"); recovered {
			t.Error("recovered from a position that is still to come")
		}
	},

	"a replay is exact or says that it is not": func(t *testing.T, b *bench) {
		var positions []event.Position
		for range 20 {
			batch := make([]*event.Event, 100)
			for i := range batch {
				batch[i] = b.event("plain", "a", "")
			}
			for _, receipt := range b.publish(batch...) {
				positions = append(positions, receipt.Position)
			}
		}
		newest := b.newest()
		recoveredOnce := false
		for i := 0; i < len(positions); i += 7 {
			got, last, recovered := b.replay(positions[i], b.channel("a"))
			recoveredOnce = recoveredOnce || recovered
			if recovered && len(got) != len(positions)-1-i {
				t.Fatalf("since event %d of %d: recovered %d events", i, len(positions), len(got))
			}
			if recoveredOnce && !recovered || last != newest {
				t.Fatalf("since event %d: recovered %v up to %d", i, recovered, last)
			}
		}
		if _, _, recovered := b.replay(positions[len(positions)-50], b.channel("a")); !recovered {
			t.Error("the newest 50 events are not kept")
		}
	},

	"nothing is lost or doubled between a replay and what follows": func(t *testing.T, b *bench) {
		// A subscription is in the index before Replay: it takes live what is matched
		// from then on and lies beyond the replay's last event.
		since := b.publish(b.event("plain", "a", ""))[0].Position
		var joined atomic.Bool
		var matched sync.Map // of id → whether the subscription had joined
		b.Matching = func(ev *event.Event) { matched.Store(ev.ID, joined.Load()) }
		start := make(chan struct{})
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				<-start
				for i := range 12 {
					b.publish(b.event([]string{"plain", NeedsPython}[i%2], "a", ""))
				}
			})
		}
		close(start)
		b.AwaitDelivered(10)
		joined.Store(true)
		replayed, last, recovered := b.replay(since, b.channel("a"))
		group.Wait()
		if !recovered {
			t.Fatal("not recovered")
		}
		var want []string
		for _, one := range b.Delivered()[1:] {
			if one.Event.Offset <= last {
				want = append(want, one.Event.ID)
			} else if had, _ := matched.Load(one.Event.ID); had != true {
				t.Errorf("event %d is neither in the replay up to %d nor live", one.Event.Offset, last)
			}
		}
		if !slices.Equal(replayed, want) {
			t.Errorf("replayed %v up to %d, want %v", replayed, last, want)
		}
	},
}

package bustest

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// replay is what Replay hands to begin.
func (b *bench) replay(since event.Position, patterns ...string) (offsets []uint64, last uint64, recovered bool) {
	b.Helper()
	called := 0
	b.bus.Replay(new(bus.Thread), since, Patterns(b.T, patterns...), func(events []*event.Event, newest uint64, complete bool) {
		called++
		offsets, last, recovered = Offsets(events), newest, complete
	})
	if called != 1 {
		b.Fatalf("begin was called %d times", called)
	}
	if !recovered && len(offsets) > 0 {
		b.Errorf("not recovered, but %d events", len(offsets))
	}
	return offsets, last, recovered
}

var replaying = map[string]func(*testing.T, *bench){
	"a replay has what came after a position on matching channels": func(t *testing.T, b *bench) {
		receipts := b.publish(b.event("plain", "a.x", ""), b.event("plain", "a.y", ""), b.event("plain", "b", ""),
			b.event("plain", "a.x", ""), b.event("plain", "c.x.y", ""))
		offsets := make([]uint64, len(receipts))
		for i, receipt := range receipts {
			offsets[i] = receipt.Position.Offset
		}
		a, after, tail := offsets[0], offsets[1:], b.channel(">")
		for _, c := range []struct {
			patterns []string
			since    int // receipt
			want     []uint64
		}{
			{[]string{tail}, 0, after},
			{[]string{"*"}, 0, after},
			{[]string{tail, b.channel("a.*"), b.channel("a.x")}, 0, after},
			{[]string{b.channel("a.x")}, 0, []uint64{offsets[3]}},
			{[]string{b.channel("a.x"), b.channel("a.x"), b.channel("b")}, 0, []uint64{offsets[2], offsets[3]}},
			{[]string{b.channel("a.*")}, 0, []uint64{offsets[1], offsets[3]}},
			{[]string{b.channel("c.>")}, 0, []uint64{offsets[4]}},
			{[]string{b.channel("*.x"), b.channel("b")}, 1, []uint64{offsets[2], offsets[3]}},
			{[]string{b.channel("nothing")}, 0, nil},
			{[]string{tail}, 4, nil},
		} {
			got, last, recovered := b.replay(receipts[c.since].Position, c.patterns...)
			if !recovered || last != offsets[4] || !slices.Equal(got, c.want) {
				t.Errorf("%v since %d: %v up to %d, recovered %v; want %v up to %d", c.patterns, c.since, got, last, recovered, c.want, offsets[4])
			}
		}
		missing := event.Position{Epoch: receipts[0].Position.Epoch, Offset: offsets[3], Missing: []uint64{a, offsets[2]}}
		if got, _, recovered := b.replay(missing, tail); !recovered || !slices.Equal(got, []uint64{a, offsets[2], offsets[4]}) {
			t.Errorf("since %v: %v, recovered %v", missing, got, recovered)
		}
		if got, _, recovered := b.replay(missing, b.channel("a.*")); !recovered || !slices.Equal(got, []uint64{a}) {
			t.Errorf("since %v on a.*: %v, recovered %v", missing, got, recovered)
		}
	},

	"a position that is not of this history recovers nothing": func(t *testing.T, b *bench) {
		receipt := b.publish(b.event("plain", "a", ""))[0]
		foreign := event.Position{Epoch: "another", Offset: receipt.Position.Offset}
		future := event.Position{Epoch: receipt.Position.Epoch, Offset: receipt.Position.Offset + 1_000_000}
		for _, since := range []event.Position{{}, foreign, future} {
			if _, last, recovered := b.replay(since, "*"); recovered || last < receipt.Position.Offset {
				t.Errorf("since %v: recovered %v, newest %d", since, recovered, last)
			}
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
		recoveredOnce := false
		for i, since := range positions {
			got, last, recovered := b.replay(since, b.channel("a"))
			recoveredOnce = recoveredOnce || recovered
			if recovered && len(got) != len(positions)-1-i {
				t.Fatalf("since event %d of %d: recovered %d events", i, len(positions), len(got))
			}
			if recoveredOnce && !recovered || last != positions[len(positions)-1].Offset {
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
		var want []uint64
		for _, one := range b.Delivered()[1:] {
			if one.Event.Offset <= last {
				want = append(want, one.Event.Offset)
			} else if had, _ := matched.Load(one.Event.ID); had != true {
				t.Errorf("event %d is neither in the replay up to %d nor live", one.Event.Offset, last)
			}
		}
		if !slices.Equal(replayed, want) {
			t.Errorf("replayed %v up to %d, want %v", replayed, last, want)
		}
	},
}

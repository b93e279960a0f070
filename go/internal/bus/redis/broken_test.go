package redis

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// TestConnectionsThatBreakAtAnyByte publishes one event, several, and such with chosen ids
// over connections that end in the middle of a command or of an answer.
func TestConnectionsThatBreakAtAnyByte(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	proxy := through(t, own)
	n, near := openNode(t, Options{URL: proxy.URL()}, "b.>"), openNode(t, Options{URL: own.URL()}, ">")
	proxy.Break(func() int { return 6000 + rand.N(60_000) }) // some thousands are the server's account of itself
	proxy.Cut()
	const leastEvents = 1500 // published; connections may break sooner than usual
	var accepted, refused sync.Map
	var published atomic.Int64
	var mu sync.Mutex
	var requests [][]*event.Event
	var publishers sync.WaitGroup
	const most = 6
	for p := range most {
		publishers.Go(func() {
			for i := 0; n.bus.State()["reconnects"].(uint64) < 12 || published.Load() < leastEvents; i++ {
				events := make([]*event.Event, []int{1, 1, 7, 2}[i%4])
				for k := range events {
					id := ""
					if i%2 == 1 && k == len(events)-1 {
						id = fmt.Sprintf("%d.%d", p, i)
					}
					events[k] = bustest.NewEvent(t, fmt.Sprintf("%06d.%d", i, k), fmt.Sprintf("%c.%d", "ab"[(i+k)%2], p), id)
				}
				mu.Lock()
				requests = append(requests, events)
				mu.Unlock()
				published.Add(int64(len(events)))
				_, err := n.publish(t, bus.Wait(i%2), events...)
				into := &accepted
				switch fault.CodeOf(err) {
				case fault.PublishOutcomeUnknown:
					continue // honest
				case fault.BusUnavailable:
					into = &refused
				default:
					if err != nil {
						t.Error(err)
					}
				}
				for _, ev := range events {
					into.Store(ev.ID, true)
				}
			}
		})
	}
	publishers.Wait()
	proxy.Break(nil)
	proxy.Cut()
	there := map[string]bool{}
	var names, followed []string
	for p := range most {
		followed = append(followed, fmt.Sprintf("b.%d", p))
		names = append(names, fmt.Sprintf("a.%d", p), followed[p])
	}
	for _, name := range names {
		var kinds []string
		for _, message := range client.XRange(t.Context(), streamPrefix+name, "-", "+").Val() {
			ev, err := event.Decode([]byte(message.Values[dataField].(string)))
			must(t, err)
			if _, wrong := refused.Load(ev.ID); wrong || there[ev.ID] {
				t.Errorf("%s is there, though it was refused (%v) or is there already", ev.ID, wrong)
			}
			there[ev.ID] = true
			kinds = append(kinds, ev.Type)
		}
		if !slices.IsSorted(kinds) {
			t.Errorf("%s is not in its publisher's order", name)
		}
	}
	accepted.Range(func(id, _ any) bool {
		if !there[id.(string)] {
			t.Errorf("%s was accepted and is not there", id)
		}
		return true
	})
	for _, events := range requests {
		count := 0
		for _, ev := range events {
			if there[ev.ID] {
				count++
			}
		}
		if count != 0 && count != len(events) {
			t.Errorf("%d events of %d of a request are there", count, len(events))
		}
	}
	near.checkStreams(t.Context(), t, client, names...)
	n.checkStreams(t.Context(), t, client, followed...)
	if len(there) < leastEvents/2 {
		t.Errorf("only %d events of %d are there", len(there), published.Load())
	}
}

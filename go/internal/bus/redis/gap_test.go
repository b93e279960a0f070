package redis

import (
	"fmt"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

func missed(n *node) int { return int(n.server.State()["missed"].(uint64)) }

// TestEventsTrimmedBeforeTheyWereReadAreCounted has readers lag behind a writer that keeps few
// events: of a channel that is named, of one that a wildcard hears of, and, once they have come
// to the end, of one whose events were all read in time.
func TestEventsTrimmedBeforeTheyWereReadAreCounted(t *testing.T) {
	own := startOwn(t)
	proxy := through(t, own)
	reader := openNode(t, Options{URL: proxy.URL()}, "named", "wild.*")
	writer := openNode(t, Options{URL: own.URL(), MaxLen: 100})
	publish := func(channel string, count int) {
		t.Helper()
		for range count {
			_, err := writer.publish(t, bus.WaitAccepted, bustest.NewEvent(t, "x", channel, ""))
			must(t, err)
		}
	}
	publish("named", 250)
	publish("wild.old", 50)
	reader.AwaitDelivered(300)
	if got := missed(reader); got != 0 {
		t.Fatalf("%d missed of what was read in time", got)
	}
	total := 300
	for round := range 2 {
		proxy.Hold(true)
		for _, channel := range []string{"named", "wild.old", fmt.Sprint("wild.new", round)} {
			publish(channel, 800)
			total += 800
		}
		proxy.Hold(false)
		eventually(t, "every event to be read, or counted as missed", func() bool {
			return len(reader.Delivered())+missed(reader) == total
		})
		if got := missed(reader); got < 1000*(round+1) {
			t.Errorf("%d missed: they were not trimmed", got)
		}
	}
	publish("named", 1)
	eventually(t, "the next event, and nothing else", func() bool { return len(reader.Delivered())+missed(reader) == total+1 })
}

func TestWhoWaitsForAnEventThatIsTrimmedUnreadIsTold(t *testing.T) {
	own := startOwn(t)
	n := openNode(t, Options{URL: own.URL(), MaxLen: 10}, "a")
	thread := new(bus.Thread)
	var tickets []uint64
	const total = 5000
	for range total {
		receipts, err := n.bus.PublishWithExecutor(thread, []*event.Event{bustest.NewEvent(t, "x", "a", "")}, bus.WaitDispatched)
		must(t, err)
		tickets = append(tickets, receipts[0].Ticket)
	}
	for _, one := range tickets {
		if !n.bus.Await(thread, one, patience) {
			t.Fatalf("%d missed, %d delivered, and one is still waited for", missed(n), len(n.Delivered()))
		}
		_, err := n.bus.Outcome(thread, one)
		must(t, err)
	}
	if missed(n) == 0 {
		t.Error("nothing was trimmed unread: the test shows nothing")
	}
	eventually(t, "all to be accounted for", func() bool { return len(n.Delivered())+missed(n) == total })
	began := time.Now()
	n.close()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("closing took %v: something is still expected to come back", took)
	}
}

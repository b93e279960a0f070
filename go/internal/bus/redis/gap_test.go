package redis

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/redis/redistest"
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

// publishMany publishes events on the channel a, one after the other; their tickets.
func (n *node) publishMany(t *testing.T, thread *bus.Thread, kind string, count int) (tickets []uint64) {
	t.Helper()
	for range count {
		receipts, err := n.bus.PublishWithExecutor(thread, []*event.Event{bustest.NewEvent(t, kind, "a", "")}, bus.WaitDispatched)
		must(t, err)
		tickets = append(tickets, receipts[0].Ticket)
	}
	return tickets
}

// cutOffReader ends the reader's connection, and lets no other one be made: what publishes keeps its own.
func (n *node) cutOffReader(t *testing.T, client *redis.Client, proxy *redistest.Proxy) {
	t.Helper()
	n.say(t, "a", "first")
	proxy.Refuse(true)
	eventually(t, "the reader to be cut off", func() bool {
		for line := range strings.Lines(client.ClientList(t.Context()).Val()) {
			if id, _, _ := strings.Cut(strings.TrimPrefix(line, "id="), " "); strings.Contains(line, "cmd=xread") {
				must(t, client.ClientKillByFilter(t.Context(), "ID", id).Err())
			}
		}
		return !n.connected()
	})
}

func TestWhoWaitsForAnEventThatIsTrimmedUnreadIsTold(t *testing.T) {
	own := startOwn(t)
	proxy := through(t, own)
	n := openNode(t, Options{URL: proxy.URL(), MaxLen: 10}, "a")
	n.cutOffReader(t, clientOf(t, own), proxy)
	thread := new(bus.Thread)
	const total = 5000
	tickets := n.publishMany(t, thread, "x", total)
	eventually(t, "all to be accepted", func() bool { return n.bus.Stats().Published == 1+total })
	proxy.Refuse(false)
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
	eventually(t, "all to be accounted for", func() bool { return len(n.Delivered())+missed(n) == 1+total })
	if told := strings.Count(n.log.String(), "were trimmed"); told != 1 {
		t.Errorf("the log tells %d times in a moment that events were missed", told)
	}
	began := time.Now()
	n.close()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("closing took %v: something is still expected to come back", took)
	}
}

// TestWhoWaitsForAnEventBehindAGapIsNotToldBefore has a node publish while only its reader is
// cut off, on a channel of which others' events are trimmed meanwhile.
func TestWhoWaitsForAnEventBehindAGapIsNotToldBefore(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	proxy := through(t, own)
	n := openNode(t, Options{URL: proxy.URL()}, "a")
	n.cutOffReader(t, client, proxy)
	writer := openNode(t, Options{URL: own.URL(), MaxLen: 100})
	for range 800 {
		_, err := writer.publish(t, bus.WaitAccepted, bustest.NewEvent(t, "other", "a", ""))
		must(t, err)
	}
	thread := new(bus.Thread)
	const total = 300
	tickets := n.publishMany(t, thread, "mine", total)
	eventually(t, "all to be accepted", func() bool { return n.bus.Stats().Published == 1+total })
	proxy.Refuse(false)
	for i, one := range tickets {
		if !n.bus.Await(thread, one, patience) {
			t.Fatalf("%d missed, %d delivered, and one is still waited for", missed(n), len(n.Delivered()))
		}
		if got := strings.Count(n.kinds(), "mine"); got <= i {
			t.Fatalf("%d of them delivered when the publisher of number %d is told that it has been", got, i)
		}
	}
	if missed(n) == 0 {
		t.Error("nothing was trimmed unread: the test shows nothing")
	}
}

// TestAfterALostConnectionEveryChannelIsLookedAtSoon has something missed on many channels, and
// nothing come after that.
func TestAfterALostConnectionEveryChannelIsLookedAtSoon(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	proxy := through(t, own)
	channels := make([]string, 700)
	for i := range channels {
		channels[i] = fmt.Sprint("c.", i)
	}
	n := openNode(t, Options{URL: proxy.URL()}, channels...)
	proxy.Refuse(true)
	proxy.Cut()
	for i, channel := range channels {
		add(t.Context(), t, client, channel, "*", i)
		must(t, client.XTrimMaxLen(t.Context(), streamPrefix+channel, 0).Err())
	}
	proxy.Refuse(false)
	eventually(t, "what is missed to be counted", func() bool { return missed(n) == len(channels) })
}

// TestAStreamWhoseNewestEntryWasDeletedIsNotSuspectedForEver reads to the end of streams that
// end before the newest id that they ever had.
func TestAStreamWhoseNewestEntryWasDeletedIsNotSuspectedForEver(t *testing.T) {
	client := emptied(t)
	r := following("a", "b")
	for _, channel := range []string{"a", "b"} {
		add(t.Context(), t, client, channel, "1-0", 1)
		r.follows(channel).added = 0
	}
	readAll(t, r, client, 2)
	for _, id := range []string{"2-0", "3-0"} {
		add(t.Context(), t, client, "a", id, 2)
		must(t, client.XDel(t.Context(), streamPrefix+"a", id).Err())
	}
	must(t, client.XDel(t.Context(), streamPrefix+"b", "1-0").Err()) // it was read
	r.suspect(r.follows("a"))
	r.suspect(r.follows("b"))
	some, err := next(r, client, time.Millisecond)
	must(t, err)
	if len(some) != 0 || len(r.suspects) != 0 || len(r.skipped) != 1 || r.skipped[0].channel != "a" || r.skipped[0].count != 2 {
		t.Errorf("%s; %d suspects, and as missed %v", names(some), len(r.suspects), r.skipped)
	}
}

func TestAGapHasTheEventsThatWereInItAndNotRead(t *testing.T) {
	found := gaps{
		{channel: "a", from: streamID{5, 1}, to: streamID{6, 0}, kept: []streamID{{5, 3}}},
		{channel: "a", from: streamID{8, 0}, to: streamID{8, 2}},
	}
	at := place{ms: 8}.pass(hashChannel("b"), streamID{8, 0})
	for _, c := range []struct {
		channel string
		at      event.Place
		want    bool
	}{
		{"a", &cursor{at: place{}.pass(hashChannel("a"), streamID{5, 0})}, false},
		{"a", &cursor{at: place{}.pass(hashChannel("a"), streamID{5, 1})}, true},
		{"a", &cursor{at: place{}.pass(hashChannel("a"), streamID{5, 3})}, false},
		{"a", &cursor{at: place{}.pass(hashChannel("a"), streamID{6, 0})}, false},
		{"b", &cursor{at: place{}.pass(hashChannel("b"), streamID{5, 1})}, false},
		{"a", &cursor{at: at}, false},
		{"a", &cursor{at: at.pass(hashChannel("a"), streamID{8, 1})}, true},
		{"a", event.Text("x"), false},
	} {
		if got := found.have(c.channel, event.Position{Epoch: "e", Place: c.at}); got != c.want {
			t.Errorf("%s at %s: %v", c.channel, c.at.AppendText(nil), got)
		}
	}
}

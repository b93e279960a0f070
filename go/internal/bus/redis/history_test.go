package redis

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

func TestHistoryThatWasTrimmedIsSaidToBe(t *testing.T) {
	for name, trim := range map[string]func(client *redis.Client, third string) error{
		"XTRIM": func(client *redis.Client, third string) error {
			return client.XTrimMinID(t.Context(), streamPrefix+"a", third).Err()
		},
		"XTRIM of everything": func(client *redis.Client, _ string) error {
			return client.XTrimMaxLen(t.Context(), streamPrefix+"a", 0).Err()
		},
		"XDEL": func(client *redis.Client, third string) error {
			return client.XDel(t.Context(), streamPrefix+"a", third).Err()
		},
		"DEL": func(client *redis.Client, _ string) error { return client.Del(t.Context(), streamPrefix+"a").Err() },
	} {
		t.Run(name, func(t *testing.T) {
			client := emptied(t)
			n := openNode(t, Options{URL: server.URL()}, ">")
			first := n.say(t, "a", "one")
			n.say(t, "b", "other")
			n.say(t, "a", "two")
			n.say(t, "a", "three")
			entries := client.XRange(t.Context(), streamPrefix+"a", "-", "+").Val()
			if kinds, recovered := n.replay(t, first, "a"); kinds != "two three" || !recovered {
				t.Fatalf("%q, %v", kinds, recovered)
			}
			must(t, trim(client, entries[2].ID))
			for _, pattern := range []string{"a", ">"} {
				if kinds, recovered := n.replay(t, first, pattern); recovered {
					t.Errorf("%s recovered %q", pattern, kinds)
				}
			}
			if kinds, recovered := n.replay(t, first, "b"); kinds != "other" || !recovered {
				t.Errorf("on another channel: %q, %v", kinds, recovered)
			}
			at := n.say(t, "a", "four")
			n.say(t, "a", "five")
			if kinds, recovered := n.replay(t, at, "a"); kinds != "five" || !recovered {
				t.Errorf("since then: %q, %v", kinds, recovered)
			}
		})
	}
}

func TestTheRetentionIsKept(t *testing.T) {
	client := emptied(t)
	const retention = 600 * time.Millisecond
	n := openNode(t, Options{URL: server.URL(), Retention: retention}, "a", "quiet")
	quiet := n.say(t, "quiet", "q")
	var positions []event.Position
	var told []time.Time
	for i := 0; len(told) == 0 || time.Since(told[0]) < 3*retention; i++ {
		told = append(told, time.Now())
		positions = append(positions, n.say(t, "a", fmt.Sprint(i)))
	}
	last := len(positions) - 1
	var recent int
	for time.Since(told[recent]) > retention*3/4 {
		recent++
	}
	kinds, recovered := n.replay(t, positions[recent], "a")
	if got := len(strings.Fields(kinds)); !recovered || got != last-recent {
		t.Errorf("from %v ago: %d events of %d, recovered %v", time.Since(told[recent]), got, last-recent, recovered)
	}
	if _, recovered := n.replay(t, positions[0], "a"); recovered {
		t.Errorf("recovered from %v ago", time.Since(told[0]))
	}
	if _, recovered := n.replay(t, quiet, "*"); recovered {
		t.Error("a wildcard recovered from before the retention, when channels may be forgotten")
	}
	length := client.XLen(t.Context(), streamPrefix+"a").Val()
	if length > int64(last)*3/4 {
		t.Errorf("%d of %d events are kept", length, last)
	}
	// What nobody writes to is gone in the end.
	eventually(t, "the stream to expire", func() bool { return client.Exists(t.Context(), streamPrefix+"quiet").Val() == 0 })
	n.say(t, "a", "x")
	if _, recovered := n.replay(t, quiet, "quiet"); recovered {
		t.Error("recovered from a stream that has expired")
	}
	if known := client.ZScore(t.Context(), usedKey, "quiet").Err(); known != redis.Nil {
		t.Errorf("the channel is still known: %v", known)
	}
	if got := n.server.State()["lost"]; got != uint64(0) {
		t.Errorf("lost: %v", got)
	}
}

func TestTheLengthIsBoundedIfWanted(t *testing.T) {
	client := emptied(t)
	n := openNode(t, Options{URL: server.URL(), MaxLen: 1000}, "a")
	var first, middle event.Position
	for i := range 40 {
		var events []*event.Event
		for range 100 {
			events = append(events, bustest.NewEvent(t, "x", "a", ""))
		}
		at, err := n.publish(t, bus.WaitDispatched, events...)
		must(t, err)
		switch i {
		case 0:
			first = at
		case 38:
			middle = at
		}
	}
	if length := client.XLen(t.Context(), streamPrefix+"a").Val(); length < 1000 || length > 1500 {
		t.Errorf("%d events are kept", length)
	}
	if _, recovered := n.replay(t, first, "a"); recovered {
		t.Error("recovered what is not there any more")
	}
	if kinds, recovered := n.replay(t, middle, "a"); len(strings.Fields(kinds)) != 199 || !recovered {
		t.Errorf("%d events, recovered %v", len(strings.Fields(kinds)), recovered)
	}
}

func TestALongHistoryComesInPages(t *testing.T) {
	emptied(t)
	n := openNode(t, Options{URL: server.URL()}, ">")
	since := n.say(t, "c0", "start")
	var want [3][]string
	for range 4 {
		var events []*event.Event
		for i := range 900 {
			ev := bustest.NewEvent(t, fmt.Sprint("k", i), fmt.Sprint("c", i%3), "")
			want[i%3] = append(want[i%3], ev.Type)
			events = append(events, ev)
		}
		_, err := n.publish(t, bus.WaitDispatched, events...)
		must(t, err)
	}
	for i := range want {
		kinds, recovered := n.replay(t, since, fmt.Sprint("c", i))
		if kinds != strings.Join(want[i], " ") || !recovered {
			t.Errorf("c%d: %d events of %d, recovered %v", i, len(strings.Fields(kinds)), len(want[i]), recovered)
		}
	}
	if kinds, recovered := n.replay(t, since, "*"); len(strings.Fields(kinds)) != 3600 || !recovered {
		t.Errorf("%d events, recovered %v", len(strings.Fields(kinds)), recovered)
	}
}

func TestChosenIDsAreAcceptedOnceByAllNodes(t *testing.T) {
	client := emptied(t)
	options := Options{URL: server.URL()}
	n, other := openNode(t, options, ">"), openNode(t, options, ">")
	first, err := n.publish(t, bus.WaitDispatched, bustest.NewEvent(t, "one", "a", "mine"), bustest.NewEvent(t, "two", "b", "yours"))
	must(t, err)
	again, err := other.publish(t, bus.WaitDispatched, bustest.NewEvent(t, "again", "c", "mine"), bustest.NewEvent(t, "three", "a", ""))
	must(t, err)
	for _, since := range []event.Position{first, again} {
		if kinds, recovered := other.replay(t, since, "a"); kinds != "three" || !recovered {
			t.Errorf("since %s: %q, recovered %v", since, kinds, recovered)
		}
	}
	other.awaitKinds(t, "one two three")
	if ttl := client.PTTL(t.Context(), idPrefix+"mine").Val(); ttl <= 0 || ttl > time.Hour {
		t.Errorf("the id is known for %v", ttl)
	}
}

func TestAllEventsOfARequestOrNone(t *testing.T) {
	client := emptied(t)
	n := openNode(t, Options{URL: server.URL()}, ">")
	must(t, client.Set(t.Context(), streamPrefix+"b", "a text", 0).Err())
	for _, events := range [][]*event.Event{
		{bustest.NewEvent(t, "x", "b", "")},
		{bustest.NewEvent(t, "x", "a", ""), bustest.NewEvent(t, "x", "b", "")},
		{bustest.NewEvent(t, "x", "a", "chosen"), bustest.NewEvent(t, "x", "b", "")},
	} {
		_, err := n.publish(t, bus.WaitDispatched, events...)
		if fault.CodeOf(err) != fault.BusError || !strings.Contains(err.Error(), streamPrefix+"b") || !strings.Contains(err.Error(), "wrong type") {
			t.Errorf("%v, want BUS_ERROR that names the key", err)
		}
	}
	must(t, client.Del(t.Context(), streamPrefix+"b").Err())
	_, err := n.publish(t, bus.WaitDispatched, bustest.NewEvent(t, "y", "a", "chosen"), bustest.NewEvent(t, "y", "b", ""))
	must(t, err)
	n.awaitKinds(t, "y y")
	n.checkStreams(t.Context(), t, client, "a", "b")
}

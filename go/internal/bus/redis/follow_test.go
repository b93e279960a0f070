package redis

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// TestTheFirstEventOfAChannelArrives lets two nodes publish on channels that nobody has
// seen before, several at a time, while a third follows them by wildcards only.
func TestTheFirstEventOfAChannelArrives(t *testing.T) {
	client := emptied(t)
	options := Options{URL: server.URL()}
	reader := openNode(t, options, "n.>")
	const channels = 200
	var names []string
	for i := range channels {
		names = append(names, fmt.Sprintf("n.%d", i))
	}
	var group sync.WaitGroup
	for range 2 {
		n := openNode(t, options, "elsewhere")
		group.Go(func() {
			for i := 0; i < channels; i += 5 {
				var events []*event.Event
				for _, name := range names[i : i+5] {
					events = append(events, bustest.NewEvent(t, "x", name, ""))
				}
				if _, err := n.publish(t, bus.WaitAccepted, events...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	reader.checkStreams(t.Context(), t, client, names...)
	if n := len(reader.Delivered()); n != 2*channels {
		t.Errorf("%d deliveries", n)
	}
}

// TestWhatIsPublishedAfterFollowingArrives follows one channel after another while
// another node publishes on all of them without pause: everything that it began to
// publish after Follow had returned arrives, and everything before is history.
func TestWhatIsPublishedAfterFollowingArrives(t *testing.T) {
	emptied(t)
	options := Options{URL: server.URL()}
	reader, writer := openNode(t, options), openNode(t, options)
	const channels = 25
	stop := make(chan struct{})
	var mu sync.Mutex
	began := map[string]time.Time{} // of event ids
	channelOf := map[string]string{}
	var group sync.WaitGroup
	for w := range 3 {
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			for {
				select {
				case <-stop:
					return
				default:
				}
				ev := bustest.NewEvent(t, "x", fmt.Sprintf("f%d.x", random.IntN(channels)), "")
				mu.Lock()
				began[ev.ID], channelOf[ev.ID] = time.Now(), ev.Channel
				mu.Unlock()
				if _, err := writer.publish(t, bus.WaitAccepted, ev); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	followed := map[string]time.Time{}
	for i := range channels {
		pattern := fmt.Sprintf("f%d.x", i)
		if i%2 == 1 {
			pattern = fmt.Sprintf("f%d.*", i)
		}
		reader.follow(t, pattern)
		followed[fmt.Sprintf("f%d.x", i)] = time.Now()
	}
	close(stop)
	group.Wait()
	reader.follow(t, "end")
	if _, err := writer.publish(t, bus.WaitAccepted, bustest.NewEvent(t, "end", "end", "")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the last event", func() bool {
		all := reader.Delivered()
		return len(all) > 0 && all[len(all)-1].Event.Type == "end"
	})
	times := map[string]int{}
	for _, one := range reader.Delivered() {
		times[one.Event.ID]++
	}
	for id, when := range began {
		if times[id] > 1 {
			t.Errorf("%s was delivered %d times", id, times[id])
		}
		if times[id] == 0 && when.After(followed[channelOf[id]]) {
			t.Errorf("an event on %s was published %v after following and never came", channelOf[id], when.Sub(followed[channelOf[id]]))
		}
	}
}

func TestPublishersNeverWaitForWhatIsNotRead(t *testing.T) {
	emptied(t)
	n := openNode(t, Options{URL: server.URL()})
	stop := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			n.follow(t, "a", "b.*")
			n.bus.Unfollow(bustest.Patterns(t, "a", "b.*"))
		}
	})
	for i := range 300 {
		began := time.Now()
		n.say(t, []string{"a", fmt.Sprint("b.", i)}[i%2], "x")
		if took := time.Since(began); took > 3*time.Second {
			t.Fatalf("a publish took %v", took)
		}
	}
	close(stop)
	group.Wait()
}

func TestAStreamThatNobodyAnnouncedIsFound(t *testing.T) {
	client := emptied(t)
	add(t.Context(), t, client, "old.a", "*", 0) // it was there before anybody followed it
	n, other := openNode(t, Options{URL: server.URL()}, ">"), openNode(t, Options{URL: server.URL()}, "out.*")
	began := time.Now()
	add(t.Context(), t, client, "out.a", "*", 1)
	add(t.Context(), t, client, "out.a", "*", 2)
	n.say(t, "b", "meanwhile")
	// A node that publishes there announces it at once.
	add(t.Context(), t, client, "out.b", "*", 1)
	n.say(t, "out.b", "said")
	for _, one := range []*node{n, other} {
		eventually(t, "both", func() bool { return len(one.delivered("out.b")) == 2 })
	}
	must(t, client.Set(t.Context(), streamPrefix+"out.text", "no stream", 0).Err())
	addRaw(t.Context(), t, client, "bad name", "*", dataField, "x")
	for _, one := range []*node{n, other} {
		eventually(t, "what was added", func() bool { return len(one.delivered("out.a")) == 2 })
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	add(t.Context(), t, client, "out.a", "*", 3)
	for _, one := range []*node{n, other} {
		eventually(t, "the next", func() bool { return len(one.delivered("out.a")) == 3 })
		if got := one.delivered("old.a"); len(got) != 0 {
			t.Errorf("%d events from before were delivered", len(got))
		}
		if epoch := one.server.State()["late"]; epoch != uint64(0) {
			t.Errorf("what was found counts as late: %v\n%s", epoch, one.log)
		}
	}
}

func (n *node) delivered(channel string) (events []*event.Event) {
	for _, one := range n.Delivered() {
		if one.Event.Channel == channel {
			events = append(events, one.Event)
		}
	}
	return events
}

func TestOutsidersAreRead(t *testing.T) {
	client := emptied(t)
	n := openNode(t, Options{URL: server.URL()}, "a")
	listener := client.Subscribe(t.Context(), "a")
	defer listener.Close()
	if _, err := listener.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	addRaw(t.Context(), t, client, "a", "*", "other", "x")
	addRaw(t.Context(), t, client, "a", "*", dataField, "{")
	addRaw(t.Context(), t, client, "a", "*", dataField, `{"event_type":"written","channel":"a","data":{"n":1}}`)
	n.say(t, "a", "said")
	n.awaitKinds(t, "written said")
	if got := n.server.State()["malformed"]; got != uint64(2) {
		t.Errorf("%v malformed", got)
	}
	if told := strings.Count(n.log.String(), "is no event and is skipped"); told != 1 {
		t.Errorf("the log tells of them %d times in a moment", told)
	}
	heard, err := listener.ReceiveMessage(t.Context())
	if err != nil || heard.Payload == "" || heard.Channel != "a" {
		t.Errorf("a listener hears %v, %v", heard, err)
	}
	ev, err := event.Decode([]byte(heard.Payload))
	if err != nil || ev.Type != "said" {
		t.Errorf("a listener hears %v, %v", ev, err)
	}
}

func TestAnEmptyChannelIsDroppedAndHeardOfAgain(t *testing.T) {
	emptied(t)
	options := Options{URL: server.URL(), Retention: 300 * time.Millisecond}
	n, writer := openNode(t, options, "d.*", "named"), openNode(t, options)
	publish := func(channel, kind string) {
		t.Helper()
		if _, err := writer.publish(t, bus.WaitAccepted, bustest.NewEvent(t, kind, channel, "")); err != nil {
			t.Fatal(err)
		}
	}
	publish("d.a", "first")
	publish("named", "first")
	n.awaitKinds(t, "first first")
	most := n.server.State()["channels"].(int)
	rounds := 0
	eventually(t, "the channel to be dropped", func() bool {
		publish("d.b", "tick")
		rounds++
		return n.server.State()["channels"] == most // d.b instead of d.a
	})
	publish("d.a", "again")
	publish("named", "again")
	eventually(t, "the events after that", func() bool { return len(n.delivered("d.a")) == 2 && len(n.delivered("named")) == 2 })
	if got := len(n.delivered("d.b")); got != rounds {
		t.Errorf("%d of %d", got, rounds)
	}
}

// TestMarksOfAClockThatWentBack writes an entry with a time that has passed.
func TestAClockThatGoesBackIsANewEpoch(t *testing.T) {
	client := emptied(t)
	n, other := openNode(t, Options{URL: server.URL()}, "a", "b"), openNode(t, Options{URL: server.URL()}, ">")
	n.say(t, "b", "zero")
	since := n.say(t, "a", "one")
	other.awaitKinds(t, "zero one")
	late := bustest.NewEvent(t, "late", "c", "")
	n.follow(t, "c")
	must(t, client.XAdd(t.Context(), &redis.XAddArgs{Stream: streamPrefix + "c", ID: "5-1", Values: []string{dataField, string(late.AppendJSON(nil))}}).Err())
	n.AwaitDelivered(3)
	if kinds, recovered := n.replay(t, since, ">"); recovered {
		t.Errorf("recovered %q, which may lack the late one", kinds)
	}
	// A new epoch knows nothing of the millisecond in which it began.
	began := client.Time(t.Context()).Val().UnixMilli()
	eventually(t, "the next millisecond", func() bool { return client.Time(t.Context()).Val().UnixMilli() > began })
	at := n.say(t, "a", "two")
	if kinds, recovered := other.replay(t, at, ">"); kinds != "" || !recovered {
		t.Errorf("in the new epoch: %q, %v", kinds, recovered)
	}
	if n.server.State()["late"] == uint64(0) || n.server.State()["lost"] != uint64(0) {
		t.Errorf("%v", n.server.State())
	}
}

func TestMarksAreCoveredByLaterOnes(t *testing.T) {
	s := &Server{}
	one := &mark{at: place{5, []seen{{1, 3}}}, wake: 2}
	for i, c := range []struct {
		at   *mark
		want bool
	}{
		{&mark{at: place{5, []seen{{1, 3}}}, wake: 2}, true},
		{&mark{at: place{5, []seen{{2, 9}, {1, 4}}}, wake: 3}, true},
		{&mark{at: place{ms: 6}, wake: 2}, true},
		{&mark{at: place{ms: 6}, wake: 1}, false},
		{&mark{at: place{ms: 5}, wake: 2}, false},
		{&mark{at: place{5, []seen{{1, 2}}}, wake: 2}, false},
		{&mark{at: place{ms: 4}, wake: 9}, false},
	} {
		if got := s.Covers(remote.Mark(c.at), remote.Mark(one)); got != c.want {
			t.Errorf("%d: %v", i, got)
		}
	}
}

package redis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// readerOf is a server that follows channels, and whose reader is not reading.
func readerOf(t *testing.T, options Options, channels ...string) *Server {
	t.Helper()
	s, err := New(options)
	must(t, err)
	t.Cleanup(s.Close)
	at, err := s.Open(t.Context())
	must(t, err)
	wanted, err := s.Follow(t.Context(), bustest.Patterns(t, channels...))
	must(t, err)
	for !s.Covers(at, wanted) {
		items, err := s.Read(t.Context())
		must(t, err)
		for _, one := range items {
			at = one.Mark
		}
	}
	return s
}

// read reads until so many events have come.
func read(t *testing.T, s *Server, count int) (items []remote.Item) {
	t.Helper()
	for len(items) < count {
		some, err := s.Read(t.Context())
		must(t, err)
		for _, one := range some {
			if one.Event != nil {
				items = append(items, one)
			}
		}
	}
	if len(items) > count {
		t.Errorf("%d events, want %d", len(items), count)
	}
	return items
}

// crowdOn is a crowd of requests of one event, on these channels in turn.
func crowdOn(t *testing.T, channels ...string) (requests []*remote.Request) {
	for n := range crowd + len(channels) {
		requests = append(requests, asked(t, channels[n%len(channels)]))
	}
	return requests
}

// TestAPanicOverWhatAFlightHasBroughtLosesNoneOfIt has a bug met by what another program has written: the reader reads it by itself.
func TestAPanicOverWhatAFlightHasBroughtLosesNoneOfIt(t *testing.T) {
	client := emptied(t)
	s := readerOf(t, Options{URL: server.URL()}, "a")
	add(t.Context(), t, client, "a", "*", 0)
	s.outgoing.own.find = func([][]byte, []*event.Event) { panic("bug") }
	requests := crowdOn(t, "a")
	func() {
		defer func() {
			if recover() == nil {
				t.Error("nothing was brought")
			}
		}()
		s.Publish(t.Context(), requests)
	}()
	if items := read(t, s, 1+len(requests)); string(items[0].Event.Data) != `{"n":0}` {
		t.Errorf("the first event is %s", items[0].Event.Data)
	}
}

func TestWhatAddsACrowdReadsForTheReader(t *testing.T) {
	client := emptied(t)
	s := readerOf(t, Options{URL: server.URL()}, "a", "b")
	for n, channel := range []string{"a", "b", "a", "b"} {
		add(t.Context(), t, client, channel, "*", n)
		written := client.Time(t.Context()).Val()
		eventually(t, "the next millisecond", func() bool { return client.Time(t.Context()).Val().Sub(written) > time.Millisecond })
	}
	before := executed(t, client, "xread")
	requests := append(crowdOn(t, "a", "b", "elsewhere"), asked(t, "a", "b", "a"))
	s.Publish(t.Context(), requests)
	var own []*event.Event
	for _, r := range requests {
		must(t, r.Err)
		for _, ev := range r.Events {
			if ev.Channel != "elsewhere" {
				own = append(own, ev)
			}
		}
	}
	items := read(t, s, 4+len(own))
	if got := executed(t, client, "xread") - before; got != 1 {
		t.Errorf("%d XREADs, want one", got)
	}
	for i, one := range items[:4] {
		if want := fmt.Sprintf(`{"n":%d}`, i); string(one.Event.Data) != want {
			t.Errorf("event %d of another program is %s", i, one.Event.Data)
		}
	}
	for i, one := range items[4:] {
		if one.Event != own[i] {
			t.Fatalf("event %d is %v, want the one that was published", i, one.Event)
		}
	}
	// Who has received some of it goes on behind that, and the reader behind all of it.
	at := s.Reached(items[40].Mark, nil)
	rest, err := s.History(t.Context(), at, items[len(items)-1].Mark, bustest.Patterns(t, "a", "b"))
	if err != nil || len(rest) != len(items)-41 {
		t.Errorf("%d events after the first 41 of %d, %v", len(rest), len(items), err)
	}
	if late := s.counters.late.Load(); late > 0 {
		t.Errorf("%d came late", late)
	}
	add(t.Context(), t, client, "b", "*", 4)
	if last := read(t, s, 1)[0]; string(last.Event.Data) != `{"n":4}` {
		t.Errorf("then %s is read", last.Event.Data)
	}
	for _, name := range []string{"a", "b"} {
		if from := s.reading.tail.follows(name); from.added != client.XLen(t.Context(), from.key).Val() {
			t.Errorf("of %s %d entries are counted", name, from.added)
		}
	}
}

// TestWhoDoesNotFlyIsReadAsAlways publishes where a transaction is not to read.
func TestWhoDoesNotFlyIsReadAsAlways(t *testing.T) {
	client := emptied(t)
	known := func() *remote.Request {
		r := asked(t, "a")
		r.Events[0].ChosenID = true
		return r
	}
	many := slices.Collect(func(yield func(string) bool) {
		for i := range 2 * crowd {
			yield(fmt.Sprint("many.", i))
		}
	})
	for name, c := range map[string]struct {
		requests []*remote.Request
		channels []string
		prepare  func(s *Server)
	}{
		"few":             {crowdOn(t, "a")[:crowd-1], []string{"a"}, nil},
		"a chosen id":     {append(crowdOn(t, "a"), known()), []string{"a"}, nil},
		"many streams":    {crowdOn(t, "a"), append(many, "a"), nil},
		"another server":  {crowdOn(t, "a"), []string{"a"}, func(s *Server) { s.flights.run = "another" }},
		"a suspected gap": {crowdOn(t, "a"), []string{"a"}, func(s *Server) { s.reading.tail.suspect(s.reading.tail.follows("a")) }},
		"the reader has enough": {crowdOn(t, "a"), []string{"a"}, func(s *Server) {
			s.flights.landed = slices.Repeat([]entry{{from: new(stream), mark: new(mark)}}, mostLanded)
		}},
	} {
		s := readerOf(t, Options{URL: server.URL()}, c.channels...)
		if c.prepare != nil {
			c.prepare(s)
		}
		before := executed(t, client, "xread")
		s.Publish(t.Context(), c.requests)
		if got := executed(t, client, "xread") - before; got != 0 {
			t.Errorf("%s: publishing has asked for %d XREADs", name, got)
		}
		for i, one := range read(t, s, len(c.requests)) {
			if want := c.requests[i].Events[0].ID; one.Event.ID != want {
				t.Fatalf("%s: event %d is %s, want %s", name, i, one.Event.ID, want)
			}
		}
	}
}

// TestAnotherEpochIsNotReadByAFlight has the history end before a flight.
func TestAnotherEpochIsNotReadByAFlight(t *testing.T) {
	client := emptied(t)
	s := readerOf(t, Options{URL: server.URL()}, "a")
	must(t, client.FlushAll(t.Context()).Err())
	requests := crowdOn(t, "a")
	s.Publish(t.Context(), requests)
	for _, r := range requests {
		must(t, r.Err)
	}
	if len(s.flights.landed) > 0 || s.flights.current != nil {
		t.Errorf("%d entries have landed", len(s.flights.landed))
	}
}

// TestRefusalsWithinAFlight has Redis refuse some of a crowd, before it is executed or while it is: each request gets
// its own answer, and what was accepted is read in its order, once.
func TestRefusalsWithinAFlight(t *testing.T) {
	own := startOwn(t)
	admin := clientOf(t, own)
	must(t, admin.Set(t.Context(), streamPrefix+"wrong", "text", 0).Err())
	must(t, admin.Do(t.Context(), append([]any{"acl", "setuser", "app", "on", ">hunter2"}, words(
		rights+" resetkeys ~fraiseql:channels* ~fraiseql:floors ~fraiseql:epoch ~fraiseql:scanner ~fraiseql:wake:* ~fraiseql:ids:* ~fraiseql:events:a ~fraiseql:events:b ~fraiseql:events:wrong")...)...).Err())
	for _, c := range []struct {
		name    string
		refused [][]string
		code    fault.Code
		says    string
	}{
		{"the wrong type", [][]string{{"wrong"}, {"a", "wrong", "b"}}, fault.BusError, streamPrefix + "wrong"},
		{"no right to a key", [][]string{{"forbidden"}, {"b", "forbidden", "a"}}, fault.BusError, streamPrefix + "forbidden"},
		{"both", [][]string{{"a", "wrong"}, {"forbidden"}}, fault.BusError, ""},
	} {
		s := readerOf(t, Options{URL: own.Login("app", "hunter2")}, "a", "b")
		for round := range 2 { // the second one finds the channels announced
			requests := crowdOn(t, "a", "b")
			for _, channels := range c.refused {
				requests = slices.Insert(requests, 40, asked(t, channels...), asked(t, "b", "a"))
			}
			s.Publish(t.Context(), requests)
			accepted := map[string]bool{}
			for i, r := range requests {
				bad := slices.ContainsFunc(r.Events, func(ev *event.Event) bool { return ev.Channel == "wrong" || ev.Channel == "forbidden" })
				if bad && (fault.CodeOf(r.Err) != c.code || !strings.Contains(r.Err.Error(), c.says)) || !bad && r.Err != nil {
					t.Fatalf("%s, round %d, request %d: %v", c.name, round, i, r.Err)
				}
				for _, ev := range r.Events {
					accepted[ev.ID] = !bad
				}
			}
			for _, one := range read(t, s, crowd+2+2*len(c.refused)) {
				if !accepted[one.Event.ID] {
					t.Errorf("%s: %s was not accepted, or is read twice", c.name, one.Event.ID)
				}
				delete(accepted, one.Event.ID)
			}
		}
		for _, name := range []string{"a", "b"} {
			if from := s.reading.tail.follows(name); from.added >= 0 && from.added != entriesAdded(t, admin, from.key) {
				t.Errorf("%s: of %s %d entries are counted, and Redis counts %d", c.name, name, from.added, entriesAdded(t, admin, from.key))
			}
		}
	}
}

func words(text string) (all []any) {
	for _, one := range strings.Fields(text) {
		all = append(all, one)
	}
	return all
}

func entriesAdded(t *testing.T, client *redis.Client, key string) int64 {
	t.Helper()
	info, err := client.XInfoStream(t.Context(), key).Result()
	must(t, err)
	return info.EntriesAdded
}

// TestMultiTakenFromAConnectionInUseWithinAFlight has the commands of a flight executed one by one.
func TestMultiTakenFromAConnectionInUseWithinAFlight(t *testing.T) {
	own := startOwn(t)
	admin := clientOf(t, own)
	must(t, admin.Do(t.Context(), append([]any{"acl", "setuser", "app", "on", ">hunter2"}, words(rights)...)...).Err())
	s := readerOf(t, Options{URL: own.Login("app", "hunter2")}, "a", "b")
	first := crowdOn(t, "a", "b")
	s.Publish(t.Context(), first)
	read(t, s, len(first))
	must(t, admin.Do(t.Context(), "acl", "setuser", "app", "-multi").Err())
	requests := append(crowdOn(t, "a", "b"), asked(t, "a", "b"))
	s.Publish(t.Context(), requests)
	for i, r := range requests {
		if r.Err != nil {
			t.Errorf("request %d: %v", i, r.Err)
		}
	}
	if len(s.flights.landed) > 0 {
		t.Error("what was executed one by one is taken for a transaction")
	}
	if s.outgoing.link.client != nil {
		t.Error("a connection without transactions is kept")
	}
	read(t, s, len(requests)+1)
}

// TestAFlightIsCutOffByWhatOthersWrite has more there than one XREAD brings: what is added behind that is read by itself.
func TestAFlightIsCutOffByWhatOthersWrite(t *testing.T) {
	client := emptied(t)
	s := readerOf(t, Options{URL: server.URL(), Batch: 10}, "a", "b")
	for n := range 25 {
		add(t.Context(), t, client, "a", "*", n)
	}
	requests := crowdOn(t, "a", "b")
	s.Publish(t.Context(), requests)
	items := read(t, s, 25+len(requests))
	ids := map[string][]string{}
	for _, one := range items {
		ids[one.Event.Channel] = append(ids[one.Event.Channel], one.Event.ID)
	}
	for _, channel := range []string{"a", "b"} {
		entries, err := client.XRange(t.Context(), streamPrefix+channel, "-", "+").Result()
		must(t, err)
		for i, one := range entries {
			if text, _ := one.Values[dataField].(string); !strings.Contains(text, ids[channel][i]) {
				t.Fatalf("event %d of %s is %s, and in the stream it is %s", i, channel, ids[channel][i], text)
			}
		}
	}
}

// TestAClockThatGoesBackWithinAFlight has a stream whose newest id is in the future: what is added there comes later than
// what follows on another one.
func TestAClockThatGoesBackWithinAFlight(t *testing.T) {
	client := emptied(t)
	s := readerOf(t, Options{URL: server.URL()}, "a", "b")
	ahead := time.Now().Add(time.Minute).UnixMilli()
	add(t.Context(), t, client, "a", fmt.Sprintf("%d-0", ahead), 0)
	for round := range 2 {
		requests := crowdOn(t, "a", "b")
		s.Publish(t.Context(), requests)
		read(t, s, len(requests)+1-round)
		if late := s.counters.late.Load(); round == 0 && late > 0 {
			t.Error("what one flight has brought is late for itself")
		}
	}
	if s.counters.late.Load() == 0 {
		t.Error("nobody has noticed")
	}
}

// flightsOf has a reader that has given back its tail.
func flightsOf(channels ...string) *flights {
	f := new(flights)
	f.open(following(channels...))
	f.release("run")
	return f
}

func TestTheReaderWaitsForFlights(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	// took is the least of some waits: the machine may be busy.
	took := func(f *flights, begin func(), follows, must bool) time.Duration {
		least := time.Hour
		for range 20 {
			f.release("run")
			begin()
			begun := time.Now()
			if landed := f.await(ctx, follows, must); len(landed) > 0 || !f.reading || f.current != nil {
				t.Fatalf("%d entries have landed; the reader reads %v", len(landed), f.reading)
			}
			least = min(least, time.Since(begun))
		}
		return least
	}
	nothing := func() {}
	f := flightsOf("a")
	fly := func() {
		if f.begin(crowd, "run") == nil {
			t.Fatal("no flight begins")
		}
	}
	if got := took(f, nothing, false, false); got >= flightPatience {
		t.Errorf("%v are waited for nothing", got)
	}
	if got := took(f, nothing, true, false); got >= flightPatience {
		t.Errorf("after a crowd of others', one of this node's is waited for %v", got)
	}
	publish := func() {
		f.reading = true
		f.begin(crowd, "run")
		f.release("run")
	}
	if got := took(f, publish, true, false); got < flightPatience {
		t.Errorf("after a crowd, another one is waited for %v", got)
	}
	if got := took(f, publish, true, true); got >= flightPatience {
		t.Errorf("%v are waited for though the reader must read", got)
	}
	if got := took(f, fly, false, false); got < landingPatience*9/10 {
		t.Errorf("a flight is waited for %v", got)
	}
	f.tail.skewed = true
	if got := took(f, publish, true, false); got >= flightPatience {
		t.Errorf("%v are waited for though there is something to be put right", got)
	}
	f.tail.skewed = false
	cancel()
	if got := took(f, fly, true, false); got >= flightPatience {
		t.Errorf("%v are waited for when all ends", got)
	}
}

func TestAFlightLandsUnlessTheReaderHasCeasedToWait(t *testing.T) {
	f := flightsOf("a")
	at := streamID{ms: 5}
	landing := func(one *flight) {
		from := f.tail.follows("a")
		found := &brought{entries: []entry{{id: at.next(), from: from, event: bustest.NewEvent(t, "found", "a", "")}}, moves: []move{{from, at.next(), 1}}}
		at.ms++
		f.land(one, "", found, nil)
	}
	first := f.begin(crowd, "run")
	if f.begin(crowd, "run") != nil {
		t.Error("two are under way at once")
	}
	waited := bustest.Started(func() {
		if landed := f.await(t.Context(), false, false); len(landed) != 1 || landed[0].event == nil || landed[0].mark == nil {
			t.Errorf("%d entries have landed", len(landed))
		}
	})
	landing(first)
	bustest.Receive(t, waited, "the reader")
	if f.reading {
		t.Error("the reader has the tail, and what a flight has brought")
	}
	late := f.begin(crowd, "run")
	if landed := f.await(t.Context(), false, false); len(landed) > 0 || !f.reading {
		t.Errorf("%d entries have landed", len(landed))
	}
	if f.begin(crowd, "run") != nil {
		t.Error("a flight begins while the reader reads")
	}
	landing(late)
	if len(f.landed) > 0 || f.tail.follows("a").last != (streamID{ms: 5, seq: 1}) {
		t.Error("what the reader has ceased to wait for counts as read")
	}
	f.release("run")
	empty := f.begin(crowd, "run")
	f.land(empty, "", nil, nil)
	if f.current != nil || len(f.landed) > 0 {
		t.Error("what has read nothing has landed")
	}
	if f.begin(crowd, "run") != nil {
		t.Error("the reader is kept waiting by the next one")
	}
	f.release("run")
	// Where the reader must read, it is given what has landed, and then the tail.
	landing(f.begin(crowd, "run"))
	if landed := f.await(t.Context(), true, true); len(landed) != 1 || f.begin(crowd, "run") != nil {
		t.Errorf("%d entries have landed, and the reader does not read", len(landed))
	}
	f.release("run")
	// That history was lost stops the next ones.
	lost := f.begin(crowd, "run")
	own := f.tail.add(channelsKey, "", streamID{})
	f.land(lost, "", &brought{entries: []entry{{id: streamID{ms: 9}, from: own, notice: &notice{epoch: "new", lost: true}}}, moves: []move{{own, streamID{ms: 9}, 1}}}, nil)
	if !f.reading || f.tail.epoch != "new" {
		t.Error("flights go on behind a loss")
	}
}

// TestWhoOpensHasTheTail opens again as after a panic of what dispatches, with a flight under way.
func TestWhoOpensHasTheTail(t *testing.T) {
	emptied(t)
	s := readerOf(t, Options{URL: server.URL()}, "a")
	if s.flights.begin(crowd, s.flights.run) == nil {
		t.Fatal("no flight begins")
	}
	_, err := s.Open(t.Context())
	must(t, err)
	if s.flights.current != nil || !s.flights.reading {
		t.Error("a flight may land while the streams are put right")
	}
}

// TestCrowdsOfSeveralNodesAreReadInOneOrder publishes by several nodes and another program at once, in requests of any
// form, while connections are killed.
func TestCrowdsOfSeveralNodesAreReadInOneOrder(t *testing.T) {
	for _, kills := range []bool{false, true} {
		own := startOwn(t)
		client := clientOf(t, own)
		var channels []string
		for i := range 10 {
			channels = append(channels, fmt.Sprint("c", i))
		}
		nodes := []*node{openNode(t, Options{URL: own.URL()}, ">"), openNode(t, Options{URL: own.URL()}, channels...)}
		stop := make(chan struct{})
		var others, publishers sync.WaitGroup
		others.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				add(t.Context(), t, client, channels[n%len(channels)], "*", n)
				if kills && n%100 == 99 {
					must(t, client.ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "yes").Err())
				}
			}
		})
		for _, n := range nodes {
			for p := range 3 {
				publishers.Go(func() {
					random := rand.New(rand.NewPCG(uint64(p), 1))
					thread := new(bus.Thread)
					for range 8 {
						var tickets []uint64
						for range 200 {
							var events []*event.Event
							for range 1 + random.IntN(2)*random.IntN(4) {
								id := ""
								if random.IntN(2000) == 0 {
									id = fmt.Sprintf("chosen-%d", random.Uint64())
								}
								events = append(events, bustest.NewEvent(t, "plain", channels[random.IntN(len(channels))], id))
							}
							receipts, err := n.bus.PublishWithExecutor(thread, events, bus.Wait(random.IntN(2)))
							must(t, err)
							for _, one := range receipts {
								tickets = append(tickets, one.Ticket)
							}
						}
						for _, ticket := range tickets {
							if !n.bus.Await(thread, ticket, patience) {
								t.Error("waited too long")
							}
							if _, err := n.bus.Outcome(thread, ticket); err != nil && !errors.As(err, new(*fault.Error)) {
								t.Error(err)
							}
						}
					}
				})
			}
		}
		publishers.Wait()
		close(stop)
		others.Wait()
		for _, n := range nodes {
			n.checkStreams(t.Context(), t, client, channels...)
			if lost := n.server.State()["lost"]; lost != uint64(0) {
				t.Errorf("lost: %v\n%s", lost, n.log)
			}
		}
		for _, one := range nodes[0].Delivered() {
			if one.Overtook {
				t.Error("an event overtook another one of its channel")
			}
		}
	}
}

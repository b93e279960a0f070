package redis

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/redis/redistest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// safely are the settings under which Redis loses nothing that it has accepted.
var safely = []string{"--appendonly", "yes", "--appendfsync", "always"}

// startOwn starts a server that a test may break.
func startOwn(t testing.TB, settings ...string) *redistest.Server {
	t.Helper()
	own, err := redistest.Start(settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := own.Stop(); err != nil {
			t.Error(err)
		}
	})
	return own
}

func clientOf(t testing.TB, own *redistest.Server) *redis.Client {
	t.Helper()
	client := own.Client()
	t.Cleanup(func() { client.Close() })
	return client
}

// through is a proxy to a server.
func through(t testing.TB, own *redistest.Server) *redistest.Proxy {
	t.Helper()
	proxy, err := redistest.NewProxy(own.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proxy.Close() })
	return proxy
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start begins a publish whose outcome is asked for later.
func (n *node) start(t testing.TB, channel, kind string) (outcome func() (event.Position, error)) {
	t.Helper()
	done := make(chan struct{})
	var at event.Position
	var err error
	go func() {
		defer close(done)
		at, err = n.publish(t, bus.WaitDispatched, bustest.NewEvent(t, kind, channel, ""))
	}()
	return func() (event.Position, error) {
		bustest.Receive(t, done, "the publish to end")
		return at, err
	}
}

func TestARestartLosesNothingThatIsOnDisk(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			own := startOwn(t, safely...)
			n, other := openNode(t, Options{URL: own.URL()}, ">"), openNode(t, Options{URL: own.URL()}, "a", "b.*")
			since := n.say(t, "a", "one")
			n.say(t, "b.x", "two")
			must(t, own.Down(signal))
			outcome := n.start(t, "a", "three")
			must(t, own.Up())
			if _, err := outcome(); err != nil {
				t.Fatal(err)
			}
			other.say(t, "b.y", "four")
			for _, one := range []*node{n, other} {
				one.awaitKinds(t, "one two three four")
				one.checkStreams(t.Context(), t, clientOf(t, own), "a", "b.x", "b.y")
				if kinds, recovered := one.replay(t, since, ">"); kinds != "two three four" || !recovered {
					t.Errorf("a replay brings %q, recovered %v", kinds, recovered)
				}
				if lost := one.server.State()["lost"]; lost != uint64(0) {
					t.Errorf("lost: %v\n%s", lost, one.log)
				}
			}
		})
	}
}

func TestAnEmptyRestartIsANewEpoch(t *testing.T) {
	own := startOwn(t)
	n, other := openNode(t, Options{URL: own.URL()}, "a", "b.*"), openNode(t, Options{URL: own.URL()}, ">")
	since := n.say(t, "a", "one")
	other.awaitKinds(t, "one")
	must(t, own.Down(syscall.SIGKILL))
	must(t, own.Up())
	at := n.say(t, "a", "two")
	other.say(t, "b.new", "three")
	for _, one := range []*node{n, other} {
		one.awaitKinds(t, "one two three")
		if kinds, recovered := one.replay(t, since, "a"); recovered {
			t.Errorf("a position from before the loss recovers %q", kinds)
		}
		if kinds, recovered := one.replay(t, at, ">"); kinds != "three" || !recovered {
			t.Errorf("a position from after the loss: %q, recovered %v", kinds, recovered)
		}
	}
	if at.Epoch == since.Epoch || n.server.State()["epoch"] != other.server.State()["epoch"] {
		t.Errorf("epochs %s and %s, then %v and %v", since.Epoch, at.Epoch, n.server.State()["epoch"], other.server.State()["epoch"])
	}
	if !strings.Contains(n.log.String()+other.log.String(), "Redis has lost events") {
		t.Errorf("nobody said so:\n%s%s", n.log, other.log)
	}
}

func TestWhoFlushesMakesANewEpoch(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	n, other := openNode(t, Options{URL: own.URL()}, "a", "b.*"), openNode(t, Options{URL: own.URL()}, ">")
	since := n.say(t, "a", "one")
	other.awaitKinds(t, "one")
	must(t, client.FlushAll(t.Context()).Err())
	eventually(t, "both to notice", func() bool {
		first, second := n.server.State()["epoch"], other.server.State()["epoch"]
		return first == second && first != since.Epoch
	})
	if _, recovered := other.replay(t, since, "a"); recovered {
		t.Error("recovered from before")
	}
	n.say(t, "a", "two")
	other.say(t, "b.new", "three")
	for _, one := range []*node{n, other} {
		one.awaitKinds(t, "one two three")
	}
	// Who resumes asks, however little time has passed.
	since = n.say(t, "a", "four")
	must(t, client.FlushAll(t.Context()).Err())
	if _, recovered := other.replay(t, since, "a"); recovered {
		t.Error("recovered from before")
	}
}

// TestALostTailIsANewEpoch restores what Redis had on disk some time ago.
func TestALostTailIsANewEpoch(t *testing.T) {
	own := startOwn(t, "--save", "")
	client := clientOf(t, own)
	n := openNode(t, Options{URL: own.URL()}, "a")
	publisher := openNode(t, Options{URL: own.URL()}, "unrelated")
	bystander := openNode(t, Options{URL: own.URL()}, "c")
	early := n.say(t, "a", "one")
	must(t, client.Save(t.Context()).Err())
	late := n.say(t, "a", "two")
	must(t, own.Down(syscall.SIGKILL))
	must(t, own.Up()) // it loads the file
	// Whoever publishes before the reader has noticed is told to do so again.
	eventually(t, "an event to be accepted", func() bool {
		_, err := n.publish(t, bus.WaitDispatched, bustest.NewEvent(t, "three", "a", "three"))
		if err != nil && fault.CodeOf(err) != fault.PublishOutcomeUnknown {
			t.Fatal(err)
		}
		return err == nil
	})
	if _, recovered := n.replay(t, late, "a"); recovered {
		t.Error("recovered from a position that is lost")
	}
	eventually(t, "all to agree", func() bool {
		return n.server.State()["epoch"] == bystander.server.State()["epoch"] && n.server.State()["epoch"] != early.Epoch
	})
	if _, recovered := bystander.replay(t, late, "a"); recovered {
		t.Error("recovered from a position that is lost")
	}
	n.awaitKinds(t, "one two three")

	// Who has only published there knows it, too.
	must(t, client.Save(t.Context()).Err())
	lost, err := publisher.publish(t, bus.WaitAccepted, bustest.NewEvent(t, "four", "d", ""))
	must(t, err)
	must(t, own.Down(syscall.SIGKILL))
	must(t, own.Up())
	eventually(t, "the publisher to notice", func() bool { return publisher.server.State()["epoch"] != lost.Epoch })
}

func TestConnectionsThatAreKilledCostNothing(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	n := openNode(t, Options{URL: own.URL()}, ">")
	var want []string
	for i := range 40 {
		kind := fmt.Sprint("e", i)
		want = append(want, kind)
		outcome := n.start(t, fmt.Sprint("c", i%3), kind)
		must(t, client.ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "yes").Err())
		if _, err := outcome(); err != nil {
			t.Fatal(err)
		}
	}
	n.awaitKinds(t, strings.Join(want, " "))
	n.checkStreams(t.Context(), t, client, "c0", "c1", "c2")
	if lost := n.server.State()["lost"]; lost != uint64(0) {
		t.Errorf("lost: %v\n%s", lost, n.log)
	}
}

func TestAPausedServerIsWaitedFor(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	n := openNode(t, Options{URL: own.URL()}, ">")
	n.say(t, "a", "one")
	must(t, client.Do(t.Context(), "client", "pause", 400, "all").Err())
	n.say(t, "a", "two")
	must(t, client.Do(t.Context(), "client", "pause", 300, "write").Err())
	n.say(t, "b", "three")
	n.awaitKinds(t, "one two three")
	n.checkStreams(t.Context(), t, client, "a", "b")
}

func TestPublishingWithoutAServerEndsInTime(t *testing.T) {
	own := startOwn(t)
	n := openBus(t, Options{URL: own.URL()}, 300*time.Millisecond)
	n.follow(t, "a")
	n.say(t, "a", "one")
	must(t, own.Down(syscall.SIGKILL))
	// The first one may meet the connection that was there.
	if _, err := n.publish(t, bus.WaitDispatched, bustest.NewEvent(t, "two", "a", "")); err == nil {
		t.Error("published to nobody")
	}
	began := time.Now()
	_, err := n.publish(t, bus.WaitDispatched, bustest.NewEvent(t, "three", "a", ""))
	if took := time.Since(began); fault.CodeOf(err) != fault.BusUnavailable || took > 3*time.Second {
		t.Errorf("after %v: %v, want BUS_UNAVAILABLE", took, err)
	}
	if !strings.Contains(err.Error(), own.Address()) {
		t.Errorf("%v does not say which server", err)
	}
	must(t, own.Up())
	eventually(t, "the node to be back", func() bool {
		_, err := n.publish(t, bus.WaitDispatched, bustest.NewEvent(t, "four", "a", ""))
		return err == nil
	})
	if got := n.kinds(); strings.Contains(got, "three") {
		t.Errorf("delivered %q: what was certainly not accepted among it", got)
	}
}

func TestSpoiledLinks(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	proxy := through(t, own)
	n, near := openNode(t, Options{URL: proxy.URL()}, ">"), openNode(t, Options{URL: own.URL()}, ">")
	if got := proxy.Links(); got > 3 {
		t.Errorf("%d connections", got)
	}
	var want []string
	say := func(from *node, kind string) {
		t.Helper()
		from.say(t, fmt.Sprint("c", len(want)%3), kind)
		want = append(want, kind)
	}
	say(n, "clean")
	proxy.Slow(30 * time.Millisecond)
	say(n, "slow")
	say(near, "near")
	proxy.Slow(0)
	for i := range 10 {
		outcome := n.start(t, fmt.Sprint("c", len(want)%3), fmt.Sprint("cut", i))
		want = append(want, fmt.Sprint("cut", i))
		proxy.Cut()
		if _, err := outcome(); err != nil {
			t.Fatal(err)
		}
	}
	// A black hole, in which a command may or may not have arrived.
	outcome := n.start(t, fmt.Sprint("c", len(want)%3), "held")
	want = append(want, "held")
	proxy.Hold(true)
	eventually(t, "the node to give its connections up", func() bool { return n.server.State()["epoch"] != "" && !n.connected() })
	proxy.Hold(false)
	if _, err := outcome(); err != nil {
		t.Fatal(err)
	}
	proxy.Refuse(true)
	proxy.Cut()
	outcome = n.start(t, fmt.Sprint("c", len(want)%3), "refused")
	want = append(want, "refused")
	proxy.Refuse(false)
	if _, err := outcome(); err != nil {
		t.Fatal(err)
	}
	say(near, "end")
	for _, one := range []*node{n, near} {
		one.awaitKinds(t, strings.Join(want, " "))
		one.checkStreams(t.Context(), t, client, "c0", "c1", "c2")
	}
}

func (n *node) connected() bool { return n.bus.State()["connection"] == "connected" }

// TestWhatIsStuckOnALostConnectionIsNotAcceptedLater lets a command lie in the network,
// where it arrives after its event has been published again over another connection.
func TestWhatIsStuckOnALostConnectionIsNotAcceptedLater(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	proxy := through(t, own)
	n := openNode(t, Options{URL: proxy.URL()}, "a")
	n.say(t, "a", "one")
	n.say(t, "b", "not followed: every answer has come")
	proxy.Freeze(true)
	n.say(t, "a", "two")
	proxy.Freeze(false)
	eventually(t, "what was stuck to come or to be refused", func() bool { return proxy.Links() == 3 })
	n.say(t, "a", "three")
	n.checkStreams(t.Context(), t, client, "a")
	n.awaitKinds(t, "one two three")
}

func TestCloseEndsAWaitingRead(t *testing.T) {
	own := startOwn(t)
	proxy := through(t, own)
	for _, held := range []bool{false, true} {
		n := openNode(t, Options{URL: proxy.URL()}, "a")
		n.say(t, "a", "one")
		n.say(t, "b", "two") // it is not followed: the publisher has its answers
		proxy.Hold(held)
		began := time.Now()
		n.close()
		if took := time.Since(began); took > time.Second {
			t.Errorf("closing took %v, black hole: %v", took, held)
		}
	}
}

func TestWithoutMemoryNothingIsAcceptedInPart(t *testing.T) {
	own := startOwn(t, "--maxmemory", "4mb", "--maxmemory-policy", "noeviction")
	client := clientOf(t, own)
	n := openNode(t, Options{URL: own.URL()}, "a", "b")
	n.say(t, "a", "one")
	must(t, client.ConfigSet(t.Context(), "maxmemory", "1mb").Err())
	for _, events := range [][]*event.Event{
		{bustest.NewEvent(t, "two", "a", "")},
		{bustest.NewEvent(t, "two", "a", ""), bustest.NewEvent(t, "two", "b", "")},
		{bustest.NewEvent(t, "two", "b", "chosen")},
	} {
		_, err := n.publish(t, bus.WaitDispatched, events...)
		if fault.CodeOf(err) != fault.BusError || !strings.Contains(err.Error(), "maxmemory") {
			t.Errorf("%v, want BUS_ERROR that names maxmemory", err)
		}
	}
	// Reading goes on, also over a new connection.
	must(t, client.ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "yes").Err())
	eventually(t, "the reader to be back", func() bool { return n.bus.State()["reconnects"] != uint64(0) && n.connected() })
	must(t, client.ConfigSet(t.Context(), "maxmemory", "0").Err())
	n.say(t, "b", "three")
	n.awaitKinds(t, "one three")
	n.checkStreams(t.Context(), t, client, "a", "b")
}

func TestAReplicaPromotedByHandGoesOn(t *testing.T) {
	master := startOwn(t, safely...)
	replica := startOwn(t, append(safely, "--replicaof", "127.0.0.1 "+fmt.Sprint(master.Port))...)
	proxy := through(t, master)
	n := openNode(t, Options{URL: proxy.URL()}, ">")
	since := n.say(t, "a", "one")
	n.say(t, "b", "two")
	old, young := clientOf(t, master), clientOf(t, replica)
	eventually(t, "the replica to have it", func() bool { return young.XLen(t.Context(), streamPrefix+"b").Val() == 1 })
	must(t, old.Do(t.Context(), "client", "pause", 10_000, "write").Err())
	eventually(t, "the replica to have everything", func() bool {
		return offset(t, old, "master_repl_offset") == offset(t, young, "master_repl_offset")
	})
	must(t, young.Do(t.Context(), "replicaof", "no", "one").Err())
	proxy.Aim(replica.Address())
	proxy.Cut()
	n.say(t, "a", "three")
	n.awaitKinds(t, "one two three")
	if kinds, recovered := n.replay(t, since, ">"); kinds != "two three" || !recovered {
		t.Errorf("%q, recovered %v\n%s", kinds, recovered, n.log)
	}
}

// offset is a field of the server's account of its replication.
func offset(t testing.TB, client *redis.Client, field string) string {
	t.Helper()
	for line := range strings.Lines(client.Info(t.Context(), "replication").Val()) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), field+":"); ok {
			return value
		}
	}
	t.Fatalf("there is no %s", field)
	return ""
}

func TestTheSentinelsNameTheServer(t *testing.T) {
	master := startOwn(t, safely...)
	replica := startOwn(t, append(safely, "--replicaof", "127.0.0.1 "+fmt.Sprint(master.Port))...)
	var addresses []string
	for range 3 {
		sentinel, err := redistest.StartSentinel("mymaster", master, 2)
		must(t, err)
		t.Cleanup(func() {
			if err := sentinel.Stop(); err != nil {
				t.Error(err)
			}
		})
		addresses = append(addresses, sentinel.Address())
	}
	n := openNode(t, Options{URL: "redis+sentinel://" + strings.Join(addresses, ",") + "/0?master=mymaster"}, ">")
	since := n.say(t, "a", "one")
	young := clientOf(t, replica)
	eventually(t, "the replica to have it", func() bool { return young.XLen(t.Context(), streamPrefix+"a").Val() == 1 })
	first := redis.NewSentinelClient(&redis.Options{Addr: addresses[0]})
	defer first.Close()
	eventually(t, "the sentinels to know each other and the replica", func() bool {
		state, err := first.Master(t.Context(), "mymaster").Result()
		return err == nil && state["num-other-sentinels"] == "2" && state["num-slaves"] == "1"
	})
	must(t, master.Down(syscall.SIGKILL))
	eventually(t, "the replica to be promoted", func() bool {
		_, err := n.publish(t, bus.WaitDispatched, bustest.NewEvent(t, "two", "a", ""))
		return err == nil
	})
	if kinds, recovered := n.replay(t, since, "a"); kinds != "two" || !recovered {
		t.Errorf("%q, recovered %v\n%s", kinds, recovered, n.log)
	}
	if got := n.server.State()["address"]; got != replica.Address() {
		t.Errorf("connected to %v, not %s", got, replica.Address())
	}
}

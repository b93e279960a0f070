package redis

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/redis/redistest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// batch are so many events on each channel, in turn.
func batch(t *testing.T, each int, channels ...string) (events []*event.Event) {
	for n := range each {
		for _, channel := range channels {
			events = append(events, bustest.NewEvent(t, fmt.Sprint("batch", n), channel, ""))
		}
	}
	return events
}

// waitForReader waits until a server has readers that wait.
func waitForReader(t *testing.T, client *redis.Client, count int) {
	t.Helper()
	eventually(t, "the readers to wait", func() bool {
		return strings.Contains(client.Info(t.Context(), "clients").Val(), fmt.Sprintf("blocked_clients:%d\r\n", count))
	})
}

// state is what can be told of a stream, but for its last id, which need not be one of an entry.
func state(t *testing.T, client *redis.Client, key string) string {
	t.Helper()
	if client.Exists(t.Context(), key).Val() == 0 {
		return "none"
	}
	info, err := client.XInfoStream(t.Context(), key).Result()
	must(t, err)
	if info.MaxDeletedEntryID == "0-1" {
		info.MaxDeletedEntryID = "0-0"
	}
	info.LastGeneratedID, info.RadixTreeKeys, info.RadixTreeNodes = "", 0, 0
	return fmt.Sprintf("%+v", *info)
}

// TestABatchIsAcceptedTogetherOrNotAtAll has a batch on streams of any kind, and a key among them
// that is none. Whoever follows the streams sees nothing of it, counts nothing as missed, and
// others resume from before.
func TestABatchIsAcceptedTogetherOrNotAtAll(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	key := func(channel string) string { return streamPrefix + channel }
	must(t, client.Set(t.Context(), key("wrong"), "a text", 0).Err())
	must(t, client.XGroupCreateMkStream(t.Context(), key("group"), "g", "$").Err())
	for n := range 5 {
		for _, channel := range []string{"deleted", "trimmed", "emptied"} {
			add(t.Context(), t, client, channel, fmt.Sprintf("%d-0", 1+n), n)
		}
	}
	must(t, client.XDel(t.Context(), key("deleted"), "2-0", "5-0").Err())
	must(t, client.XTrimMaxLen(t.Context(), key("trimmed"), 2).Err())
	must(t, client.XTrimMaxLen(t.Context(), key("emptied"), 0).Err())
	good := []string{"old", "new", "group", "deleted", "trimmed", "emptied"}

	publisher, reader := openNode(t, Options{URL: own.URL()}, "own"), openNode(t, Options{URL: own.URL()}, good...)
	since := publisher.say(t, "old", "first")
	reader.awaitKinds(t, "first")
	var before []string
	for _, channel := range good {
		before = append(before, state(t, client, key(channel)))
	}
	for _, each := range []int{1, 3} {
		for at := range len(good) + 1 {
			waitForReader(t, client, 2)
			_, err := publisher.publish(t, bus.WaitAccepted, batch(t, each, slices.Insert(slices.Clone(good), at, "wrong")...)...)
			if fault.CodeOf(err) != fault.BusError || !strings.Contains(err.Error(), "wrong type") || !strings.Contains(err.Error(), key("wrong")) {
				t.Errorf("with the wrong key as number %d: %v, want BUS_ERROR that names it", at, err)
			}
			for i, channel := range good {
				if after := state(t, client, key(channel)); after != before[i] {
					t.Fatalf("with the wrong key as number %d, the stream of %s was\n%s and is\n%s", at, channel, before[i], after)
				}
			}
		}
	}
	// All events are for that key: nothing else need be taken back.
	if _, err := publisher.publish(t, bus.WaitAccepted, batch(t, 2, "wrong")...); fault.CodeOf(err) != fault.BusError || !strings.Contains(err.Error(), key("wrong")) {
		t.Errorf("%v, want BUS_ERROR that names the key", err)
	}
	want := "first"
	for _, channel := range good {
		publisher.say(t, channel, channel)
		want += " " + channel
	}
	reader.awaitKinds(t, want)
	named := slices.DeleteFunc(slices.Clone(good), func(channel string) bool { return channel == "emptied" }) // when its entries went, nobody knows
	if kinds, recovered := reader.replay(t, since, named...); "first "+kinds+" emptied" != want || !recovered {
		t.Errorf("a resume brings %q, recovered %v", kinds, recovered)
	}
	nodes := []*node{publisher, reader}
	for _, n := range nodes {
		if again := n.bus.State()["reconnects"]; again != uint64(0) || missed(n) != 0 {
			t.Errorf("%v reconnects, %d missed\n%s", again, missed(n), n.log)
		}
	}
	// Now every stream's count is looked at.
	must(t, client.ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "yes").Err())
	for _, n := range nodes {
		eventually(t, "the node to be back", func() bool { return n.bus.State()["reconnects"] != uint64(0) && n.connected() })
	}
	publisher.say(t, "old", "last")
	reader.awaitKinds(t, want+" last")
	for _, n := range nodes {
		if now := n.server.State(); now["epoch"] != since.Epoch || missed(n) != 0 {
			t.Errorf("%v after epoch %s\n%s", now, since.Epoch, n.log)
		}
	}
}

// TestBatchesThatAreRefusedLeaveNoGap has others publish, and a node count what it reads, while every
// other batch is refused.
func TestBatchesThatAreRefusedLeaveNoGap(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	must(t, client.Set(t.Context(), streamPrefix+"wrong", "a text", 0).Err())
	reader := openNode(t, Options{URL: own.URL(), Batch: 10}, "a", "b")
	n, other := openNode(t, Options{URL: own.URL()}, "elsewhere"), openNode(t, Options{URL: own.URL()}, "elsewhere")
	ended := bustest.Started(func() {
		for i := range 300 {
			channels := []string{"a", "b"}
			if i%2 == 1 {
				channels = []string{"a", "wrong", "b"}
			}
			if _, err := n.publish(t, bus.WaitAccepted, batch(t, 7, channels...)...); (err != nil) != (i%2 == 1) {
				t.Error(err)
			}
		}
	})
	for range 300 {
		_, err := other.publish(t, bus.WaitAccepted, bustest.NewEvent(t, "alone", "a", ""))
		must(t, err)
	}
	bustest.Receive(t, ended, "the publisher")
	reader.checkStreams(t.Context(), t, client, "a", "b")
	if n := len(reader.Delivered()); n != 300+150*7*2 {
		t.Errorf("%d events", n)
	}
	if again := reader.bus.State()["reconnects"]; again != uint64(0) {
		t.Errorf("%v reconnects\n%s", again, reader.log)
	}
}

// TestWhatIsNoTransactionIsNotTakenBack runs the script where others have written meanwhile.
func TestWhatIsNoTransactionIsNotTakenBack(t *testing.T) {
	client := emptied(t)
	must(t, client.Set(t.Context(), streamPrefix+"wrong", "a text", 0).Err())
	ours := bustest.NewEvent(t, "ours", "a", "")
	guard := func() {
		t.Helper()
		c := call{}
		c.key(streamPrefix+"a", streamPrefix+"wrong")
		c.argument(undoScript, 1, ours.AppendID(nil), 1, "")
		undone, err := c.run(t.Context(), client, guardScript).Int()
		if err != nil || undone != 1 {
			t.Errorf("%d, %v", undone, err)
		}
	}
	guard()
	addRaw(t.Context(), t, client, "a", "*", dataField, string(ours.AppendJSON(nil)))
	add(t.Context(), t, client, "a", "*", 1)
	guard()
	addRaw(t.Context(), t, client, "a", "*", "other", "x")
	guard()
	if n := client.XLen(t.Context(), streamPrefix+"a").Val(); n != 3 {
		t.Errorf("%d entries, want 3", n)
	}
}

// user makes a user of a server, or changes its rights.
func user(t *testing.T, client *redis.Client, name, rights string) {
	t.Helper()
	arguments := []any{"acl", "setuser", name, "on", ">hunter2"}
	for _, one := range strings.Fields(rights) {
		arguments = append(arguments, one)
	}
	must(t, client.Do(t.Context(), arguments...).Err())
}

func TestABatchWithAKeyThatIsNotPermittedIsRefused(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	user(t, client, "app", strings.ReplaceAll(rights, "~fraiseql:*", "~fraiseql:channels* ~fraiseql:epoch ~fraiseql:floors ~fraiseql:wake:* ~fraiseql:events:a"))
	s := sender(t, own.Login("app", "hunter2"))
	requests := []*remote.Request{asked(t, "a", "a"), asked(t, "a", "b"), asked(t, "b", "a"), asked(t, "b", "b"), asked(t, "a")}
	s.Publish(t.Context(), requests)
	for i, r := range requests {
		if permitted := i == 0 || i == 4; permitted && r.Err != nil || !permitted && (fault.CodeOf(r.Err) != fault.BusError || !strings.Contains(r.Err.Error(), streamPrefix+"b")) {
			t.Errorf("request %d: %v", i, r.Err)
		}
	}
	if n := client.XLen(t.Context(), streamPrefix+"a").Val(); n != 3 {
		t.Errorf("%d events, want 3", n)
	}
}

// TestWithoutTheRightToTransactionsNothingIsAccepted takes the rights from a user that publishes:
// what is under way then is told as it is, and nothing more is tried.
func TestWithoutTheRightToTransactionsNothingIsAccepted(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	must(t, client.Set(t.Context(), streamPrefix+"wrong", "a text", 0).Err())
	length := func() int64 { return client.XLen(t.Context(), streamPrefix+"a").Val() }
	begin := func() *node {
		user(t, client, "app", "resetpass >hunter2 "+rights)
		must(t, client.Del(t.Context(), streamPrefix+"a").Err())
		n := openBus(t, Options{URL: own.Login("app", "hunter2")}, patience)
		n.say(t, "a", "one")
		return n
	}
	for lacking, want := range map[string]string{"-multi": "multi", "-exec": "exec"} {
		n := begin()
		user(t, client, "app", lacking)
		// Of -multi nobody knows before it is tried: each is accepted by itself.
		_, err := n.publish(t, bus.WaitAccepted, batch(t, 1, "a", "b")...)
		if lacking == "-multi" && (err != nil || length() != 2) {
			t.Errorf("%d events, %v", length(), err)
		}
		for _, channels := range [][]string{{"a", "b"}, {"a", "a"}} {
			before := length()
			_, err := n.publish(t, bus.WaitAccepted, batch(t, 1, channels...)...)
			if fault.CodeOf(err) != fault.BusError || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `"app" lacks rights`) || length() != before {
				t.Errorf("%s: %v, and %d events after %d", lacking, err, length(), before)
			}
		}
	}
	n := begin()
	user(t, client, "app", "-multi")
	if _, err := n.publish(t, bus.WaitAccepted, batch(t, 1, "a", "wrong")...); fault.CodeOf(err) != fault.PublishOutcomeUnknown || !strings.Contains(err.Error(), "multi") {
		t.Errorf("%v, want PUBLISH_OUTCOME_UNKNOWN", err)
	}
}

func TestAReplicaRefusesBatches(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	s := sender(t, own.URL())
	publish := func() []*remote.Request {
		requests := []*remote.Request{asked(t, "a"), asked(t, "a", "a"), asked(t, "a", "b")}
		s.Publish(t.Context(), requests)
		return requests
	}
	for _, r := range publish() {
		must(t, r.Err)
	}
	port, err := redistest.FreePort()
	must(t, err)
	must(t, client.Do(t.Context(), "replicaof", "127.0.0.1", port).Err())
	for i, r := range publish() {
		if fault.CodeOf(r.Err) != fault.BusError || !strings.Contains(r.Err.Error(), "read-only replica") {
			t.Errorf("request %d: %v", i, r.Err)
		}
	}
	must(t, client.Do(t.Context(), "replicaof", "no", "one").Err())
	if n := client.XLen(t.Context(), streamPrefix+"a").Val(); n != 4 {
		t.Errorf("%d events, want 4", n)
	}
	for _, r := range publish() {
		must(t, r.Err)
	}
}

// TestAnswersToATransaction reads what a server may answer, to a single stream and to several.
func TestAnswersToATransaction(t *testing.T) {
	const queued, noRight = "+OK\r\n+QUEUED\r\n+QUEUED\r\n", "-NOPERM no right\r\n"
	const wrong, id = "-WRONGTYPE Operation against a key\r\n", "$3\r\n1-2\r\n"
	const doubtful = "only some"
	for _, c := range []struct {
		name    string
		guarded bool
		answer  string
		want    string // the error, "" for none
		refused string // on which channel
	}{
		{"accepted", false, queued + "*2\r\n" + id + id, "", ""},
		{"accepted, several streams", true, queued + "+QUEUED\r\n*3\r\n" + id + id + ":0\r\n", "", ""},
		{"the script is not permitted any more", true, queued + "+QUEUED\r\n*3\r\n" + id + id + noRight, "", ""},
		{"a wrong type", false, queued + "*2\r\n" + wrong + wrong, "WRONGTYPE", "a"},
		{"a wrong type, taken back", true, queued + "+QUEUED\r\n*3\r\n" + id + wrong + ":1\r\n", "WRONGTYPE", "b"},
		{"a wrong type, not taken back", true, queued + "+QUEUED\r\n*3\r\n" + id + wrong + noRight, doubtful, "b"},
		{"all are of a wrong type", true, queued + "+QUEUED\r\n*3\r\n" + wrong + wrong + ":1\r\n", "WRONGTYPE", "a"},
		{"no right when executed", true, queued + "+QUEUED\r\n*3\r\n" + noRight + id + noRight, doubtful, "a"},
		{"no right when queued", false, "+OK\r\n" + noRight + "+QUEUED\r\n-EXECABORT Transaction discarded because of previous errors.\r\n", "NOPERM no right", "a"},
		{"no right for the script", true, queued + noRight + "-EXECABORT Transaction discarded because of previous errors.\r\n", "NOPERM no right", ""},
		{"no memory when executed", false, queued + "-EXECABORT Transaction discarded because of: OOM no\r\n", "EXECABORT", ""},
		{"refused, and cut off", false, "+OK\r\n+QUEUED\r\n-ERR Protocol error: invalid bulk length\r\n", "ERR Protocol", "b"},
		{"no transaction", false, noRight + id + id + "-ERR EXEC without MULTI\r\n", "", ""},
		{"no transaction, a wrong type", true, noRight + id + wrong + ":1\r\n-ERR EXEC without MULTI\r\n", doubtful, "b"},
		{"no transaction, nothing permitted", true, noRight + noRight + noRight + noRight + noRight, "NOPERM no right", "a"},
		{"something else", false, "+OK\r\n$3\r\n1-2\r\n", "where", ""},
	} {
		read := func(answer string) (*attempt, *reply) {
			a := &attempt{form: together, guarded: c.guarded, events: []sending{{channel: newChannelWritten("a")}, {channel: newChannelWritten("b")}}}
			r := &reply{from: strings.NewReader(answer)}
			a.read(r, false)
			return a, r
		}
		a, r := read(c.answer)
		refused := ""
		if a.refused != nil {
			refused = a.refused.name
		}
		if got := fmt.Sprint(a.err); (a.err == nil) != (c.want == "") || !strings.Contains(got, c.want) || refused != c.refused || a.err != nil && isReply(a.err) == (c.want == doubtful || c.want == "where") {
			t.Errorf("%s: %v, on %q", c.name, a.err, refused)
		}
		if a.denied != strings.HasPrefix(c.name, "no transaction") || r.bad == nil && len(r.rest) > 0 {
			t.Errorf("%s: denied %v, and %q is left", c.name, a.denied, r.rest)
		}
		if there := a.events[0].id == a.events[1].id && !a.events[0].id.isZero(); there != (c.want == "") || !there && a.events[0].id != a.events[1].id {
			t.Errorf("%s: the ids are %v and %v", c.name, a.events[0].id, a.events[1].id)
		}
		for end := range len(c.answer) {
			if a, r := read(c.answer[:end]); r.bad == nil || a.err == nil || isReply(a.err) && a.err.Error() != strings.TrimSpace(c.want) && !strings.HasPrefix(a.err.Error(), c.want) {
				t.Errorf("%s, cut off at byte %d: %v", c.name, end, a.err)
			}
		}
	}
}

func TestATransactionsRefusalIsThatOfItsCommand(t *testing.T) {
	for text, want := range map[string]string{
		"EXECABORT Transaction discarded because of: NOPERM User app has no permissions to run the 'exec' command": `"default" lacks rights`,
		"EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.":      "no memory left",
	} {
		if err := (target{addresses: []string{"h:1"}}).refusal(replyError(text), ""); fault.CodeOf(err) != fault.BusError || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := (target{addresses: []string{"h:1"}}).refusal(replyError("EXECABORT Transaction discarded because of: MISCONF disk"), ""); err == nil || fault.CodeOf(err) != "" && errors.As(err, new(*fault.Error)) {
		t.Errorf("%v, want an error after which it is tried again", err)
	}
}

// TestAChannelThatIsNoStreamIsNotAnnounced has a node follow all channels, and somebody publish on one
// whose key holds something else.
func TestAChannelThatIsNoStreamIsNotAnnounced(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	must(t, client.Set(t.Context(), streamPrefix+"wrong", "a text", 0).Err())
	n := openNode(t, Options{URL: own.URL()}, ">")
	for _, events := range [][]*event.Event{
		{bustest.NewEvent(t, "plain", "a", ""), bustest.NewEvent(t, "plain", "wrong", "")},
		{bustest.NewEvent(t, "plain", "wrong", "")},
	} {
		if _, err := n.publish(t, bus.WaitAccepted, events...); fault.CodeOf(err) != fault.BusError || !strings.Contains(err.Error(), streamPrefix+"wrong") {
			t.Errorf("%v, want BUS_ERROR that names the key", err)
		}
	}
	if _, err := n.publish(t, bus.WaitDispatched, bustest.NewEvent(t, "heard", "a", "")); err != nil {
		t.Errorf("what follows on another channel: %v", err)
	}
	n.awaitKinds(t, "heard")
}

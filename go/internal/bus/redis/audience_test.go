package redis

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/redis/go-redis/v9"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/remote"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// listen has somebody outside listen from now on, to a channel or to a pattern.
func listen(t *testing.T, client *redis.Client, to string) *redis.PubSub {
	t.Helper()
	subscribe := client.Subscribe
	if strings.Contains(to, "*") {
		subscribe = client.PSubscribe
	}
	listener := subscribe(t.Context(), to)
	t.Cleanup(func() { listener.Close() })
	_, err := listener.Receive(t.Context())
	must(t, err)
	return listener
}

// hear are the types of the next events that a listener hears.
func hear(t *testing.T, listener *redis.PubSub, count int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var kinds []string
	for range count {
		message, err := listener.ReceiveMessage(ctx)
		if err != nil {
			t.Fatalf("after %q: %v", kinds, err)
		}
		ev, err := event.Decode([]byte(message.Payload))
		must(t, err)
		if ev.Channel != message.Channel {
			t.Errorf("an event of %s is heard on %s", ev.Channel, message.Channel)
		}
		kinds = append(kinds, ev.Type)
	}
	return strings.Join(kinds, " ")
}

func TestWhoeverListensOutsideHearsWhatWasAcceptedAndNothingElse(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	n := openNode(t, Options{URL: own.URL()}, "a", "b")
	publish := func(events ...*event.Event) error {
		_, err := n.publish(t, bus.WaitAccepted, events...)
		return err
	}
	one := func(kind, channel string) *event.Event { return bustest.NewEvent(t, kind, channel, "") }
	must(t, publish(one("before", "a")))
	must(t, publish(one("before", "a"), one("before", "b")))
	if got := executed(t, client, "publish"); got != 0 {
		t.Errorf("%d PUBLISHes that nobody hears", got)
	}

	named := listen(t, client, "a")
	must(t, publish(one("one", "a")))
	must(t, publish(one("other", "b"), one("two", "a"), one("three", "a")))
	eventually(t, "a PUBLISH of each of the three that somebody hears", func() bool { return executed(t, client, "publish") == 3 })
	must(t, client.Set(t.Context(), streamPrefix+"wrong", "a text", 0).Err())
	wide := listen(t, client, "*")
	for _, events := range [][]*event.Event{{one("refused", "wrong")}, {one("refused", "a"), one("refused", "wrong")}} {
		if publish(events...) == nil {
			t.Error("a stream that is none accepts")
		}
	}
	for range 2 { // the second time it is there already
		must(t, publish(bustest.NewEvent(t, "chosen", "a", "mine")))
	}
	must(t, publish(one("last", "a")))
	if got := hear(t, named, 5); got != "one two three chosen last" {
		t.Errorf("on the channel: %q", got)
	}
	if got := hear(t, wide, 2); got != "chosen last" {
		t.Errorf("by the pattern: %q", got)
	}

	must(t, named.Close())
	must(t, wide.Close())
	eventually(t, "nobody to listen any more", func() bool {
		before := executed(t, client, "publish")
		must(t, publish(one("unheard", "x"), one("unheard", "y"))) // accepted, and not read here
		return executed(t, client, "publish") == before
	})
}

// TestWhereTheServerDoesNotTellWhoListensEverybodyHears has a listener at a replica, of whom
// the master knows nothing, and a user that may not ask.
func TestWhereTheServerDoesNotTellWhoListensEverybodyHears(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	for user, lacks := range map[string]string{"unasked": "-pubsub", "blind": "-role"} {
		must(t, client.Do(t.Context(), "acl", "setuser", user, "on", ">hunter2", "~*", "&*", "+@all", lacks).Err())
		n := openNode(t, Options{URL: own.Login(user, "hunter2")}, "a")
		before := executed(t, client, "publish")
		n.say(t, "a", "one")
		eventually(t, "a PUBLISH without "+lacks, func() bool { return executed(t, client, "publish") == before+1 })
	}

	replica := startOwn(t, "--replicaof", "127.0.0.1 "+fmt.Sprint(own.Port))
	eventually(t, "the replica to be known", func() bool {
		return strings.Contains(client.Info(t.Context(), "replication").Val(), "state=online")
	})
	far := listen(t, clientOf(t, replica), "a")
	n := openNode(t, Options{URL: own.URL()}, "a")
	n.say(t, "a", "one")
	n.say(t, "a", "two")
	if got := hear(t, far, 2); got != "one two" {
		t.Errorf("at the replica: %q", got)
	}
}

func TestWhoMayNotPublishPubSubIsToldSo(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	must(t, client.Do(t.Context(), "acl", "setuser", "mute", "on", ">hunter2", "~*", "&*", "+@all", "-publish").Err())
	listen(t, client, "a")
	n := openNode(t, Options{URL: own.Login("mute", "hunter2")}, "a")
	n.say(t, "a", "one")
	eventually(t, "the log to say that listeners miss events", func() bool {
		return strings.Contains(n.log.String(), "listeners outside") && strings.Contains(n.log.String(), "'publish'")
	})
}

// TestWhatTheServerTellsOfListenersIsReadToItsEnd has answers come byte by byte: what were left
// of them would be taken for the next answer.
func TestWhatTheServerTellsOfListenersIsReadToItsEnd(t *testing.T) {
	const none, nowhere, alone = "*2\r\n$1\r\na\r\n:0\r\n", ":0\r\n", "*3\r\n$6\r\nmaster\r\n:7\r\n*0\r\n"
	for answers, want := range map[string]string{
		none + nowhere + alone:                      "",
		"*2\r\n$1\r\na\r\n:1\r\n" + nowhere + alone: "heard",
		none + ":1\r\n" + alone:                     "anywhere",
		"-NOPERM no\r\n-NOPERM no\r\n" + alone:      "anywhere",
		none + "-NOPERM no\r\n" + alone:             "anywhere",
		none + nowhere + "-NOPERM no\r\n":           "anywhere",
		none + nowhere + "*3\r\n$6\r\nmaster\r\n:7\r\n*1\r\n*3\r\n$9\r\n127.0.0.1\r\n$4\r\n9001\r\n$1\r\n7\r\n": "anywhere",
		none + nowhere + "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:9000\r\n$9\r\nconnected\r\n:7\r\n":           "anywhere",
		none + nowhere + "*2\r\n$6\r\nmaster\r\n*0\r\n":                                                         "anywhere", // as no Redis answers
	} {
		a, asked := new(audience), []*channelWritten{newChannelWritten("a")}
		from := strings.NewReader(answers)
		r := reply{from: iotest.OneByteReader(from)}
		a.read(&r, asked)
		got := ""
		switch {
		case a.anywhere:
			got = "anywhere"
		case asked[0].heard:
			got = "heard"
		}
		if got != want || r.bad != nil || len(r.rest)+from.Len() > 0 {
			t.Errorf("%q: %q, %v, %q is left", answers, got, r.bad, answers[len(answers)-from.Len():])
		}
	}
}

// TestWhatWasAcceptedBeforeALinkBrokeIsHeard cuts a link in the middle of the answers to a
// pipeline: what was answered is heard, and the rest when it has been asked for again.
func TestWhatWasAcceptedBeforeALinkBrokeIsHeard(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	proxy := through(t, own)
	listener := listen(t, client, "a")
	// The first connection's answers end amid those to the pipeline, behind the server's
	// account of itself. All of it has been sent then: it is one write.
	const count = 200
	lengths := []int{math.MaxInt, len(client.Info(t.Context()).Val()) + 2_500}
	proxy.Break(func() int {
		length := math.MaxInt
		if len(lengths) > 0 {
			length, lengths = lengths[0], lengths[1:]
		}
		return length
	})
	s := sender(t, proxy.URL())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var requests []*remote.Request
	for range count {
		requests = append(requests, asked(t, "a"))
	}
	s.Publish(ctx, requests)
	var doubtful []*remote.Request
	for _, one := range requests {
		if one.Err != nil {
			one.Doubtful = errors.Is(one.Err, remote.ErrDoubtful)
			doubtful = append(doubtful, one)
		}
	}
	accepted := len(requests) - len(doubtful)
	if accepted == 0 || len(doubtful) == 0 {
		t.Fatalf("%d accepted, %d not: the link did not break amid the answers", accepted, len(doubtful))
	}
	hear(t, listener, accepted)
	s.Publish(ctx, doubtful)
	for _, one := range doubtful {
		must(t, one.Err)
	}
	hear(t, listener, len(doubtful))
	if got := executed(t, client, "publish"); got != len(requests) {
		t.Errorf("%d PUBLISHes of %d events", got, len(requests))
	}
}

// TestAReplicaWhoseLinkWasCutForAMomentIsToldOfWhatCameMeanwhile has a listener at a replica
// which the master does not count just now, and which catches up.
func TestAReplicaWhoseLinkWasCutForAMomentIsToldOfWhatCameMeanwhile(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	proxy := through(t, own)
	host, port, err := net.SplitHostPort(proxy.Address())
	must(t, err)
	replica := startOwn(t, "--replicaof", host+" "+port)
	replicas := func(count string) func() bool {
		return func() bool {
			info := client.Info(t.Context(), "replication").Val()
			return strings.Contains(info, "connected_slaves:"+count) && strings.Count(info, "state=online") == strings.Count(info, "state=")
		}
	}
	eventually(t, "the replica to be there", replicas("1"))
	far := listen(t, clientOf(t, replica), "a")
	n := openNode(t, Options{URL: own.URL()}, "a")
	n.say(t, "a", "one")
	proxy.Refuse(true)
	proxy.Cut()
	eventually(t, "the replica to be gone", replicas("0"))
	n.say(t, "a", "two")
	proxy.Refuse(false)
	eventually(t, "the replica to be back", replicas("1"))
	n.say(t, "a", "three")
	if got := hear(t, far, 3); got != "one two three" {
		t.Errorf("at the replica: %q", got)
	}
}

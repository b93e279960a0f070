package redis

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
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

// published is how many PUBLISHes a server has had.
func published(t *testing.T, client *redis.Client) (calls int) {
	t.Helper()
	_, found, _ := strings.Cut(client.Info(t.Context(), "commandstats").Val(), "cmdstat_publish:calls=")
	_, _ = fmt.Sscan(found, &calls) // not there: none
	return calls
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
	if got := published(t, client); got != 0 {
		t.Errorf("%d PUBLISHes that nobody hears", got)
	}

	named := listen(t, client, "a")
	must(t, publish(one("one", "a")))
	must(t, publish(one("other", "b"), one("two", "a"), one("three", "a")))
	eventually(t, "a PUBLISH of each of the three that somebody hears", func() bool { return published(t, client) == 3 })
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
		before := published(t, client)
		must(t, publish(one("unheard", "x"), one("unheard", "y"))) // accepted, and not read here
		return published(t, client) == before
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
		before := published(t, client)
		n.say(t, "a", "one")
		eventually(t, "a PUBLISH without "+lacks, func() bool { return published(t, client) == before+1 })
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

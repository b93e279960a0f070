package redis

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// TestWhatLiesWhereIdsAreNoted lets somebody else have written there.
func TestWhatLiesWhereIdsAreNoted(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	n := openNode(t, Options{URL: own.URL()}, "a", "b")
	must(t, client.LPush(t.Context(), idPrefix+"second", "x").Err())
	_, err := n.publish(t, bus.WaitAccepted, bustest.NewEvent(t, "one", "a", "first"), bustest.NewEvent(t, "two", "b", "second"))
	if fault.CodeOf(err) != fault.BusError || !strings.Contains(err.Error(), idPrefix+"second") {
		t.Errorf("%v, want BUS_ERROR that names the key", err)
	}
	if got := client.XLen(t.Context(), streamPrefix+"a").Val(); got != 0 {
		t.Errorf("a request was refused, and %d of its events are there", got)
	}
	if _, err := n.publish(t, bus.WaitAccepted, bustest.NewEvent(t, "alone", "a", "second")); err == nil || !strings.Contains(err.Error(), idPrefix+"second") {
		t.Errorf("%v, want an error that names the key", err)
	}
	must(t, client.Set(t.Context(), idPrefix+"third", "a text", 0).Err())
	for range 2 {
		if _, err := n.publish(t, bus.WaitAccepted, bustest.NewEvent(t, "three", "c", "third")); err != nil {
			t.Error(err)
		}
	}
	if got := client.XLen(t.Context(), streamPrefix+"c").Val(); got != 1 {
		t.Errorf("%d entries of an event published twice", got)
	}
}

// TestWhatStayedUnknownIsAcceptedOnceWhenItIsPublishedAgain loses the answers of an event that is
// sent as most are, and does what the error says.
func TestWhatStayedUnknownIsAcceptedOnceWhenItIsPublishedAgain(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	proxy := through(t, own)
	n := openBus(t, Options{URL: proxy.URL()}, 500*time.Millisecond)
	n.follow(t, "a")
	n.say(t, "a", "first")
	count := 1
	for _, events := range [][]*event.Event{
		{bustest.NewEvent(t, "alone", "a", "")},
		{bustest.NewEvent(t, "one", "a", ""), bustest.NewEvent(t, "two", "a", "")},
	} {
		proxy.Slow(300 * time.Millisecond) // there, and not back in time
		_, err := n.publish(t, bus.WaitAccepted, events...)
		if fault.CodeOf(err) != fault.PublishOutcomeUnknown {
			t.Fatalf("%v, want PUBLISH_OUTCOME_UNKNOWN", err)
		}
		proxy.Slow(0)
		count += len(events)
		eventually(t, "the events to be there", func() bool { return client.XLen(t.Context(), streamPrefix+"a").Val() == int64(count) })
		for range 2 {
			for _, ev := range events {
				eventually(t, "the connection to be back", func() bool {
					_, err := n.publish(t, bus.WaitDispatched, bustest.NewEvent(t, ev.Type, "a", ev.ID))
					return err == nil
				})
			}
		}
	}
	if got := client.XLen(t.Context(), streamPrefix+"a").Val(); got != 4 {
		t.Errorf("%d entries of four events", got)
	}
	n.awaitKinds(t, "first alone one two")
}

func TestDoubtsAreForgottenWhereThereAreTooMany(t *testing.T) {
	var d doubts
	for i := range mostDoubts + 5 {
		ev := bustest.NewEvent(t, "x", "a", "")
		ev.ID = fmt.Sprint(i)
		d.note(ev, streamID{ms: uint64(i)})
		d.note(ev, streamID{ms: 1 << 40})
	}
	d.note(bustest.NewEvent(t, "x", "a", "chosen"), streamID{})
	if len(d.after) != mostDoubts || len(d.ids) != mostDoubts || d.after["4"] != (streamID{}) || d.after["5"].ms != 5 {
		t.Errorf("%d and %d are kept, the fifth is %v, the sixth %v", len(d.after), len(d.ids), d.after["4"], d.after["5"])
	}
}

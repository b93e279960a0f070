package redis

import (
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
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

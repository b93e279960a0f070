package redis

import (
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// TestAChannelIsAnnouncedThoughTheServerWasAwayAtFirst publishes on a new channel while
// nothing can be sent, and again when it can.
func TestAChannelIsAnnouncedThoughTheServerWasAwayAtFirst(t *testing.T) {
	own := startOwn(t)
	client := clientOf(t, own)
	proxy := through(t, own)
	reader := openNode(t, Options{URL: own.URL()}, "n.*")
	writer := openBus(t, Options{URL: proxy.URL()}, 300*time.Millisecond)
	proxy.Refuse(true)
	proxy.Cut()
	if _, err := writer.publish(t, bus.WaitAccepted, bustest.NewEvent(t, "one", "n.new", "")); fault.CodeOf(err) != fault.BusUnavailable {
		t.Fatalf("%v, want BUS_UNAVAILABLE", err)
	}
	proxy.Refuse(false)
	eventually(t, "the writer to be back", func() bool {
		_, err := writer.publish(t, bus.WaitAccepted, bustest.NewEvent(t, "two", "n.new", ""))
		return err == nil
	})
	if err := client.ZScore(t.Context(), usedKey, "n.new").Err(); err != nil {
		t.Errorf("the channel was not announced: %v", err)
	}
	reader.awaitKinds(t, "two")
}

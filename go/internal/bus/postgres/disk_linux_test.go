package postgres

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// TestAFullDiskRefusesEventsAndLosesNone limits the size of the files that the server
// may write, which is what a full disk is to the outbox.
func TestAFullDiskRefusesEventsAndLosesNone(t *testing.T) {
	own := startServer(t)
	url := installOn(t, own)
	n := openBus(t, Options{URL: url}, 4*time.Second)
	follow(t, n)
	if err := own.LimitFiles("16777216"); err != nil {
		t.Fatal(err)
	}
	// Events that cannot be compressed fill the 16 MB.
	publish := func(kind string) error {
		text := make([]byte, 0, 300_000)
		for len(text) < cap(text) {
			text = append(text, rand.Text()[:20]...)
		}
		ev, err := event.New(kind, "a", []byte(`{"a":"`+string(text)+`"}`), "", "")
		if err != nil {
			t.Fatal(err)
		}
		thread := new(bus.Thread)
		receipts, err := n.bus.PublishWithExecutor(thread, []*event.Event{ev}, bus.WaitAccepted)
		if err != nil {
			return err
		}
		if !n.bus.Await(thread, receipts[0].Ticket, patience) {
			t.Fatal("no outcome")
		}
		_, err = n.bus.Outcome(thread, receipts[0].Ticket)
		return err
	}
	// The last attempt may be cut off by the deadline, and then its outcome is not known.
	var refused error
	for i := 0; i < 100 && fault.CodeOf(refused) != fault.BusUnavailable; i++ {
		if refused = publish("x"); refused != nil && !strings.Contains(refused.Error(), "could not extend file") {
			t.Fatalf("on a full disk: %v", refused)
		}
	}
	if refused == nil {
		t.Fatal("a full disk refuses nothing")
	}
	if err := own.LimitFiles("unlimited"); err != nil {
		t.Fatal(err)
	}
	if err := publish("after"); err != nil {
		t.Errorf("with room again: %v", err)
	}
	n.checkOutbox(t, connectTo(t, url))
}

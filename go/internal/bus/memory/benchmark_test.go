package memory

import (
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// idle is a dispatcher without an audience.
type idle struct{}

func (idle) DispatchEventToSubscriptions(*bus.Thread, *event.Event) bus.Delivery { return idle{} }
func (idle) Lend(func(t *bus.Thread))                                            { panic("nothing here needs Python") }
func (idle) NeedsPython() bool                                                   { return false }
func (idle) Leave(*bus.Thread, event.Position) bool                              { return false }
func (idle) Deliver(_ *bus.Thread, _ event.Position)                             {}

// BenchmarkPublish is one event on a channel of the publisher's own; run it with
// -cpu 1,2. Making the event is not part of it.
func BenchmarkPublish(b *testing.B) {
	publish(b, func(publisher int) string { return "orders:tenant-" + strconv.Itoa(publisher) })
}

// BenchmarkPublishOnOneChannel is the same with all publishers on one channel.
func BenchmarkPublishOnOneChannel(b *testing.B) {
	publish(b, func(int) string { return "orders:tenant-5" })
}

func publish(b *testing.B, channel func(publisher int) string) {
	to := New(idle{}, 1024)
	// The history keeps events, so each needs one of its own: more than it
	// retains, in a ring.
	rings := make([][2048]*event.Event, runtime.GOMAXPROCS(0))
	for publisher := range rings {
		for i := range rings[publisher] {
			rings[publisher][i] = bustest.NewEvent(b, "orderUpdated", channel(publisher), "")
		}
	}
	var publishers atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		ring := &rings[publishers.Add(1)-1]
		t := new(bus.Thread)
		for i := 0; pb.Next(); i++ {
			at := i % len(ring)
			receipts, err := to.PublishWithExecutor(t, ring[at:at+1], bus.WaitDispatched)
			if err != nil {
				b.Error(err)
				return
			}
			if ticket := receipts[0].Ticket; ticket != 0 {
				for !to.Await(t, ticket, time.Second) {
				}
			}
		}
	})
}

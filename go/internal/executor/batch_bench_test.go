package executor_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
)

// BenchmarkOneSocket is an event of a batch that one event loop publishes, drains and reads as text
// for its only client: what a message to one WebSocket costs here.
func BenchmarkOneSocket(b *testing.B) {
	const events = 256
	data := []byte{'['}
	for i := range events {
		data = fmt.Appendf(data, `77,{"id":"order-4711","status":"shipped","total":129.95,"currency":"EUR","customer":{"id":%d,"name":"Ada Lovelace"},"region":4,"items":3,"sent":"0000000000000004711"},`, i)
	}
	data[len(data)-1] = ']'
	x := openBenchmark(b)
	thread := &bus.Thread{Loop: true}
	consumer, err := x.OpenConsumer(thread)
	if err != nil {
		b.Fatal(err)
	}
	s, err := x.RegisterSubscription(thread, executor.Registration{
		Connection: "1", Subscription: "s", Query: "subscription { orderUpdated { id status total customer { name } sent } }",
		Options: `{"context":{}}`,
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := x.Attach(thread, s.ID(), consumer, true, true); err != nil {
		b.Fatal(err)
	}
	batch := make([]*event.Event, events)
	b.ReportAllocs()
	for done := 0; b.Loop(); {
		made := event.NewBatch(time.Now(), data, events)
		for i := range batch {
			if batch[i], err = made.Make("orderUpdated", "orders", "", ""); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := x.PublishWithExecutor(thread, batch, bus.WaitDispatched); err != nil {
			b.Fatal(err)
		}
		for done += events; done > 0; {
			drained, err := x.Drain(thread, consumer, 1024)
			if err != nil {
				b.Fatal(err)
			}
			done -= len(drained.Entries)
			drained.Recycle()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/events, "ns/event")
}

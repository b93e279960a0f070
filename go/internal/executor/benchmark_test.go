package executor_test

import (
	"fmt"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
)

const benchmarkEvent = `{"id":4711,"status":"shipped","total":129.95,"customer":{"id":7,"name":"Ada Lovelace"},"items":[{"sku":"A-1","quantity":2},{"sku":"B-2","quantity":1}],"note":"leave at the door"}`

// BenchmarkDispatch is one event from publish to the queues, and out of them again.
func BenchmarkDispatch(b *testing.B) {
	for _, subscribers := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("subscribers=%d", subscribers), func(b *testing.B) {
			parsed, err := executor.ParseOptions(options)
			if err != nil {
				b.Fatal(err)
			}
			x, err := executor.New(1, parsed, newResolvers())
			if err != nil {
				b.Fatal(err)
			}
			thread := &bus.Thread{}
			defer x.Close(thread, patience)
			subscriptions := make([]*executor.Subscription, subscribers)
			for i := range subscriptions {
				subscriptions[i], err = x.RegisterSubscription(thread, executor.Registration{
					Connection: fmt.Sprint(i), Subscription: "s", Query: "subscription { orderUpdated { id status total } }",
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				ev, err := event.New("orderUpdated", "orders", []byte(benchmarkEvent), "", "")
				if err != nil {
					b.Fatal(err)
				}
				if _, err := x.PublishWithExecutor(thread, []*event.Event{ev}, bus.WaitDispatched); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				for _, s := range subscriptions {
					x.NextResponses(s, 1).Recycle()
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(subscribers), "ns/delivery")
		})
	}
}

package executor_test

import (
	"fmt"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
)

// audiences are ways in which an event reaches a thousand subscriptions, and how
// many answers it makes for them.
var audiences = []struct {
	name         string
	answers      int
	registration func(i int) executor.Registration
}{
	{"one cohort", 1, func(int) executor.Registration {
		return executor.Registration{Query: "subscription { orderUpdated { id status total } }"}
	}},
	{"a cohort each", 1, func(i int) executor.Registration {
		return executor.Registration{
			Query:   "subscription { orderUpdated { id status total } }",
			Options: fmt.Sprintf(`{"filter":{"id":{"gt":%d},"status":"shipped"}}`, -i),
		}
	}},
	{"an answer each", 1000, func(i int) executor.Registration {
		return executor.Registration{Query: fmt.Sprintf("subscription { orderUpdated { id status f%d: total } }", i)}
	}},
}

// registerAll registers a thousand subscriptions.
func registerAll(t testing.TB, x *executor.Executor, registration func(i int) executor.Registration) []*executor.Subscription {
	t.Helper()
	subscriptions := make([]*executor.Subscription, 1000)
	for i := range subscriptions {
		r := registration(i)
		r.Connection, r.Subscription = fmt.Sprint(i), "s"
		var err error
		if subscriptions[i], err = x.RegisterSubscription(&bus.Thread{}, r); err != nil {
			t.Fatal(err)
		}
	}
	return subscriptions
}

func TestADeliveryAllocatesNothingButTheAnswerThatItShares(t *testing.T) {
	for _, audience := range audiences {
		t.Run(audience.name, func(t *testing.T) {
			x := openBenchmark(t)
			subscriptions := registerAll(t, x, audience.registration)
			thread := &bus.Thread{}
			if _, err := x.Descriptor(thread, 0); err != nil {
				t.Fatal(err)
			}
			round := func() {
				publishBenchmark(t, x, []byte(benchmarkEvent))
				batch, err := x.Drain(thread, 0, len(subscriptions))
				if err != nil || len(batch.Entries) != len(subscriptions) {
					t.Fatalf("drained %d responses and %v", len(batch.Entries), err)
				}
				batch.Recycle()
			}
			for range 4 {
				round()
			}
			// A queue takes a new segment for every 16 responses. An event and its
			// acceptance take about ten; the race detector makes pools forgetful.
			most := audience.answers + len(subscriptions)/16 + 60
			if n := testing.AllocsPerRun(32, round); n > float64(most) {
				t.Errorf("%v allocations for %d deliveries of %d answers, want at most %d", n, len(subscriptions), audience.answers, most)
			}
		})
	}
}

// BenchmarkThousandQueues is one event from publish to a thousand queues, and out of
// them again.
func BenchmarkThousandQueues(b *testing.B) {
	for _, audience := range audiences {
		b.Run(audience.name, func(b *testing.B) {
			x := openBenchmark(b)
			subscriptions := registerAll(b, x, audience.registration)
			b.ReportAllocs()
			for b.Loop() {
				publishBenchmark(b, x, []byte(benchmarkEvent))
				for _, s := range subscriptions {
					taken(x.NextResponses(&bus.Thread{}, s, 1)).Recycle()
				}
			}
		})
	}
}

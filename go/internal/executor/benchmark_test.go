package executor_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
)

const benchmarkEvent = `{"id":4711,"status":"shipped","total":129.95,"customer":{"id":7,"name":"Ada Lovelace"},"items":[{"sku":"A-1","quantity":2},{"sku":"B-2","quantity":1}],"note":"leave at the door"}`

// BenchmarkDispatch is one event from publish to the queues, and out of them again.
func BenchmarkDispatch(b *testing.B) {
	for _, subscribers := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("subscribers=%d", subscribers), func(b *testing.B) {
			x := openBenchmark(b)
			subscriptions := make([]*executor.Subscription, subscribers)
			for i := range subscriptions {
				subscriptions[i] = registerBenchmark(b, x, i, "")
			}
			b.ReportAllocs()
			for b.Loop() {
				publishBenchmark(b, x, []byte(benchmarkEvent))
				b.StopTimer()
				for _, s := range subscriptions {
					taken(x.NextResponses(&bus.Thread{}, s, 1)).Recycle()
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(subscribers), "ns/delivery")
		})
	}
}

// BenchmarkTenMatch is an event that reaches ten subscriptions: alone, and among
// others that it does not reach. The second costs at most three times the first.
func BenchmarkTenMatch(b *testing.B) {
	for _, by := range []struct{ name, options string }{
		{"filter", `{"filter":{"status":"shipped","id":%d}}`},
		{"tenant", `{"context":{"tenant_id":%d}}`},
		{"all", `{"filter":{"id":%[1]d,"total":{"gt":1}},"context":{"tenant_id":%[1]d},"event_types":["orderUpdated"]}`},
	} {
		for _, subscribers := range []int{10, 100_000} {
			b.Run(fmt.Sprintf("by=%s/of=%d", by.name, subscribers), func(b *testing.B) {
				x := openBenchmark(b)
				var reached []*executor.Subscription
				for i := range subscribers {
					id := i + 1_000_000
					if i%(subscribers/10) == 0 {
						id = 4711
					}
					s := registerBenchmark(b, x, i, fmt.Sprintf(by.options, id))
					if id == 4711 {
						reached = append(reached, s)
					}
				}
				data := []byte(`{"tenant_id":4711,` + benchmarkEvent[1:])
				b.ReportAllocs()
				for b.Loop() {
					publishBenchmark(b, x, data)
					for _, s := range reached {
						batch := taken(x.NextResponses(&bus.Thread{}, s, 1))
						if len(batch.Entries) != 1 {
							b.Fatal("the event did not arrive")
						}
						batch.Recycle()
					}
				}
			})
		}
	}
}

func openBenchmark(b testing.TB) *executor.Executor {
	b.Helper()
	parsed, err := executor.ParseOptions(options)
	if err != nil {
		b.Fatal(err)
	}
	x, err := executor.New(1, parsed, newResolvers())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { x.Close(&bus.Thread{}, patience) })
	return x
}

func registerBenchmark(b testing.TB, x *executor.Executor, number int, options string) *executor.Subscription {
	b.Helper()
	s, err := x.RegisterSubscription(&bus.Thread{}, executor.Registration{
		Connection: fmt.Sprint(number), Subscription: "s", Query: "subscription { orderUpdated { id status total } }", Options: options,
	})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func publishBenchmark(b testing.TB, x *executor.Executor, data []byte) {
	b.Helper()
	ev, err := event.Make(time.Now(), "orderUpdated", "orders", data, "", "")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := x.PublishWithExecutor(&bus.Thread{}, []*event.Event{ev}, bus.WaitDispatched); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRates is one event from publish to ten thousand queues of one cohort, with
// and without rates.
func BenchmarkRates(b *testing.B) {
	const rate = `{"per_second":1000000,"burst":1000000000}`
	for _, with := range []struct{ name, limits string }{
		{"off", ``},
		{"subscription", `"subscription_rate":` + rate + `,`},
		{"all", `"subscription_rate":` + rate + `,"user_rate":` + rate + `,"channel_rate":` + rate + `,`},
	} {
		b.Run(with.name, func(b *testing.B) {
			x := openWith(b, newResolvers(), strings.Replace(options, `"limits":{`, `"limits":{`+with.limits, 1))
			subscriptions := make([]*executor.Subscription, 10_000)
			for i := range subscriptions {
				subscriptions[i] = registerBenchmark(b, x, i, `{"context":{"user_id":5}}`)
			}
			data := []byte(`{"user_id":5,` + benchmarkEvent[1:])
			b.ReportAllocs()
			for b.Loop() {
				publishBenchmark(b, x, data)
				b.StopTimer()
				for _, s := range subscriptions {
					batch := taken(x.NextResponses(&bus.Thread{}, s, 1))
					if len(batch.Entries) != 1 {
						b.Fatal("the event did not arrive")
					}
					batch.Recycle()
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(subscriptions)), "ns/delivery")
		})
	}
}

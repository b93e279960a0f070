package executor_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
)

// parts says what an allocation is for, by the innermost function of its stack
// that is named here.
var parts = []struct{ function, part string }{
	{"queue.(*Link", "link"},
	{"queue.newNode", "link"},
	{"/internal/queue.", "queue"},
	{"/internal/channel.", "channel-index"},
	{"/internal/filter.", "filter"},
	{"/internal/query.", "query"},
	{"/internal/security.", "context"},
	{"/internal/limit.", "tables"},
	{"executor.(*Executor).parseSpec", "options"},
	{"executor.(*members)", "member"},
	{"executor.(*Executor).cohortFor", "cohort"},
	{"executor.(*Executor).join", "cohort"},
	{"executor.(*Executor).admit", "tables"},
	{"executor.(*Executor).register", "subscription"},
	{"executor_test.registerIdle", "names"},
	{"/internal/executor.", "other"},
}

// BenchmarkIdleSubscription weighs what lives of a subscription that has had one
// response and read it, by part: live bytes of the heap, from a profile of every
// allocation. "same": all ask the same; "own": each has its own variables, filter
// and context.
func BenchmarkIdleSubscription(b *testing.B) {
	const count = 20_000
	for _, kind := range []string{"same", "own"} {
		b.Run(kind, func(b *testing.B) {
			for b.Loop() {
				x := openBenchmark(b)
				if _, err := x.Descriptor(&bus.Thread{}, 0); err != nil { // somebody drains
					b.Fatal(err)
				}
				rate := runtime.MemProfileRate
				runtime.MemProfileRate = 1
				before := liveBytes()
				subscriptions := registerIdle(b, x, kind, count)
				after := liveBytes()
				runtime.MemProfileRate = rate
				total := 0.0
				for part, bytes := range after {
					each := float64(bytes-before[part]) / count
					b.ReportMetric(each, "B-"+part)
					total += each
				}
				b.ReportMetric(total, "B-total")
				runtime.KeepAlive(subscriptions)
			}
		})
	}
}

// registerIdle makes subscriptions that have had a response each.
func registerIdle(b *testing.B, x *executor.Executor, kind string, count int) []*executor.Subscription {
	thread := &bus.Thread{}
	subscriptions := make([]*executor.Subscription, count)
	for i := range subscriptions {
		r := executor.Registration{
			Connection: fmt.Sprintf("connection-%d", i), Subscription: "1",
			Query: "subscription { orderUpdated { id status total customer { name } } }",
		}
		if kind == "own" {
			r.Query = "subscription ($id: Int) { orderUpdated(id: $id) { id status total } }"
			r.Variables = fmt.Sprintf(`{"id":%d}`, i)
			r.Options = fmt.Sprintf(`{"filter":{"id":%d},"context":{"user_id":%d,"tenant_id":%d}}`, i, i, i%100)
		}
		var err error
		if subscriptions[i], err = x.RegisterSubscription(thread, r); err != nil {
			b.Fatal(err)
		}
	}
	if kind == "same" {
		publishBenchmark(b, x, []byte(benchmarkEvent))
		for _, s := range subscriptions {
			batch := taken(x.NextResponses(thread, s, 1))
			if len(batch.Entries) != 1 {
				b.Fatal("a subscription got nothing")
			}
			batch.Recycle()
		}
	}
	return subscriptions
}

// liveBytes is what is reachable of everything allocated since profiling began,
// by part.
func liveBytes() map[string]int64 {
	runtime.GC() // a profile shows what the collection before the last one found
	runtime.GC()
	records := make([]runtime.MemProfileRecord, 0, 1000)
	for {
		n, ok := runtime.MemProfile(records[:cap(records)], false)
		if ok {
			records = records[:n]
			break
		}
		records = make([]runtime.MemProfileRecord, 0, n+100)
	}
	live := make(map[string]int64)
	for i := range records {
		if part := partOf(records[i].Stack()); part != "" {
			live[part] += records[i].InUseBytes()
		}
	}
	return live
}

// partOf is "" for what no function of the engine allocated.
func partOf(stack []uintptr) string {
	frames := runtime.CallersFrames(stack)
	for {
		frame, more := frames.Next()
		for _, one := range parts {
			if strings.Contains(frame.Function, one.function) {
				return one.part
			}
		}
		if !more {
			return ""
		}
	}
}

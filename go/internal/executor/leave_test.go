package executor_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
)

// onLoop publishes as `await publish()` does; told has the ticket once it is dispatched.
func onLoop(t *testing.T, x *executor.Executor, data string) (thread *bus.Thread, ticket uint64, told chan uint64) {
	t.Helper()
	told = make(chan uint64, 2)
	thread = &bus.Thread{Loop: true, Finish: func(ticket uint64) { told <- ticket }}
	ev, err := event.Make(time.Now(), "orderUpdated", "orders", []byte(data), "", "")
	if err != nil {
		t.Fatal(err)
	}
	receipts, err := x.PublishWithExecutor(thread, []*event.Event{ev}, bus.WaitDispatched)
	if err != nil {
		t.Fatal(err)
	}
	return thread, receipts[0].Ticket, told
}

func TestALoopLeavesTheQueueingToTheEngineWhereThereAreMany(t *testing.T) {
	for _, kind := range []string{"projected", "resolved", "async"} {
		for _, subscribers := range []int{1_000, 1_100} {
			t.Run(fmt.Sprint(kind, " ", subscribers), func(t *testing.T) {
				python := newResolvers()
				python.attach = make(chan struct{})
				var resolvedOn atomic.Pointer[bus.Thread]
				python.table[7] = func(t *bus.Thread, _ []byte, call executor.Call) executor.Result {
					resolvedOn.Store(t)
					if call.Ticket != 0 {
						return executor.Result{Kind: executor.KindPending}
					}
					return executor.Result{Value: []byte(`{"n":1}`)}
				}
				x := open(t, python)
				r := executor.Registration{Options: map[string]string{
					"resolved": `{"resolver":7}`,
					"async":    fmt.Sprintf(`{"resolver":7,"resolver_flags":%d}`, executor.Async),
				}[kind]}
				all := make([]*executor.Subscription, subscribers)
				for i := range all {
					r.Subscription = fmt.Sprint(i)
					all[i] = register(t, x, r)
				}
				thread, ticket, told := onLoop(t, x, `{"id":1}`)
				if left := subscribers >= 1_024; left != (ticket != 0) {
					t.Errorf("ticket %d for %d subscribers, before any thread of the engine runs", ticket, subscribers)
				}
				close(python.attach)
				if ticket != 0 {
					if got := <-told; got != ticket {
						t.Errorf("told of ticket %d, not %d", got, ticket)
					}
				}
				if kind != "projected" && resolvedOn.Load() != thread {
					t.Errorf("resolved on %p, not on its publisher's thread %p", resolvedOn.Load(), thread)
				}
				want := 1
				if kind == "async" {
					want = 0 // its place is queued, its answer on the way
				}
				for _, s := range all {
					if got := len(read(x, s)); got != want {
						t.Fatalf("subscription %s has %d responses, want %d", s.ID(), got, want)
					}
				}
			})
		}
	}
}

func TestAPanicBeforeTheQueueingIsLeftShowsTheEventToNobody(t *testing.T) {
	python := newResolvers()
	python.table[7] = func(*bus.Thread, []byte, executor.Call) executor.Result { panic("a bug") }
	x := open(t, python)
	for i := range 1_100 {
		register(t, x, executor.Registration{Subscription: fmt.Sprint(i), Options: `{"resolver":7}`})
	}
	last := register(t, x, executor.Registration{Subscription: "projected"})
	if _, ticket, _ := onLoop(t, x, `{"id":1}`); ticket != 0 {
		t.Errorf("ticket %d for an event that nobody gets", ticket)
	}
	python.mu.Lock()
	python.table[7] = func(*bus.Thread, []byte, executor.Call) executor.Result {
		return executor.Result{Value: []byte(`{"n":1}`)}
	}
	python.mu.Unlock()
	if _, ticket, told := onLoop(t, x, `{"id":2}`); ticket != 0 { // else the engine was faster
		<-told
	}
	if got := read(x, last); len(got) != 1 {
		t.Errorf("messages %v, want that of the second event", got)
	}
}

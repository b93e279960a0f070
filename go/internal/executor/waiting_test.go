package executor_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
)

// blocking are the options of a queue with a publisher that waits for longer than
// any test.
const blocking = `"block_timeout":3600`

func ended(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		t.Fatalf("%s did not end in %v", what, patience)
	}
}

// waits polls until so many responses wait beyond their bounds.
func waits(t *testing.T, x *executor.Executor, wanted int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); x.Waiting() != wanted; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%d responses wait, wanted are %d", x.Waiting(), wanted)
		}
	}
}

func TestABlockedPublisherGoesOnWhenItsResponseFits(t *testing.T) {
	x := open(t, newResolvers())
	full := register(t, x, executor.Registration{Subscription: "full", Options: bounded(1, "block", blocking)})
	other := register(t, x, executor.Registration{Subscription: "other"})
	publish(t, x, "orders", `{"id":1}`)
	second := publishing(t, x, "orders", `{"id":2}`)
	waits(t, x, 1)
	third := publishing(t, x, "orders", `{"id":3}`) // the channel goes on
	waits(t, x, 2)
	if got := ids(t, x, other); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("the other subscription got %v", got)
	}
	taken(x.NextResponses(&bus.Thread{}, full, 1)).Recycle()
	ended(t, "the first publisher", second)
	select {
	case <-third:
		t.Error("the second publisher ended before its response fitted")
	default:
	}
	if got := ids(t, x, full); !slices.Equal(got, []string{"2", "3"}) {
		t.Errorf("the full subscription got %v", got)
	}
	ended(t, "the second publisher", third)
	if m := x.Metrics(); m.Dropped["block"] != 0 || x.Waiting() != 0 {
		t.Errorf("dropped %v, %d still wait", m.Dropped, x.Waiting())
	}
}

func TestABlockedPublisherGivesUpAndItsResponseIsDropped(t *testing.T) {
	x := open(t, newResolvers())
	s := register(t, x, executor.Registration{Subscription: "s", Options: bounded(1, "block", `"block_timeout":0.02`)})
	longer := register(t, x, executor.Registration{Subscription: "l", Options: bounded(1, "block", `"block_timeout":0.05`)})
	publish(t, x, "orders", `{"id":1}`)
	ended(t, "the publisher", publishing(t, x, "orders", `{"id":2}`))
	if got := x.Metrics().Dropped["block"]; got != 2 {
		t.Errorf("%d dropped", got)
	}
	publish(t, x, "nothing", `{}`)
	for _, one := range []*executor.Subscription{s, longer} {
		if got := ids(t, x, one); len(got) == 0 || got[0] != "1" || slices.Contains(got, "2") {
			t.Errorf("got %v", got)
		}
	}
}

func TestWhoNeverWaitsDropsAtOnce(t *testing.T) {
	for name, publish := range map[string]func(x *executor.Executor, ev *event.Event) ([]bus.Receipt, error){
		"accepted": func(x *executor.Executor, ev *event.Event) ([]bus.Receipt, error) {
			return x.PublishWithExecutor(&bus.Thread{}, []*event.Event{ev}, bus.WaitAccepted)
		},
		"a loop's thread": func(x *executor.Executor, ev *event.Event) ([]bus.Receipt, error) {
			return x.PublishWithExecutor(&bus.Thread{Loop: true}, []*event.Event{ev}, bus.WaitDispatched)
		},
		"an engine's thread": func(x *executor.Executor, ev *event.Event) ([]bus.Receipt, error) {
			return x.PublishWithExecutor(&bus.Thread{Engine: true}, []*event.Event{ev}, bus.WaitDispatched)
		},
		"inside a resolver": func(x *executor.Executor, ev *event.Event) (receipts []bus.Receipt, err error) {
			thread := &bus.Thread{}
			thread.Resolving(func() {
				receipts, err = x.PublishWithExecutor(thread, []*event.Event{ev}, bus.WaitDispatched)
			})
			thread.Settle()
			return receipts, err
		},
	} {
		x := open(t, newResolvers())
		s := register(t, x, executor.Registration{Subscription: "s", Options: bounded(1, "block", blocking)})
		for i := range 3 {
			ev, err := event.Make(time.Now(), "t", "orders", fmt.Appendf(nil, `{"id":%d}`, i), "", "")
			if err != nil {
				t.Fatal(err)
			}
			if receipts, err := publish(x, ev); err != nil || receipts[0].Ticket != 0 {
				t.Errorf("%s: %v, %v", name, receipts, err)
			}
		}
		if got := ids(t, x, s); !slices.Equal(got, []string{"0"}) || x.Metrics().Dropped["block"] != 2 || x.Waiting() != 0 {
			t.Errorf("%s: got %v, %v dropped, %d wait", name, got, x.Metrics().Dropped["block"], x.Waiting())
		}
	}
}

func TestAnEndOfWhateverKindEndsTheWait(t *testing.T) {
	for name, end := range map[string]func(x *executor.Executor, s *executor.Subscription){
		"completing":  func(x *executor.Executor, s *executor.Subscription) { x.CompleteSubscription(&bus.Thread{}, s.ID()) },
		"connection":  func(x *executor.Executor, _ *executor.Subscription) { x.CloseConnection(&bus.Thread{}, "c") },
		"the server":  func(x *executor.Executor, s *executor.Subscription) { x.End(&bus.Thread{}, s, executor.Final{}, "x") },
		"closing":     func(x *executor.Executor, _ *executor.Subscription) { x.Close(&bus.Thread{}, patience) },
		"the readers": func(x *executor.Executor, s *executor.Subscription) { read(x, s) },
	} {
		x := open(t, newResolvers())
		s := register(t, x, executor.Registration{Subscription: "s", Options: bounded(1, "block", blocking)})
		publish(t, x, "orders", `{"id":1}`)
		first, second := publishing(t, x, "orders", `{"id":2}`), publishing(t, x, "orders", `{"id":3}`)
		waits(t, x, 2)
		end(x, s)
		ended(t, "the first publisher after "+name, first)
		ended(t, "the second publisher after "+name, second)
		if x.Waiting() != 0 || x.Metrics().Dropped["block"] != 0 {
			t.Errorf("%s: %d wait, %v dropped", name, x.Waiting(), x.Metrics().Dropped)
		}
	}
}

func TestAForsakenWaitDropsWhatDoesNotFit(t *testing.T) {
	x := open(t, newResolvers())
	s := register(t, x, executor.Registration{Subscription: "s", Options: bounded(1, "block", blocking)})
	publish(t, x, "orders", `{"id":1}`)
	ev, err := event.Make(time.Now(), "t", "orders", []byte(`{"id":2}`), "", "")
	if err != nil {
		t.Fatal(err)
	}
	thread := &bus.Thread{}
	receipts, err := x.PublishWithExecutor(thread, []*event.Event{ev}, bus.WaitDispatched)
	if err != nil || receipts[0].Ticket == 0 || x.HasRoom(thread, receipts[0].Ticket) {
		t.Fatalf("receipts %v, %v", receipts, err)
	}
	x.Forsake(thread, receipts[0].Ticket)
	if !x.AwaitRoom(thread, receipts[0].Ticket, 0) || x.Waiting() != 0 || x.Metrics().Dropped["block"] != 1 {
		t.Errorf("%d wait, %v dropped", x.Waiting(), x.Metrics().Dropped)
	}
	if got := ids(t, x, s); !slices.Equal(got, []string{"1"}) {
		t.Errorf("got %v", got)
	}
}

func TestNobodyWaitsForAReaderThatHasGone(t *testing.T) {
	x := open(t, newResolvers())
	s := register(t, x, executor.Registration{Subscription: "s", Options: bounded(1, "block", blocking)})
	thread := &bus.Thread{}
	waited := func() bool {
		ev, err := event.Make(time.Now(), "t", "orders", []byte(`{"id":1}`), "", "")
		if err != nil {
			t.Fatal(err)
		}
		receipts, err := x.PublishWithExecutor(thread, []*event.Event{ev}, bus.WaitDispatched)
		if err != nil {
			t.Fatal(err)
		}
		x.Forsake(thread, receipts[0].Ticket)
		return receipts[0].Ticket != 0
	}
	waited() // fills it
	times := 0
	for times < 1_000_000 && waited() {
		times++
	}
	if times != 1024 {
		t.Errorf("publishers waited %d times for nobody", times)
	}
	read(x, s)
	waited()
	if !waited() {
		t.Error("nobody waits any more although it is read again")
	}
}

func TestALoopIsToldWhenItsResponseFits(t *testing.T) {
	x := open(t, newResolvers())
	s := register(t, x, executor.Registration{Subscription: "s", Options: bounded(1, "block", blocking)})
	publish(t, x, "orders", `{"id":1}`)
	told := make(chan uint64, 1)
	thread := &bus.Thread{Loop: true, Finish: func(ticket uint64) { told <- ticket }}
	ev, err := event.Make(time.Now(), "t", "orders", []byte(`{"id":2}`), "", "")
	if err != nil {
		t.Fatal(err)
	}
	receipts, err := x.PublishWithExecutor(thread, []*event.Event{ev}, bus.WaitDispatched)
	if err != nil || receipts[0].Ticket == 0 || len(told) > 0 {
		t.Fatalf("receipts %v, %v, told %d", receipts, err, len(told))
	}
	read(x, s)
	select {
	case ticket := <-told:
		if ticket != receipts[0].Ticket {
			t.Errorf("told of ticket %d, not %d", ticket, receipts[0].Ticket)
		}
	default:
		t.Error("nobody was told")
	}
}

func TestAnEventPublishedAgainIsNotWaitedFor(t *testing.T) {
	x := open(t, newResolvers())
	register(t, x, executor.Registration{Subscription: "s", Options: bounded(1, "block", blocking)})
	for range 2 {
		ev, err := event.Make(time.Now(), "t", "orders", []byte(`{"id":1}`), "", "chosen")
		if err != nil {
			t.Fatal(err)
		}
		receipts, err := x.PublishWithExecutor(&bus.Thread{}, []*event.Event{ev}, bus.WaitDispatched)
		if err != nil || receipts[0].Ticket != 0 {
			t.Errorf("receipts %v, %v", receipts, err)
		}
	}
}

func TestManyBlockedPublishersAndAReaderLoseNothing(t *testing.T) {
	x := open(t, newResolvers())
	s := register(t, x, executor.Registration{Subscription: "s", Options: bounded(2, "block", blocking)})
	const publishers, events = 6, 50
	var all []<-chan struct{}
	for p := range publishers {
		done := make(chan struct{})
		all = append(all, done)
		go func() {
			defer close(done)
			for i := range events {
				<-publishing(t, x, fmt.Sprintf("orders.%d", p%2), fmt.Sprintf(`{"id":%d}`, p*events+i))
			}
		}()
	}
	seen := make(map[string]int)
	for deadline := time.Now().Add(patience); len(seen) < publishers*events; {
		for _, id := range ids(t, x, s) {
			seen[id]++
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %d events", len(seen))
		}
	}
	for _, done := range all {
		ended(t, "a publisher", done)
	}
	for id, times := range seen {
		if times != 1 {
			t.Errorf("event %s came %d times", id, times)
		}
	}
	if x.Waiting() != 0 || x.Metrics().Dropped["block"] != 0 {
		t.Errorf("%d wait, %v dropped", x.Waiting(), x.Metrics().Dropped)
	}
}

// The first response's time is over while the event is still being dispatched to
// the second.
func TestAResponseThatWaitsAfterAnotherWasDroppedIsDroppedInItsTime(t *testing.T) {
	python := newResolvers()
	x := open(t, python)
	dropped := func(n uint64) func() bool { return func() bool { return x.Metrics().Dropped["block"] == n } }
	python.table[1] = func(*bus.Thread, []byte, executor.Call) executor.Result {
		return executor.Result{Kind: executor.KindPending}
	}
	python.table[2] = func(_ *bus.Thread, data []byte, _ executor.Call) executor.Result {
		if string(data) == `{"id":2}` {
			eventually(t, "the first is dropped", dropped(1))
		}
		return executor.Result{Value: data}
	}
	for id, more := range map[string]string{"a": `"resolver":1,"resolver_flags":4`, "b": `"resolver":2`} {
		options := strings.TrimSuffix(bounded(1, "block", `"block_timeout":0.02`), "}") + "," + more + "}"
		register(t, x, executor.Registration{Subscription: id, Options: options})
	}
	publish(t, x, "orders", `{"id":1}`)
	ended(t, "the publisher", publishing(t, x, "orders", `{"id":2}`))
	if !dropped(2)() {
		t.Errorf("dropped %v", x.Metrics().Dropped)
	}
}

func TestAPublisherGoesOnWhenTheAnswerBeforeItsPlaceIsDropped(t *testing.T) {
	python := newResolvers()
	x := open(t, python)
	var tickets []uint64
	python.table[1] = func(_ *bus.Thread, _ []byte, call executor.Call) executor.Result {
		tickets = append(tickets, call.Ticket)
		return executor.Result{Kind: executor.KindPending}
	}
	options := strings.TrimSuffix(bounded(1, "block", blocking), "}") + `,"resolver":1,"resolver_flags":4}`
	register(t, x, executor.Registration{Subscription: "s", Options: options})
	publish(t, x, "orders", `{"id":1}`)
	second := publishing(t, x, "orders", `{"id":2}`)
	waits(t, x, 1)
	x.Settle(&bus.Thread{}, tickets[0], executor.Result{Value: make([]byte, 2000)}) // beyond max_bytes
	ended(t, "the publisher", second)
}

// A server's answer may stay lost until the publisher gives up, while its event has been read and
// waits behind a resolver: it is dispatched all the same.
func TestAPublisherIsToldOnceAlsoWhereItsEventIsDispatchedAfterwards(t *testing.T) {
	x := open(t, newResolvers())
	full := register(t, x, executor.Registration{Subscription: "full", Options: bounded(1, "block", blocking)})
	publish(t, x, "orders", `{"id":1}`)
	ev, err := event.Make(time.Now(), "orderUpdated", "orders", []byte(`{"id":2}`), "", "")
	if err != nil {
		t.Fatal(err)
	}
	ev.Offset = 100
	told := 0
	x.TellEarly(ev, func(uint64) { told++ })
	if told != 1 {
		t.Fatalf("the publisher is told %d times before the dispatch", told)
	}
	x.Dispatch(&bus.Thread{}, ev)
	if got := ids(t, x, full); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("the subscription got %v", got)
	}
	if told != 1 || x.Waiting() != 0 {
		t.Errorf("told %d times, %d responses wait", told, x.Waiting())
	}
}

package remote

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// overlapping is a server that takes several batches at once, and tells of each.
type overlapping struct {
	*logServer
	publishers int
	calls      chan *call // nil: they are answered at once
}

// call is a batch that is to be answered.
type call struct {
	requests []*Request
	answer   chan error
}

func (c *call) ids() string {
	var all []string
	for _, r := range c.requests {
		for _, ev := range r.Events {
			all = append(all, ev.ID)
		}
	}
	return strings.Join(all, " ")
}

func (s overlapping) Publishers() int { return s.publishers }

func (s overlapping) Publish(ctx context.Context, requests []*Request) {
	if s.calls != nil {
		one := &call{requests, make(chan error)}
		select {
		case s.calls <- one:
		case <-ctx.Done():
			return
		}
		var err error
		select {
		case err = <-one.answer:
		case <-ctx.Done():
			err = ErrDoubtful
		}
		if err != nil {
			for _, r := range requests {
				r.Err = err
			}
			return
		}
	}
	s.logServer.Publish(ctx, requests)
}

func TestABusThatOverlapsKeepsTheContract(t *testing.T) {
	bustest.Run(t, func(t *testing.T, d bus.Dispatcher) bus.Bus {
		return open(t, d, overlapping{logServer: newLogServer(), publishers: 2}, patience)
	})
}

// told is what publishers did at a bus whose batches are answered by the test.
type told struct {
	*Bus
	t       *testing.T
	server  overlapping
	waiting sync.WaitGroup
}

func openTold(t *testing.T, publishers int) *told {
	server := overlapping{newLogServer(), publishers, make(chan *call)}
	b := &told{Bus: open(t, bustest.NewDispatcher(t), server, patience), t: t, server: server}
	t.Cleanup(b.waiting.Wait)
	return b
}

// waits publishes from a thread that waits.
func (b *told) waits(ids ...string) {
	b.waiting.Go(func() {
		thread := &bus.Thread{Awaits: true}
		receipts, err := b.PublishWithExecutor(thread, b.events(ids), bus.WaitAccepted)
		if err != nil {
			b.t.Error(err)
			return
		}
		bustest.AwaitAll(b.t, b, thread, receipts)
	})
}

// goesOn publishes from a thread that does not wait, and gives the tickets.
func (b *told) goesOn(ids ...string) []bus.Receipt {
	receipts, err := b.PublishWithExecutor(&bus.Thread{Loop: true, Finish: func(uint64) {}}, b.events(ids), bus.WaitAccepted)
	if err != nil {
		b.t.Fatal(err)
	}
	return receipts
}

func (b *told) events(ids []string) (events []*event.Event) {
	for _, id := range ids {
		ev := bustest.NewEvent(b.t, "plain", "a", id)
		ev.ChosenID = strings.HasPrefix(id, "chosen")
		events = append(events, ev)
	}
	return events
}

// next is the batch that is published next, which must be of these events.
func (b *told) next(ids string) *call {
	b.t.Helper()
	one := bustest.Receive(b.t, b.server.calls, "a batch")
	if got := one.ids(); got != ids {
		b.t.Errorf("%q is published, want %q", got, ids)
	}
	return one
}

// queued waits until so many requests wait, and nothing else is under way meanwhile.
func (b *told) queued(n int) {
	b.t.Helper()
	for end := time.Now().Add(patience); ; {
		b.mu.Lock()
		got := len(b.outbox.queue)
		b.mu.Unlock()
		if got == n {
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("%d requests wait, want %d", got, n)
		}
	}
}

// TestAFewThatWaitAreUnderWayAtOnceAndACrowdTogether has more publishers than can be under way,
// and few again.
func TestAFewThatWaitAreUnderWayAtOnceAndACrowdTogether(t *testing.T) {
	b := openTold(t, 2)
	b.waits("one")
	one := b.next("one")
	b.waits("two", "three")
	two := b.next("two three")
	b.waits("four")
	b.queued(1)
	close(two.answer)
	b.waits("five")
	b.queued(2)
	close(one.answer)
	crowd := bustest.Receive(t, b.server.calls, "a batch")
	if got := crowd.ids(); got != "four five" && got != "five four" {
		t.Errorf("published %q, want all that waits", got)
	}
	close(crowd.answer)
	b.waiting.Wait()
	for range calm {
		b.waits("alone")
		close(b.next("alone").answer)
		b.waiting.Wait()
	}
	b.waits("six")
	six := b.next("six")
	b.waits("seven")
	close(b.next("seven").answer)
	close(six.answer)
	b.waiting.Wait()
}

// TestWhoDoesNotWaitKeepsItsOrder has events without pause, the first of which is refused once,
// and publishers that wait, who pass by.
func TestWhoDoesNotWaitKeepsItsOrder(t *testing.T) {
	b := openTold(t, 4)
	receipts := b.goesOn("one")
	one := b.next("one")
	receipts = append(receipts, b.goesOn("two")...)
	receipts = append(receipts, b.goesOn("three")...)
	b.waits("other")
	other := b.next("other")
	close(other.answer)
	b.waiting.Wait()
	b.queued(2)
	one.answer <- errAway
	close(b.next("one two three").answer)
	bustest.AwaitAll(t, b, new(bus.Thread), receipts)
	if got := logged(b.server); got != "other one two three" {
		t.Errorf("accepted %q", got)
	}
}

func TestWhoForsakesAnEventPublishesTheNextBehindIt(t *testing.T) {
	b := openTold(t, 4)
	receipts, err := b.PublishWithExecutor(&bus.Thread{}, b.events([]string{"one"}), bus.WaitAccepted)
	if err != nil {
		t.Fatal(err)
	}
	one := b.next("one")
	b.Forsake(receipts[0].Ticket)
	b.waits("two")
	b.queued(1)
	b.waits("three")
	b.queued(2)
	close(one.answer)
	rest := bustest.Receive(t, b.server.calls, "a batch")
	if got := rest.ids(); got != "two three" {
		t.Errorf("published %q, want what was held back", got)
	}
	close(rest.answer)
	b.waiting.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.outbox.forsaken != 0 {
		t.Errorf("%d are forsaken still", b.outbox.forsaken)
	}
}

func TestChosenIDsAndDoubtfulOnesAreNotUnderWayAtOnce(t *testing.T) {
	b := openTold(t, 4)
	b.waits("chosen1")
	one := b.next("chosen1")
	b.waits("chosen2")
	b.queued(1)
	b.waits("plain")
	plain := b.next("plain")
	plain.answer <- ErrDoubtful
	b.queued(2)
	close(one.answer)
	both := bustest.Receive(t, b.server.calls, "a batch")
	if len(both.requests) != 2 || !strings.Contains(both.ids(), "plain") {
		t.Errorf("published %q, want both", both.ids())
	}
	close(both.answer)
	b.waiting.Wait()
	if got := len(b.server.log); got != 3 {
		t.Errorf("%d events were accepted, want 3", got)
	}
}

// TestAThreadLeavesASilentServerToAnother has a server that does not answer the thread that
// publishes: that comes back within its patience, and another asks again.
func TestAThreadLeavesASilentServerToAnother(t *testing.T) {
	b := openTold(t, 4)
	returned := make(chan []bus.Receipt, 1)
	b.waiting.Go(func() {
		receipts, err := b.PublishWithExecutor(&bus.Thread{Awaits: true}, b.events([]string{"one"}), bus.WaitAccepted)
		if err != nil {
			t.Error(err)
		}
		returned <- receipts
	})
	b.next("one")
	receipts := bustest.Receive(t, returned, "the thread")
	if len(receipts) != 1 || receipts[0].Ticket == 0 {
		t.Fatalf("receipts %v, want a ticket", receipts)
	}
	again := b.next("one")
	if !again.requests[0].Doubtful {
		t.Error("asked again as if nothing had been sent")
	}
	b.waits("two") // the server is slow: it is not asked on this thread
	b.queued(0)
	two := b.next("two")
	b.mu.Lock()
	if !b.slow {
		t.Error("the server does not count as slow")
	}
	b.mu.Unlock()
	close(two.answer)
	close(again.answer)
	bustest.AwaitAll(t, b, new(bus.Thread), receipts)
}

// careless is a server with a bug, for a while.
type careless struct {
	overlapping
	bugs *atomic.Int64
}

func (s careless) Follows(channel string) bool {
	if s.bugs.Add(-1) >= 0 {
		panic("bug")
	}
	return s.overlapping.Follows(channel)
}

func TestAPanicEndsTheBatchAndLeavesRoomForOthers(t *testing.T) {
	const bugs = 6
	server := careless{overlapping{logServer: newLogServer(), publishers: 2}, new(atomic.Int64)}
	server.bugs.Store(bugs)
	b := open(t, bustest.NewDispatcher(t), server, patience)
	thread := &bus.Thread{Awaits: true}
	for i := range bugs {
		if i%2 == 0 { // on a goroutine of the bus
			if _, err := publish(t, b, bustest.NewEvent(t, "plain", "a", ""), bus.WaitAccepted); fault.CodeOf(err) != fault.Engine {
				t.Errorf("error %v", err)
			}
			continue
		}
		func() {
			defer func() {
				if cause := recover(); cause != "bug" {
					t.Errorf("panicked with %v", cause)
				}
			}()
			_, _ = b.PublishWithExecutor(thread, []*event.Event{bustest.NewEvent(t, "plain", "a", "")}, bus.WaitAccepted)
		}()
	}
	receipts, err := b.PublishWithExecutor(thread, []*event.Event{bustest.NewEvent(t, "plain", "a", "")}, bus.WaitAccepted)
	if err != nil || receipts[0].Position.IsZero() {
		t.Errorf("receipts %v, error %v", receipts, err)
	}
}

// TestARefusalOnAPublishersThreadIsAnOutcome has what the server refuses told by the ticket.
func TestARefusalOnAPublishersThreadIsAnOutcome(t *testing.T) {
	server := overlapping{logServer: newLogServer(), publishers: 2}
	server.fail(fault.New(fault.BusError, "wrong password"))
	b := open(t, bustest.NewDispatcher(t), server, patience)
	thread := &bus.Thread{Awaits: true}
	receipts, err := b.PublishWithExecutor(thread, []*event.Event{bustest.NewEvent(t, "plain", "a", "")}, bus.WaitAccepted)
	if err != nil || !b.Await(thread, receipts[0].Ticket, 0) {
		t.Fatalf("receipts %v, error %v", receipts, err)
	}
	if _, err := b.Outcome(thread, receipts[0].Ticket); fault.CodeOf(err) != fault.BusError {
		t.Errorf("error %v", err)
	}
}

// logged are the ids that a server has accepted, in order.
func logged(server overlapping) string {
	server.mu.Lock()
	defer server.mu.Unlock()
	one := call{requests: []*Request{{Events: server.log}}}
	return one.ids()
}

// recognising is a server that hands a node's events on as the node knows them, and answers when it
// is told to.
type recognising struct {
	overlapping
	find   func(ids [][]byte, found []*event.Event)
	answer chan struct{}
}

func (s *recognising) Recognise(find func(ids [][]byte, found []*event.Event)) { s.find = find }

func (s *recognising) Read(ctx context.Context) ([]Item, error) {
	items, err := s.overlapping.Read(ctx)
	for i := range items {
		found := make([]*event.Event, 1)
		s.find([][]byte{[]byte(items[i].Event.ID)}, found)
		items[i].Event = found[0]
	}
	return items, err
}

func (s *recognising) Publish(ctx context.Context, requests []*Request) {
	s.overlapping.Publish(ctx, requests)
	<-s.answer
}

// forgetful takes its publisher's account off an event, as the executor does.
type forgetful struct{ bus.Dispatcher }

func (d forgetful) DispatchEventToSubscriptions(t *bus.Thread, ev *event.Event) bus.Delivery {
	ev.Publication = nil
	return d.Dispatcher.DispatchEventToSubscriptions(t, ev)
}

// TestAnEventWithAnAccountHasATicket has a publisher that waits for more than the dispatch, which
// comes before the answer.
func TestAnEventWithAnAccountHasATicket(t *testing.T) {
	server := &recognising{overlapping: overlapping{logServer: newLogServer(), publishers: 2}, answer: make(chan struct{})}
	b := open(t, forgetful{bustest.NewDispatcher(t)}, server, patience)
	if err := b.Follow(new(bus.Thread), bustest.Patterns(t, "a")); err != nil {
		t.Fatal(err)
	}
	ev := bustest.NewEvent(t, "plain", "a", "")
	ev.Publication = "an account"
	go func() {
		defer close(server.answer)
		for end := time.Now().Add(patience); b.Stats().Dispatched == 0; {
			if time.Now().After(end) {
				t.Error("the event is not dispatched")
				return
			}
		}
	}()
	thread := &bus.Thread{Awaits: true}
	receipts, err := b.PublishWithExecutor(thread, []*event.Event{ev}, bus.WaitDispatched)
	if err != nil || receipts[0].Ticket == 0 {
		t.Fatalf("receipts %v, error %v, want a ticket", receipts, err)
	}
	bustest.AwaitAll(t, b, thread, receipts)
}

// noting notes which calls are on a publisher's thread, by their deadline.
type noting struct {
	overlapping
	led chan bool
}

func (s noting) Publish(ctx context.Context, requests []*Request) {
	end, _ := ctx.Deadline()
	s.led <- time.Until(end) <= leadPatience
	s.overlapping.Publish(ctx, requests)
}

// TestAThreadLeavesWhatTakesLongToAnother has publishes for which a thread's patience may be too short.
func TestAThreadLeavesWhatTakesLongToAnother(t *testing.T) {
	server := noting{overlapping{logServer: newLogServer(), publishers: 2}, make(chan bool, 1)}
	b := open(t, bustest.NewDispatcher(t), server, patience)
	thread := &bus.Thread{Awaits: true}
	for _, c := range []struct {
		count, size int
		led         bool
	}{{1, 10, true}, {mostLed, 10, true}, {mostLed + 1, 10, false}, {1, mostLedBytes + 1, false}} {
		b.mu.Lock()
		b.slow = false // as this machine may be
		b.mu.Unlock()
		events := make([]*event.Event, c.count)
		for i := range events {
			var err error
			if events[i], err = event.New("plain", "a", []byte(`{"a":"`+strings.Repeat("a", c.size)+`"}`), "", ""); err != nil {
				t.Fatal(err)
			}
		}
		receipts, err := b.PublishWithExecutor(thread, events, bus.WaitAccepted)
		if err != nil {
			t.Fatal(err)
		}
		if led := bustest.Receive(t, server.led, "a call"); led != c.led {
			t.Errorf("%d events of %d bytes: on the publisher's thread is %v", c.count, c.size, led)
		}
		bustest.AwaitAll(t, b, thread, receipts)
	}
}

package remote

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

func open(t *testing.T, d bus.Dispatcher, server Server, timeout time.Duration) *Bus {
	b := New(d, server, Options{PublishTimeout: timeout, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		ended := make(chan struct{})
		b.Close()
		if !b.Settled(new(bus.Thread), func() { close(ended) }) {
			bustest.Receive(t, ended, "the bus to end")
		}
	})
	return b
}

func TestARemoteBusKeepsTheContract(t *testing.T) {
	bustest.Run(t, func(t *testing.T, d bus.Dispatcher) bus.Bus { return open(t, d, newLogServer(), patience) })
}

// publish is the outcome of one event.
func publish(t *testing.T, b *Bus, ev *event.Event, wait bus.Wait) (event.Position, error) {
	t.Helper()
	receipts, err := b.PublishWithExecutor(new(bus.Thread), []*event.Event{ev}, wait)
	if err != nil {
		return event.Position{}, err
	}
	if !b.Await(new(bus.Thread), receipts[0].Ticket, patience) {
		t.Fatalf("waited %v for the outcome", patience)
	}
	return b.Outcome(new(bus.Thread), receipts[0].Ticket)
}

func TestWhatAServerRefusesIsToldAtOnce(t *testing.T) {
	server := newLogServer()
	server.fail(fault.New(fault.BusError, "wrong password"))
	b := open(t, bustest.NewDispatcher(t), server, patience)
	if _, err := publish(t, b, bustest.NewEvent(t, "plain", "a", ""), bus.WaitDispatched); fault.CodeOf(err) != fault.BusError {
		t.Errorf("publishing: %v", err)
	}
	if err := b.Follow(new(bus.Thread), bustest.Patterns(t, "a")); fault.CodeOf(err) != fault.BusError {
		t.Errorf("following: %v", err)
	}
	if state := b.State(); state["connection"] != "lost" || !strings.Contains(state["error"].(string), "wrong password") {
		t.Errorf("state %v", state)
	}
}

func TestAServerThatIsAwayIsWaitedForWithinTheTimeout(t *testing.T) {
	server := newLogServer()
	server.fail(errAway)
	b := open(t, bustest.NewDispatcher(t), server, 50*time.Millisecond)
	_, err := publish(t, b, bustest.NewEvent(t, "plain", "a", ""), bus.WaitDispatched)
	if fault.CodeOf(err) != fault.BusUnavailable || !errors.Is(err, errAway) {
		t.Errorf("publishing: %v", err)
	}
	if err := b.Follow(new(bus.Thread), bustest.Patterns(t, "a")); fault.CodeOf(err) != fault.BusUnavailable {
		t.Errorf("following: %v", err)
	}
	if err := b.Replay(new(bus.Thread), event.Position{Epoch: "log"}, nil, nil); fault.CodeOf(err) != fault.BusUnavailable {
		t.Errorf("replaying: %v", err)
	}
	if len(server.log) > 0 {
		t.Error("an event that was refused has been accepted")
	}
}

func TestAnEventLoopWaitsForAMomentOnly(t *testing.T) {
	server := newLogServer()
	server.fail(errAway)
	b := open(t, bustest.NewDispatcher(t), server, time.Hour)
	loop := &bus.Thread{Loop: true}
	if err := b.Follow(loop, bustest.Patterns(t, "a")); fault.CodeOf(err) != fault.BusUnavailable {
		t.Errorf("following: %v", err)
	}
	if err := b.Replay(loop, event.Position{Epoch: "log"}, nil, nil); fault.CodeOf(err) != fault.BusUnavailable {
		t.Errorf("replaying: %v", err)
	}
}

func TestAServerThatComesBackGetsWhatWaits(t *testing.T) {
	server := newLogServer()
	server.fail(errAway)
	d := bustest.NewDispatcher(t)
	b := open(t, d, server, patience)
	ended := bustest.Started(func() {
		if at, err := publish(t, b, bustest.NewEvent(t, "plain", "a", ""), bus.WaitAccepted); err != nil || at.Offset != 1 {
			t.Errorf("at %v, error %v", at, err)
		}
	})
	server.fail(nil)
	bustest.Receive(t, ended, "the publisher")
}

func TestALostAnswerIsFoundOutByTheEventsID(t *testing.T) {
	server := newLogServer()
	server.swallow = 3
	d := bustest.NewDispatcher(t)
	b := open(t, d, server, patience)
	if err := b.Follow(new(bus.Thread), bustest.Patterns(t, "*")); err != nil {
		t.Fatal(err)
	}
	if at, err := publish(t, b, bustest.NewEvent(t, "plain", "a", ""), bus.WaitDispatched); err != nil || at.Offset != 1 {
		t.Errorf("at %v, error %v", at, err)
	}
	if n := len(d.AwaitDelivered(1)); n != 1 || len(server.log) != 1 {
		t.Errorf("%d deliveries, %d entries, want one", n, len(server.log))
	}
}

// denying is a server that loses its first answer, and refuses what comes after that.
type denying struct {
	*logServer
	asked int
}

func (s *denying) Publish(ctx context.Context, requests []*Request) {
	s.logServer.Publish(ctx, requests)
	for _, one := range requests {
		if s.asked++; s.asked > 1 {
			one.Err = fault.New(fault.BusError, "no rights any more")
		}
	}
}

func TestARefusalSaysNothingOfWhatMayHaveBeenAcceptedBefore(t *testing.T) {
	server := newLogServer()
	server.swallow = 1
	b := open(t, bustest.NewDispatcher(t), &denying{logServer: server}, patience)
	_, err := publish(t, b, bustest.NewEvent(t, "plain", "a", ""), bus.WaitAccepted)
	if fault.CodeOf(err) != fault.PublishOutcomeUnknown || !strings.Contains(err.Error(), "no rights any more") {
		t.Errorf("%v, want PUBLISH_OUTCOME_UNKNOWN that says why", err)
	}
	if len(server.log) != 1 {
		t.Errorf("%d events accepted, want the one", len(server.log))
	}
}

func TestAnAnswerThatStaysLostIsAnUnknownOutcome(t *testing.T) {
	server := newLogServer()
	server.swallow = 1 << 30
	b := open(t, bustest.NewDispatcher(t), deaf{server}, 50*time.Millisecond)
	ev := bustest.NewEvent(t, "plain", "a", "")
	if _, err := publish(t, b, ev, bus.WaitAccepted); fault.CodeOf(err) != fault.PublishOutcomeUnknown || !strings.Contains(err.Error(), ev.ID) {
		t.Errorf("error %v, want the id %s", err, ev.ID)
	}
}

// late is a server whose first answer is lost, and whose channels are followed only then.
type late struct {
	deaf
	answered atomic.Bool
}

func (s *late) Publish(ctx context.Context, requests []*Request) {
	s.logServer.Publish(ctx, requests)
	s.answered.Store(true)
}

func (s *late) Follows(string) bool { return s.answered.Load() }

func TestWhatMayHaveBeenAcceptedUnfollowedIsNotWaitedFor(t *testing.T) {
	server := &late{deaf: deaf{newLogServer()}}
	server.swallow = 1
	b := open(t, bustest.NewDispatcher(t), server, patience)
	if at, err := publish(t, b, bustest.NewEvent(t, "plain", "a", ""), bus.WaitDispatched); err != nil || at.Offset != 1 {
		t.Errorf("at %v, error %v", at, err)
	}
}

// full is a server that says why it accepts nothing, once, and then says nothing.
type full struct {
	*logServer
	told atomic.Bool
}

var errFull = errors.New("the disk is full")

func (s *full) Publish(ctx context.Context, requests []*Request) {
	err := errFull
	if s.told.Swap(true) {
		<-ctx.Done()
		err = errors.New("no answer")
	}
	for _, r := range requests {
		r.Err = err
	}
}

func TestAServersReasonIsToldAlsoWhereTheLastAttemptIsCutOff(t *testing.T) {
	b := open(t, bustest.NewDispatcher(t), &full{logServer: newLogServer()}, 100*time.Millisecond)
	_, err := publish(t, b, bustest.NewEvent(t, "plain", "a", ""), bus.WaitAccepted)
	if fault.CodeOf(err) != fault.BusUnavailable || !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
}

// deaf is a server of which nothing can be read.
type deaf struct{ *logServer }

func (deaf) Read(ctx context.Context) ([]Item, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestNobodyWaitsForAChannelThatNobodyFollows(t *testing.T) {
	server := newLogServer()
	b := open(t, bustest.NewDispatcher(t), server, patience)
	if err := b.Follow(new(bus.Thread), bustest.Patterns(t, "a")); err != nil {
		t.Fatal(err)
	}
	if at, err := publish(t, b, bustest.NewEvent(t, "plain", "b", ""), bus.WaitDispatched); err != nil || at.Offset != 1 {
		t.Errorf("at %v, error %v", at, err)
	}
}

func TestNobodyWaitsForAChannelThatIsLetGoOf(t *testing.T) {
	server := newLogServer()
	b := open(t, bustest.NewDispatcher(t), deaf{server}, patience)
	if err := b.Follow(new(bus.Thread), nil); err != nil {
		t.Fatal(err)
	}
	patterns := bustest.Patterns(t, "a")
	if _, err := server.Follow(t.Context(), patterns); err != nil { // its mark is never read
		t.Fatal(err)
	}
	finished := make(chan uint64, 1)
	loop := &bus.Thread{Loop: true, Finish: func(ticket uint64) { finished <- ticket }}
	receipts, err := b.PublishWithExecutor(loop, []*event.Event{bustest.NewEvent(t, "plain", "a", "")}, bus.WaitDispatched)
	if err != nil {
		t.Fatal(err)
	}
	if b.Await(new(bus.Thread), receipts[0].Ticket, 50*time.Millisecond) {
		t.Fatal("dispatched, though nothing can be read")
	}
	b.Unfollow(patterns)
	if ticket := bustest.Receive(t, finished, "the publisher"); ticket != receipts[0].Ticket {
		t.Errorf("told of ticket %d, want %d", ticket, receipts[0].Ticket)
	}
	if at, err := b.Outcome(loop, receipts[0].Ticket); err != nil || at.Offset != 1 {
		t.Errorf("at %v, error %v", at, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.outbox.isEmpty() {
		t.Errorf("left: %+v", &b.outbox)
	}
}

func TestALostConnectionLosesNoEvent(t *testing.T) {
	server := newLogServer()
	d := bustest.NewDispatcher(t)
	b := open(t, d, server, patience)
	if err := b.Follow(new(bus.Thread), bustest.Patterns(t, "*")); err != nil {
		t.Fatal(err)
	}
	const events = 50
	for i := range events {
		if i%7 == 3 {
			server.fail(errAway)
		}
		ended := bustest.Started(func() { _, _ = publish(t, b, bustest.NewEvent(t, "plain", "a", ""), bus.WaitDispatched) })
		server.fail(nil)
		bustest.Receive(t, ended, "a publisher")
	}
	if n := len(d.AwaitDelivered(events)); n != events {
		t.Errorf("%d deliveries of %d events", n, events)
	}
	if state := b.State(); state["connection"] != "connected" {
		t.Errorf("state %v", state)
	}
}

func TestAForsakenTicketLeavesNothing(t *testing.T) {
	server := newLogServer()
	d := bustest.NewDispatcher(t)
	b := open(t, d, server, patience)
	if err := b.Follow(new(bus.Thread), bustest.Patterns(t, "*")); err != nil {
		t.Fatal(err)
	}
	receipts, err := b.PublishWithExecutor(new(bus.Thread), []*event.Event{bustest.NewEvent(t, "plain", "a", "")}, bus.WaitDispatched)
	if err != nil {
		t.Fatal(err)
	}
	b.Forsake(receipts[0].Ticket)
	d.AwaitDelivered(1)
	if _, err := publish(t, b, bustest.NewEvent(t, "plain", "a", ""), bus.WaitDispatched); err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.outbox.isEmpty() || b.outbox.tickets.count > 0 || b.lanes.pending > 0 || len(b.lanes.byChannel) > 0 {
		t.Errorf("left: %+v %+v", &b.outbox, b.lanes)
	}
}

// buggy is a server whose publishing has a bug.
type buggy struct{ *logServer }

func (buggy) Publish(context.Context, []*Request) { panic("bug") }

// TestWhoIsToldMayBeForsakenMeanwhile has the second of three events given up while the first one's
// publisher is being told.
func TestWhoIsToldMayBeForsakenMeanwhile(t *testing.T) {
	b := open(t, bustest.NewDispatcher(t), newLogServer(), patience)
	telling, goOn, told := make(chan uint64), make(chan struct{}), make(chan uint64, 3)
	var once sync.Once
	thread := &bus.Thread{Loop: true, Finish: func(ticket uint64) {
		once.Do(func() {
			telling <- ticket
			<-goOn
		})
		told <- ticket
	}}
	events := make([]*event.Event, 3)
	for i := range events {
		events[i] = bustest.NewEvent(t, "plain", "a", "")
	}
	receipts, err := b.PublishWithExecutor(thread, events, bus.WaitAccepted)
	if err != nil {
		t.Fatal(err)
	}
	bustest.Receive(t, telling, "the first to be told")
	b.Forsake(receipts[1].Ticket)
	close(goOn)
	for range receipts {
		bustest.Receive(t, told, "all that were to be told")
	}
}

func TestAPanicIsAnErrorForThosePublishing(t *testing.T) {
	told := make(chan any, 1)
	b := New(bustest.NewDispatcher(t), buggy{newLogServer()}, Options{
		PublishTimeout: patience, Log: slog.New(slog.DiscardHandler), Panicked: func(cause any) { told <- cause },
	})
	defer func() {
		ended := make(chan struct{})
		b.Close()
		if !b.Settled(new(bus.Thread), func() { close(ended) }) {
			bustest.Receive(t, ended, "the bus to end")
		}
	}()
	if _, err := publish(t, b, bustest.NewEvent(t, "plain", "a", ""), bus.WaitDispatched); fault.CodeOf(err) != fault.Engine {
		t.Errorf("error %v", err)
	}
	if cause := bustest.Receive(t, told, "the panic"); cause != "bug" {
		t.Errorf("told of %v", cause)
	}
}

// busy is a server on which something holds up the events of one id.
type busy struct {
	*logServer
	held     string
	attempts atomic.Int64
	free     atomic.Bool
}

func (s *busy) Publish(ctx context.Context, requests []*Request) {
	var others []*Request
	for _, r := range requests {
		if r.Events[0].ID == s.held && !s.free.Load() {
			s.attempts.Add(1)
			r.Err = ErrBusy
		} else {
			others = append(others, r)
		}
	}
	s.logServer.Publish(ctx, others)
}

func TestWhatIsHeldUpHoldsUpNobodyElseAndIsTriedAgainSoon(t *testing.T) {
	server := &busy{logServer: newLogServer(), held: "one"}
	b := open(t, bustest.NewDispatcher(t), server, patience)
	ended := bustest.Started(func() {
		if _, err := publish(t, b, bustest.NewEvent(t, "plain", "a", "one"), bus.WaitAccepted); err != nil {
			t.Error(err)
		}
	})
	// With pauses that grow as those for a server that is away, this takes a minute.
	for server.attempts.Load() < 40 {
		if _, err := publish(t, b, bustest.NewEvent(t, "plain", "a", ""), bus.WaitAccepted); err != nil {
			t.Fatal(err)
		}
	}
	server.free.Store(true)
	bustest.Receive(t, ended, "the event that was held up")
}

func TestAnEventIsRecognisedOnceWhileItIsToComeBack(t *testing.T) {
	var o outbox
	o.open(1, nil)
	plain, chosen, again := bustest.NewEvent(t, "plain", "a", ""), bustest.NewEvent(t, "plain", "a", "mine"), bustest.NewEvent(t, "plain", "a", "mine")
	for _, ev := range []*event.Event{plain, chosen, again} {
		o.expect(&o.add([]*event.Event{ev}, true, true, nil, time.Now()).tickets[0])
	}
	for i, want := range []*event.Event{plain, nil} {
		if got := o.recognise([]byte(plain.ID)); got != want {
			t.Errorf("time %d: %v", i, got)
		}
	}
	for i, want := range []*event.Event{again, chosen, nil} {
		if got := o.recognise([]byte("mine")); got != want {
			t.Errorf("of one id, time %d: %v", i, got)
		}
	}
	o.dispatched(chosen, event.Position{})
	third := bustest.NewEvent(t, "plain", "a", "mine")
	o.expect(&o.add([]*event.Event{third}, true, true, nil, time.Now()).tickets[0])
	o.dispatched(third, event.Position{})
	if got := o.recognise([]byte("mine")); got != nil {
		t.Errorf("what has come back is recognised: %v", got)
	}
}

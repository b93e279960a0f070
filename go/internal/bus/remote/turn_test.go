package remote

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// pipelining is a server that takes a batch while it publishes another one.
type pipelining struct{ *logServer }

// lineTurn is a turn in line.
type lineTurn struct {
	server *logServer
	before *lineTurn
	ended  chan struct{}
	failed bool
}

func (s pipelining) Turn(before Turn) Turn {
	made := &lineTurn{server: s.logServer, ended: make(chan struct{})}
	made.before, _ = before.(*lineTurn)
	return made
}

func (l *lineTurn) Publish(ctx context.Context, requests []*Request) {
	defer l.Leave()
	if l.before != nil {
		if <-l.before.ended; l.before.failed {
			l.failed = true
			for _, r := range requests {
				r.Err = ErrBusy
			}
			return
		}
	}
	l.server.Publish(ctx, requests)
	l.failed = slices.ContainsFunc(requests, (*Request).IsOpen)
}

func (l *lineTurn) Leave() {
	select {
	case <-l.ended:
	default:
		close(l.ended)
	}
}

func TestABusThatPipelinesKeepsTheContract(t *testing.T) {
	bustest.Run(t, func(t *testing.T, d bus.Dispatcher) bus.Bus {
		return open(t, d, pipelining{newLogServer()}, patience)
	})
}

// stumbling is a server with a bug that waits to be met by the first batch.
type stumbling struct {
	pipelining
	met, bug chan struct{}
	first    *sync.Once
}

func (s stumbling) Follows(channel string) bool {
	s.first.Do(func() {
		close(s.met)
		<-s.bug
		panic("bug")
	})
	return s.pipelining.Follows(channel)
}

// TestAPanicEndsItsTurn has a batch wait for the turn of one that is never published.
func TestAPanicEndsItsTurn(t *testing.T) {
	server := stumbling{pipelining{newLogServer()}, make(chan struct{}), make(chan struct{}), new(sync.Once)}
	b := open(t, bustest.NewDispatcher(t), server, patience)
	thread := new(bus.Thread)
	say := func(count int) []bus.Receipt {
		receipts, err := b.PublishWithExecutor(thread, slices.Repeat([]*event.Event{bustest.NewEvent(t, "plain", "a", "")}, count), bus.WaitAccepted)
		if err != nil {
			t.Fatal(err)
		}
		return receipts
	}
	first := say(1)
	bustest.Receive(t, server.met, "the first batch")
	second := say(mostTaken)
	for end, taken := time.Now().Add(patience), 0; taken < 2; {
		b.mu.Lock()
		taken = len(b.outbox.underWay)
		b.mu.Unlock()
		if time.Now().After(end) {
			t.Fatal("nothing is taken behind a batch that is under way")
		}
	}
	close(server.bug)
	if !b.Await(thread, first[0].Ticket, patience) {
		t.Fatal("whoever published what has panicked waits for ever")
	}
	if _, err := b.Outcome(thread, first[0].Ticket); fault.CodeOf(err) != fault.Engine {
		t.Errorf("outcome %v", err)
	}
	bustest.AwaitAll(t, b, thread, second)
}

// numbered is a turn that only has a number.
type numbered struct {
	Turn
	number int
	before Turn
}

// TestAWholeBatchIsTakenAhead has one batch under way: the next one is taken when enough wait, and nothing before
// what is to be tried again.
func TestAWholeBatchIsTakenAhead(t *testing.T) {
	var o outbox
	turns := 0
	o.open(2, func(before Turn) Turn {
		turns++
		return &numbered{number: turns, before: before}
	})
	add := func(events int) *request {
		return o.add(slices.Repeat([]*event.Event{bustest.NewEvent(t, "x", "a", "")}, events), true, true, nil, time.Time{})
	}
	take := func(want ...*request) *batch {
		t.Helper()
		taken := o.take()
		var got []*request
		if taken != nil {
			got = taken.requests
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%d requests are taken, want %d", len(got), len(want))
		}
		return taken
	}
	a, b := add(1), add(1)
	one := take(a, b)
	c := add(mostTaken - 1)
	take()
	d := add(1)
	two := take(c, d)
	if two.turn.(*numbered).before != one.turn {
		t.Error("it is not behind the other one")
	}
	e := add(mostTaken)
	take() // two are under way
	o.putBack(one, []*request{b})
	take()
	o.putBack(two, []*request{d})
	three := take(b, d)
	if three.turn.(*numbered).before != nil {
		t.Error("it is behind one that has ended")
	}
	four := take(e)
	o.putBack(three, nil)
	o.putBack(four, nil)
	if !o.isEmpty() || o.waiting != 0 {
		t.Errorf("%d events are left", o.waiting)
	}
}

// TestWhoeverMayTakeIsRoused has a goroutine wait for what it may take, and no other one woken for nothing.
func TestWhoeverMayTakeIsRoused(t *testing.T) {
	var o outbox
	o.open(2, func(Turn) Turn { return nil })
	roused := func(want bool, when string) {
		t.Helper()
		select {
		case <-o.wake:
			if !want {
				t.Errorf("%s: somebody is woken", when)
			}
		default:
			if want {
				t.Errorf("%s: nobody is woken", when)
			}
		}
	}
	for range 3 {
		o.add(slices.Repeat([]*event.Event{bustest.NewEvent(t, "x", "a", "")}, mostTaken), true, true, nil, time.Time{})
	}
	one := o.take()
	roused(true, "more than a batch waits")
	two := o.take()
	roused(false, "two are under way")
	o.putBack(one, nil)
	roused(true, "one has ended")
	three := o.take()
	o.putBack(two, nil)
	o.putBack(three, nil)
	roused(false, "nothing waits")
}

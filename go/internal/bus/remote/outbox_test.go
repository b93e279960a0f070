package remote

import (
	"slices"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// TestOnlyWhatWasNotReadIsGivenUpForAGap has three events of which nobody but the reader knows
// what has gone: one was read, one was accepted, and one is accepted later.
func TestOnlyWhatWasNotReadIsGivenUpForAGap(t *testing.T) {
	var o outbox
	o.open(1, nil)
	told := 0
	add := func() *request {
		r := o.add([]*event.Event{bustest.NewEvent(t, "x", "a", "")}, true, true, func(uint64) { told++ }, time.Time{})
		r.Follows, r.Positions = []bool{true}, make([]event.Position, 1)
		o.expect(&r.tickets[0])
		return r
	}
	read, unread, late := add(), add(), add()
	o.take()
	for _, one := range []*request{read, unread} {
		o.accept(one).tell()
	}
	o.cameBack(read.Events[0])
	o.skip(func(channel string, _ event.Position) bool { return channel == "b" }).tell()
	if told != 0 {
		t.Errorf("%d told of another channel's gap", told)
	}
	o.skip(func(channel string, _ event.Position) bool { return channel == "a" }).tell()
	if told != 1 || !unread.tickets[0].isDone {
		t.Errorf("%d told; the one that was not read: %v", told, unread.tickets[0].isDone)
	}
	if o.accept(late).tell(); told != 2 {
		t.Error("what was accepted and had gone is waited for")
	}
	if o.dispatched(read.Events[0], event.Position{}).tell(); told != 3 || !o.returning.isEmpty() {
		t.Errorf("%d told in the end, %d are still to come", told, len(o.returning.byHash))
	}
}

// TestAGapIsForgottenWhenWhatItConcernsHasEnded finds gaps while one batch is always under way: they do not add up.
func TestAGapIsForgottenWhenWhatItConcernsHasEnded(t *testing.T) {
	var o outbox
	o.open(2, func(Turn) Turn { return nil })
	take := func() *batch {
		o.add(slices.Repeat([]*event.Event{bustest.NewEvent(t, "x", "a", "")}, mostTaken), true, true, nil, time.Time{})
		return o.take()
	}
	before := take()
	for range 5 {
		after := take()
		o.skip(func(string, event.Position) bool { return true })
		if len(o.gaps) != 1 {
			t.Fatalf("%d gaps are kept, want one", len(o.gaps))
		}
		o.putBack(before, before.requests)
		o.putBack(after, nil)
		again := o.take()
		if len(o.gaps) != 1 {
			t.Fatalf("%d gaps are kept of what is tried again, want one", len(o.gaps))
		}
		before = take()
		o.putBack(again, nil)
	}
}

// TestAnIDThatIsReadTwiceIsItsPublishersOnce has an event twice in a server's log, as after a lost
// answer where what had been sent could not be found: while the second is read, the first is
// its dispatch's, which takes the account of the publisher off it.
func TestAnIDThatIsReadTwiceIsItsPublishersOnce(t *testing.T) {
	var o outbox
	o.open(1, nil)
	ev := bustest.NewEvent(t, "x", "a", "")
	ev.Publication = "an account"
	o.expect(&o.add([]*event.Event{ev}, true, true, nil, time.Time{}).tickets[0])
	if got := o.cameBack(ev); got != "an account" {
		t.Errorf("the first is the publisher's by %v", got)
	}
	dispatch := bustest.Started(func() { ev.Publication = nil })
	if got := o.cameBack(ev); got != nil {
		t.Errorf("the second is the publisher's by %v", got)
	}
	bustest.Receive(t, dispatch, "the dispatch")
}

// TestABatchIsNoLargerThanItsPublishersNeed has many requests wait: those behind the first thousand events are sent with the
// next batch, and one request is never divided.
func TestABatchIsNoLargerThanItsPublishersNeed(t *testing.T) {
	var o outbox
	o.open(1, nil)
	add := func(events int) {
		o.add(slices.Repeat([]*event.Event{bustest.NewEvent(t, "x", "a", "")}, events), true, true, nil, time.Time{})
	}
	for _, events := range []int{mostTaken - 1, 1, 1, 2 * mostTaken, 3} {
		add(events)
	}
	for _, want := range []int{2, 1, 1, 1, 0} {
		taken := o.take()
		got := 0
		if taken != nil {
			got = len(taken.requests)
			o.putBack(taken, nil)
		}
		if got != want {
			t.Errorf("%d requests are taken, want %d", got, want)
		}
	}
	if !o.isEmpty() {
		t.Error("some are left")
	}
}

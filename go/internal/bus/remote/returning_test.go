package remote

import (
	"hash/maphash"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// TestIdsOfOneHashAreToldApart puts an event where another one's hash leads to.
func TestIdsOfOneHashAreToldApart(t *testing.T) {
	var o outbox
	o.open(1, nil)
	made := func(id string) *ticket {
		one := &o.add([]*event.Event{bustest.NewEvent(t, "plain", "a", id)}, true, true, nil, time.Time{}).tickets[0]
		one.event.Publication = id
		one.awaited = true
		o.returning.chosen++
		return one
	}
	first, other, again := made("mine"), made("other"), made("mine")
	hash := maphash.String(o.returning.seed, "mine")
	first.next, other.next = other, again
	o.returning.byHash[hash] = first

	if got := o.cameBack(first.event); got != "mine" || !first.read || other.read || !again.read {
		t.Errorf("came back: %v, read are %v, %v and %v", got, first.read, other.read, again.read)
	}
	o.dispatched(first.event, event.Position{})
	if !first.dispatched || other.dispatched || !again.dispatched {
		t.Errorf("dispatched are %v, %v and %v", first.dispatched, other.dispatched, again.dispatched)
	}
	if o.returning.byHash[hash] != other || other.next != nil {
		t.Error("the other one is not left alone")
	}
	o.returning.takeAll("mine", func(*ticket) bool { return true })
	if !o.returning.isEmpty() {
		t.Error("some are left")
	}
}

// TestATicketIsAtHandWhileNobodyElseMayHaveItsID has the event itself come back, and one of its id that was read.
func TestATicketIsAtHandWhileNobodyElseMayHaveItsID(t *testing.T) {
	var o outbox
	o.open(1, nil)
	sent := func(id string) *event.Event {
		ev := bustest.NewEvent(t, "plain", "a", id)
		o.expect(&o.add([]*event.Event{ev}, true, true, nil, time.Time{}).tickets[0])
		return ev
	}
	first, second, third := sent(""), sent(""), sent("")
	for _, ev := range []*event.Event{second, first} {
		one := o.returning.only(ev)
		if o.cameBack(ev); one == nil || !one.read {
			t.Error("an event's ticket is not at hand")
		}
		if o.dispatched(ev, event.Position{}); one == nil || !one.dispatched || ev.Sent != nil || o.returning.only(ev) != nil {
			t.Error("an event was dispatched, and its ticket is to be had")
		}
	}
	// Somebody has read the third one's entry by itself, and somebody else publishes with its id.
	again := sent(third.ID)
	if o.returning.only(third) != nil {
		t.Error("a ticket is taken for the only one of its id")
	}
	tickets := []*ticket{third.Sent.(*ticket), again.Sent.(*ticket)}
	read := &event.Event{ID: third.ID, Channel: "a"}
	o.cameBack(read)
	o.dispatched(read, event.Position{})
	for i, one := range tickets {
		if !one.read || !one.dispatched {
			t.Errorf("of number %d of one id: %v, %v", i, one.read, one.dispatched)
		}
	}
	if !o.returning.isEmpty() {
		t.Error("some are left")
	}
	if o.returning.chosen != 0 {
		t.Errorf("%d chosen ids are left", o.returning.chosen)
	}
	last := sent("")
	if o.returning.only(last) == nil || len(o.returning.which(func(*ticket) bool { return true })) != 1 {
		t.Error("the next ticket is not at hand")
	}
	o.returning.clear()
	if !o.returning.isEmpty() || o.returning.only(last) != nil || last.Sent.(*ticket).awaited {
		t.Error("some are left in the end")
	}
}

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
	o.open(1)
	made := func(id string) *ticket {
		one := &o.add([]*event.Event{bustest.NewEvent(t, "plain", "a", id)}, true, true, nil, time.Time{}).tickets[0]
		one.event.Publication = id
		one.returns = true
		return one
	}
	first, other, again := made("mine"), made("other"), made("mine")
	hash := maphash.String(o.returning.seed, "mine")
	first.next, other.next = other, again
	o.returning.byHash[hash] = first

	if got := o.cameBack("mine"); got != "mine" || !first.read || other.read || !again.read {
		t.Errorf("came back: %v, read are %v, %v and %v", got, first.read, other.read, again.read)
	}
	o.dispatched("mine", event.Position{})
	if !first.dispatched || other.dispatched || !again.dispatched {
		t.Errorf("dispatched are %v, %v and %v", first.dispatched, other.dispatched, again.dispatched)
	}
	if o.returning.byHash[hash] != other || other.next != nil {
		t.Error("the other one is not left alone")
	}
	o.returning.remove("mine", func(*ticket) bool { return true })
	if !o.returning.isEmpty() {
		t.Error("some are left")
	}
}

package remote

import (
	"math/rand/v2"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus/bustest"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// TestATicketsNumberIsItsOwnForEver takes tickets out and others in, in any order.
func TestATicketsNumberIsItsOwnForEver(t *testing.T) {
	var all tickets
	held := map[uint64]*ticket{}
	gone := []uint64{0, 1 << 40, 1<<64 - 1}
	most := 0
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		if len(held) > 0 && r.IntN(100) < 49 {
			for number := range held {
				all.remove(number)
				delete(held, number)
				gone = append(gone, number)
				break
			}
			continue
		}
		one := new(ticket)
		all.add(one)
		if one.number == 0 || held[one.number] != nil {
			t.Fatalf("the number %d is given again", one.number)
		}
		held[one.number] = one
		most = max(most, len(held))
	}
	all.remove(gone[r.IntN(len(gone))])
	for number, one := range held {
		if all.of(number) != one {
			t.Fatalf("the ticket %d is not found", number)
		}
	}
	for _, number := range gone {
		if held[number] == nil && all.of(number) != nil {
			t.Fatalf("the number %d, whose ticket has gone, leads to another one", number)
		}
	}
	count := 0
	for one := range all.all() {
		if held[one.number] != one {
			t.Fatalf("there is a ticket %d", one.number)
		}
		count++
	}
	if count != len(held) || all.count != count || len(all.slots) > max(4*most, fewestSlots) {
		t.Errorf("%d tickets, counted as %d, in %d slots; want %d, of which there were at most %d", count, all.count, len(all.slots), len(held), most)
	}
}

// TestTheTicketsOfARequestFollowEachOther lets their outcomes be asked for as one range.
func TestTheTicketsOfARequestFollowEachOther(t *testing.T) {
	server := newLogServer()
	b := open(t, bustest.NewDispatcher(t), server, patience)
	for range 3 {
		var events []*event.Event
		for range 10 {
			events = append(events, bustest.NewEvent(t, "plain", "a", ""))
		}
		thread := new(bus.Thread)
		receipts, err := b.PublishWithExecutor(thread, events, bus.WaitAccepted)
		if err != nil {
			t.Fatal(err)
		}
		for i := range receipts {
			if got, want := receipts[i].Ticket, receipts[0].Ticket+uint64(i); got != want {
				t.Errorf("event %d has the ticket %d, want %d", i, got, want)
			}
		}
		bustest.AwaitAll(t, b, thread, receipts)
	}
}

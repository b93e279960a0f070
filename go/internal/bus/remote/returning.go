package remote

import (
	"hash/maphash"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// returning are the tickets of events that were followed when they were sent, and have not been
// dispatched here yet. Where the server gives the event itself that was published, its ticket is at hand.
// Others are looked for by their ids: then those that are there lie by a hash of it, since to compare
// ids, each would be fetched from where it was made.
type returning struct {
	seed maphash.Seed
	// fresh is a ring of those that nothing has been looked for among; itself is none.
	fresh  ticket
	byHash map[uint64]*ticket // the newest one; others of its hash follow it as next
	chosen int                // how many ids their publishers have chosen: others may have the same
}

func (r *returning) open() {
	r.seed = maphash.MakeSeed()
	r.byHash = make(map[uint64]*ticket)
	r.emptyRing()
}

func (r *returning) clear() {
	for _, one := range r.which(func(*ticket) bool { return true }) {
		r.take(one)
	}
}

func (r *returning) emptyRing() { r.fresh.prev, r.fresh.next = &r.fresh, &r.fresh }

func (r *returning) isEmpty() bool { return r.fresh.next == &r.fresh && len(r.byHash) == 0 }

func (r *returning) add(one *ticket) {
	one.prev, one.next = r.fresh.prev, &r.fresh
	one.prev.next, r.fresh.prev = one, one
	one.awaited = true
	if one.event.ChosenID {
		r.chosen++
	}
}

// only is the ticket of an event itself, if it is certainly the only one that is to come back by that id.
func (r *returning) only(ev *event.Event) *ticket {
	if one, ok := ev.Sent.(*ticket); ok && one.awaited && r.chosen == 0 {
		return one
	}
	return nil
}

// like is the newest of those that may have an event's id, and with its next ones, all of them.
func (r *returning) like(id string) *ticket {
	for one := r.fresh.next; one != &r.fresh; {
		next := one.next
		hash := maphash.String(r.seed, one.event.ID)
		one.prev, one.next = nil, r.byHash[hash]
		r.byHash[hash] = one
		one = next
	}
	r.emptyRing()
	return r.byHash[maphash.String(r.seed, id)]
}

// take takes out a ticket, if it is there.
func (r *returning) take(gone *ticket) {
	if !gone.awaited {
		return
	}
	if gone.prev == nil {
		r.takeOut(gone.event.ID, func(one *ticket) bool { return one == gone })
		return
	}
	gone.prev.next, gone.next.prev = gone.next, gone.prev
	gone.prev, gone.next = nil, nil
	r.note(gone)
}

// takeAll takes out the tickets that gone is true of, among those that may have an event's id.
func (r *returning) takeAll(id string, gone func(one *ticket) bool) {
	r.like(id)
	r.takeOut(id, gone)
}

// takeOut is takeAll of those that lie by a hash.
func (r *returning) takeOut(id string, gone func(one *ticket) bool) {
	hash := maphash.String(r.seed, id)
	first := r.byHash[hash]
	var left *ticket
	end := &left
	for one := first; one != nil; {
		next := one.next
		if one.next = nil; gone(one) {
			r.note(one)
		} else {
			*end, end = one, &one.next
		}
		one = next
	}
	switch {
	case left == first:
	case left == nil:
		delete(r.byHash, hash)
	default:
		r.byHash[hash] = left
	}
}

// note notes that a ticket has been taken out.
func (r *returning) note(gone *ticket) {
	gone.awaited = false
	if gone.event.ChosenID {
		r.chosen--
	}
}

// which are those that something is true of.
func (r *returning) which(asked func(one *ticket) bool) (found []*ticket) {
	for one := r.fresh.next; one != &r.fresh; one = one.next {
		if asked(one) {
			found = append(found, one)
		}
	}
	for _, first := range r.byHash {
		for one := first; one != nil; one = one.next {
			if asked(one) {
				found = append(found, one)
			}
		}
	}
	return found
}

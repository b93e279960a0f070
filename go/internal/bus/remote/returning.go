package remote

import "hash/maphash"

// returning are the tickets of events that were followed when they were sent, and have not been
// dispatched here yet. They lie by a hash of the event's id: to compare ids, each would be fetched
// from where it was made.
type returning struct {
	seed   maphash.Seed
	byHash map[uint64]*ticket // the newest one; others of its hash follow it as next
}

func (r *returning) open() { r.seed, r.byHash = maphash.MakeSeed(), make(map[uint64]*ticket) }

func (r *returning) isEmpty() bool { return len(r.byHash) == 0 }

func (r *returning) add(one *ticket) {
	hash := maphash.String(r.seed, one.event.ID)
	one.next = r.byHash[hash]
	r.byHash[hash] = one
}

// like is the newest of those that may have an event's id, and with its next ones, all of them.
func (r *returning) like(id string) *ticket { return r.byHash[maphash.String(r.seed, id)] }

// remove takes out the tickets that gone is true of, among those that may have an event's id.
func (r *returning) remove(id string, gone func(one *ticket) bool) {
	hash := maphash.String(r.seed, id)
	first := r.byHash[hash]
	if first == nil {
		return
	}
	var left *ticket
	end := &left
	for one := first; one != nil; {
		next := one.next
		if one.next = nil; !gone(one) {
			*end, end = one, &one.next
		}
		one = next
	}
	switch {
	case left == nil:
		delete(r.byHash, hash)
	case left != first:
		r.byHash[hash] = left
	}
}

// which are those that something is true of.
func (r *returning) which(asked func(one *ticket) bool) (found []*ticket) {
	for _, first := range r.byHash {
		for one := first; one != nil; one = one.next {
			if asked(one) {
				found = append(found, one)
			}
		}
	}
	return found
}

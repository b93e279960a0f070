package remote

import "iter"

// tickets are those whose outcome may be asked for, by their numbers. Those of one request follow each
// other, so that they can be asked for as one range, but where a place is taken. The low bits of a
// number say where its ticket lies: a map of as many would be looked up four times an event, each
// time in memory that nothing else has touched lately.
type tickets struct {
	slots []*ticket // a power of two, at most half of them used
	count int
	last  uint64
}

const fewestSlots = 1024

// add gives a ticket a number, of which there is no other, and which is not 0.
func (t *tickets) add(one *ticket) {
	if t.count++; 2*t.count > len(t.slots) {
		old := t.slots
		t.slots = make([]*ticket, max(fewestSlots, 2*len(old)))
		for _, one := range old {
			if one != nil {
				*t.slot(one.number) = one
			}
		}
	}
	for t.last++; *t.slot(t.last) != nil; t.last++ { // somebody who takes long has that one
	}
	one.number = t.last
	*t.slot(t.last) = one
}

func (t *tickets) slot(number uint64) **ticket { return &t.slots[number&uint64(len(t.slots)-1)] }

// of is the ticket of a number, nil if there is none.
func (t *tickets) of(number uint64) *ticket {
	if len(t.slots) == 0 {
		return nil
	}
	if one := *t.slot(number); one != nil && one.number == number {
		return one
	}
	return nil
}

// remove takes a number's ticket out, if there is one.
func (t *tickets) remove(number uint64) {
	if t.of(number) != nil {
		*t.slot(number) = nil
		t.count--
	}
}

func (t *tickets) all() iter.Seq[*ticket] {
	return func(yield func(*ticket) bool) {
		for _, one := range t.slots {
			if one != nil && !yield(one) {
				return
			}
		}
	}
}

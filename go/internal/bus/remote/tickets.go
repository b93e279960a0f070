package remote

import "iter"

// tickets are those whose outcome may be asked for, by their numbers. The low bits of a number say
// where its ticket lies: a map of as many would be looked up four times an event, each time in
// memory that nothing else has touched lately.
type tickets struct {
	slots []*ticket
	free  []uint32 // slots of none
	count int
	given uint64 // how many there have been
}

// slotBits is what of a number says where its ticket lies: outstanding ones are at most maxOutbox.
const slotBits = 20

// add gives a ticket a number, of which there is no other, and which is not 0.
func (t *tickets) add(one *ticket) {
	if len(t.free) == 0 {
		t.free = append(t.free, uint32(len(t.slots)))
		t.slots = append(t.slots, nil)
	}
	last := len(t.free) - 1
	slot := t.free[last]
	t.free = t.free[:last]
	t.given++
	t.count++
	one.number = t.given<<slotBits | uint64(slot)
	t.slots[slot] = one
}

// of is the ticket of a number, nil if there is none.
func (t *tickets) of(number uint64) *ticket {
	slot := number & (1<<slotBits - 1)
	if slot >= uint64(len(t.slots)) || t.slots[slot] == nil || t.slots[slot].number != number {
		return nil
	}
	return t.slots[slot]
}

// remove takes a number's ticket out, if there is one.
func (t *tickets) remove(number uint64) {
	if t.of(number) == nil {
		return
	}
	slot := uint32(number & (1<<slotBits - 1))
	t.slots[slot] = nil
	t.free = append(t.free, slot)
	t.count--
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

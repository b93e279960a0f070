package protocol

import "slices"

// roster knows a connection's operations: by the client's ids, and by numbers that are
// never used again, so that a late answer cannot meet the operation that has taken over
// an id.
type roster struct {
	last   uint64
	active map[string]uint64
	ids    map[uint64]string
}

func newRoster() roster { return roster{active: map[string]uint64{}, ids: map[uint64]string{}} }

// enter gives the operation of a free id its number.
func (r *roster) enter(id string) (number uint64) {
	r.last++
	r.active[id], r.ids[r.last] = r.last, id
	return r.last
}

// leave takes an operation out.
func (r *roster) leave(number uint64) (id string, known bool) {
	id, known = r.ids[number]
	if known {
		delete(r.ids, number)
		delete(r.active, id)
	}
	return id, known
}

// numbers are those of the operations, oldest first.
func (r *roster) numbers() []uint64 {
	numbers := make([]uint64, 0, len(r.ids))
	for number := range r.ids {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	return numbers
}

func (r *roster) empty() { r.active, r.ids = nil, nil }

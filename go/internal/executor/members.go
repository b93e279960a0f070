package executor

import "sync/atomic"

// members is a set with lock-free readers: writers hold Executor.mu, dispatch
// reads without a lock. A reader that still has an outgrown array may see a
// member that has left; that one's queue is closed by then and refuses.
type members struct {
	slots atomic.Pointer[[]atomic.Pointer[member]]
	used  int   // slots ever used; the rest of the array is empty
	free  []int // used slots that are empty again
	live  atomic.Int64
}

// add gives one a slot: O(1) amortised.
func (m *members) add(one *member) {
	m.live.Add(1)
	if last := len(m.free) - 1; last >= 0 {
		one.slot = int32(m.free[last])
		m.free = m.free[:last]
		(*m.slots.Load())[one.slot].Store(one)
		return
	}
	slots := m.slots.Load()
	if slots == nil || m.used == len(*slots) {
		slots = m.resize(max(1, 2*m.used))
	}
	one.slot = int32(m.used)
	m.used++
	(*slots)[one.slot].Store(one)
}

// remove empties one's slot: O(1) amortised. The array shrinks when three
// quarters of it are empty, so that dispatch does not walk over the departed.
func (m *members) remove(one *member) {
	(*m.slots.Load())[one.slot].Store(nil)
	m.free = append(m.free, int(one.slot))
	if live := int(m.live.Add(-1)); m.used >= 16 && 4*live < m.used {
		m.resize(max(1, 2*live))
	}
}

// resize moves the members to a new array of the given size.
func (m *members) resize(size int) *[]atomic.Pointer[member] {
	resized := make([]atomic.Pointer[member], size)
	used := 0
	if slots := m.slots.Load(); slots != nil {
		for i := range *slots {
			if one := (*slots)[i].Load(); one != nil {
				one.slot = int32(used)
				resized[used].Store(one)
				used++
			}
		}
	}
	m.used, m.free = used, nil
	m.slots.Store(&resized)
	return &resized
}

// each calls visit for every member.
func (m *members) each(visit func(*member)) {
	slots := m.slots.Load()
	if slots == nil {
		return
	}
	for i := range *slots {
		if one := (*slots)[i].Load(); one != nil {
			visit(one)
		}
	}
}

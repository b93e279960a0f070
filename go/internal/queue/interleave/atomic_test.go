package interleave

// The types below stand in for those of sync/atomic. One goroutine runs at a
// time, so plain memory is enough; each operation waits for its turn first.
//
// trace is the history that an object's value depends on: the hash of its last
// writer's history. See machine.key.

type steppedPointer[T any] struct {
	value *T
	trace uint64
}

func (p *steppedPointer[T]) Load() *T {
	step()
	observe(p.trace)
	return p.value
}

func (p *steppedPointer[T]) Store(v *T) {
	step()
	p.value, p.trace = v, observe(p.trace)
}

func (p *steppedPointer[T]) Swap(v *T) (old *T) {
	step()
	old = p.value
	p.value, p.trace = v, observe(p.trace)
	return old
}

func (p *steppedPointer[T]) CompareAndSwap(old, v *T) bool {
	step()
	trace := observe(p.trace)
	if p.value != old {
		return false
	}
	p.value, p.trace = v, trace
	return true
}

type steppedNumber[N uint32 | uint64] struct {
	value N
	trace uint64
}

type (
	steppedUint32 = steppedNumber[uint32]
	steppedUint64 = steppedNumber[uint64]
)

func (n *steppedNumber[N]) Load() N {
	step()
	observe(n.trace)
	return n.value
}

func (n *steppedNumber[N]) Store(v N) {
	step()
	n.value, n.trace = v, observe(n.trace)
}

func (n *steppedNumber[N]) Add(v N) N {
	step()
	n.value, n.trace = n.value+v, observe(n.trace)
	return n.value
}

func (n *steppedNumber[N]) CompareAndSwap(old, v N) bool {
	step()
	trace := observe(n.trace)
	if n.value != old {
		return false
	}
	n.value, n.trace = v, trace
	return true
}

// Notifier is a notifier without a descriptor: the ready list's owner counts.
type Notifier struct{ signals int }

// Signal counts.
func (n *Notifier) Signal() { n.signals++ }

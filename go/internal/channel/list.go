package channel

import (
	"math/bits"
	"sync/atomic"
)

const (
	smallChunk = 4
	largeChunk = 64 // bits in chunk.used
	// placesAbove is the size from which a list remembers where its members
	// are; smaller ones are searched.
	placesAbove = 2 * largeChunk
)

// list is a set of pointers with one writer at a time and any number of readers
// that never wait. A member keeps its slot for as long as it is in the list, so
// a reader can't miss one that was there before it began: nothing is ever moved
// behind its back. Slots live in chunks linked newest first; a chunk that
// empties is unlinked but keeps its own link, so that a reader standing on it
// still reaches every older chunk.
//
// A member costs 8 bytes, and about 25 more in lists above placesAbove. Adding
// and removing are O(1) amortised.
type list[T any] struct {
	solo atomic.Pointer[T] // the only slot that most lists need
	head atomic.Pointer[chunk[T]]

	// Below: the writer's.
	open   *chunk[T] // chunks with a free slot
	places map[*T]*chunk[T]
	count  int32
	peak   int32 // most members since places was built
}

type chunk[T any] struct {
	slots []atomic.Pointer[T]
	next  atomic.Pointer[chunk[T]]

	// Below: the writer's.
	prev               *chunk[T]
	openNext, openPrev *chunk[T]
	used               uint64 // bit i: slots[i] is taken
}

func (c *chunk[T]) full() bool { return bits.OnesCount64(c.used) == len(c.slots) }

// appendTo appends the members to dst. Any goroutine may call it.
func (l *list[T]) appendTo(dst []*T) []*T {
	if m := l.solo.Load(); m != nil {
		dst = append(dst, m)
	}
	for c := l.head.Load(); c != nil; c = c.next.Load() {
		for i := range c.slots {
			if m := c.slots[i].Load(); m != nil {
				dst = append(dst, m)
			}
		}
	}
	return dst
}

// each calls yield for every member until it returns false. Any goroutine may
// call it.
func (l *list[T]) each(yield func(*T) bool) {
	if m := l.solo.Load(); m != nil && !yield(m) {
		return
	}
	for c := l.head.Load(); c != nil; c = c.next.Load() {
		for i := range c.slots {
			if m := c.slots[i].Load(); m != nil && !yield(m) {
				return
			}
		}
	}
}

func (l *list[T]) add(m *T) {
	l.count++
	if l.solo.Load() == nil {
		l.solo.Store(m)
		return
	}
	c := l.open
	if c == nil {
		c = l.grow()
	}
	i := bits.TrailingZeros64(^c.used)
	c.used |= 1 << i
	c.slots[i].Store(m)
	if c.full() {
		l.shut(c)
	}
	l.remember(m, c)
}

// remove reports whether m was a member.
func (l *list[T]) remove(m *T) bool {
	if l.solo.Load() == m {
		l.solo.Store(nil)
		l.count--
		return true
	}
	c, i := l.find(m)
	if c == nil {
		return false
	}
	wasFull := c.full()
	c.slots[i].Store(nil)
	c.used &^= 1 << i
	l.count--
	switch {
	case c.used == 0:
		if !wasFull {
			l.shut(c)
		}
		l.unlink(c)
	case wasFull:
		l.reopen(c)
	}
	l.forget(m)
	return true
}

func (l *list[T]) find(m *T) (*chunk[T], int) {
	if l.places != nil {
		c := l.places[m]
		if c == nil {
			return nil, 0
		}
		return c, c.find(m)
	}
	for c := l.head.Load(); c != nil; c = c.next.Load() {
		if i := c.find(m); i >= 0 {
			return c, i
		}
	}
	return nil, 0
}

func (c *chunk[T]) find(m *T) int {
	for i := range c.slots {
		if c.slots[i].Load() == m {
			return i
		}
	}
	return -1
}

// grow links a new chunk, as large as the list was so far.
func (l *list[T]) grow() *chunk[T] {
	size := min(max(int(l.count), smallChunk), largeChunk)
	c := &chunk[T]{slots: make([]atomic.Pointer[T], size)}
	old := l.head.Load()
	c.next.Store(old)
	if old != nil {
		old.prev = c
	}
	l.reopen(c)
	l.head.Store(c)
	return c
}

func (l *list[T]) unlink(c *chunk[T]) {
	next := c.next.Load()
	if next != nil {
		next.prev = c.prev
	}
	if c.prev != nil {
		c.prev.next.Store(next)
	} else {
		l.head.Store(next)
	}
	c.prev = nil
}

func (l *list[T]) reopen(c *chunk[T]) {
	c.openNext = l.open
	if l.open != nil {
		l.open.openPrev = c
	}
	l.open = c
}

func (l *list[T]) shut(c *chunk[T]) {
	if c.openNext != nil {
		c.openNext.openPrev = c.openPrev
	}
	if c.openPrev != nil {
		c.openPrev.openNext = c.openNext
	} else {
		l.open = c.openNext
	}
	c.openNext, c.openPrev = nil, nil
}

func (l *list[T]) remember(m *T, c *chunk[T]) {
	switch {
	case l.places != nil:
		l.places[m] = c
		l.peak = max(l.peak, l.count)
	case l.count > placesAbove:
		l.place()
	}
}

// forget also gives back a map that has become far too large, since Go's maps
// never shrink.
func (l *list[T]) forget(m *T) {
	if l.places == nil {
		return
	}
	delete(l.places, m)
	if l.count <= placesAbove/4 {
		l.places = nil
	} else if l.count < l.peak/8 {
		l.place()
	}
}

func (l *list[T]) place() {
	l.places = make(map[*T]*chunk[T], l.count)
	l.peak = l.count
	for c := l.head.Load(); c != nil; c = c.next.Load() {
		for i := range c.slots {
			if m := c.slots[i].Load(); m != nil {
				l.places[m] = c
			}
		}
	}
}

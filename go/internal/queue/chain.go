package queue

// Chain schedules many owners of one list at the price of one: they are linked
// here and put on the list together. The zero value is empty. It is for one
// goroutine, and what is added owes a Flush before anything that may wait.
type Chain[T any] struct {
	list        *List[T]
	top, bottom *node[T]
	length      int
}

// chainLength bounds how long the first of a chain waits for the others.
const chainLength = 256

// Add schedules k's owner as [Link.Schedule] does, with the next Flush.
func (c *Chain[T]) Add(k *Link[T]) {
	n := k.claim()
	if n == nil {
		return
	}
	if n.list != c.list || c.length == chainLength {
		c.Flush()
		c.list, c.bottom = n.list, n
	}
	n.next, c.top = c.top, n
	c.length++
}

// Flush puts what was added on its list and signals that.
func (c *Chain[T]) Flush() {
	if c.top != nil {
		c.list.push(c.top, c.bottom)
		c.list.Signal()
	}
	*c = Chain[T]{}
}

package limit

import (
	"sync"
	"time"
)

// Breaker counts the violations of connections in a sliding window, exactly: a
// connection is cut off while there are more than the most in the window. Safe for
// concurrent use.
type Breaker struct {
	most   int
	window int64

	mu          sync.Mutex // held for an instant, and never across a call
	connections map[string]*violations
	hand        hand[*violations]
}

// violations are the times of a connection's newest violations, in a ring that grows
// to one more than the breaker's most.
type violations struct {
	connection  string
	times       []int64
	head, count int
}

// NewBreaker makes a breaker that cuts off connections with more than most violations
// within window.
func NewBreaker(most int, window time.Duration) *Breaker {
	return &Breaker{most: most, window: int64(window), connections: make(map[string]*violations)}
}

// Record counts a violation. True: it is the one that cuts the connection off.
func (b *Breaker) Record(connection string, now int64) (trips bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	horizon := now - b.window
	b.hand.sweep(func(v *violations) bool {
		if v.expire(horizon); v.count > 0 {
			return false
		}
		delete(b.connections, v.connection)
		return true
	})
	v := b.connections[connection]
	if v == nil {
		v = &violations{connection: connection}
		b.connections[connection] = v
		b.hand.add(v)
	}
	v.expire(horizon)
	before := v.count
	v.add(now, b.most+1)
	return before == b.most && v.count > b.most
}

// IsOpen says that a connection is cut off.
func (b *Breaker) IsOpen(connection string, now int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	v := b.connections[connection]
	if v == nil {
		return false
	}
	v.expire(now - b.window)
	return v.count > b.most
}

// Most is how many violations within Window a connection may have.
func (b *Breaker) Most() int { return b.most }

// Window is how long a violation counts.
func (b *Breaker) Window() time.Duration { return time.Duration(b.window) }

// Len is how many connections are kept.
func (b *Breaker) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.connections)
}

// expire forgets what happened at the horizon or before.
func (v *violations) expire(horizon int64) {
	for v.count > 0 && v.times[v.head] <= horizon {
		v.head = (v.head + 1) % len(v.times)
		v.count--
	}
}

// add keeps a time, and at most so many of the newest.
func (v *violations) add(now int64, most int) {
	if v.count == most {
		v.head = (v.head + 1) % len(v.times)
		v.count--
	}
	if v.count == len(v.times) {
		grown := make([]int64, min(most, max(8, 2*v.count)))
		n := copy(grown, v.times[v.head:])
		copy(grown[n:], v.times[:v.head])
		v.times, v.head = grown, 0
	}
	v.times[(v.head+v.count)%len(v.times)] = now
	v.count++
}

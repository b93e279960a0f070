package limit

import (
	"strings"
	"sync"
)

// Buckets are buckets by name, made when first asked for and forgotten when full
// again. Safe for concurrent use.
type Buckets struct {
	Pace Pace

	mu     sync.Mutex // held for an instant, and never across a call
	byName map[string]*named
	hand   hand[*named]
}

type named struct {
	name   string
	bucket Bucket
}

// NewBuckets makes an empty set.
func NewBuckets(pace Pace) *Buckets { return &Buckets{Pace: pace, byName: make(map[string]*named)} }

// Take takes n tokens of a name, or none: false.
func (b *Buckets) Take(name string, now int64, n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hand.sweep(func(one *named) bool {
		if !one.bucket.isFull(now) {
			return false
		}
		delete(b.byName, one.name)
		return true
	})
	one := b.byName[name]
	if one == nil {
		one = &named{name: strings.Clone(name)}
		b.byName[one.name] = one
		b.hand.add(one)
	}
	return b.Pace.Take(&one.bucket, now, n)
}

// Give puts back n tokens that were taken.
func (b *Buckets) Give(name string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if one := b.byName[name]; one != nil {
		b.Pace.Give(&one.bucket, n)
	}
}

// Len is how many names are kept.
func (b *Buckets) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.byName)
}

package limit

import "sync/atomic"

// Bucket is a token bucket in one word: the time at which it is full again. Taking a
// token moves that on by the interval between two; a bucket that would be full
// further ahead than a whole burst takes has none left. That is the generic cell
// rate algorithm (ITU-T I.371, "virtual scheduling"), which decides as a token bucket
// does. The zero Bucket is full. Lock-free; it belongs to one Pace.
type Bucket struct{ full atomic.Int64 }

// Take takes n tokens, or none: false.
func (p *Pace) Take(b *Bucket, now int64, n int) bool {
	if n > p.Burst {
		return false
	}
	for {
		full := b.full.Load()
		next := max(full, now) + int64(n)*p.interval
		if next-now > p.span {
			return false
		}
		if b.full.CompareAndSwap(full, next) {
			return true
		}
	}
}

// Give puts back n tokens that were taken.
func (p *Pace) Give(b *Bucket, n int) { b.full.Add(-int64(n) * p.interval) }

// isFull says that a new bucket would be no different.
func (b *Bucket) isFull(now int64) bool { return b.full.Load() <= now }

package metrics

import (
	"sync/atomic"
	"time"
)

// bounds are the upper ends of the latency buckets, each inclusive: from what a
// dispatch to one subscription takes to what nobody should see.
var bounds = [...]time.Duration{
	5 * time.Microsecond, 10 * time.Microsecond, 25 * time.Microsecond, 50 * time.Microsecond,
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond,
	25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond,
	time.Second, 5 * time.Second,
}

// histogram counts durations by bucket: two atomics an observation.
type histogram struct {
	buckets [len(bounds) + 1]atomic.Uint64 // the last one is beyond all bounds
	sum     atomic.Int64                   // nanoseconds: enough for 292 years
}

func (h *histogram) observe(d time.Duration) {
	d = max(d, 0) // a clock may step back
	i := 0
	for i < len(bounds) && d > bounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(int64(d))
}

// cumulative is what Prometheus wants: how many were at most each bound, in
// seconds.
func (h *histogram) cumulative() (count uint64, sum float64, buckets map[float64]uint64) {
	buckets = make(map[float64]uint64, len(bounds))
	for i, bound := range bounds {
		count += h.buckets[i].Load()
		buckets[bound.Seconds()] = count
	}
	count += h.buckets[len(bounds)].Load()
	return count, time.Duration(h.sum.Load()).Seconds(), buckets
}

// Package floor measures what any fan-out in Go must at least do: hand one pointer
// to many queues. The engine's dispatch is compared with it.
package floor

import (
	"sync/atomic"
	"testing"
)

const (
	width = 10_000
	// capacity is what the engine's queues may hold by default.
	capacity = 1024
)

type response struct{ payload []byte }

// An operation is one push. Queues are emptied outside the measured time.
func BenchmarkPush(b *testing.B) {
	one := &response{make([]byte, 200)}

	// Nothing but the stores: all rings together fit into the second cache, nobody
	// else may look at them, and what they held is overwritten.
	b.Run("ring", func(b *testing.B) {
		type ring struct {
			slots [8]*response
			tail  uint
		}
		rings := make([]*ring, width)
		for i := range rings {
			rings[i] = new(ring)
		}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			r := rings[i%width]
			r.slots[r.tail%8] = one
			r.tail++
		}
	})

	// As much room as the engine's queues have, each ring an object of its own that
	// another thread may read: the store of the tail hands the slot over.
	b.Run("queue", func(b *testing.B) {
		type ring struct {
			head, tail atomic.Uint64
			slots      [capacity]*response
		}
		rings := make([]*ring, width)
		for i := range rings {
			rings[i] = new(ring)
		}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if i%width == 0 {
				b.StopTimer()
				for _, r := range rings {
					for head := r.head.Load(); head < r.tail.Load(); head++ {
						r.slots[head%capacity] = nil
						r.head.Store(head + 1)
					}
				}
				b.StartTimer()
			}
			r := rings[i%width]
			tail := r.tail.Load()
			if tail-r.head.Load() == capacity {
				b.Fatal("a ring is full")
			}
			r.slots[tail%capacity] = one
			r.tail.Store(tail + 1)
		}
	})

	b.Run("channel", func(b *testing.B) {
		channels := make([]chan *response, width)
		for i := range channels {
			channels[i] = make(chan *response, 8)
		}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if i%(8*width) == 0 {
				b.StopTimer()
				for _, c := range channels {
					for len(c) > 0 {
						<-c
					}
				}
				b.StartTimer()
			}
			channels[i%width] <- one
		}
	})
}

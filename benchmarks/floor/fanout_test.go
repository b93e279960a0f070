// Package floor measures what any fan-out in Go must at least do: hand one pointer
// to many queues. The engine's dispatch is compared with it.
package floor

import "testing"

const width = 10_000

type response struct{ payload []byte }

// An operation is one push. Queues are emptied outside the measured time.
func BenchmarkPush(b *testing.B) {
	one := &response{make([]byte, 200)}
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

package executor

import (
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	// parallelAudience is the number from which queueing is shared by all cores.
	parallelAudience = 4096
	// partsPerCore is into how many parts a core's share is cut.
	partsPerCore = 8
	// largestPart bounds a part: about 50 µs of queueing.
	largestPart = 1024
)

// parallel runs work over [0,n) on all cores when that pays for weight units of
// work, otherwise here. Each core takes the next part when it is done with one, so
// one that starts late, or is busy with something else, delays nobody. Where all of Go's
// processors are busy, a Python thread that enters the engine waits, the GIL in hand, until
// the others pause between two parts. A
// subscription's own order is kept: one event's parts all end before the next event
// of its channel begins. work refers to d alone, so that an event's own functions
// need no memory.
func (d *delivery) parallel(n, weight int, work func(d *delivery, from, to int)) {
	cores := d.executor.options.Cores
	if weight < parallelAudience || cores == 1 || n < cores {
		work(d, 0, n)
		return
	}
	part := max(min(n/(cores*partsPerCore), largestPart), 1)
	var taken atomic.Int64
	share := func(between func()) {
		for {
			to := int(taken.Add(int64(part)))
			if to-part >= n {
				return
			}
			work(d, to-part, min(to, n))
			between()
		}
	}
	var others sync.WaitGroup
	for range cores - 1 {
		others.Go(func() {
			defer func() {
				if cause := recover(); cause != nil {
					d.executor.LogPanic("dispatching event "+d.event.ID+" panicked", cause)
				}
			}()
			share(runtime.Gosched)
		})
	}
	defer others.Wait() // also when share panics: the others still write
	share(func() {})
}

package redis

import (
	"sync/atomic"
	"time"
)

// An XREAD costs Redis as much as the entries do that it brings, if those are few: to look at each
// of 100 streams takes 55 µs, and to find the place in one with something new another 3. A reader
// that keeps up with a publisher of its own node asks for some hundred events while the next ones
// are under way, so it waits for those: that took a fifth off publishing and reading 200,000 events.

const (
	// crowd is from how many events on the reader waits, and others are worth being waited for.
	crowd = 128
	// flightPatience bounds that wait.
	flightPatience = time.Millisecond
)

// flight is what this node is publishing.
type flight struct {
	ended atomic.Pointer[chan struct{}] // of a crowd that has been sent; nil: none was
}

// begin notes that so many events are being sent. land is to be called when they are answered.
func (f *flight) begin(events int) (land func()) {
	if events < crowd {
		return func() {}
	}
	ended := make(chan struct{})
	f.ended.Store(&ended)
	return func() { close(ended) }
}

// await waits for a crowd that is under way, for a moment.
func (f *flight) await() {
	ended := f.ended.Load()
	if ended == nil {
		return
	}
	select {
	case <-*ended:
		return
	default:
	}
	timer := time.NewTimer(flightPatience)
	defer timer.Stop()
	select {
	case <-*ended:
	case <-timer.C:
	}
}

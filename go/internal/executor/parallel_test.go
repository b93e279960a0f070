package executor

import (
	"sync/atomic"
	"testing"
	"time"
)

// TestWorkIsSharedByAsManyCoresAsTheProcessHas, whatever the machine has, and however many
// processors Go.
func TestWorkIsSharedByAsManyCoresAsTheProcessHas(t *testing.T) {
	for _, cores := range []int{1, 3} {
		d := &delivery{executor: &Executor{options: Options{Cores: cores}}}
		var parts, done atomic.Int64
		together := make(chan struct{})
		d.parallel(parallelAudience, parallelAudience, func(_ *delivery, from, to int) {
			done.Add(int64(to - from))
			if parts.Add(1) == int64(cores) {
				close(together)
			}
			select {
			case <-together:
			case <-time.After(10 * time.Second):
				t.Errorf("%d cores do not work at the same time", cores)
			}
		})
		if done.Load() != parallelAudience || cores == 1 && parts.Load() != 1 {
			t.Errorf("%d cores did %d of %d in %d parts", cores, done.Load(), parallelAudience, parts.Load())
		}
	}
}

package bus_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
)

// lock is an interpreter lock that its threads hold outside Unlocked.
type lock struct{ mu sync.Mutex }

func (l *lock) Unlocked(f func()) {
	l.mu.Unlock()
	defer l.mu.Lock()
	f()
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func within(t *testing.T, what string, f func()) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f()
	}()
	timer := time.NewTimer(20 * time.Second)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		t.Fatal(what)
	}
}

func TestLockNeverWaitsForTheGILWithTheMutexHeld(t *testing.T) {
	within(t, "a thread that waits for the GIL keeps the mutex from everybody", func() {
		var gil lock
		var mu sync.Mutex
		waiting, ended := make(chan struct{}), make(chan struct{})
		mu.Lock()
		go func() {
			defer close(ended)
			gil.mu.Lock()
			defer gil.mu.Unlock()
			close(waiting)
			thread := &bus.Thread{GIL: &gil}
			thread.Lock(&mu)
			mu.Unlock()
		}()
		<-waiting
		gil.mu.Lock() // it gave the GIL up, to wait for the mutex
		mu.Unlock()
		// With the GIL held here, the mutex is to be had, for longer than the 1 ms
		// after which a mutex goes to who waits for it.
		taken := 0 // guarded by mu
		for begin := time.Now(); time.Since(begin) < 20*time.Millisecond; {
			mu.Lock()
			taken++
			mu.Unlock()
		}
		gil.mu.Unlock()
		<-ended
	})
}

func TestSettleRunsWhatIsOwedInOrderAfterTheResolver(t *testing.T) {
	thread := new(bus.Thread)
	var order []int
	thread.Resolving(func() {
		thread.Owe(func(t *bus.Thread) {
			order = append(order, 1)
			t.Owe(func(*bus.Thread) { order = append(order, 3) })
		})
		thread.Owe(func(*bus.Thread) { order = append(order, 2) })
		thread.Settle()
		if len(order) > 0 || !thread.Nested() {
			t.Errorf("settled %v inside the resolver", order)
		}
	})
	thread.Settle()
	thread.Settle()
	if !slices.Equal(order, []int{1, 2, 3}) || thread.Nested() {
		t.Errorf("settled %v", order)
	}
}

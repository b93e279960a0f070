package executor

import (
	"sync"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
)

// maxWorkers bounds the engine's own Python threads. More than one, because a
// resolver that waits for another event to be dispatched must not keep that one
// from being dispatched.
const maxWorkers = 16

// workers run tasks that may call Python on OS threads of the engine. Each keeps
// its Python thread state for as long as it lives: making one costs 20 µs. They
// start when first needed and end with stop.
type workers struct {
	python   Python
	panicked func(cause any) // told of a task's panic, which ends that task only
	ended    chan struct{}   // closed when all have ended after stop

	mu      sync.Mutex
	wake    *sync.Cond
	tasks   []func(t *bus.Thread)
	idle    int
	running int
	stopped bool
}

func newWorkers(python Python, panicked func(cause any)) *workers {
	w := &workers{python: python, panicked: panicked, ended: make(chan struct{})}
	w.wake = sync.NewCond(&w.mu)
	return w
}

// submit runs task soon. It holds the lock for an instant only, and no worker
// waits for the GIL while holding it. After stop, tasks are dropped.
func (w *workers) submit(task func(t *bus.Thread)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	w.tasks = append(w.tasks, task)
	if w.idle >= len(w.tasks) {
		w.wake.Signal()
		return
	}
	if w.running < maxWorkers {
		w.running++
		go w.work()
	}
}

func (w *workers) work() {
	defer w.end()
	t, detach, ok := w.python.Attach()
	if ok {
		defer detach()
	}
	for {
		w.mu.Lock()
		for len(w.tasks) == 0 && !w.stopped {
			w.idle++
			w.wake.Wait()
			w.idle--
		}
		if len(w.tasks) == 0 || !ok {
			w.mu.Unlock()
			return
		}
		task := w.tasks[0]
		w.tasks[0] = nil
		w.tasks = w.tasks[1:]
		w.mu.Unlock()
		w.run(task, t)
	}
}

// end takes a worker off the books, once its thread is none of Python's any more.
func (w *workers) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running--
	if w.stopped && w.running == 0 {
		close(w.ended)
	}
}

func (w *workers) run(task func(t *bus.Thread), t *bus.Thread) {
	defer func() {
		if cause := recover(); cause != nil {
			w.panicked(cause)
		}
	}()
	task(t)
}

// stop lets the workers end once the tasks they have are done.
func (w *workers) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	w.stopped = true
	if w.running == 0 {
		close(w.ended)
	}
	w.wake.Broadcast()
}

// wait waits at most timeout for the workers to end; not at all if that is not
// positive.
func (w *workers) wait(timeout time.Duration) bool {
	select {
	case <-w.ended:
		return true
	default:
	}
	if timeout <= 0 {
		return false
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-w.ended:
		return true
	case <-timer.C:
		return false
	}
}

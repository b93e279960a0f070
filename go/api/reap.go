package api

import (
	"sync"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bridge"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
)

// reapPatience is how long one engine that does not come to its end keeps the
// others waiting.
const reapPatience = time.Second

// atOnce is how many references are given back in one hold of the GIL, which can
// cost 5 ms to get.
const atOnce = 64

// abandoned are the engines whose executors were dropped without being closed, or
// closed by a callable of theirs that could not wait for its own end. One
// goroutine closes them one after another, while there are any: each needs a
// thread that may call Python, and a thousand of them need no thousand threads.
var abandoned struct {
	mu      sync.Mutex // held for an instant
	engines []*engine
	reaping bool
}

func abandon(e *engine) {
	abandoned.mu.Lock()
	defer abandoned.mu.Unlock()
	abandoned.engines = append(abandoned.engines, e)
	if !abandoned.reaping {
		abandoned.reaping = true
		go reapAll()
	}
}

// next is the engine to be closed now. nil: there is none, and unless the caller
// has something left to do, the reaping has ended.
func next(unfinished bool) *engine {
	abandoned.mu.Lock()
	defer abandoned.mu.Unlock()
	if len(abandoned.engines) == 0 {
		abandoned.engines, abandoned.reaping = nil, unfinished
		return nil
	}
	e := abandoned.engines[0]
	abandoned.engines[0] = nil
	abandoned.engines = abandoned.engines[1:]
	return e
}

func reapAll() {
	var t *bus.Thread
	var closed []*bridge.Callbacks
	for {
		e := next(len(closed) > 0)
		if len(closed) == atOnce || e == nil && len(closed) > 0 {
			bridge.CloseAll(t, closed)
			closed = closed[:0]
			if e == nil {
				continue
			}
		}
		if e == nil {
			return
		}
		if t == nil {
			attached, detach, ok := e.callbacks.Attach()
			if !ok {
				return // the interpreter is going, and everything with it
			}
			defer detach()
			t = attached
			t.Engine = false // it is none of the threads that Close waits for
		}
		if reap(t, e) {
			closed = append(closed, e.callbacks)
		} else {
			abandon(e)
		}
	}
}

// reap closes an engine; false: something of it is still running.
func reap(t *bus.Thread, e *engine) (ended bool) {
	defer func() {
		if cause := recover(); cause != nil {
			e.LogPanic("closing an abandoned executor panicked", cause)
			ended = true // or it would panic forever
		}
	}()
	if !e.Close(t, reapPatience) {
		return false
	}
	handles.engines.Delete(e.handle)
	return true
}

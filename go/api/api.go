// Package api is the facade that gopy binds for Python: package-level functions
// over integer handles, strings and object addresses. It converts and forwards;
// it decides nothing.
//
// Every function is called with the GIL held. A parameter named …Address is
// id(object) of an object that the caller keeps alive for the call. An error
// crosses as "CODE: sentence".
package api

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bridge"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// engine is an executor with the table it calls.
type engine struct {
	*executor.Executor
	handle    int
	callbacks *bridge.Callbacks

	lastSocket atomic.Int64
	sockets    sync.Map // of int → *protocol.Socket
	streams    sync.Map // of int → *protocol.Streams; numbered likewise

	answers sync.Pool // of *answer
}

// handles is the package-level state: the engines by their handles, which
// are never reused.
var handles struct {
	last    atomic.Int64
	engines sync.Map // of int → *engine; read without a lock
}

// errForked is made beforehand: a forked child must not allocate more than it has to.
var errForked = fault.New(fault.ForkedProcess, "this process was forked after the engine had been loaded, and Go does not survive a fork; start workers by spawn, or load the engine after forking")

// open finds an engine and the calling thread.
func open(handle int) (*engine, *bus.Thread, error) {
	if bridge.Forked() {
		return nil, nil, errForked
	}
	if found, ok := handles.engines.Load(handle); ok {
		return found.(*engine), bridge.CurrentThread(), nil
	}
	return nil, nil, fault.New(fault.EngineClosed, "the executor is closed; make a new SubscriptionExecutor")
}

// guard turns a panic into an EngineError, with the stack in the executor's log:
// nothing may unwind into C.
func guard(handle int, err *error) {
	cause := recover()
	if cause == nil {
		return
	}
	*err = fault.New(fault.Engine, "the engine panicked: %v; please report this with the stack from the log", cause)
	if found, ok := handles.engines.Load(handle); ok {
		found.(*engine).LogPanic("a call panicked", cause)
	}
}

// NewExecutor makes an executor from its options (JSON) and the weakref.ref to its
// table of callbacks, and returns its handle.
func NewExecutor(options string, callbacksAddress int) (handle int, err error) {
	defer guard(0, &err)
	if bridge.Forked() {
		return 0, errForked
	}
	parsed, err := executor.ParseOptions(options)
	if err != nil {
		return 0, err
	}
	parsed.Cores = bridge.Cores()
	callbacks := bridge.NewCallbacks(callbacksAddress)
	handle = int(handles.last.Add(1))
	made, err := executor.New(handle, parsed, callbacks)
	if err != nil {
		callbacks.Close()
		return 0, err
	}
	handles.engines.Store(handle, &engine{Executor: made, handle: handle, callbacks: callbacks})
	return handle, nil
}

// StopExecutor refuses new subscriptions and events and waits at most timeoutMs
// milliseconds for those under way: 1 when all have been dispatched and answered, 0
// when it is worth waiting on, -1 when this thread is among those to be waited for.
// Responses can still be read.
func StopExecutor(handle, timeoutMs int) (settled int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if fault.CodeOf(err) == fault.EngineClosed {
		return 1, nil
	}
	if err != nil {
		return 0, err
	}
	settled = truth(e.Stop(t, milliseconds(timeoutMs)))
	if settled == 0 && (t.Nested() || t.Engine) {
		return -1, nil
	}
	return settled, nil
}

// CloseExecutor closes an executor and waits at most timeoutMs milliseconds for
// what it still does: 1 when everything has ended, 0 when it is worth waiting on,
// -1 when this thread is among those to be waited for: the rest ends by itself then.
func CloseExecutor(handle, timeoutMs int) (done int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if fault.CodeOf(err) == fault.EngineClosed {
		return 1, nil
	}
	if err != nil {
		return 0, err
	}
	if !e.Close(t, milliseconds(timeoutMs)) {
		if t.Nested() || t.Engine {
			abandon(e)
			return -1, nil
		}
		return 0, nil
	}
	handles.engines.Delete(handle)
	e.callbacks.Close()
	return 1, nil
}

// AbandonExecutor is for the finalizer of an executor that was dropped without
// being closed, on whatever thread the collector runs it: it leaves everything to a
// goroutine and does not wait.
func AbandonExecutor(handle int) (_ int, err error) {
	defer guard(handle, &err)
	if bridge.Forked() {
		return 0, nil
	}
	if found, ok := handles.engines.Load(handle); ok {
		e := found.(*engine)
		e.callbacks.Orphan()
		abandon(e)
	}
	return 0, nil
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func truth(truth bool) int {
	if truth {
		return 1
	}
	return 0
}

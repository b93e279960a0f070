// Package bridge is the only one that knows Python: it holds the GIL or gives it
// up, owns references, calls the application's table of callbacks, and writes
// finished bytes into Python objects.
//
// Who holds the GIL: every function is called with it held, on the thread whose
// call from Python is being served, unless its comment says otherwise. Who owns
// what: the bridge owns one weak reference a Callbacks and nothing else for longer
// than a call; addresses of Python objects are borrowed from the caller, who
// keeps them alive for the length of the call.
package bridge

/*
#include "bridge.h"
*/
import "C"

import (
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
)

// process is the state of the one interpreter of this process.
var process struct {
	exiting atomic.Bool
	exiter  atomic.Uint64 // the thread that runs the exit hook
	inside  atomic.Int64  // engine threads inside Python, or on their way in
	calls   atomic.Int64  // resolver calls under way on any thread
	named   names         // their threads
	floor   []byte        // see raiseHeapFloor
	cores   int           // see Cores
}

// held is the GIL as held by a thread that came from Python.
type held struct{}

// Unlocked implements bus.GIL.
func (held) Unlocked(f func()) {
	state := C.PyEval_SaveThread()
	defer func() {
		if process.exiting.Load() && process.exiter.Load() != threadID() {
			// The interpreter ends this thread when it asks for the GIL, under Go's
			// feet. The process is about to end: stay here.
			select {}
		}
		C.fsq_restore(state)
	}()
	f()
}

func threadID() uint64 { return uint64(C.PyThread_get_thread_ident()) }

// CurrentThread is the calling thread: the one of the publish whose resolver is
// calling, or a new one that holds the GIL.
func CurrentThread() *bus.Thread {
	if process.calls.Load() > 0 {
		if number := C.fsq_current_thread(); number != 0 {
			return process.named.threads[number-1]
		}
	}
	return &bus.Thread{GIL: held{}}
}

// attach makes the calling goroutine's OS thread one with a Python thread state,
// which costs 20 µs and is kept until detach. It is called, and returns, without
// the GIL. ok is false once the interpreter is going away. The goroutine keeps the
// thread to itself for good, so that the thread ends with it: Go would keep it.
func attach() (state unsafe.Pointer, detach func(), ok bool) {
	runtime.LockOSThread()
	if !enter() {
		runtime.UnlockOSThread()
		return nil, nil, false
	}
	defer leave()
	var ensured C.int
	state = C.fsq_attach(&ensured)
	return state, func() {
		if enter() {
			defer leave()
			C.fsq_detach(state, ensured)
		}
	}, true
}

// enter announces an engine thread that is about to take the GIL. False: it must
// not, the interpreter is going away.
func enter() bool {
	process.inside.Add(1)
	if process.exiting.Load() {
		leave()
		return false
	}
	return true
}

func leave() { process.inside.Add(-1) }

// Exit refuses new calls into Python and waits at most grace, without the GIL,
// for the engine's threads to come out. It is the interpreter's exit hook.
func Exit(grace time.Duration) {
	process.exiter.Store(threadID())
	process.exiting.Store(true)
	held{}.Unlocked(func() {
		deadline := time.Now().Add(grace)
		for process.inside.Load() > 0 && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
	})
}

// Forked is true in a child of the process that loaded the engine. It may be
// called without the GIL.
func Forked() bool { return C.fsq_forked() != 0 }

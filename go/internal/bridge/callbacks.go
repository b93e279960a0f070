package bridge

/*
#include <stdlib.h>
#include "bridge.h"
*/
import "C"

import (
	"runtime"
	"runtime/cgo"
	"unsafe"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
)

// Callbacks is an application's table of callbacks, known by one weak reference:
// the engine never keeps it alive. It implements executor.Python.
type Callbacks struct {
	reference *C.PyObject // owned
}

// NewCallbacks takes a reference of its own to the weakref.ref at address.
func NewCallbacks(address int) *Callbacks {
	reference := object(address)
	C.Py_IncRef(reference)
	return &Callbacks{reference}
}

// Close gives the reference back. No call may be under way or follow.
func (c *Callbacks) Close() { C.Py_DecRef(c.reference) }

// CloseDetached is Close for a goroutine of the engine, without the GIL.
func (c *Callbacks) CloseDetached() {
	state, detach, ok := attach()
	if !ok {
		return // the interpreter is going, and its objects with it
	}
	defer detach()
	if enter() {
		defer leave()
		C.PyEval_RestoreThread((*C.PyThreadState)(state))
		C.Py_DecRef(c.reference)
		C.PyEval_SaveThread()
	}
}

// Attach implements executor.Python.
func (c *Callbacks) Attach() (*bus.Thread, func(), bool) {
	state, detach, ok := attach()
	if !ok {
		return nil, nil, false
	}
	return &bus.Thread{Engine: true, State: state}, detach, true
}

// withGIL runs f holding the GIL: a thread of the engine takes it for the length
// of f, any other has it already. False: the interpreter is going away.
func withGIL(t *bus.Thread, f func()) bool {
	if t.GIL != nil {
		f()
		return true
	}
	if !enter() {
		return false
	}
	defer leave()
	C.PyEval_RestoreThread((*C.PyThreadState)(t.State))
	t.GIL = held{} // calls from inside f come in with the lock held
	defer func() {
		t.GIL = nil
		C.PyEval_SaveThread()
	}()
	f()
	return true
}

// Resolve implements executor.Python.
func (c *Callbacks) Resolve(t *bus.Thread, data []byte, calls []executor.Call, exact bool) []executor.Result {
	results := make([]executor.Result, len(calls))
	called := false
	withGIL(t, func() { called = c.resolve(t, data, calls, exact, results) })
	if !called {
		for i := range results {
			results[i] = executor.Result{Kind: executor.KindError, Value: []byte("the executor was closed before its resolver could be called")}
		}
	}
	return results
}

func (c *Callbacks) resolve(t *bus.Thread, data []byte, calls []executor.Call, exact bool, results []executor.Result) bool {
	var texts []byte
	add := func(text []byte) (at, length C.int64_t) {
		if text == nil {
			return 0, -1
		}
		at = C.int64_t(len(texts))
		texts = append(texts, text...)
		return at, C.int64_t(len(text))
	}
	native := make([]C.fsq_call, len(calls))
	for i, call := range calls {
		native[i].resolver, native[i].ticket = C.int64_t(call.Resolver), C.int64_t(call.Ticket)
		native[i].variables_at, native[i].variables_length = add(call.Variables)
		native[i].info_at, native[i].info_length = add(call.Info)
	}
	given := make([]C.fsq_result, len(calls))
	handle := cgo.NewHandle(t)
	process.calls.Add(1)
	list := C.fsq_resolve(c.reference, characters(data), C.int64_t(len(data)), characters(texts),
		&native[0], C.int64_t(len(native)), truth(exact), truth(t.Engine), C.uintptr_t(handle), &given[0])
	process.calls.Add(-1)
	handle.Delete()
	if list == nil {
		return false
	}
	for i, one := range given {
		results[i] = executor.Result{
			Kind:  executor.Kind(one.kind),
			Value: C.GoBytes(unsafe.Pointer(one.value), C.int(one.length)),
		}
	}
	C.Py_DecRef(list)
	return true
}

// Cancel implements executor.Python.
func (c *Callbacks) Cancel(t *bus.Thread, tickets []uint64) {
	values := make([]C.int64_t, len(tickets))
	for i, ticket := range tickets {
		values[i] = C.int64_t(ticket)
	}
	withGIL(t, func() { c.callIntegers("cancel", values, nil) })
}

// Release implements executor.Python.
func (c *Callbacks) Release(t *bus.Thread, resolvers, uses []int) {
	first, second := make([]C.int64_t, len(resolvers)), make([]C.int64_t, len(uses))
	for i := range resolvers {
		first[i], second[i] = C.int64_t(resolvers[i]), C.int64_t(uses[i])
	}
	withGIL(t, func() { c.callIntegers("release", first, second) })
}

func (c *Callbacks) callIntegers(method string, first, second []C.int64_t) {
	name := C.CString(method)
	defer C.free(unsafe.Pointer(name))
	secondCount := len(second)
	if second == nil {
		secondCount = -1
	}
	C.fsq_call_integers(c.reference, name, unsafe.SliceData(first), C.int64_t(len(first)), unsafe.SliceData(second), C.int64_t(secondCount))
}

// Log implements executor.Python.
func (c *Callbacks) Log(t *bus.Thread, level int, message string) {
	text := []byte(message)
	withGIL(t, func() {
		C.fsq_log(c.reference, C.int(level), characters(text), C.int64_t(len(text)))
	})
	runtime.KeepAlive(text)
}

func characters(text []byte) *C.char { return (*C.char)(unsafe.Pointer(unsafe.SliceData(text))) }

func truth(value bool) C.int {
	if value {
		return 1
	}
	return 0
}

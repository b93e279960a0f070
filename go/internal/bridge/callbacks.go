package bridge

/*
#include <stdlib.h>
#include "bridge.h"
*/
import "C"

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
)

// Callbacks is an application's table of callbacks, known by one weak reference:
// the engine never keeps it alive. It implements executor.Python.
type Callbacks struct {
	// reference is owned, and nil once closed. Guarded by the GIL: every call looks
	// at it and upgrades it without giving the GIL up in between.
	reference *C.PyObject
	orphaned  atomic.Bool
	crossings sync.Pool // of *crossing
}

// NewCallbacks takes a reference of its own to the weakref.ref at address.
func NewCallbacks(address int) *Callbacks {
	reference := object(address)
	C.Py_IncRef(reference)
	c := &Callbacks{reference: reference}
	c.crossings.New = func() any { return new(crossing) }
	return c
}

// Close gives the reference back. Calls under way go on; later ones find the table
// gone. Idempotent.
func (c *Callbacks) Close() {
	reference := c.reference
	c.reference = nil
	C.Py_DecRef(reference)
}

// CloseAll is Close for many, on a thread that Attach made, without the GIL.
func CloseAll(t *bus.Thread, all []*Callbacks) {
	withGIL(t, func() {
		for _, c := range all {
			c.Close()
		}
	})
}

// Orphan says that the table's owner is gone: its resolvers go with it, and need
// not be given back one by one.
func (c *Callbacks) Orphan() { c.orphaned.Store(true) }

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
	C.fsq_restore((*C.PyThreadState)(t.State))
	t.GIL = held{} // calls from inside f come in with the lock held
	defer func() {
		t.GIL = nil
		C.PyEval_SaveThread()
	}()
	f()
	return true
}

// crossing is the memory of one call of resolvers, used again by later ones. It has
// no pointers that C could mistake for its own.
type crossing struct {
	texts  []byte
	calls  []C.fsq_call
	values []C.fsq_result
}

// add appends an optional text.
func (c *crossing) add(text []byte) (at, length C.int64_t) {
	if text == nil {
		return 0, -1
	}
	at = C.int64_t(len(c.texts))
	c.texts = append(c.texts, text...)
	return at, C.int64_t(len(text))
}

func (c *crossing) fill(calls []executor.Call) {
	c.texts, c.calls = c.texts[:0], c.calls[:0]
	for i := range calls {
		call := C.fsq_call{resolver: C.int64_t(calls[i].Resolver), ticket: C.int64_t(calls[i].Ticket)}
		call.variables_at, call.variables_length = c.add(calls[i].Variables)
		call.info_at, call.info_length = c.add(calls[i].Info)
		c.calls = append(c.calls, call)
	}
	c.values = slices.Grow(c.values[:0], len(calls))[:len(calls)]
}

// Resolve implements executor.Python.
func (c *Callbacks) Resolve(t *bus.Thread, data []byte, calls []executor.Call, exact bool, give func(i int, result executor.Result)) {
	problem := closedTooEarly
	withGIL(t, func() { problem = c.resolve(t, data, calls, exact, give) })
	if problem != "" {
		for i := range calls {
			give(i, executor.Result{Kind: executor.KindError, Value: []byte(problem)})
		}
	}
}

// Why no resolver of an event was called.
const (
	closedTooEarly = "the executor was closed before its resolver could be called"
	refused        = "Python could not call the resolver; sys.unraisablehook was told why"
)

// resolve gives every call its result, or says why it could give none.
func (c *Callbacks) resolve(t *bus.Thread, data []byte, calls []executor.Call, exact bool, give func(i int, result executor.Result)) (problem string) {
	x := c.crossings.Get().(*crossing)
	x.fill(calls)
	var list *C.PyObject
	named(t, func(thread C.uintptr_t) {
		list = C.fsq_resolve(c.reference, characters(data), C.int64_t(len(data)), characters(x.texts),
			&x.calls[0], C.int64_t(len(calls)), truth(exact), truth(t.Engine), thread, &x.values[0])
	})
	switch {
	case list == nil && x.values[0].kind == 1:
		return closedTooEarly
	case list == nil:
		return refused
	}
	defer C.Py_DecRef(list)
	for i := range x.values {
		one := &x.values[i]
		value := unsafe.Slice(*(**byte)(unsafe.Pointer(&one.value)), int(one.length))
		give(i, executor.Result{Kind: executor.Kind(one.kind), Value: value})
	}
	c.crossings.Put(x)
	return ""
}

// named runs f, which calls Python, with a number by which CurrentThread finds t.
func named(t *bus.Thread, f func(thread C.uintptr_t)) {
	number := process.named.add(t)
	defer process.named.remove(number)
	process.calls.Add(1)
	defer process.calls.Add(-1)
	f(C.uintptr_t(number))
}

// names are the threads inside Python by their numbers, from 1. Guarded by the GIL.
type names struct {
	threads []*bus.Thread
	free    []int
}

func (n *names) add(t *bus.Thread) int {
	if last := len(n.free) - 1; last >= 0 {
		number := n.free[last]
		n.free = n.free[:last]
		n.threads[number-1] = t
		return number
	}
	n.threads = append(n.threads, t)
	return len(n.threads)
}

func (n *names) remove(number int) {
	n.threads[number-1] = nil
	n.free = append(n.free, number)
}

// notify runs f, which tells the table something, holding the GIL. Whatever code of
// the application that runs on a thread of the engine is nested, as in a resolver:
// it must not wait for the thread that it runs on.
func notify(t *bus.Thread, f func(thread C.uintptr_t)) {
	if !t.Engine {
		withGIL(t, func() { f(0) })
		return
	}
	t.Resolving(func() {
		withGIL(t, func() { named(t, f) })
	})
	t.Settle()
}

// Cancel implements executor.Python.
func (c *Callbacks) Cancel(t *bus.Thread, tickets []uint64) {
	values := make([]C.int64_t, len(tickets))
	for i, ticket := range tickets {
		values[i] = C.int64_t(ticket)
	}
	c.callIntegers(t, "cancel", values, nil)
}

// Release implements executor.Python.
func (c *Callbacks) Release(t *bus.Thread, resolvers, uses []int) {
	if c.orphaned.Load() {
		return
	}
	first, second := make([]C.int64_t, len(resolvers)), make([]C.int64_t, len(uses))
	for i := range resolvers {
		first[i], second[i] = C.int64_t(resolvers[i]), C.int64_t(uses[i])
	}
	c.callIntegers(t, "release", first, second)
}

func (c *Callbacks) callIntegers(t *bus.Thread, method string, first, second []C.int64_t) {
	name := C.CString(method)
	defer C.free(unsafe.Pointer(name))
	secondCount := len(second)
	if second == nil {
		secondCount = -1
	}
	notify(t, func(thread C.uintptr_t) {
		C.fsq_call_integers(c.reference, name, unsafe.SliceData(first), C.int64_t(len(first)),
			unsafe.SliceData(second), C.int64_t(secondCount), thread)
	})
}

// Log implements executor.Python.
func (c *Callbacks) Log(t *bus.Thread, level int, message string) {
	c.tell(t, "log", level, []byte(message))
}

// Audit implements executor.Python.
func (c *Callbacks) Audit(t *bus.Thread, lost int, records []byte) { c.tell(t, "audit", lost, records) }

// Emptied implements executor.Python.
func (c *Callbacks) Emptied(t *bus.Thread, ids []string) {
	c.tell(t, "emptied", len(ids), []byte(strings.Join(ids, " ")))
}

func (c *Callbacks) tell(t *bus.Thread, method string, number int, text []byte) {
	name := C.CString(method)
	defer C.free(unsafe.Pointer(name))
	notify(t, func(thread C.uintptr_t) {
		C.fsq_tell(c.reference, name, C.int(number), characters(text), C.int64_t(len(text)), thread)
	})
}

func characters(text []byte) *C.char { return (*C.char)(unsafe.Pointer(unsafe.SliceData(text))) }

func truth(value bool) C.int {
	if value {
		return 1
	}
	return 0
}

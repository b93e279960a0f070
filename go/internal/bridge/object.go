package bridge

/*
#include "bridge.h"
*/
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// object is the Python object at an address that came from id(…).
func object(address int) *C.PyObject {
	return *(**C.PyObject)(unsafe.Pointer(&address))
}

// Bytes is a copy of the bytes object at address.
func Bytes(address int) ([]byte, error) {
	// Fields are read without a call: this is on the way of every publish.
	o := (*C.PyBytesObject)(unsafe.Pointer(object(address)))
	if kind := o.ob_base.ob_base.ob_type; kind.tp_flags&C.Py_TPFLAGS_BYTES_SUBCLASS == 0 {
		return nil, fault.New(fault.InvalidType, "expected the address of a bytes object, got one of a %s", C.GoString(kind.tp_name))
	}
	length := int(o.ob_base.ob_size)
	copied := make([]byte, length)
	copy(copied, unsafe.Slice((*byte)(unsafe.Pointer(&o.ob_sval[0])), length))
	return copied, nil
}

// List is a Python list that the caller filled or wants filled.
type List struct{ object *C.PyObject }

// ListAt is the list at address.
func ListAt(address int) List { return List{object(address)} }

// Len is the number of its items.
func (l List) Len() int { return int(C.PyList_Size(l.object)) }

// Event is item i as the five parts of an event: type, channel, data,
// correlation id, event id. The data is a copy.
func (l List) Event(i int) (texts [5]string, err error) {
	var native C.fsq_event
	if C.fsq_event_at(l.object, C.int64_t(i), &native) != 0 {
		return texts, fault.New(fault.InvalidType, "event %d is not a tuple (event_type, channel, data, correlation_id, event_id)", i)
	}
	for part := range texts {
		texts[part] = string(unsafe.Slice((*byte)(unsafe.Pointer(native.text[part])), int(native.length[part])))
	}
	return texts, nil
}

// length is the size of a message: head, payload, and the closing brace.
func length(m *executor.Message) C.int64_t { return C.int64_t(len(m.Head) + len(m.Payload) + 1) }

func write(m *executor.Message, place unsafe.Pointer) {
	dst := unsafe.Slice((*byte)(place), int(length(m)))
	n := copy(dst, m.Head)
	n += copy(dst[n:], m.Payload)
	dst[n] = '}'
}

// AppendBytes appends the messages as bytes objects.
func (l List) AppendBytes(messages []executor.Message) error {
	if len(messages) == 0 {
		return nil
	}
	lengths, places := make([]C.int64_t, len(messages)), make([]unsafe.Pointer, len(messages))
	for i := range messages {
		lengths[i] = length(&messages[i])
	}
	made := C.fsq_append_bytes(l.object, C.int64_t(len(messages)), &lengths[0], &places[0])
	for i := range int(made) {
		write(&messages[i], places[i])
	}
	return short(int(made), len(messages))
}

// AppendPairs appends the messages as (name, bytes) tuples.
func (l List) AppendPairs(messages []executor.Message) error {
	if len(messages) == 0 {
		return nil
	}
	names, namePlaces := make([]C.int64_t, len(messages)), make([]unsafe.Pointer, len(messages))
	lengths, places := make([]C.int64_t, len(messages)), make([]unsafe.Pointer, len(messages))
	for i := range messages {
		names[i], lengths[i] = C.int64_t(len(messages[i].Name)), length(&messages[i])
		if messages[i].Name == nil {
			names[i] = -1
		}
	}
	made := C.fsq_append_pairs(l.object, C.int64_t(len(messages)), &names[0], &namePlaces[0], &lengths[0], &places[0])
	for i := range int(made) {
		if name := messages[i].Name; name != nil {
			copy(unsafe.Slice((*byte)(namePlaces[i]), len(name)), name)
		}
		write(&messages[i], places[i])
	}
	return short(int(made), len(messages))
}

func short(made, wanted int) error {
	if made < wanted {
		return fmt.Errorf("out of memory: %d of %d responses could not be made into bytes", wanted-made, wanted)
	}
	return nil
}

// AppendTicket appends (ticket, None).
func (l List) AppendTicket(ticket uint64) error {
	return status(C.fsq_append_ticket(l.object, C.int64_t(ticket)))
}

// AppendText appends a str.
func (l List) AppendText(text string) error {
	source := []byte(text)
	return status(C.fsq_append_text(l.object, characters(source), C.int64_t(len(source))))
}

// ProcessInit appends to l a read-only memoryview of the byte that is 1 in a
// forked child. Subinterpreters are refused.
func (l List) ProcessInit() error {
	switch C.fsq_process_init(l.object) {
	case 0:
		return nil
	case 1:
		return fault.New(fault.Engine, "subinterpreters are not supported: load fraiseql_subscriptions in the main interpreter")
	default:
		return fault.New(fault.Engine, "the process hooks could not be installed")
	}
}

func status(code C.int) error {
	if code != 0 {
		return fmt.Errorf("out of memory: a Python object could not be made")
	}
	return nil
}

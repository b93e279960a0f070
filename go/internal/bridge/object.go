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
	viewed, err := View(address)
	if err != nil {
		return nil, err
	}
	copied := make([]byte, len(viewed))
	copy(copied, viewed)
	return copied, nil
}

// View is what the bytes object at address holds, for as long as the caller keeps it.
func View(address int) ([]byte, error) { return view(object(address)) }

// view is what a bytes object holds, for as long as the object is kept.
func view(at *C.PyObject) ([]byte, error) {
	// Fields are read without a call: this is on the way of every publish.
	o := (*C.PyBytesObject)(unsafe.Pointer(at))
	if kind := o.ob_base.ob_base.ob_type; kind.tp_flags&C.Py_TPFLAGS_BYTES_SUBCLASS == 0 {
		return nil, fault.New(fault.InvalidType, "expected the address of a bytes object, got one of a %s", C.GoString(kind.tp_name))
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&o.ob_sval[0])), int(o.ob_base.ob_size)), nil
}

// List is a Python list that the caller filled or wants filled.
type List struct{ object *C.PyObject }

// ListAt is the list at address.
func ListAt(address int) List { return List{object(address)} }

// Len is the number of its items.
func (l List) Len() int { return int(C.PyList_Size(l.object)) }

// View is what item i holds, a bytes object, for as long as the list keeps it.
func (l List) View(i int) ([]byte, error) {
	return view(C.PyList_GetItem(l.object, C.Py_ssize_t(i)))
}

// Event is an event as it crosses from Python, without its data.
type Event struct{ Type, Channel, CorrelationID, ID string }

// Events reads the list's items and gives each to take, which must not give up the GIL. A text is kept
// where it is the same as in the event before: the events of a batch are of few types and channels.
func (l List) Events(take func(i int, e *Event) error) error {
	var one Event
	count := l.Len()
	room := make([]C.fsq_event, min(count, 64))
	for i := 0; i < count; {
		found := C.fsq_events_at(l.object, C.int64_t(i), unsafe.SliceData(room), C.int64_t(len(room)))
		if found == 0 {
			return fault.New(fault.InvalidType, "event %d is not a tuple (event_type, channel, data) or (event_type, channel, data, correlation_id, event_id)", i)
		}
		for at := range room[:found] {
			one.read(&room[at])
			if err := take(i, &one); err != nil {
				return err
			}
			i++
		}
	}
	return nil
}

func (e *Event) read(native *C.fsq_event) {
	for i, text := range [...]*string{&e.Type, &e.Channel, &e.CorrelationID, &e.ID} {
		if given := borrowed(&native.text[i], native.length[i]); *text != string(given) {
			*text = string(given)
		}
	}
}

// borrowed is the text of Python's at an address; none has the address 0 and no length.
func borrowed(address *C.uintptr_t, length C.int64_t) []byte {
	return unsafe.Slice(*(**byte)(unsafe.Pointer(address)), int(length))
}

// The entries of a batch cross to C as they are.
var _ [unsafe.Sizeof(C.fsq_entry{})]struct{} = [unsafe.Sizeof(executor.Entry{})]struct{}{}

func entries(b *executor.Batch) *C.fsq_entry {
	return (*C.fsq_entry)(unsafe.Pointer(unsafe.SliceData(b.Entries)))
}

// AppendBytes appends the batch's responses as bytes objects.
func (l List) AppendBytes(b *executor.Batch) error {
	if len(b.Entries) == 0 {
		return nil
	}
	return write(b, int(C.fsq_append_bytes(l.object, characters(b.Texts), entries(b), C.int64_t(len(b.Entries)))))
}

// AppendPairs appends the batch's responses as (name, bytes) tuples; of those that are to be
// text the names to one list, and a str each to another.
func (l List) AppendPairs(names, strings List, b *executor.Batch) error {
	if len(b.Entries) == 0 {
		return nil
	}
	made := C.fsq_append_pairs(l.object, names.object, strings.object, characters(b.Texts), entries(b), C.int64_t(len(b.Entries)))
	err := write(b, int(made))
	if b.Decode && err == nil {
		if whole := int(C.fsq_decode(strings.object)); whole < strings.Len() {
			return fmt.Errorf("out of memory: %d of %d responses could not be made into text", strings.Len()-whole, strings.Len())
		}
	}
	return err
}

// write writes the payloads of the first so many responses, which have been made.
func write(b *executor.Batch, made int) error {
	for i := range b.Entries[:made] {
		e := &b.Entries[i]
		if e.Form == executor.Again {
			continue
		}
		// The address of memory of Python's, which the list keeps alive.
		copy(unsafe.Slice(*(**byte)(unsafe.Pointer(&e.Place)), e.PayloadLength), b.Payloads[i])
	}
	if wanted := len(b.Entries); made < wanted {
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

// AppendBody appends one bytes object.
func (l List) AppendBody(body []byte) error {
	return status(C.fsq_append_body(l.object, characters(body), C.int64_t(len(body))))
}

// ProcessInit appends to l a read-only memoryview of the byte that is 1 in a
// forked child, the functions copy_value and plain_data, and the type Round. Subinterpreters
// are refused.
func (l List) ProcessInit() error {
	switch C.fsq_process_init(l.object) {
	case 0:
		raiseHeapFloor()
		addProcessor()
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

package event

import (
	"sync"
	"time"
	"unsafe"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// maxRoom is the size in bytes from which an event's memory is not used again.
const maxRoom = 8 << 10

// spare are events of Make that were released.
var spare sync.Pool

// Make is New for an event that happens at now and keeps nothing of data: it has a copy, in memory
// that a later event gets when whoever has it in hand calls Release. So nobody may keep the event,
// its Data, its ID or its CorrelationID for longer than they have it in hand.
func Make(now time.Time, eventType, channel string, data []byte, correlationID, id string) (*Event, error) {
	e, end, err := makeFrom(now, eventType, channel, data, len(data), correlationID, id)
	if err == nil && end != len(data) {
		err = fault.New(fault.InvalidValue, "an event's data goes on behind its JSON object, at byte %d; give one JSON object", end)
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Batch is the data of several events: one JSON array, of which they are made one after the other.
type Batch struct {
	now  time.Time
	rest []byte
	next byte // what the rest is to begin with
	left int  // events
}

// NewBatch has the data of so many events that happen at now. It is lent to the batch.
func NewBatch(now time.Time, array []byte, events int) *Batch {
	return &Batch{now: now, rest: array, next: '[', left: events}
}

// Make is Make of the next event.
func (b *Batch) Make(eventType, channel, correlationID, id string) (*Event, error) {
	if b.left == 0 || len(b.rest) == 0 || b.rest[0] != b.next {
		return nil, errBatch
	}
	e, end, err := makeFrom(b.now, eventType, channel, b.rest[1:], len(b.rest)/b.left, correlationID, id)
	if err != nil {
		return nil, err
	}
	b.rest, b.next = b.rest[1+end:], ','
	if b.left--; b.left == 0 && string(b.rest) != "]" {
		return nil, errBatch
	}
	return e, nil
}

var errBatch = fault.New(fault.InvalidValue, "the data of a batch is no JSON array of as many objects as there are events")

// makeFrom makes an event of the data that text begins with, about size bytes of it. end is where
// the text goes on behind that.
func makeFrom(now time.Time, eventType, channel string, text []byte, size int, correlationID, id string) (e *Event, end int, err error) {
	e, some := spare.Get().(*Event)
	if !some {
		e = new(Event)
	}
	if e.document == nil {
		e.document = document.New(size)
	}
	if end, err = e.document.ParsePrefix(text); err != nil {
		return nil, 0, unreadable(err)
	}
	if wanted := end + idBytes; cap(e.room) < wanted {
		e.room = make([]byte, 0, wanted)
	}
	data := append(e.room[:0], text[:end]...)
	e.document.Move(data)
	if err := e.assemble(eventType, channel); err != nil {
		return nil, 0, err
	}
	if id == "" {
		text, milliseconds := appendID(data[end:], now)
		id, e.Timestamp = unsafe.String(unsafe.SliceData(text), len(text)), inSeconds(milliseconds)
	} else {
		e.ChosenID, e.Timestamp = true, inSeconds(now.UnixMilli())
	}
	e.identify(id, correlationID)
	return e, end, nil
}

// Release is ReleaseDocument where nobody keeps the event itself either: the memory of one of Make
// is then a later event's.
func (e *Event) Release() {
	if e.room == nil {
		e.ReleaseDocument()
		return
	}
	room, d := e.room, e.document
	if cap(room) > maxRoom {
		room = nil
	}
	if d != nil && !d.Clear() {
		d = nil
	}
	*e = Event{room: room, document: d}
	spare.Put(e)
}

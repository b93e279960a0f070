package event

import (
	"bytes"
	"sync"
	"time"

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

// Batch is the data of several events, of which they are made one after the other: a JSON array with
// one and the same number before each object, [7,{…},7,{…}]. Whoever writes it chooses a number that
// the data's authors cannot know: some of the data may have been written unread, and would
// otherwise end its own event and begin others.
type Batch struct {
	now  time.Time
	rest []byte
	mark []byte // the number and its comma
	left int    // events
}

// NewBatch has the data of so many events that happen at now. It is lent to the batch.
func NewBatch(now time.Time, array []byte, events int) *Batch {
	b := &Batch{now: now, left: events}
	digits := 1
	for digits < len(array) && '0' <= array[digits] && array[digits] <= '9' {
		digits++
	}
	if digits > 1 && digits < len(array) && array[0] == '[' && array[digits] == ',' {
		b.rest, b.mark = array[1:], array[1:digits+1]
	}
	return b
}

// Make is Make of the next event.
func (b *Batch) Make(eventType, channel, correlationID, id string) (*Event, error) {
	text, marked := bytes.CutPrefix(b.rest, b.mark)
	if b.left == 0 || len(b.mark) == 0 || !marked {
		return nil, errBatch
	}
	e, end, err := makeFrom(b.now, eventType, channel, text, len(text)/b.left, correlationID, id)
	if err != nil {
		return nil, err
	}
	b.left--
	b.rest = text[end:]
	if b.left == 0 {
		if string(b.rest) != "]" {
			return nil, errBatch
		}
	} else if b.rest, marked = bytes.CutPrefix(b.rest, []byte{','}); !marked {
		return nil, errBatch
	}
	return e, nil
}

var errBatch = fault.New(fault.InvalidValue, "an event's data cannot be read (it does not end with its JSON object, or the data is not of as many events as there are); give one JSON object for each")

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
	e.begin(now, data, id, correlationID)
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

package event

import (
	"sync"
	"time"
	"unsafe"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
)

// maxRoom is the size in bytes from which an event's memory is not used again.
const maxRoom = 8 << 10

// spare are events of Make that were released.
var spare sync.Pool

// Make is New for an event that happens at now and keeps nothing of data: it has a copy, in memory
// that a later event gets when whoever has it in hand calls Release. So nobody may keep the event,
// its Data, its ID or its CorrelationID for longer than they have it in hand.
func Make(now time.Time, eventType, channel string, data []byte, correlationID, id string) (*Event, error) {
	e, some := spare.Get().(*Event)
	if !some {
		e = new(Event)
	}
	if e.document == nil {
		e.document = document.New(len(data))
	}
	if wanted := len(data) + idBytes; cap(e.room) < wanted {
		e.room = make([]byte, 0, wanted)
	}
	text := append(e.room[:0], data...)
	if err := e.happen(eventType, channel, text); err != nil {
		return nil, err
	}
	if id == "" {
		text, milliseconds := appendID(text[len(text):], now)
		id, e.Timestamp = unsafe.String(unsafe.SliceData(text), len(text)), inSeconds(milliseconds)
	} else {
		e.ChosenID, e.Timestamp = true, inSeconds(now.UnixMilli())
	}
	e.identify(id, correlationID)
	return e, nil
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

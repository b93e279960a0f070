// Package event is what travels from a publisher to the subscriptions: the
// event itself, its JSON form on every bus, its id and its position.
package event

import (
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// Event is one published event. It is made by New, Make or Decode, given its Offset
// by the bus that accepts it, and not changed afterwards: any number of
// goroutines may then read it, but for its Document.
type Event struct {
	ID            string
	Type          string
	Channel       string
	CorrelationID string
	// Data is a JSON object. Its bytes are never changed.
	Data []byte
	// Timestamp is in unix seconds, whole milliseconds.
	Timestamp float64
	// Offset is the event's place in its bus's order.
	Offset uint64
	// ChosenID says that the publisher chose the ID, so that an event published
	// again with it is recognised.
	ChosenID bool
	// Publication is the executor's: who waits for the event until it has been
	// delivered, otherwise nil.
	Publication any

	// Sent is the bus's: its account of an event that it was given; nil once that is dispatched.
	Sent any
	// Echo is the bus's: by this it knows the event again where a server brings it back.
	Echo atomic.Uint64

	document *document.Document
	// room is the memory of an event of Make: Data, and the ID if that was made.
	room []byte
}

// New makes an event that happens now. An empty id becomes a new one, an empty
// correlationID the id. The event keeps data, which the caller must not change.
// The error has the code InvalidValue: an empty eventType or channel, or data
// that is not one JSON object.
func New(eventType, channel string, data []byte, correlationID, id string) (*Event, error) {
	e := &Event{document: document.New(len(data))}
	if err := e.document.Parse(data); err != nil {
		return nil, unreadable(err)
	}
	if err := e.assemble(eventType, channel); err != nil {
		return nil, err
	}
	e.begin(time.Now(), nil, id, correlationID)
	return e, nil
}

// begin has e happen at now, with the ids of its publisher. An id that is made lies behind room.
func (e *Event) begin(now time.Time, room []byte, id, correlationID string) {
	if id == "" {
		text, milliseconds := appendID(room, now)
		made := text[len(room):]
		id, e.Timestamp = unsafe.String(unsafe.SliceData(made), len(made)), inSeconds(milliseconds)
	} else {
		e.ChosenID, e.Timestamp = true, inSeconds(now.UnixMilli())
	}
	e.identify(id, correlationID)
}

func unreadable(err error) error {
	return fault.New(fault.InvalidValue, "an event's data cannot be read (%w); give one JSON object", err)
}

// assemble is what New, Make and Decode share: the root of the event's document is its data.
func (e *Event) assemble(eventType, channel string) error {
	root := e.document.Root()
	switch {
	case eventType == "":
		return fault.New(fault.InvalidValue, "an event's event_type is missing or empty; name the kind of event, such as orderUpdated")
	case channel == "":
		return fault.New(fault.InvalidValue, "an event's channel is missing or empty; name the channel, such as orders")
	case root.Kind() != document.Object:
		return fault.New(fault.InvalidValue, "an event's data is of type %v; give one JSON object", root.Kind())
	}
	e.Type, e.Channel, e.Data = eventType, channel, root.Raw()
	return nil
}

func (e *Event) identify(id, correlationID string) {
	e.ID, e.CorrelationID = id, correlationID
	if correlationID == "" {
		e.CorrelationID = id
	}
}

// Document is the parsed Data. It is parsed once and kept until ReleaseDocument; callers only
// read it. It belongs to whoever has the event in hand: its publisher until a bus has accepted
// it, then whoever dispatches it. Who finds the event in a history takes it Apart.
func (e *Event) Document() *document.Document {
	if e.document == nil {
		d := document.New(len(e.Data))
		if err := d.Parse(e.Data); err != nil {
			// It was valid when the event was made. An empty document would look like an
			// event of no tenant, so nobody may see this one.
			panic(fmt.Sprintf("the data of event %s was changed: %v", e.ID, err))
		}
		e.document = d
	}
	return e.document
}

// ReleaseDocument lets the parsed form go, which is larger than the event itself, and its memory
// be used again, once the event is dispatched and only a history keeps it. Whoever has the event
// in hand calls it, when nobody reads the document any more.
func (e *Event) ReleaseDocument() {
	if e.document != nil {
		e.document.Recycle()
		e.document = nil
	}
}

// Apart is the same event with a document of its own, and nobody who waits for it: for a reader
// of the history, while another one may still have the event in hand.
func (e *Event) Apart() *Event {
	return &Event{
		ID: e.ID, Type: e.Type, Channel: e.Channel, CorrelationID: e.CorrelationID,
		Data: e.Data, Timestamp: e.Timestamp, Offset: e.Offset, ChosenID: e.ChosenID,
	}
}

// inSeconds is a timestamp's unit.
func inSeconds(milliseconds int64) float64 { return float64(milliseconds) / 1000 }

package memory

import (
	"encoding/binary"
	"math"
	"unsafe"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

const (
	// chunkBytes is the size of a chunk; a channel's first ones are smaller, one for a larger event
	// is larger.
	chunkBytes = 16 << 10
	// chunkWeight is what a chunk takes besides its text.
	chunkWeight = 64
	// maxHeader is the most bytes of a record before its texts.
	maxHeader = 8 + 8 + 8 + 1 + 4*binary.MaxVarintLen64
)

// chunk is records, one behind the other: memory without pointers, so that events that are kept
// cost the garbage collector nothing. What was written stays as it is, until the chunk is reused.
type chunk struct {
	text  []byte
	first uint64 // offset of the first record
	read  int    // where the oldest one that is kept begins
	lent  bool   // somebody may still read events of it: it is not to be reused
}

func (c *chunk) weight() int { return chunkWeight + cap(c.text) }

// record is an event as it is kept, but for its channel. It refers to its chunk.
type record struct {
	offset                             uint64
	timestamp                          float64
	flags                              byte
	id, eventType, correlationID, data []byte
}

// The flags of a record.
const (
	chosenID       = 1 << iota
	correlatedToID // its correlation id is its id, and not written again
)

// recordSize is the most bytes that the record of ev takes.
func recordSize(ev *event.Event) int {
	return maxHeader + len(ev.ID) + len(ev.Type) + len(ev.CorrelationID) + len(ev.Data)
}

func appendRecord(dst []byte, ev *event.Event) []byte {
	flags, correlationID := byte(0), ev.CorrelationID
	if ev.ChosenID {
		flags |= chosenID
	}
	if correlationID == ev.ID {
		flags |= correlatedToID
		correlationID = ""
	}
	begin := len(dst)
	dst = binary.LittleEndian.AppendUint64(dst, ev.Offset)
	dst = binary.LittleEndian.AppendUint64(dst, 0) // its size, later
	dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(ev.Timestamp))
	dst = append(dst, flags)
	for _, length := range [...]int{len(ev.ID), len(ev.Type), len(correlationID), len(ev.Data)} {
		dst = binary.AppendUvarint(dst, uint64(length))
	}
	dst = append(append(append(dst, ev.ID...), ev.Type...), correlationID...)
	dst = append(dst, ev.Data...)
	binary.LittleEndian.PutUint64(dst[begin+8:], uint64(len(dst)-begin))
	return dst
}

// readPlace is where the record that text begins with stands, and how long it is. The rest of it may
// be cold.
func readPlace(text []byte) (offset uint64, size int) {
	return binary.LittleEndian.Uint64(text), int(binary.LittleEndian.Uint64(text[8:]))
}

// readRecord is the record that text begins with.
func readRecord(text []byte) (r record) {
	r.offset, _ = readPlace(text)
	r.timestamp = math.Float64frombits(binary.LittleEndian.Uint64(text[16:]))
	r.flags = text[24]
	at := 25
	var lengths [4]int
	for i := range lengths {
		length, width := binary.Uvarint(text[at:])
		lengths[i] = int(length)
		at += width
	}
	for i, part := range [...]*[]byte{&r.id, &r.eventType, &r.correlationID, &r.data} {
		*part = text[at : at+lengths[i] : at+lengths[i]]
		at += lengths[i]
	}
	return r
}

// event is the event of a record of a chunk that is lent.
func (r *record) event(channel string) *event.Event {
	ev := &event.Event{
		ID: text(r.id), Type: text(r.eventType), Channel: channel, CorrelationID: text(r.correlationID),
		Data: r.data, Timestamp: r.timestamp, Offset: r.offset, ChosenID: r.flags&chosenID != 0,
	}
	if r.flags&correlatedToID != 0 {
		ev.CorrelationID = ev.ID
	}
	return ev
}

// text is bytes that nobody changes, as a string.
func text(bytes []byte) string { return unsafe.String(unsafe.SliceData(bytes), len(bytes)) }

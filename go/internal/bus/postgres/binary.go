package postgres

import (
	"encoding/binary"
	"sync"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// arguments are parameters of a statement in PostgreSQL's binary format: arrays of one dimension
// without NULLs, as array_recv reads them. pgx encodes any value of any type, and takes eight times
// as long, with 1,800 allocations for 256 events.
type arguments struct {
	bytes []byte
	ends  []int
}

// mostSpareBytes is the largest memory that is kept for later arguments.
const mostSpareBytes = 1 << 20

var spareArguments = sync.Pool{New: func() any { return new(arguments) }}

func newArguments() *arguments { return spareArguments.Get().(*arguments) }

// recycle gives the memory to later arguments.
func (a *arguments) recycle() {
	if cap(a.bytes) <= mostSpareBytes {
		a.bytes, a.ends = a.bytes[:0], a.ends[:0]
		spareArguments.Put(a)
	}
}

// binaryFormat is the format code of all parameters, or of all results, of a statement.
var binaryFormat = []int16{pgtype.BinaryFormatCode}

// text adds one text.
func (a *arguments) text(value string) {
	a.bytes = append(a.bytes, value...)
	a.end()
}

// column adds an array with a value of each event, of type text or of one whose binary format is its
// text.
func column[T string | []byte](a *arguments, element uint32, events []*event.Event, value func(*event.Event) T) {
	a.array(element, len(events))
	for _, ev := range events {
		text := value(ev)
		a.bytes = binary.BigEndian.AppendUint32(a.bytes, uint32(len(text)))
		a.bytes = append(a.bytes, text...)
	}
	a.end()
}

// times adds an array of timestamptz, when the events were published: microseconds since 2000.
func (a *arguments) times(events []*event.Event) {
	a.array(pgtype.TimestamptzOID, len(events))
	for _, ev := range events {
		a.bytes = binary.BigEndian.AppendUint32(a.bytes, 8)
		a.bytes = binary.BigEndian.AppendUint64(a.bytes, uint64(publishedAt(ev).UnixMicro()-millennium))
	}
	a.end()
}

// millennium is 2000-01-01 00:00 UTC, in microseconds since 1970.
const millennium = 946_684_800_000_000

func (a *arguments) array(element uint32, length int) {
	const dimensions, nulls, first = 1, 0, 1
	for _, word := range [...]uint32{dimensions, nulls, element, uint32(length), first} {
		a.bytes = binary.BigEndian.AppendUint32(a.bytes, word)
	}
}

func (a *arguments) end() { a.ends = append(a.ends, len(a.bytes)) }

// values are the parameters, in memory of a's.
func (a *arguments) values() [][]byte {
	if a == nil {
		return nil
	}
	values := make([][]byte, 0, len(a.ends))
	from := 0
	for _, end := range a.ends {
		values = append(values, a.bytes[from:end])
		from = end
	}
	return values
}

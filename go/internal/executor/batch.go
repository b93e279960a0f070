package executor

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
	"unsafe"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
)

// Batch is responses on their way out, in memory that later batches use again:
// handing a response out allocates nothing. It belongs to whoever took it until
// Recycle.
type Batch struct {
	// Entries describe the responses, Payloads[i] is the shared payload of
	// Entries[i]. The entries refer to nothing, so that they may cross to C.
	Entries  []Entry
	Payloads [][]byte
	// Texts holds the names and heads that the entries point into.
	Texts []byte
	// Decode: some entry is of the form UTF8.
	Decode bool
	// Tickets are those of publishes that have been dispatched.
	Tickets []uint64

	executor  *Executor
	responses []*queue.Response
	// text is the index of the last one that becomes a str of its own, -1 for none.
	text int
}

// Entry is a response as it is handed out: its head, the payload, and "}" are the
// bytes of a graphql-transport-ws message, "next" or the final one. The name is its
// subscription's id; a length of 0 means that of the entry before. Laid out as the
// bridge's fsq_entry.
type Entry struct {
	NameAt, NameLength int
	HeadAt, HeadLength int
	PayloadLength      int
	// Form is what the message becomes.
	Form Form
	// Place is for the receiver: where it has made room for the payload.
	Place uintptr
}

// Form is what a message becomes on the other side.
type Form int

const (
	Bytes Form = iota
	// ASCII is a str.
	ASCII
	// UTF8 is a str with other characters, too.
	UTF8
	// Again is the str of the text before: another subscription's message, and the same.
	Again
)

// maxSpare is the number of responses from which a batch's memory is not kept.
const maxSpare = 8192

func (x *Executor) newBatch() *Batch {
	b := x.batches.Get().(*Batch)
	b.executor = x
	b.text, b.Decode = -1, false
	return b
}

// Recycle gives the batch's memory to a later one.
func (b *Batch) Recycle() {
	if cap(b.Entries) > maxSpare {
		return
	}
	clear(b.Payloads)
	b.Entries, b.Payloads, b.Texts, b.Tickets = b.Entries[:0], b.Payloads[:0], b.Texts[:0], b.Tickets[:0]
	b.executor.batches.Put(b)
}

// Message appends the bytes of response i to dst.
func (b *Batch) Message(dst []byte, i int) []byte {
	e := &b.Entries[i]
	dst = append(dst, b.Texts[e.HeadAt:e.HeadAt+e.HeadLength]...)
	dst = append(dst, b.Payloads[i]...)
	return append(dst, '}')
}

// take adds at most maximum responses of s, oldest first. Fewer mean that there was
// nothing left to take. named says whether the receiver wants to know whose they are.
func (b *Batch) take(s *Subscription, maximum int, named bool) (taken int) {
	b.responses = s.inbox.Load().AppendPop(b.responses[:0], maximum)
	taken = len(b.responses)
	if taken < maximum && s.overflowing.Load() {
		s.overflowing.Store(false)
	}
	if taken == 0 {
		return 0
	}
	var e Entry
	if named {
		e.NameAt = len(b.Texts)
		b.Texts = s.appendID(b.Texts)
		e.NameLength = len(b.Texts) - e.NameAt
	}
	e.HeadAt = len(b.Texts)
	b.Texts = appendEnvelopeHead(b.Texts, s.clientID)
	e.HeadLength = len(b.Texts) - e.HeadAt
	end := s.ending.Load()
	// The messages of one that has ended stay bytes: its reader is to find the final one.
	texts := named && end == nil && s.texts.Load()
	for i, response := range b.responses {
		payload := response.Payload()
		if end != nil && response == end.final {
			e.HeadAt = len(b.Texts)
			b.Texts = end.appendHead(b.Texts, s.clientID)
			e.HeadLength = len(b.Texts) - e.HeadAt
		} else if i == 0 && s.unrecovered.Load() && s.unrecovered.Swap(false) {
			payload = addExtension(payload, "recovered", []byte("false"))
		}
		e.PayloadLength = len(payload)
		if texts {
			e.Form = b.form(&e, payload)
		}
		b.Entries = append(b.Entries, e)
		b.Payloads = append(b.Payloads, payload)
		e.NameLength = 0
	}
	clear(b.responses)
	if s.withdrawn.Load() > 0 {
		s.withdrawn.Store(0)
	}
	if s.waits.Load() > 0 {
		b.executor.makeRoom(s)
	}
	return taken
}

// form is that of the next entry, a text.
func (b *Batch) form(e *Entry, payload []byte) Form {
	head := b.Texts[e.HeadAt : e.HeadAt+e.HeadLength]
	if b.text >= 0 {
		before := &b.Entries[b.text]
		same := unsafe.SliceData(b.Payloads[b.text]) == unsafe.SliceData(payload) && before.PayloadLength == len(payload)
		if same && bytes.Equal(head, b.Texts[before.HeadAt:before.HeadAt+before.HeadLength]) {
			return Again
		}
	}
	b.text = len(b.Entries)
	if isASCII(head) && isASCII(payload) {
		return ASCII
	}
	b.Decode = true
	return UTF8
}

// isASCII looks at eight bytes at a time.
func isASCII(text []byte) bool {
	for ; len(text) >= 8; text = text[8:] {
		if binary.NativeEndian.Uint64(text)&0x8080808080808080 != 0 {
			return false
		}
	}
	for _, c := range text {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

package redis

import (
	"bytes"
	"hash/maphash"
	"slices"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// own are the events that this node has published and will read: they need not be
// decoded, and their data not be parsed, a second time.
type own struct {
	find func(ids [][]byte, found []*event.Event) // nil where there are none
	seed maphash.Seed                             // of what is noted: nobody else can make a text for it

	// Memory.
	ids   [][]byte
	found []*event.Event
}

// note keeps what an event was sent as.
func (o *own) note(ev *event.Event, text []byte) { ev.Echo.Store(maphash.Bytes(o.seed, text)) }

// recognise gives entries the events of which they were made. All are asked for at once: what
// finds them is locked for it.
func (o *own) recognise(entries []entry) {
	if o.find == nil {
		return
	}
	o.ids = o.ids[:0]
	for i := range entries {
		o.ids = append(o.ids, idIn(entries[i].text))
	}
	o.found = slices.Grow(o.found[:0], len(entries))[:len(entries)]
	o.find(o.ids, o.found)
	for i := range entries {
		e, ev := &entries[i], o.found[i]
		// Somebody else may have used its id.
		if ev != nil && ev.Channel == e.from.channel && ev.Echo.Load() == maphash.Bytes(o.seed, e.text) {
			e.event, e.text = ev, nil
		}
	}
	clear(o.ids) // they lie in the answer
	clear(o.found)
}

// idIn is the id of the event that a text is, if it was written as this package writes it,
// otherwise nil.
func idIn(text []byte) []byte {
	id, ok := bytes.CutPrefix(text, []byte(`{"id":"`))
	if !ok {
		return nil
	}
	end := bytes.IndexByte(id, '"')
	if end < 0 {
		return nil
	}
	return id[:end]
}

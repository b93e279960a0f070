package redis

import (
	"bytes"
	"hash/maphash"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// own are the events that this node has published and will read: they need not be
// decoded, and their data not be parsed, a second time.
type own struct {
	find func(id []byte) *event.Event // nil where there are none
	seed maphash.Seed                 // of what is noted: nobody else can make a text for it
}

// note keeps what an event was sent as.
func (o *own) note(ev *event.Event, text []byte) { ev.Echo.Store(maphash.Bytes(o.seed, text)) }

// recognise is the event of which a text was made, nil if it is not one's own.
func (o *own) recognise(text []byte) *event.Event {
	if o == nil || o.find == nil {
		return nil
	}
	id, ok := bytes.CutPrefix(text, []byte(`{"id":"`))
	if !ok {
		return nil
	}
	end := bytes.IndexByte(id, '"')
	if end < 0 {
		return nil
	}
	ev := o.find(id[:end])
	if ev == nil || ev.Echo.Load() != maphash.Bytes(o.seed, text) { // somebody else may have used its id
		return nil
	}
	return ev
}

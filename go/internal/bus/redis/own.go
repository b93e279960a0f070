package redis

import (
	"bytes"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// own are the events that this node has published and will read: they need not be
// decoded, and their data not be parsed, a second time.
type own struct {
	find func(id []byte) *event.Event // nil where there are none
	text []byte                       // memory
}

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
	if ev == nil {
		return nil
	}
	// Somebody else may have used its id.
	if o.text = ev.AppendJSON(o.text[:0]); !bytes.Equal(o.text, text) {
		return nil
	}
	return ev
}

package redis

import (
	"bytes"
	"sync"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// maxSent bounds how many events are remembered.
const maxSent = 20_000

// sent are events that this node has published and will read: they need not be decoded,
// and their data not be parsed, a second time. Who is not found there is decoded.
type sent struct {
	mu   sync.Mutex
	byID map[string]sentEvent
}

type sentEvent struct {
	event *event.Event
	text  []byte // as it was sent
}

// add remembers an event that is about to be sent. Some that never came back, and others
// with them, are forgotten when there are too many.
func (s *sent) add(ev *event.Event, text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID == nil || len(s.byID) >= maxSent {
		s.byID = make(map[string]sentEvent)
	}
	s.byID[ev.ID] = sentEvent{ev, text}
}

// take is the event that was sent as a text, once; nil if there is none.
func (s *sent) take(text []byte) *event.Event {
	id, ok := bytes.CutPrefix(text, []byte(`{"id":"`))
	if !ok {
		return nil
	}
	end := bytes.IndexByte(id, '"')
	if end < 0 {
		return nil
	}
	id = id[:end]
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.byID[string(id)]
	if !ok || !bytes.Equal(known.text, text) {
		return nil
	}
	delete(s.byID, string(id))
	return known.event
}

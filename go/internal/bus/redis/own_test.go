package redis

import (
	"hash/maphash"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

func TestOnesOwnEventsAreKnownByAllThatTheySay(t *testing.T) {
	made, err := event.New("changed", "a", []byte(`{"n":1}`), "", "mine")
	must(t, err)
	another, err := event.New("changed", "a", []byte(`{"n":2}`), "", "mine")
	must(t, err)
	o := own{seed: maphash.MakeSeed(), find: func(id []byte) *event.Event {
		if string(id) == "mine" {
			return made
		}
		return nil
	}}
	if got := o.recognise(made.AppendJSON(nil)); got != nil {
		t.Errorf("what was not sent is read as %v", got)
	}
	o.note(made, made.AppendJSON(nil))
	if got := o.recognise(made.AppendJSON(nil)); got != made {
		t.Errorf("one's own event is read as %v", got)
	}
	for _, text := range []string{string(another.AppendJSON(nil)), `{"id":"other"}`, `{"id":"mine"}`, `{"id":"mine`, `{}`, ``} {
		if got := o.recognise([]byte(text)); got != nil {
			t.Errorf("%s is taken for one's own", text)
		}
	}
	if (*own)(nil).recognise(made.AppendJSON(nil)) != nil || new(own).recognise(made.AppendJSON(nil)) != nil {
		t.Error("who has published nothing has an event")
	}
}

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
	o := own{seed: maphash.MakeSeed()}
	from := &stream{channel: "a"}
	read := func(text []byte) *event.Event {
		entries := []entry{{from: from}, {from: from, text: text}}
		o.recognise(entries)
		for _, id := range o.ids[:cap(o.ids)] {
			if id != nil {
				t.Errorf("the id %s is kept, and with it the answer in which it lies", id)
			}
		}
		if known := entries[1].event != nil; known == (entries[1].text != nil) {
			t.Errorf("%s: known is %v, and the text is %s", text, known, entries[1].text)
		}
		return entries[1].event
	}
	if read(made.AppendJSON(nil)) != nil {
		t.Error("who has published nothing has an event")
	}
	o.find = func(ids [][]byte, found []*event.Event) {
		for i, id := range ids {
			if string(id) == "mine" {
				found[i] = made
			}
		}
	}
	if got := read(made.AppendJSON(nil)); got != nil {
		t.Errorf("what was not sent is read as %v", got)
	}
	o.note(made, made.AppendJSON(nil))
	if got := read(made.AppendJSON(nil)); got != made {
		t.Errorf("one's own event is read as %v", got)
	}
	for _, text := range []string{string(another.AppendJSON(nil)), `{"id":"other"}`, `{"id":"mine"}`, `{"id":"mine`, `{}`, ``} {
		if got := read([]byte(text)); got != nil {
			t.Errorf("%s is taken for one's own", text)
		}
	}
	from = &stream{channel: "b"}
	if got := read(made.AppendJSON(nil)); got != nil {
		t.Errorf("an event is taken for one's own on another channel: %v", got)
	}
}

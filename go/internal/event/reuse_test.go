package event

import (
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

func TestMakeIsNewWithACopyOfItsData(t *testing.T) {
	now := time.Now()
	for _, c := range []struct{ correlationID, id string }{{"", ""}, {"why", ""}, {"", "mine"}} {
		data := []byte(` {"a":"b"} `)
		e, err := Make(now, "t", "c", data, c.correlationID, c.id)
		if err != nil {
			t.Fatal(err)
		}
		clear(data)
		if e.Type != "t" || e.Channel != "c" || string(e.Data) != `{"a":"b"}` || !isOf(e, now) || !e.Document().Root().Get("a").EqualText("b") {
			t.Errorf("the event is %s", e.AppendJSON(nil))
		}
		if e.ChosenID != (c.id != "") || c.id == "" && len(e.ID) != idBytes || c.id != "" && e.ID != c.id {
			t.Errorf("its id is %q, chosen: %v", e.ID, e.ChosenID)
		}
		if want := c.correlationID; want == "" && e.CorrelationID != e.ID || want != "" && e.CorrelationID != want {
			t.Errorf("its correlation id is %q", e.CorrelationID)
		}
	}
	for _, data := range []string{`[]`, `{} {}`, `{`, ``} {
		if _, err := Make(now, "t", "c", []byte(data), "", ""); fault.CodeOf(err) != fault.InvalidValue {
			t.Errorf("data that is %s: %v", data, err)
		}
	}
}

// isOf tells that an event happens at now, or later by as much as ids have been made ahead of it.
func isOf(e *Event, now time.Time) bool {
	at := inSeconds(now.UnixMilli())
	return at <= e.Timestamp && e.Timestamp < at+1
}

func TestABatchIsMadeOfAnArray(t *testing.T) {
	now := time.Now()
	array := []byte("[70, {\"a\":\"]},70,{\"} ,70,\n{},70,{\"b\":[{},[]]}]")
	batch := NewBatch(now, array, 3)
	var events []*Event
	for i, id := range []string{"", "mine", ""} {
		e, err := batch.Make("t", "c", "", id)
		if err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
		events = append(events, e)
	}
	clear(array)
	for i, want := range []string{`{"a":"]},70,{"}`, `{}`, `{"b":[{},[]]}`} {
		if e := events[i]; string(e.Data) != want || string(e.Document().Root().Raw()) != want || e.ChosenID != (i == 1) || !isOf(e, now) {
			t.Errorf("event %d is %s", i, e.AppendJSON(nil))
		}
	}
	if events[0].ID >= events[2].ID {
		t.Errorf("%s was made before %s", events[0].ID, events[2].ID)
	}
	if _, err := batch.Make("t", "c", "", ""); fault.CodeOf(err) != fault.InvalidValue {
		t.Errorf("one more than there are: %v", err)
	}
}

func TestABatchOfOtherThanItsEventsIsRefused(t *testing.T) {
	for _, array := range []string{
		``, `[`, `[]`, `[7`, `[7,`, `[7,{}]`, `[7,{},7,`, `[7,{},7,{}`, `[7,{},7,{},7,{}]`, `[7,{},7,{}]]`, `[7,{} 7,{}]`, `7,{},7,{}`, ` [7,{},7,{}]`,
		`[7,{},7,1]`, `[7,{},7]`, `[7,{},7,{]`, `[{},{}]`, `[,{},,{}]`, `["7",{},"7",{}]`, `[7,{},8,{}]`, `[7,{},{}]`, `[7,{},{},7,{}]`, `[7,{},77,{}]`, `[77,{},7,{}]`,
	} {
		batch := NewBatch(time.Now(), []byte(array), 2)
		_, err := batch.Make("t", "c", "", "")
		if err == nil {
			_, err = batch.Make("t", "c", "", "")
		}
		if fault.CodeOf(err) != fault.InvalidValue {
			t.Errorf("%s: %v", array, err)
		}
	}
}

// TestAReleasedEventLeavesNothingToTheNext publishes events of all sizes one after the other, several
// at a time.
func TestAReleasedEventLeavesNothingToTheNext(t *testing.T) {
	var inHand []*Event
	for i := range 2000 {
		text := strings.Repeat("x", i*i%(2*maxRoom))
		id, correlation := "", ""
		if i%3 == 0 {
			id, correlation = "chosen", "why"
		}
		e, err := Make(time.Now(), "t", "c", []byte(`{"text":"`+text+`"}`), correlation, id)
		if err != nil {
			t.Fatal(err)
		}
		e.Offset, e.Publication = uint64(i), i
		e.Echo.Store(1)
		inHand = append(inHand, e)
		if len(inHand) < 5 {
			continue
		}
		oldest := inHand[0]
		inHand = inHand[1:]
		if i%7 == 0 {
			oldest.ReleaseDocument()
		}
		oldest.Release()
		next, err := Make(time.Now(), "u", "d", []byte(`{"n":5}`), "", "")
		if err != nil {
			t.Fatal(err)
		}
		if next.Offset != 0 || next.Publication != nil || next.Echo.Load() != 0 || next.ChosenID || next.Type != "u" || next.Channel != "d" ||
			next.CorrelationID != next.ID || string(next.Data) != `{"n":5}` || next.Document().Root().Len() != 1 {
			t.Fatalf("the event is %s, at %d for %v", next.AppendJSON(nil), next.Offset, next.Publication)
		}
		next.Release()
		for _, e := range inHand {
			if root := e.Document().Root(); string(root.Raw()) != string(e.Data) || !root.Get("text").Exists() || e.Type != "t" {
				t.Fatalf("an event in hand has become %s", e.AppendJSON(nil))
			}
		}
	}
}

func TestAnEventOfNewStaysWhatItWasWhenItIsReleased(t *testing.T) {
	e, err := New("t", "c", []byte(`{"n":5}`), "", "")
	if err != nil {
		t.Fatal(err)
	}
	id := e.ID
	e.Release()
	if other, err := Make(time.Now(), "u", "d", []byte(`{}`), "", ""); err != nil || other == e {
		t.Errorf("it was used again (%v)", err)
	}
	if e.ID != id || string(e.Data) != `{"n":5}` || e.Document().Root().Len() != 1 {
		t.Errorf("it has become %s", e.AppendJSON(nil))
	}
}

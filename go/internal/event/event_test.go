package event

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

func TestNewFillsWhatIsNotGiven(t *testing.T) {
	before := float64(time.Now().UnixMilli()) / 1000
	e, err := New("orderUpdated", "orders", []byte(` {"id":1} `), "", "")
	if err != nil {
		t.Fatal(err)
	}
	if e.Type != "orderUpdated" || e.Channel != "orders" || string(e.Data) != `{"id":1}` {
		t.Errorf("the event is %s", e.AppendJSON(nil))
	}
	if id, err := uuid.Parse(e.ID); err != nil || id.Version() != 7 || id.Variant() != uuid.RFC4122 || id.String() != e.ID {
		t.Errorf("id %q (%v), want a UUIDv7", e.ID, err)
	}
	if e.CorrelationID != e.ID {
		t.Errorf("correlation_id %q, want the id", e.CorrelationID)
	}
	// A millisecond more: ids made quickly run ahead of the clock.
	if after := float64(time.Now().UnixMilli()+1) / 1000; e.Timestamp < before || e.Timestamp > after {
		t.Errorf("timestamp %v, want one between %v and %v", e.Timestamp, before, after)
	}
}

func TestNewKeepsWhatIsGiven(t *testing.T) {
	e, err := New("t", "c", []byte(`{}`), "because", "mine")
	if err != nil || e.ID != "mine" || e.CorrelationID != "because" || e.Timestamp < 1.7e9 {
		t.Errorf("the event is %+v (%v)", e, err)
	}
}

func TestNewRefusesWhatIsNoEvent(t *testing.T) {
	for _, test := range []struct{ eventType, channel, data, names string }{
		{"", "c", `{}`, "event_type"},
		{"t", "", `{}`, "channel"},
		{"t", "c", `[]`, "array"},
		{"t", "c", `null`, "null"},
		{"t", "c", `"x"`, "string"},
		{"t", "c", ``, "data"},
		{"t", "c", `{"a":}`, "byte 5"},
		{"t", "c", `{} {}`, "data"},
		{"t", "c", "{\"a\":\"\xff\"}", "UTF-8"},
		{"t", "c", nested(501), "500 levels"},
	} {
		_, err := New(test.eventType, test.channel, []byte(test.data), "", "")
		if fault.CodeOf(err) != fault.InvalidValue || !strings.Contains(err.Error(), test.names) {
			t.Errorf("New(%q, %q, %.20s): %v, want INVALID_VALUE naming %s", test.eventType, test.channel, test.data, err, test.names)
		}
	}
	if _, err := New("t", "c", []byte(nested(501)), "", ""); !errors.Is(err, document.ErrDepth) {
		t.Errorf("the cause is lost: %v", err)
	}
}

// nested is an object of that many levels.
func nested(depth int) string {
	return strings.Repeat(`{"a":`, depth-1) + "{}" + strings.Repeat("}", depth-1)
}

func newID() string {
	id, _ := appendID(nil, time.Now())
	return string(id)
}

func TestIDsAreUniqueAndAscend(t *testing.T) {
	const makers, each = 8, 5000
	made := make([][]string, makers)
	var group sync.WaitGroup
	for i := range made {
		group.Go(func() {
			for range each {
				id := newID()
				made[i] = append(made[i], id)
			}
		})
	}
	group.Wait()
	seen := map[string]bool{}
	for _, ids := range made {
		for i, id := range ids {
			if i > 0 && id <= ids[i-1] {
				t.Fatalf("%s came after %s", id, ids[i-1])
			}
			if seen[id] {
				t.Fatalf("%s came twice", id)
			}
			seen[id] = true
		}
	}
	first := newID()
	if first <= made[0][each-1] {
		t.Errorf("%s came after %s of another goroutine", first, made[0][each-1])
	}
}

// TestIDsAreUUIDsAsAnotherProgramReadsThem looks at their time, and that each bit of the rest varies.
func TestIDsAreUUIDsAsAnotherProgramReadsThem(t *testing.T) {
	var ones, zeros [16]byte
	for range 1000 {
		before := time.Now().UnixMilli()
		text, milliseconds := appendID(nil, time.Now())
		id := string(text)
		parsed, err := uuid.Parse(id)
		if err != nil || parsed.Version() != 7 || parsed.Variant() != uuid.RFC4122 || parsed.String() != id {
			t.Fatalf("%q is no UUIDv7: %v", id, err)
		}
		// A millisecond more: ids made quickly run ahead of the clock.
		if seconds, nanoseconds := parsed.Time().UnixTime(); seconds*1000+nanoseconds/1e6 != milliseconds || milliseconds < before || milliseconds > time.Now().UnixMilli()+1 {
			t.Fatalf("%s: %d ms, made at %d", id, milliseconds, before)
		}
		for i, b := range parsed {
			ones[i] |= b
			zeros[i] |= ^b
		}
	}
	for i := 8; i < 16; i++ {
		want := byte(0xff)
		if i == 8 {
			want = 0x3f // the variant's bits never vary
		}
		if got := ones[i] & zeros[i]; got != want {
			t.Errorf("of byte %d these bits vary: %08b", i, got)
		}
	}
}

func TestTheDocumentIsParsedOnceUntilReleased(t *testing.T) {
	e, err := New("t", "c", []byte(`{"id":1}`), "", "")
	if err != nil {
		t.Fatal(err)
	}
	first := e.Document()
	if e.Document() != first || string(first.Root().Get("id").Raw()) != "1" {
		t.Error("a second call parsed again")
	}
	e.ReleaseDocument()
	if first.Root().Exists() {
		t.Error("a document that was released is not for others")
	}
	if string(e.Document().Root().Get("id").Raw()) != "1" {
		t.Error("after its release the document does not read the same")
	}
	literal := &Event{Data: []byte(`{"id":2}`)}
	parsed := literal.Document()
	if string(parsed.Root().Get("id").Raw()) != "2" || literal.Document() != parsed {
		t.Error("an event written as a literal has no document")
	}
}

func TestAnEventMayBeTakenApartWhileItIsDispatched(t *testing.T) {
	e, err := New("t", "c", []byte(`{"id":1}`), "cause", "chosen")
	if err != nil {
		t.Fatal(err)
	}
	e.Offset = 7
	var group sync.WaitGroup
	group.Go(func() {
		for range 500 {
			e.Publication = t
			e.Document()
			e.ReleaseDocument()
		}
	})
	for range 3 {
		group.Go(func() {
			for range 500 {
				own := e.Apart()
				if string(own.Document().Root().Get("id").Raw()) != "1" {
					t.Error("the document reads wrong")
				}
				own.ReleaseDocument()
			}
		})
	}
	group.Wait()
	own := e.Apart()
	if string(own.AppendJSON(nil)) != string(e.AppendJSON(nil)) || own.Offset != 7 || !own.ChosenID || own.Publication != nil {
		t.Errorf("%s apart is %+v", e.AppendJSON(nil), own)
	}
}

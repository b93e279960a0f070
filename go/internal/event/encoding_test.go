package event

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

func TestAppendJSONWritesTheWireFormat(t *testing.T) {
	e := &Event{ID: "i", Type: "orderUpdated", Channel: "orders", CorrelationID: "c", Data: []byte(`{"b": 1,"a":"\u00e9"}`), Timestamp: 1700000000}
	want := `{"id":"i","event_type":"orderUpdated","channel":"orders","data":{"b": 1,"a":"\u00e9"},"timestamp":1700000000,"correlation_id":"c"}`
	if got := string(e.AppendJSON([]byte("x"))); got != "x"+want {
		t.Errorf("got  %s\nwant x%s", got, want)
	}
	e = &Event{ID: "\"\n", Type: "é", Channel: "\x00", CorrelationID: "\xff", Data: []byte(`{}`), Timestamp: 0.25}
	want = `{"id":"\"\n","event_type":"é","channel":"\u0000","data":{},"timestamp":0.25,"correlation_id":"` + "\ufffd" + `"}`
	if got := string(e.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestTimestampsHaveMillisecondsAndNoExponent(t *testing.T) {
	for seconds, want := range map[float64]string{
		0: "0", 1700000000: "1700000000", 1700000000.5: "1700000000.5", 1700000000.123: "1700000000.123", 1700000000.01: "1700000000.01",
		1700000000.001: "1700000000.001", 1e12: "1000000000000", -1.5: "-1.5", -0.001: "-0.001", 0.0004: "0", 0.9996: "1",
	} {
		if got := string(AppendTimestamp(nil, seconds)); got != want {
			t.Errorf("%v is written %s, want %s", seconds, got, want)
		}
	}
}

func TestDecodeReadsAnEventBack(t *testing.T) {
	made, err := New("orderUpdated", "orders:1", []byte(`{"id":1,"note":"é\n"}`), "why", "")
	if err != nil {
		t.Fatal(err)
	}
	read, err := Decode(made.AppendJSON(nil))
	if err != nil {
		t.Fatal(err)
	}
	if !sameEvent(made, read) {
		t.Errorf("%s reads as %s", made.AppendJSON(nil), read.AppendJSON(nil))
	}
	if string(read.Document().Root().Get("id").Raw()) != "1" || read.Document().Root().Get("event_type").Exists() {
		t.Error("the document is not the data's")
	}
	read.ReleaseDocument()
	if string(read.Document().Root().Get("id").Raw()) != "1" {
		t.Error("the document parsed again is not the data's")
	}
}

func sameEvent(a, b *Event) bool {
	return a.ID == b.ID && a.Type == b.Type && a.Channel == b.Channel && a.CorrelationID == b.CorrelationID &&
		a.Timestamp == b.Timestamp && bytes.Equal(a.Data, b.Data)
}

func TestDecodeToleratesWhatOthersWrite(t *testing.T) {
	before := float64(time.Now().UnixMilli()) / 1000
	e, err := Decode([]byte(` {"version":{"x":[1]},"channel":"c","data":{},"event_type":"\u0074","id":null,"timestamp":null} `))
	if err != nil {
		t.Fatal(err)
	}
	if e.Type != "t" || e.Channel != "c" || len(e.ID) != 36 || e.CorrelationID != e.ID || e.Timestamp < before {
		t.Errorf("the event is %s", e.AppendJSON(nil))
	}
	e, err = Decode([]byte(`{"id":"i","event_type":"t","channel":"c","data":{"a":1},"timestamp":1.7000000001239e9,"correlation_id":""}`))
	if err != nil || e.ID != "i" || e.CorrelationID != "i" || e.Timestamp != 1700000000.124 {
		t.Errorf("the event is %+v (%v)", e, err)
	}
	if _, err = Decode([]byte(`{"event_type":"t","channel":"c","data":` + nested(500) + `}`)); err != nil {
		t.Errorf("data as deep as New takes: %v", err)
	}
}

func TestDecodeRefusesAndNamesTheField(t *testing.T) {
	for text, names := range map[string]string{
		``: "cannot be read", `[]`: "array", `null`: "null", `{"event_type":"t"`: "byte 17",
		`{"channel":"c","data":{}}`: "event_type", `{"event_type":"","channel":"c","data":{}}`: "event_type",
		`{"event_type":5,"channel":"c","data":{}}`: "event_type is of type number",
		`{"event_type":"t","data":{}}`:             "channel", `{"event_type":"t","channel":null,"data":{}}`: "channel",
		`{"event_type":"t","channel":["c"],"data":{}}`: "channel is of type array",
		`{"event_type":"t","channel":"c"}`:             "data is missing", `{"event_type":"t","channel":"c","data":null}`: "data is of type null",
		`{"event_type":"t","channel":"c","data":"{}"}`:                      "data is of type string",
		`{"id":5,"event_type":"t","channel":"c","data":{}}`:                 "id is of type number",
		`{"event_type":"t","channel":"c","data":{},"correlation_id":false}`: "correlation_id is of type boolean",
		`{"event_type":"t","channel":"c","data":{},"timestamp":"now"}`:      "timestamp is of type string",
		`{"event_type":"t","channel":"c","data":{},"timestamp":1e400}`:      "timestamp 1e400",
		`{"event_type":"t","channel":"c","data":{},"timestamp":-1e15}`:      "timestamp -1e15",
	} {
		if _, err := Decode([]byte(text)); fault.CodeOf(err) != fault.InvalidValue || !strings.Contains(err.Error(), names) {
			t.Errorf("Decode(%s): %v, want INVALID_VALUE naming %s", text, err, names)
		}
	}
	long := `{"event_type":"t","channel":"c","data":{},"timestamp":1` + strings.Repeat("0", 1000) + `}`
	if _, err := Decode([]byte(long)); err == nil || len(err.Error()) > 300 {
		t.Errorf("the error repeats a long value: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"id":"i","event_type":"orderUpdated","channel":"orders","data":{"b": 1},"timestamp":1700000000.123,"correlation_id":"c"}`,
		`{"event_type":"t","channel":"c","data":{}}`, `{"event_type":"\u0000\"","channel":"é","data":{"a":[1,{}]},"timestamp":-0.5}`,
		`{}`, `[]`, `{"event_type":"t","channel":"c","data":[]}`, `{"event_type":"t","channel":"c","data":{},"data":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := Decode(text)
		if err != nil {
			if fault.CodeOf(err) != fault.InvalidValue {
				t.Fatalf("Decode(%q): %v", text, err)
			}
			return
		}
		written := e.AppendJSON(nil)
		if !json.Valid(written) {
			t.Fatalf("%q is written as %q", text, written)
		}
		again, err := Decode(written)
		if err != nil || !sameEvent(e, again) {
			t.Fatalf("%q is written as %q and reads as %+v (%v)", text, written, again, err)
		}
	})
}

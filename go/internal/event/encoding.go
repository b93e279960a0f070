package event

import (
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

const (
	// envelopeDepth is the level that the envelope adds to the data's own.
	envelopeDepth = 1
	// maxSeconds is where float64 seconds stop telling milliseconds apart.
	maxSeconds = 1 << 53 / 1000
)

// AppendJSON appends the event's form on the wire:
//
//	{"id":"…","event_type":"…","channel":"…","data":{…},"timestamp":1700000000.25,"correlation_id":"…"}
//
// Data is copied as it is; the timestamp has no exponent and no fraction when
// it is whole.
func (e *Event) AppendJSON(dst []byte) []byte {
	const around = len(`{"id":"","event_type":"","channel":"","data":,"timestamp":1700000000.123,"correlation_id":""}`)
	dst = slices.Grow(dst, around+len(e.ID)+len(e.Type)+len(e.Channel)+len(e.Data)+len(e.CorrelationID))
	begin := len(dst)
	dst = e.AppendID(dst)
	id := dst[begin+len(`{"id":`) : len(dst)-len(`,`)]
	dst = append(dst, `"event_type":`...)
	dst = document.AppendQuoted(dst, e.Type)
	dst = append(dst, `,"channel":`...)
	dst = document.AppendQuoted(dst, e.Channel)
	dst = append(dst, `,"data":`...)
	dst = append(dst, e.Data...)
	dst = append(dst, `,"timestamp":`...)
	dst = AppendTimestamp(dst, e.Timestamp)
	dst = append(dst, `,"correlation_id":`...)
	if e.CorrelationID == e.ID { // as most are
		dst = append(dst, id...)
	} else {
		dst = document.AppendQuoted(dst, e.CorrelationID)
	}
	return append(dst, '}')
}

// AppendID appends how AppendJSON begins: no event of another id begins so.
func (e *Event) AppendID(dst []byte) []byte {
	dst = append(dst, `{"id":`...)
	return append(document.AppendQuoted(dst, e.ID), ',')
}

// AppendTimestamp appends unix seconds in the form that AppendJSON gives them:
// at most three decimals, no exponent.
func AppendTimestamp(dst []byte, seconds float64) []byte {
	milliseconds := int64(math.Round(seconds * 1000))
	if milliseconds < 0 {
		dst = append(dst, '-')
		milliseconds = -milliseconds
	}
	dst = strconv.AppendInt(dst, milliseconds/1000, 10)
	fraction := milliseconds % 1000
	if fraction == 0 {
		return dst
	}
	dst = append(dst, '.', byte('0'+fraction/100), byte('0'+fraction/10%10), byte('0'+fraction%10))
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// Decode reads what AppendJSON wrote, here or in another program. The event
// keeps text, which the caller must not change.
//
// Fields it does not know are ignored. A field that is null counts as missing;
// without an id the event gets a new one, without a correlation_id the id,
// without a timestamp the present. The error has the code InvalidValue and
// names the field: event_type, channel or data missing, data that is no object,
// a field of another type.
func Decode(text []byte) (*Event, error) {
	d := new(document.Document)
	if err := d.ParseWithin(text, document.MaxDepth+envelopeDepth); err != nil {
		return nil, fault.New(fault.InvalidValue, "an event cannot be read (%w); it must be one JSON object", err)
	}
	root := d.Root()
	if root.Kind() != document.Object {
		return nil, fault.New(fault.InvalidValue, "an event is of type %v; it must be one JSON object", root.Kind())
	}
	var texts [4]string
	for i, name := range [...]string{"event_type", "channel", "id", "correlation_id"} {
		var err error
		if texts[i], err = textField(root, name); err != nil {
			return nil, err
		}
	}
	timestamp, err := timestampField(root)
	if err != nil {
		return nil, err
	}
	data := root.Get("data")
	if !data.Exists() {
		return nil, fault.New(fault.InvalidValue, "an event's data is missing; give one JSON object")
	}
	d.Narrow(data)
	e := &Event{Timestamp: timestamp, document: d}
	if err := e.assemble(texts[0], texts[1]); err != nil {
		return nil, err
	}
	if texts[2] == "" {
		id, _ := appendID(nil, time.Now())
		texts[2] = string(id)
	}
	e.identify(texts[2], texts[3])
	return e, nil
}

func textField(root document.Value, name string) (string, error) {
	v := root.Get(name)
	switch v.Kind() {
	case document.String, document.Missing, document.Null:
		return v.Text(), nil
	}
	return "", fault.New(fault.InvalidValue, "an event's %s is of type %v; it must be a string", name, v.Kind())
}

func timestampField(root document.Value) (float64, error) {
	v := root.Get("timestamp")
	switch v.Kind() {
	case document.Missing, document.Null:
		return inSeconds(time.Now().UnixMilli()), nil
	case document.Number:
	default:
		return 0, fault.New(fault.InvalidValue, "an event's timestamp is of type %v; it must be unix seconds, a number", v.Kind())
	}
	seconds, ok := v.Float64()
	if !ok || math.Abs(seconds) > maxSeconds {
		return 0, fault.New(fault.InvalidValue, "an event's timestamp %s is out of range; it must be unix seconds", abridge(string(v.Raw())))
	}
	return math.Round(seconds*1000) / 1000, nil
}

// abridge keeps a wrong value short enough for an error's text.
func abridge(text string) string {
	const limit = 64
	if len(text) <= limit {
		return text
	}
	return text[:limit] + "…"
}

package protocol

import (
	"strconv"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
)

// eventStreamWriter writes Server-Sent Events as the graphql-sse project's protocol
// has them. Where many operations share the stream, their ids stand beside the payloads.
type eventStreamWriter struct {
	shared bool
	retry  float64 // seconds after which a browser that lost the stream comes back; 0: its own
}

func (w eventStreamWriter) opening() string {
	if w.retry > 0 {
		return "retry: " + strconv.FormatFloat(w.retry*1000, 'f', 0, 64) + "\n\n"
	}
	return ":\n\n" // some browsers take a response for begun with its first bytes only
}

func (w eventStreamWriter) idle() string { return ":\n\n" }

// result is a "next" event. Its id is the payload's position, if it has one: a browser
// sends the last id back when it reconnects.
func (w eventStreamWriter) result(dst []byte, id string, payload []byte) []byte {
	if !w.shared {
		if at := position(payload); len(at) > 0 {
			dst = append(append(append(dst, "id: "...), at...), '\n')
		}
	}
	dst = append(dst, "event: next\ndata: "...)
	if w.shared {
		dst = append(document.AppendQuoted(append(dst, `{"id":`...), id), `,"payload":`...)
	}
	dst = appendLine(dst, payload)
	if w.shared {
		dst = append(dst, '}')
	}
	return append(dst, "\n\n"...)
}

func (w eventStreamWriter) failed(dst []byte, id string, errors []byte, _ bool) []byte {
	return w.finished(w.result(dst, id, []byte(result(errors))), id)
}

func (w eventStreamWriter) finished(dst []byte, id string) []byte {
	// Without data a browser would not see the event.
	dst = append(dst, "event: complete\ndata:"...)
	if w.shared {
		dst = append(document.AppendQuoted(append(dst, ` {"id":`...), id), '}')
	}
	return append(dst, "\n\n"...)
}

// appendLine appends JSON as one line: in it a line break is only ever white space.
func appendLine(dst, json []byte) []byte {
	start := len(dst)
	dst = append(dst, json...)
	for i := start; i < len(dst); i++ {
		if dst[i] == '\n' || dst[i] == '\r' {
			dst[i] = ' '
		}
	}
	return dst
}

// position is the text of a payload's extensions.position, empty without one. It has no
// characters that JSON escapes, or that end a line.
func position(payload []byte) []byte {
	parsed := document.New(len(payload))
	if parsed.Parse(payload) != nil {
		return nil
	}
	at := parsed.Root().Get("extensions").Get("position")
	if at.Kind() != document.String {
		return nil
	}
	text := at.Raw()
	text = text[1 : len(text)-1]
	for _, c := range text {
		if c <= ' ' || c == '\\' {
			return nil // an application's own, of whatever meaning
		}
	}
	return text
}

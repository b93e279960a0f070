package executor

import (
	"bytes"
	"strconv"

	"github.com/bytedance/sonic/encoder"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/query"
)

// EncodeResponseBytes builds a response's payload, the JSON of a GraphQL
// execution result: data is the JSON of its "data", problems become "errors"
// when there are any, and a position that is not nil becomes
// "extensions.position".
func EncodeResponseBytes(data []byte, problems []query.Problem, at *event.Position) []byte {
	payload := make([]byte, 0, len(data)+len(`{"data":}`)+64*len(problems))
	payload = append(payload, dataHead...)
	payload = append(payload, data...)
	return appendTail(payload, problems, at)
}

// dataHead begins a payload; the JSON of its "data" follows, and then the tail.
const dataHead = `{"data":`

// appendTail ends a payload, behind its "data".
func appendTail(payload []byte, problems []query.Problem, at *event.Position) []byte {
	for i, problem := range problems {
		if i == 0 {
			payload = append(payload, `,"errors":[`...)
		} else {
			payload = append(payload, ',')
		}
		payload = append(payload, `{"message":`...)
		payload = appendQuoted(payload, problem.Message)
		if problem.Path != nil {
			payload = append(payload, `,"path":`...)
			payload = append(payload, problem.Path...)
		}
		payload = append(payload, `,"extensions":{"code":`...)
		payload = appendQuoted(payload, problem.Code)
		payload = append(payload, `}}`...)
		if i == len(problems)-1 {
			payload = append(payload, ']')
		}
	}
	if at != nil {
		payload = append(payload, `,"extensions":{"position":`...)
		payload = appendPosition(payload, at)
		payload = append(payload, '}')
	}
	return append(payload, '}')
}

// addExtension puts a member into the extensions of result, the JSON of an
// execution result. value is JSON.
func addExtension(result []byte, name string, value []byte) []byte {
	var parsed document.Document
	if err := parsed.Parse(result); err != nil {
		return bytes.Clone(result) // cannot be: it came from a JSON encoder
	}
	payload := make([]byte, 0, len(result)+64)
	payload = append(payload, '{')
	appendMembers := func(object document.Value) (extensions document.Value) {
		for members := object.Members(); members.Next(); {
			if members.Key().EqualText("extensions") {
				extensions = members.Value()
				continue
			}
			payload = append(payload, members.Key().Raw()...)
			payload = append(payload, ':')
			payload = append(payload, members.Value().Raw()...)
			payload = append(payload, ',')
		}
		return extensions
	}
	extensions := appendMembers(parsed.Root())
	payload = append(payload, `"extensions":{`...)
	appendMembers(extensions)
	payload = appendQuoted(payload, name)
	payload = append(payload, ':')
	payload = append(payload, value...)
	return append(payload, `}}`...)
}

func appendPosition(dst []byte, at *event.Position) []byte {
	dst = append(dst, '"') // a position's text needs no escaping
	dst = at.AppendText(dst)
	return append(dst, '"')
}

// appendEnvelopeHead begins the message that carries a payload to the client: a
// graphql-transport-ws "next" message. The payload and "}" follow.
func appendEnvelopeHead(dst []byte, subscriptionID string) []byte {
	dst = append(dst, `{"id":`...)
	dst = appendQuoted(dst, subscriptionID)
	return append(dst, `,"type":"next","payload":`...)
}

// appendQuoted appends text as a JSON string. Identifiers need no escaping as a
// rule, so that is looked at first.
func appendQuoted(dst []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < 0x20 || c == '"' || c == '\\' {
			return append(dst, encoder.Quote(text)...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, text...)
	return append(dst, '"')
}

// resolverInfo is the JSON from which Python builds a resolver's `info`.
func resolverInfo(ev *event.Event, at event.Position, a *answer) []byte {
	info := make([]byte, 0, 256)
	field := func(name, value string) {
		info = append(info, ',')
		info = appendQuoted(info, name)
		info = append(info, ':')
		info = appendQuoted(info, value)
	}
	info = append(info, `{"timestamp":`...)
	info = strconv.AppendFloat(info, ev.Timestamp, 'f', -1, 64)
	field("event_id", ev.ID)
	field("event_type", ev.Type)
	field("channel", ev.Channel)
	field("correlation_id", ev.CorrelationID)
	field("position", at.String())
	field("subscription_id", a.owner.clientID)
	field("connection_id", a.owner.connection)
	if context := a.key.context; context != "" {
		info = append(info, `,"context":`...)
		info = append(info, context...)
	}
	return append(info, '}')
}

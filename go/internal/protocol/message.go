package protocol

import (
	"strings"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
)

// message is a client's frame, its form checked as far as all types share it.
type message struct {
	kind    string
	id      document.Value
	payload document.Value
}

// parseMessage reads a frame; problem is a sentence for the close reason.
func parseMessage(text []byte) (m message, problem string) {
	parsed := document.New(len(text))
	if err := parsed.Parse(text); err != nil {
		return m, "The message is not valid JSON"
	}
	root := parsed.Root()
	if root.Kind() != document.Object {
		return m, "The message is not a JSON object"
	}
	kind := root.Get("type")
	if kind.Kind() != document.String {
		return m, `The message has no "type"`
	}
	return message{kind: kind.Text(), id: root.Get("id"), payload: root.Get("payload")}, ""
}

// object is the payload's JSON, "" when there is none; problem when it is neither an
// object nor null.
func (m message) object() (text, problem string) {
	return objectText(m.payload, `"payload"`)
}

func objectText(value document.Value, name string) (text, problem string) {
	switch {
	case !value.Exists() || value.Kind() == document.Null:
		return "", ""
	case value.Kind() == document.Object:
		return string(value.Raw()), ""
	default:
		return "", name + " is not an object"
	}
}

// identifier is the message's id.
func (m message) identifier(limit int) (id, problem string) {
	if m.id.Kind() != document.String {
		return "", `The message's "id" is not a string`
	}
	id = m.id.Text()
	if problem = idProblem(id, limit); problem != "" {
		return "", `The message's "id" ` + problem
	}
	return id, ""
}

func idProblem(id string, limit int) string {
	switch {
	case id == "":
		return "is empty"
	case len(id) > limit:
		return "is too long"
	case strings.IndexByte(id, 0) >= 0:
		return "contains a NUL character"
	}
	return ""
}

// operation is what a message asks to run.
func (m message) operation(idLimit int) (o Operation, problem string) {
	if o.ID, problem = m.identifier(idLimit); problem != "" {
		return o, problem
	}
	if m.payload.Kind() != document.Object {
		return o, `"payload" is not an object`
	}
	return o, o.read(m.payload)
}

// read takes the parts of a GraphQL request.
func (o *Operation) read(request document.Value) (problem string) {
	query := request.Get("query")
	if query.Kind() != document.String {
		return `"query" is not a string`
	}
	o.Query = query.Text()
	if name := request.Get("operationName"); name.Exists() && name.Kind() != document.Null {
		if name.Kind() != document.String {
			return `"operationName" is not a string`
		}
		o.Name = name.Text()
	}
	if o.Variables, problem = objectText(request.Get("variables"), `"variables"`); problem != "" {
		return problem
	}
	o.Extensions, problem = objectText(request.Get("extensions"), `"extensions"`)
	return problem
}

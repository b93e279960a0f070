package protocol

import "github.com/fraiseql/fraiseql-subscriptions/go/internal/document"

// legacyWS is graphql-ws, the protocol of subscriptions-transport-ws. Its client
// sends operations without waiting for the acknowledgement, so they are held until
// it is decided; an id in use is taken over; keep-alives are not answered.
type legacyWS struct{}

func (legacyWS) receive(s *Socket, m message) {
	switch m.kind {
	case "connection_init":
		s.introduce(m)
	case "connection_terminate":
		s.close(Normal, "")
	case "start":
		if s.state == opening {
			s.dialect.refuse(s, Unauthorized, "Unauthorized")
			return
		}
		o, problem := m.operation(s.limits.IDBytes)
		if problem != "" {
			s.dialect.refuse(s, BadRequest, problem)
			return
		}
		s.stop(o.ID)
		s.start(o)
	case "stop":
		id, problem := m.identifier(s.limits.IDBytes)
		if problem != "" {
			s.dialect.refuse(s, BadRequest, problem)
			return
		}
		if s.stop(id) {
			s.send(string(appendMessage(nil, "complete", id, nil)))
		} else {
			s.unknown(id)
		}
	default:
		s.dialect.refuse(s, BadRequest, "Clients send no messages of the type "+m.kind)
	}
}

func (legacyWS) refuse(s *Socket, code CloseCode, reason string) {
	payload := document.AppendQuoted([]byte(`{"message":`), reason)
	s.send(string(appendMessage(nil, "connection_error", "", append(payload, '}'))))
	s.close(code, reason)
}

// errorPayload is the first error: this protocol's messages carry one.
func (legacyWS) errorPayload(errors []byte) []byte {
	var parsed document.Document
	if err := parsed.Parse(errors); err == nil {
		if first := parsed.Root().At(0); first.Exists() {
			return first.Raw()
		}
	}
	return errors
}

func (legacyWS) ping() (frame string, answered bool) { return `{"type":"ka"}`, false }

func (legacyWS) next() string { return "data" }

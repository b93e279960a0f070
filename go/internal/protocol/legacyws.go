package protocol

import "github.com/fraiseql/fraiseql-subscriptions/go/internal/document"

// legacyWS is graphql-ws, the protocol of subscriptions-transport-ws. Its client
// sends operations without waiting for the acknowledgement, so they are held until
// it is decided; an id in use is taken over; keep-alives are not answered; a message
// that is not understood is reported and otherwise ignored.
type legacyWS struct{}

const keepAlive = `{"type":"ka"}`

func (l legacyWS) receive(s *Socket, m message) {
	switch m.kind {
	case "connection_init":
		s.introduce(m)
	case "connection_terminate":
		s.close(Normal, "")
	case "start":
		if s.state == opening {
			l.refuse(s, Unauthorized, "Unauthorized")
			return
		}
		o, problem := m.operation(s.limits.IDBytes)
		if problem != "" {
			l.invalid(s, o.ID, problem)
			return
		}
		s.stop(o.ID)
		s.start(o)
	case "stop":
		id, problem := m.identifier(s.limits.IDBytes)
		if problem != "" {
			l.invalid(s, "", problem)
			return
		}
		if s.stop(id) {
			s.send(string(appendMessage(nil, "complete", id, nil)))
		} else {
			s.unknown(id)
		}
	default:
		id, _ := m.identifier(s.limits.IDBytes)
		l.invalid(s, id, "Clients send no messages of the type "+m.kind)
	}
}

func (legacyWS) invalid(s *Socket, id, problem string) {
	if _, live := s.active[id]; id == "" || live { // an error would end it for the client
		s.send(string(appendMessage(nil, "connection_error", "", complaint(problem))))
		return
	}
	s.send(string(appendMessage(nil, "error", id, complaint(problem))))
}

func (legacyWS) refuse(s *Socket, code CloseCode, reason string) {
	s.send(string(appendMessage(nil, "connection_error", "", complaint(reason))))
	s.close(code, reason)
}

func complaint(text string) []byte {
	return append(document.AppendQuoted([]byte(`{"message":`), text), '}')
}

func (legacyWS) welcome(s *Socket) {
	if s.limits.Ping > 0 {
		s.send(keepAlive)
	}
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

func (legacyWS) ping() (frame string, answered bool) { return keepAlive, false }

func (legacyWS) next() string { return "data" }

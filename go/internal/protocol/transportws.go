package protocol

// transportWS is graphql-transport-ws.
type transportWS struct{}

func (transportWS) receive(s *Socket, m message) {
	switch m.kind {
	case "connection_init":
		s.introduce(m)
	case "ping", "pong":
		payload, problem := m.object()
		switch {
		case problem != "":
			transportWS{}.invalid(s, "", problem)
		case m.kind == "ping":
			s.send(string(appendMessage(nil, "pong", "", []byte(payload))))
		default:
			s.awaited = false
			s.timer(PongTimer, 0)
		}
	case "subscribe":
		// Who it is comes before what it is.
		if s.state != ready {
			s.close(Unauthorized, "Unauthorized")
			return
		}
		o, problem := m.operation(s.limits.IDBytes)
		if problem != "" {
			transportWS{}.invalid(s, "", problem)
			return
		}
		if _, taken := s.active[o.ID]; taken {
			s.close(DuplicateID, "Subscriber for "+o.ID+" already exists")
			return
		}
		s.start(o)
	case "complete":
		id, problem := m.identifier(s.limits.IDBytes)
		if problem != "" {
			transportWS{}.invalid(s, "", problem)
			return
		}
		if !s.stop(id) {
			s.unknown(id)
		}
	default:
		transportWS{}.invalid(s, "", "Clients send no messages of the type "+m.kind)
	}
}

func (transportWS) invalid(s *Socket, _, problem string) { s.close(BadRequest, problem) }

func (transportWS) refuse(s *Socket, code CloseCode, reason string) { s.close(code, reason) }

func (transportWS) welcome(*Socket) {}

func (transportWS) errorPayload(errors []byte) []byte { return errors }

func (transportWS) ping() (frame string, answered bool) { return `{"type":"ping"}`, true }

func (transportWS) next() string { return "next" }

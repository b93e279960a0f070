package protocol

import (
	"slices"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// The subprotocols, as clients name them.
const (
	TransportWS = "graphql-transport-ws"
	LegacyWS    = "graphql-ws"
)

// Limits bound what one connection may cost. Times are seconds; a ping time of 0
// sends none.
type Limits struct {
	FrameBytes  int     `json:"frame_bytes"`
	IDBytes     int     `json:"id_bytes"`
	Operations  int     `json:"operations"`
	InitTimeout float64 `json:"init_timeout"`
	Ping        float64 `json:"ping"`
	Pong        float64 `json:"pong"`
}

// state is how far a connection has come.
type state uint8

const (
	opening state = iota // no connection_init yet
	deciding
	ready
	closed
)

// Socket is one connection's side of a WebSocket protocol. Each method returns
// what is to be done, in memory that the next call uses again. It is not safe for
// concurrent use.
type Socket struct {
	dialect dialect
	limits  Limits
	state   state
	roster
	todo
	awaited bool     // a pong
	held    []Action // legacy: operations that came before the acknowledgement
}

// dialect is what differs between the two protocols.
type dialect interface {
	// receive handles a message.
	receive(s *Socket, m message)
	// invalid answers a frame that is none of the protocol's messages. id is the
	// operation's that it meant, if it said so.
	invalid(s *Socket, id, problem string)
	// refuse says why, where the protocol has a message for it, and closes.
	refuse(s *Socket, code CloseCode, reason string)
	// welcome sends what follows the acknowledgement.
	welcome(s *Socket)
	// errorPayload is what an error message carries for a list of errors (JSON).
	errorPayload(errors []byte) []byte
	// ping is sent now and then; answered says whether the client has to.
	ping() (frame string, answered bool)
	// next is the type of the message that carries a result.
	next() string
}

// NewSocket is a connection that has just been accepted with this subprotocol.
func NewSocket(subprotocol string, limits Limits) (*Socket, error) {
	s := &Socket{limits: limits, roster: newRoster()}
	switch subprotocol {
	case TransportWS:
		s.dialect = transportWS{}
	case LegacyWS:
		s.dialect = legacyWS{}
	default:
		return nil, fault.New(fault.InvalidValue, "%q is no subprotocol: use %s or %s", subprotocol, TransportWS, LegacyWS)
	}
	if limits.FrameBytes < 1 || limits.IDBytes < 1 || limits.Operations < 1 {
		return nil, fault.New(fault.InvalidValue, "frame_bytes, id_bytes and operations must be at least 1")
	}
	if !(limits.InitTimeout > 0) || !(limits.Ping >= 0) || !(limits.Pong > 0) {
		return nil, fault.New(fault.InvalidValue, "init_timeout and pong must be more than 0 seconds, and ping 0 (none) or more")
	}
	return s, nil
}

// Choose is the subprotocol to accept of those a client offers, "" for none.
func Choose(offered []string) string {
	for _, known := range [...]string{TransportWS, LegacyWS} {
		if slices.Contains(offered, known) {
			return known
		}
	}
	return ""
}

// Open begins: the client has so long to introduce itself.
func (s *Socket) Open() []Action {
	s.begin()
	if s.state == opening {
		s.timer(InitTimer, s.limits.InitTimeout)
	}
	return s.out
}

// Frame takes a frame from the client.
func (s *Socket) Frame(frame []byte, binary bool) []Action {
	s.begin()
	if s.state == closed {
		return nil
	}
	if len(frame) > s.limits.FrameBytes {
		s.close(TooBig, "The message is too big")
		return s.out
	}
	if binary {
		s.dialect.invalid(s, "", "Only text frames are understood")
		return s.out
	}
	m, problem := parseMessage(frame)
	if problem != "" {
		s.dialect.invalid(s, "", problem)
		return s.out
	}
	s.dialect.receive(s, m)
	return s.out
}

// Expired says that a timer ran out.
func (s *Socket) Expired(timer string) []Action {
	s.begin()
	switch {
	case timer == InitTimer && s.state == opening:
		s.close(InitTimeout, "Connection initialisation timeout")
	case timer == PingTimer && s.state == ready:
		frame, answered := s.dialect.ping()
		s.send(frame)
		s.timer(PingTimer, s.limits.Ping)
		if answered && !s.awaited { // a later ping gives no more time
			s.awaited = true
			s.timer(PongTimer, s.limits.Pong)
		}
	case timer == PongTimer && s.state == ready && s.awaited:
		s.close(GoingAway, "No pong received")
	}
	return s.out
}

// Authenticated lets the client in. payload (a JSON object or empty) goes with the
// acknowledgement.
func (s *Socket) Authenticated(payload []byte) []Action {
	s.begin()
	if s.state != deciding {
		return s.out
	}
	s.state = ready
	s.send(string(appendMessage(nil, "connection_ack", "", payload)))
	s.dialect.welcome(s)
	if s.limits.Ping > 0 {
		s.timer(PingTimer, s.limits.Ping)
	}
	s.out = append(s.out, s.held...)
	s.held = nil
	return s.out
}

// Refused turns the client away, before any acknowledgement.
func (s *Socket) Refused(reason string) []Action {
	s.begin()
	if s.state == deciding {
		s.dialect.refuse(s, Forbidden, reason)
	}
	return s.out
}

// Broken ends the connection because of a failure that is not the client's.
func (s *Socket) Broken() []Action {
	s.begin()
	if s.state != closed {
		s.dialect.refuse(s, Internal, "Internal error")
	}
	return s.out
}

// Failed ends an operation with errors (a JSON list), and Finished without.
// An operation that the client has completed is ignored, and one that waits for the
// acknowledgement: nobody was asked to run it.
func (s *Socket) Failed(number uint64, errors []byte) []Action {
	s.begin()
	if id, known := s.answered(number); known {
		s.send(string(appendMessage(nil, "error", id, s.dialect.errorPayload(errors))))
	}
	return s.out
}

// Finished ends an operation, after all that was sent of it.
func (s *Socket) Finished(number uint64) []Action {
	s.begin()
	if id, known := s.answered(number); known {
		s.send(string(appendMessage(nil, "complete", id, nil)))
	}
	return s.out
}

// Result sends an operation's only result (JSON) and ends it.
func (s *Socket) Result(number uint64, result []byte) []Action {
	s.begin()
	if id, known := s.answered(number); known {
		s.send(string(appendMessage(nil, s.dialect.next(), id, result)))
		s.send(string(appendMessage(nil, "complete", id, nil)))
	}
	return s.out
}

// Shutdown completes every operation, oldest first, and closes: the server goes away.
func (s *Socket) Shutdown() []Action {
	s.begin()
	if s.state == closed {
		return nil
	}
	for _, number := range s.numbers() {
		if id, known := s.leave(number); known {
			s.send(string(appendMessage(nil, "complete", id, nil)))
		}
	}
	s.close(GoingAway, "The server is shutting down")
	return s.out
}

// Lost says that the connection is gone.
func (s *Socket) Lost() {
	s.state = closed
	s.empty()
	s.held, s.out = nil, nil
}

func (s *Socket) close(code CloseCode, reason string) {
	s.add(Action{Kind: Close, Code: code, Text: closeReason(reason)})
	s.state = closed
	s.empty()
	s.held = nil
}

// introduce handles connection_init, whose payload both protocols share.
func (s *Socket) introduce(m message) {
	if s.state != opening {
		s.dialect.refuse(s, TooManyRequests, "Too many initialisation requests")
		return
	}
	params, problem := m.object()
	if problem != "" {
		s.dialect.invalid(s, "", problem)
		return
	}
	s.state = deciding
	s.timer(InitTimer, 0)
	s.add(Action{Kind: Authenticate, Text: params})
}

// start runs an operation whose id is free, unless there are too many.
func (s *Socket) start(o Operation) {
	if len(s.active) >= s.limits.Operations {
		s.send(string(appendMessage(nil, "error", o.ID, s.dialect.errorPayload(
			[]byte(`[{"message":"this connection has too many operations; complete some first","extensions":{"code":"LIMIT_EXCEEDED"}}]`),
		))))
		return
	}
	action := Action{Kind: Subscribe, Number: s.enter(o.ID), Operation: o}
	if s.state == ready {
		s.add(action)
	} else {
		s.held = append(s.held, action)
	}
}

// stop ends the operation that the client calls id, if there is one.
func (s *Socket) stop(id string) bool {
	number, known := s.active[id]
	if !known {
		return false
	}
	s.leave(number)
	before := len(s.held)
	s.held = slices.DeleteFunc(s.held, func(a Action) bool { return a.Number == number })
	if len(s.held) == before {
		s.add(Action{Kind: Complete, Number: number})
	}
	return true
}

// answered takes an operation that runs out of the roster, by the answer to it.
func (s *Socket) answered(number uint64) (id string, known bool) {
	if s.state != ready {
		return "", false
	}
	return s.leave(number)
}

// unknown tells of an operation that the client ended and has not. Before it is known who
// that is, there is nobody to tell of.
func (s *Socket) unknown(id string) {
	if s.state == ready {
		s.add(Action{Kind: Unknown, Text: id})
	}
}

// appendMessage appends a message; id and payload (JSON) are left out when empty.
func appendMessage(dst []byte, kind, id string, payload []byte) []byte {
	dst = append(dst, '{')
	if id != "" {
		dst = append(document.AppendQuoted(append(dst, `"id":`...), id), ',')
	}
	dst = document.AppendQuoted(append(dst, `"type":`...), kind)
	if len(payload) > 0 {
		dst = append(append(dst, `,"payload":`...), payload...)
	}
	return append(dst, '}')
}

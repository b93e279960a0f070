package protocol

import "github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"

// Streams are the clients over HTTP of one application. It is not safe for concurrent use.
type Streams struct {
	limits   StreamLimits
	newToken func() string
	last     uint64
	live     map[uint64]*Stream
	tokens   map[string]*Stream
	unopened map[*Stream]struct{} // reservations
}

// NewStreams makes an application's. newToken gives texts that nobody can guess.
func NewStreams(limits StreamLimits, newToken func() string) (*Streams, error) {
	if limits.BodyBytes < 1 || limits.IDBytes < 1 || limits.Operations < 1 || limits.Reservations < 1 {
		return nil, fault.New(fault.InvalidValue, "body_bytes, id_bytes, operations and reservations must be at least 1")
	}
	if !(limits.InitTimeout > 0) || !(limits.Ping >= 0) || !(limits.Retry >= 0) {
		return nil, fault.New(fault.InvalidValue, "init_timeout must be more than 0 seconds, ping and retry 0 (none) or more")
	}
	return &Streams{limits: limits, newToken: newToken, live: map[uint64]*Stream{}, tokens: map[string]*Stream{}, unopened: map[*Stream]struct{}{}}, nil
}

// Find is a client by its number, nil when it has ended.
func (t *Streams) Find(number uint64) *Stream { return t.live[number] }

// Request takes a client's request. What is to be done, the answer included, is to be
// done for the client whose number comes first, a new one or that of a reservation; 0
// is nobody's, and the answer all there is.
func (t *Streams) Request(r *HTTPRequest) (number uint64, actions []Action) {
	switch refused := t.check(r); {
	case refused != nil:
		return 0, []Action{refused.answer(r, t.limits.Origins)}
	case r.Method == "OPTIONS":
		return 0, []Action{preflight(r, t.limits.Origins)}
	}
	if token := r.token(); token != "" {
		s := t.tokens[token]
		if s == nil {
			return 0, []Action{notFound().answer(r, t.limits.Origins)}
		}
		return s.number, s.request(r)
	}
	s := t.newStream()
	if refused := s.ask(r); refused != nil {
		return 0, []Action{refused.answer(r, t.limits.Origins)}
	}
	t.last++
	s.number = t.last
	t.live[s.number] = s
	s.state = deciding
	s.add(Action{Kind: Authenticate})
	return s.number, s.out
}

// check is what holds for every request.
func (t *Streams) check(r *HTTPRequest) *refusal {
	switch {
	case !t.limits.Origins.Admit(r.Origin, r.Host, r.Site):
		return forbidden("Pages of this origin are not let in")
	case r.TooBig || len(r.Body) > t.limits.BodyBytes:
		return &refusal{413, "PAYLOAD_TOO_LARGE", "The body is too big", nil}
	}
	switch r.Method {
	case "GET", "POST", "PUT", "DELETE", "OPTIONS":
		return nil
	}
	return &refusal{405, "METHOD_NOT_ALLOWED", "The method " + r.Method + " is not served here", []Header{{"allow", methods}}}
}

func (t *Streams) newStream() *Stream {
	return &Stream{owner: t, roster: newRoster(), given: map[uint64]bool{}, owed: map[uint64]request{}}
}

func (t *Streams) forget(s *Stream) {
	delete(t.live, s.number)
	delete(t.tokens, s.token)
	delete(t.unopened, s)
}

// ask understands a request that begins a client: for one operation, or a reservation.
func (s *Stream) ask(r *HTTPRequest) (refused *refusal) {
	s.first = *r
	s.first.Body = nil
	switch r.Method {
	case "PUT":
		if !acceptsText(r.Accept) {
			return notAcceptable("A reservation is a text: accept text/plain")
		}
		if len(s.owner.unopened) >= s.limits().Reservations {
			return &refusal{429, "LIMIT_EXCEEDED", "Too many streams are reserved and not open; try again later", nil}
		}
		s.format, s.writer = eventStream, eventStreamWriter{shared: true, retry: s.limits().Retry}
		s.token = s.owner.newToken()
		s.owner.tokens[s.token] = s
		s.owner.unopened[s] = struct{}{}
		return nil
	case "DELETE":
		return badRequest("The request names no reservation")
	}
	s.format = accepted(r.Accept, func(f format) bool {
		return f == eventStream || r.Method == "POST" && (f == multipart || s.limits().Plain)
	})
	switch s.format {
	case noFormat:
		if r.Method == "GET" {
			return notAcceptable("GET is answered with text/event-stream: accept it, or use POST")
		}
		return notAcceptable("Accept text/event-stream or multipart/mixed;subscriptionSpec=1.0")
	case eventStream:
		s.writer = eventStreamWriter{retry: s.limits().Retry}
	case multipart:
		s.writer = multipartWriter{}
	}
	if s.asked, refused = r.read(); refused != nil {
		return refused
	}
	switch {
	case r.Method == "GET":
		s.asked.Refused = "mutation" // a link must not change anything
	case !s.format.streams():
		s.asked.Refused = "subscription"
	}
	if s.format == eventStream {
		s.asked.resume(r.LastEventID)
	}
	return nil
}

// read is the operation in a request, or why there is none.
func (r *HTTPRequest) read() (Operation, *refusal) {
	if r.Method == "POST" && !isJSON(r.ContentType) {
		return Operation{}, &refusal{415, "UNSUPPORTED_MEDIA_TYPE", "Send application/json, in UTF-8", nil}
	}
	o, problem := r.operation()
	if problem != "" {
		return o, badRequest(problem)
	}
	return o, nil
}

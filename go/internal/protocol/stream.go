package protocol

// StreamLimits bound what one client over HTTP may cost. Times are seconds. Retry is when
// a browser that lost its event stream comes back (0: as it likes), Plain whether requests
// are answered that ask for one JSON result, Reservations how many streams of all clients may
// be reserved and not open.
type StreamLimits struct {
	BodyBytes    int     `json:"body_bytes"`
	IDBytes      int     `json:"id_bytes"`
	Operations   int     `json:"operations"`
	Reservations int     `json:"reservations"`
	InitTimeout  float64 `json:"init_timeout"` // of a reservation until its stream is opened
	Ping         float64 `json:"ping"`
	Retry        float64 `json:"retry"`
	Origins      Origins `json:"origins"`
	Plain        bool    `json:"plain"`
}

// Stream is one client over HTTP: a request with the response that carries its results,
// or a reservation, whose one event stream carries the results of many requests. Its
// methods return what is to be done, in memory that the next call uses again. It is not
// safe for concurrent use.
type Stream struct {
	number uint64
	owner  *Streams
	state  state
	token  string // of a reservation
	format format
	writer writer
	roster
	todo
	first HTTPRequest        // until it is decided who asks
	asked Operation          // likewise
	begun bool               // the response of the stream
	given map[uint64]bool    // operations with a result
	owed  map[uint64]request // operations whose requests have no answer yet
	// What ended before the reserved stream was opened, and how many that were.
	early  []byte
	finals int
}

// request is what is left to know of one that waits for its answer.
type request struct {
	HTTPRequest
	format format
}

// writer writes results in one of the formats that stream.
type writer interface {
	// opening begins the body.
	opening() string
	// idle says that the server is there.
	idle() string
	// result appends one.
	result(dst []byte, id string, payload []byte) []byte
	// failed appends the end with errors (a JSON list); begun says whether there were results.
	failed(dst []byte, id string, errors []byte, begun bool) []byte
	// finished appends the end.
	finished(dst []byte, id string) []byte
}

// Authenticated lets the client in.
func (s *Stream) Authenticated() []Action {
	s.begin()
	if s.state != deciding {
		return s.out
	}
	s.state = ready
	if s.token != "" {
		s.add(answer(&s.first, s.limits().Origins, 201, "text/plain; charset=utf-8", s.token))
		s.timer(InitTimer, s.limits().InitTimeout)
	} else {
		if s.format.streams() {
			s.open(&s.first)
		}
		number := s.enter("1")
		if !s.format.streams() {
			s.owed[number] = request{s.first, s.format}
		}
		s.asked.ID = "1"
		s.add(Action{Kind: Subscribe, Number: number, Operation: s.asked})
	}
	s.first, s.asked = HTTPRequest{}, Operation{}
	return s.out
}

// Refused turns the client away.
func (s *Stream) Refused(reason string) []Action {
	s.begin()
	if s.state == deciding {
		s.turnAway(&s.first, forbidden(reason))
		s.end()
	}
	return s.out
}

// Broken ends the client because of a failure that is not its own.
func (s *Stream) Broken() []Action {
	s.begin()
	if s.state == closed {
		return s.out
	}
	internal := &refusal{500, "INTERNAL_ERROR", "Internal error", nil}
	if s.state == deciding {
		s.turnAway(&s.first, internal)
	}
	for _, number := range s.numbers() {
		if owed, waits := s.owed[number]; waits {
			s.turnAway(&owed.HTTPRequest, internal)
		}
	}
	s.end() // without a last event: a client may come back
	return s.out
}

// Started says that an operation runs: what becomes of it comes later.
func (s *Stream) Started(number uint64) []Action {
	s.begin()
	if owed, waits := s.owed[number]; waits && s.token != "" {
		delete(s.owed, number)
		s.add(answer(&owed.HTTPRequest, s.limits().Origins, 202, "", ""))
	}
	return s.out
}

// Results appends to body what carries an operation's results, each a JSON execution
// result, after what is to be done. Nothing is appended for an operation that has ended,
// or before the stream's response was begun.
func (s *Stream) Results(body []byte, number uint64, payloads [][]byte) ([]byte, []Action) {
	s.begin()
	id, known := s.ids[number]
	if !known {
		return body, s.out
	}
	if owed, waits := s.owed[number]; waits && s.token == "" && len(payloads) > 0 {
		// One JSON result: nothing can follow it.
		delete(s.owed, number)
		s.leave(number)
		s.add(answer(&owed.HTTPRequest, s.limits().Origins, 200, contentTypes[owed.format], string(payloads[0])))
		s.end()
		return body, s.out
	}
	if !s.begun {
		return body, s.out
	}
	for _, payload := range payloads {
		body = s.writer.result(body, id, payload)
		s.given[number] = true
	}
	return body, s.out
}

// Failed ends an operation with errors (a JSON list), and Finished without. An operation
// that the client has ended is ignored.
func (s *Stream) Failed(number uint64, errors []byte) []Action {
	s.begin()
	begun := s.given[number]
	owed, waits := s.owed[number]
	id, known := s.drop(number)
	switch {
	case !known:
	case waits:
		// application/json says of errors of GraphQL what it says of results: 200.
		status, kind := CloseCode(400), owed.format
		if kind == plainJSON && s.token == "" {
			status = 200
		}
		s.add(answer(&owed.HTTPRequest, s.limits().Origins, status, contentTypes[kind], result(errors)))
		s.endOwn()
	default:
		s.final(s.writer.failed(nil, id, errors, begun))
	}
	return s.out
}

// Finished ends an operation, after all that was sent of it.
func (s *Stream) Finished(number uint64) []Action {
	s.begin()
	owed, waits := s.owed[number]
	id, known := s.drop(number)
	switch {
	case !known:
	case waits:
		s.turnAway(&owed.HTTPRequest, &refusal{503, "ENDED", "The operation was ended before it had a result", nil})
		s.endOwn()
	default:
		s.final(s.writer.finished(nil, id))
	}
	return s.out
}

// Expired says that a timer ran out.
func (s *Stream) Expired(timer string) []Action {
	s.begin()
	switch {
	case timer == InitTimer && s.state == ready && !s.begun && s.token != "":
		s.end() // nobody came for what was reserved
	case timer == PingTimer && s.begun && s.state == ready:
		s.send(s.writer.idle())
		s.timer(PingTimer, s.limits().Ping)
	}
	return s.out
}

// Shutdown completes every operation, oldest first, and ends: the server goes away.
func (s *Stream) Shutdown() []Action {
	s.begin()
	if s.state == closed {
		return s.out
	}
	away := &refusal{503, "GOING_AWAY", "The server is shutting down", nil}
	if s.state == deciding {
		s.turnAway(&s.first, away)
	}
	for _, number := range s.numbers() {
		owed, waits := s.owed[number]
		id, _ := s.drop(number)
		if waits {
			s.turnAway(&owed.HTTPRequest, away)
		} else if s.begun {
			s.send(string(s.writer.finished(nil, id)))
		}
	}
	s.end()
	return s.out
}

// Lost says that the client is gone.
func (s *Stream) Lost() {
	s.begin()
	s.end()
	s.out = nil
}

func (s *Stream) limits() *StreamLimits { return &s.owner.limits }

// open begins the response that carries the results.
func (s *Stream) open(r *HTTPRequest) {
	headers := append([]Header{
		{"content-type", contentTypes[s.format]},
		{"cache-control", "no-cache"},
		{"x-accel-buffering", "no"}, // a proxy that collects responses would hold back results
	}, s.limits().Origins.sharing(r.Origin, r.Host)...)
	s.begun = true
	delete(s.owner.unopened, s)
	s.add(Action{Kind: Begin, Number: r.Number, Code: 200, Headers: headers})
	s.send(s.writer.opening() + string(s.early))
	s.early, s.finals = nil, 0
	if s.limits().Ping > 0 {
		s.timer(PingTimer, s.limits().Ping)
	}
}

func (s *Stream) turnAway(r *HTTPRequest, why *refusal) { s.add(why.answer(r, s.limits().Origins)) }

func (s *Stream) drop(number uint64) (id string, known bool) {
	delete(s.given, number)
	delete(s.owed, number)
	return s.leave(number)
}

// final sends the end of an operation, when there is somebody to send it to.
func (s *Stream) final(text []byte) {
	if s.begun {
		s.send(string(text))
		s.endOwn()
		return
	}
	s.early = append(s.early, text...)
	s.finals++
}

// endOwn ends a client that asked for one operation, which has ended.
func (s *Stream) endOwn() {
	if s.token == "" {
		s.end()
	}
}

func (s *Stream) end() {
	if s.state == closed {
		return
	}
	s.state = closed
	s.add(Action{Kind: End})
	s.owner.forget(s)
	s.empty()
	s.given, s.owed, s.early = nil, nil, nil
	s.first, s.asked = HTTPRequest{}, Operation{}
}

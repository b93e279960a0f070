package protocol

// request takes one that names the client's reservation: its event stream, an operation,
// or the end of one.
func (s *Stream) request(r *HTTPRequest) []Action {
	s.begin()
	var refused *refusal
	switch {
	case s.state != ready:
		refused = notFound()
	case r.Method == "PUT":
		refused = conflict("This is reserved already")
	case r.Method == "DELETE":
		refused = s.cancel(r)
	case accepted(r.Accept, func(f format) bool { return f == eventStream || f == plainJSON }) == eventStream:
		if s.begun {
			refused = conflict("The event stream is open already")
			break
		}
		s.timer(InitTimer, 0)
		s.open(r)
	case r.Method == "GET":
		refused = notAcceptable("The event stream is text/event-stream: accept it")
	default:
		refused = s.order(r)
	}
	if refused != nil {
		s.turnAway(r, refused)
	}
	return s.out
}

// order begins an operation; its request is answered when it has started, or could not.
func (s *Stream) order(r *HTTPRequest) *refusal {
	kind := accepted(r.Accept, func(f format) bool { return !f.streams() })
	if kind == noFormat {
		return notAcceptable("Accept application/json; the results come in the event stream")
	}
	o, refused := r.read()
	if refused != nil {
		return refused
	}
	o.ID, refused = o.givenID(s.limits().IDBytes)
	if refused != nil {
		return refused
	}
	if _, taken := s.active[o.ID]; taken {
		return conflict("An operation of this operationId runs already")
	}
	if len(s.active)+s.finals >= s.limits().Operations {
		return &refusal{429, "LIMIT_EXCEEDED", "This stream has too many operations; complete some first", nil}
	}
	number := s.enter(o.ID)
	kept := *r
	kept.Body = nil
	s.owed[number] = request{kept, kind}
	s.add(Action{Kind: Subscribe, Number: number, Operation: o})
	return nil
}

// cancel ends an operation; there may be none any more.
func (s *Stream) cancel(r *HTTPRequest) *refusal {
	values, problem := r.parameters()
	if problem != "" {
		return badRequest(problem)
	}
	id := values.Get("operationId")
	if problem := idProblem(id, s.limits().IDBytes); problem != "" {
		return badRequest("The parameter operationId " + problem)
	}
	if number, known := s.active[id]; known {
		owed, waits := s.owed[number]
		s.drop(number)
		s.add(Action{Kind: Complete, Number: number})
		switch {
		case waits:
			s.add(answer(&owed.HTTPRequest, s.limits().Origins, 204, "", ""))
		case s.begun:
			s.send(string(s.writer.finished(nil, id)))
		}
	} else {
		s.add(Action{Kind: Unknown, Text: id})
	}
	s.add(answer(r, s.limits().Origins, 200, "", ""))
	return nil
}

package protocol

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// FuzzStream drives the clients of an application by a script, a step a byte: requests,
// timers, answers to operations, clients that go. Whatever the order, nothing panics,
// every request is answered at most once, only begun streams are written to, what is
// written is what the formats allow, and clients that have ended are forgotten.
func FuzzStream(f *testing.F) {
	f.Add([]byte("eASRRFgASRXmAHRRXjARjAXjAF"), "q", `{"data":1,"extensions":{"position":"e:1"}}`, "n")
	f.Add([]byte("rAsoSRRdodFToXKrAoSXsFZ"), "a", "{\n}", "token1")
	f.Add([]byte("rTrATrAsTsPPoLopuuu"), "\xff", "1\r2", "text/event-stream")
	f.Fuzz(func(t *testing.T, script []byte, text, payload, raw string) {
		v := visiting(t, streamLimits)
		w := &streamWitness{answered: map[uint64]bool{}, bodies: map[uint64]*body{}}
		for i, code := range script {
			number, written, actions := v.step(code, i, text, payload, raw)
			w.see(t, number, written, actions)
			if len(v.streams.tokens) > len(v.streams.live) {
				t.Fatalf("%d tokens of %d clients", len(v.streams.tokens), len(v.streams.live))
			}
		}
		for _, s := range v.streams.live {
			if len(s.active)+s.finals > streamLimits.Operations || len(s.owed) > len(s.active) || len(s.given) > len(s.active) {
				t.Fatalf("%d active, %d owed, %d given, %d ended", len(s.active), len(s.owed), len(s.given), s.finals)
			}
			s.Lost()
		}
		if len(v.streams.live)+len(v.streams.tokens) != 0 {
			t.Fatal("what is lost is not forgotten")
		}
	})
}

// step is one thing that happens. Small letters are requests.
func (v *visit) step(code byte, i int, text, payload, raw string) (number uint64, body []byte, actions []Action) {
	if s := v.streams.Find(v.number); s != nil {
		operation := uint64(i % 4)
		switch code {
		case 'A':
			return v.number, nil, s.Authenticated()
		case 'N':
			return v.number, nil, s.Refused(text)
		case 'K':
			return v.number, nil, s.Broken()
		case 'S':
			return v.number, nil, s.Started(operation)
		case 'R':
			if !json.Valid([]byte(payload)) {
				payload = `{"data":null}`
			}
			body, actions := s.Results(nil, operation, [][]byte{[]byte(payload), []byte(`{"data":1}`)})
			return v.number, body, actions
		case 'X':
			return v.number, nil, s.Failed(operation, []byte(`[{"message":"bad"}]`))
		case 'F':
			return v.number, nil, s.Finished(operation)
		case 'T':
			return v.number, nil, s.Expired(InitTimer)
		case 'P':
			return v.number, nil, s.Expired(PingTimer)
		case 'Z':
			return v.number, nil, s.Shutdown()
		case 'L':
			s.Lost()
			return v.number, nil, []Action{{Kind: End}}
		}
	}
	r := v.request(code, i, text, raw)
	v.asked++
	r.Number = v.asked
	number, actions = v.streams.Request(r)
	if number != 0 {
		v.number = number
	}
	return number, nil, actions
}

func (v *visit) request(code byte, i int, text, raw string) *HTTPRequest {
	token := ""
	for known := range v.streams.tokens {
		token = max(token, known)
	}
	id := string('a' + rune(i%3))
	question := fmt.Appendf(nil, `{"query":%q,"extensions":{"operationId":%q,"x":%d}}`, strings.ToValidUTF8(text, ""), id, i)
	r := &HTTPRequest{Method: "POST", Host: "api.example", ContentType: "application/json", Body: question}
	switch code {
	case 'e':
		r.Accept, r.LastEventID = "text/event-stream", raw
	case 'm':
		r.Accept = "multipart/mixed;subscriptionSpec=1.0"
	case 'j':
		r.Accept = "application/json"
	case 'g':
		r.Method, r.Accept, r.Query = "GET", "text/event-stream", "query=q&extensions="+raw
	case 'r':
		r.Method = "PUT"
	case 's':
		r.Method, r.Accept, r.Token = "GET", "text/event-stream", token
	case 'o':
		r.Token = token
	case 'd':
		r.Method, r.Token, r.Query = "DELETE", token, "operationId="+id
	case 'p':
		r.Method, r.Origin = "OPTIONS", raw
	case 'h':
		r.Accept, r.ContentType, r.Origin, r.Site = raw, text, raw, raw
	default:
		r.Method, r.Query, r.Token, r.Accept, r.Body = raw, text, raw, text, []byte(raw)
	}
	return r
}

// streamWitness knows clients by what is to be done for them alone.
type streamWitness struct {
	answered map[uint64]bool // requests
	bodies   map[uint64]*body
}

type body struct {
	begun, over bool
	last        uint64
	live        map[uint64]bool
	text        strings.Builder
	parts       bool // multipart
}

func (w *streamWitness) see(t *testing.T, client uint64, written []byte, actions []Action) {
	t.Helper()
	b := w.bodies[client]
	if b == nil {
		b = &body{live: map[uint64]bool{}}
		w.bodies[client] = b
	}
	for i := range actions {
		a := &actions[i]
		if b.over && client != 0 {
			t.Fatalf("after the end: %+v", a)
		}
		switch a.Kind {
		case Respond, Begin:
			if w.answered[a.Number] {
				t.Fatalf("request %d is answered twice: %+v", a.Number, a)
			}
			w.answered[a.Number] = true
			if a.Kind == Begin {
				if b.begun {
					t.Fatal("begun twice")
				}
				b.begun, b.parts = true, strings.HasPrefix(a.Headers[0].Value, "multipart")
			} else if strings.HasPrefix(a.Text, "{") && !json.Valid([]byte(a.Text)) {
				t.Fatalf("no JSON: %s", a.Text)
			}
		case Send:
			if !b.begun {
				t.Fatalf("sent before the stream was begun: %q", a.Text)
			}
			b.text.WriteString(a.Text)
		case Subscribe:
			if a.Number <= b.last {
				t.Fatalf("operation %d after %d", a.Number, b.last)
			}
			b.last, b.live[a.Number] = a.Number, true
		case Complete:
			if !b.live[a.Number] {
				t.Fatalf("operation %d was not started", a.Number)
			}
			delete(b.live, a.Number)
		case End:
			b.over = true
		case SetTimer, Authenticate, Unknown:
		default:
			t.Fatalf("%q is no action of a stream", a.Kind)
		}
	}
	if len(written) > 0 && (!b.begun || b.over) {
		t.Fatalf("written beside a stream: %q", written)
	}
	b.text.Write(written)
	if b.parts {
		checkParts(t, b.text.String())
	} else {
		checkEvents(t, b.text.String())
	}
}

// checkEvents reads an event stream line by line.
func checkEvents(t *testing.T, text string) {
	t.Helper()
	if text == "" {
		return
	}
	if !strings.HasSuffix(text, "\n\n") {
		t.Fatalf("an event is not finished: %q", text)
	}
	for event := range strings.SplitSeq(strings.TrimSuffix(text, "\n\n"), "\n\n") {
		for line := range strings.SplitSeq(event, "\n") {
			name, value, _ := strings.Cut(line, ":")
			value = strings.TrimPrefix(value, " ")
			switch {
			case strings.ContainsAny(value, "\r"):
				t.Fatalf("a line is broken: %q", line)
			case name == "data" && value != "" && !json.Valid([]byte(value)):
				t.Fatalf("no JSON: %q", value)
			case name == "event" && value != "next" && value != "complete",
				name != "" && name != "data" && name != "event" && name != "id" && name != "retry":
				t.Fatalf("no line of an event: %q", line)
			}
		}
	}
}

// checkParts reads a multipart body as Apollo's client does.
func checkParts(t *testing.T, text string) {
	t.Helper()
	parts := strings.Split(text, "\r\n--graphql")
	if parts[0] != "" {
		t.Fatalf("before the first boundary: %q", parts[0])
	}
	for i, part := range parts[1:] {
		last := i == len(parts)-2
		if last && (part == "" || part == "--\r\n") {
			return
		}
		head, content, found := strings.Cut(part, "\r\n\r\n")
		if !found || head != "\r\nContent-Type: application/json" || !json.Valid([]byte(content)) {
			t.Fatalf("no part: %q", part)
		}
	}
	t.Fatalf("the body ends inside a part: %q", text)
}

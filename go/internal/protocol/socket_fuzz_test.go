package protocol

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// FuzzSocket drives a socket by a script, a step a byte: frames that are messages, raw
// ones, timers, and answers to any operation. Whatever the order, it never panics, does
// nothing that its state does not allow (see witness), and keeps no more than it may.
func FuzzSocket(f *testing.F) {
	f.Add([]byte("IAsbtFRXcps"), true, "{}")
	f.Add([]byte("IssuxAFRXScZ"), false, `{"type":"start","id":"z","payload":{"query":"q"}}`)
	f.Add([]byte("OTITsAPQsscB"), true, "\xff")
	f.Add([]byte("IssssssssAccccsssRRRRFFFFZ"), false, "[")
	f.Add([]byte("ITsRRRRRF"), false, "{}") // an answer to what waits for the acknowledgement
	f.Fuzz(func(t *testing.T, script []byte, modern bool, raw string) {
		subprotocol := LegacyWS
		if modern {
			subprotocol = TransportWS
		}
		s := open(t, subprotocol)
		w := &witness{modern: modern, live: map[uint64]string{}, timers: map[string]bool{}}
		for i, code := range script {
			w.see(t, socketStep(s, code, i, raw))
			if len(s.active) > limits.Operations || len(s.active) != len(s.ids) || len(s.held) > len(s.active) {
				t.Fatalf("%d active, %d ids, %d held", len(s.active), len(s.ids), len(s.held))
			}
		}
	})
}

// socketStep is one thing that happens. Small letters are messages of clients.
func socketStep(s *Socket, code byte, i int, raw string) []Action {
	id := string('a' + rune(i%5))
	number := uint64(i % 7)
	message := func(kind, payload string) []Action {
		return s.Frame(fmt.Appendf(nil, `{"type":%q,"id":%q,"payload":%s}`, kind, id, payload), false)
	}
	switch code {
	case 'O':
		return s.Open()
	case 'I':
		return s.Frame([]byte(initFrame), false)
	case 'A':
		return s.Authenticated(nil)
	case 'N':
		return s.Refused(raw)
	case 'X':
		return s.Failed(number, []byte(`[{"message":"bad"}]`))
	case 'F':
		return s.Finished(number)
	case 'R':
		return s.Result(number, []byte(`{"data":1}`))
	case 'T':
		return s.Expired(InitTimer)
	case 'P':
		return s.Expired(PingTimer)
	case 'Q':
		return s.Expired(PongTimer)
	case 'Z':
		return s.Shutdown()
	case 'K':
		return s.Broken()
	case 'B':
		return s.Frame([]byte(raw), true)
	case 's':
		if i%2 == 0 {
			return message("start", `{"query":"q"}`)
		}
		return message("subscribe", `{"query":"q"}`)
	case 'c':
		return message("complete", "null")
	case 't':
		return message("stop", "{}")
	case 'p':
		return message("ping", `{"n":1}`)
	case 'q':
		return message("pong", "{}")
	case 'e':
		return message("connection_terminate", "null")
	case 'u':
		return message(raw, "1")
	default:
		return s.Frame([]byte(raw), false)
	}
}

// witness knows a connection by its actions alone, and which may follow.
type witness struct {
	modern bool
	asked  bool // authenticate
	ready  bool // acknowledged
	over   bool
	last   uint64
	live   map[uint64]string // operations started and not ended, by number
	timers map[string]bool
}

var serverMessages = map[bool]string{
	true:  " connection_ack ping pong next error complete ",
	false: " connection_ack connection_error ka data error complete ",
}

func (w *witness) see(t *testing.T, actions []Action) {
	t.Helper()
	for i := range actions {
		a := &actions[i]
		if w.over {
			t.Fatalf("after the close: %+v", a)
		}
		switch a.Kind {
		case Send:
			w.seeMessage(t, a.Text)
		case Close:
			w.over = true
			if len(a.Text) > 123 || strings.ToValidUTF8(a.Text, "") != a.Text || a.Code < 1000 {
				t.Fatalf("no close frame can say %d %q", a.Code, a.Text)
			}
		case SetTimer:
			w.seeTimer(t, a)
		case Authenticate:
			if w.asked || w.ready {
				t.Fatal("asked twice who it is")
			}
			w.asked = true
		case Subscribe:
			if !w.ready || a.Number <= w.last {
				t.Fatalf("operation %d starts after %d, acknowledged: %v", a.Number, w.last, w.ready)
			}
			for _, id := range w.live {
				if id == a.Operation.ID {
					t.Fatalf("two operations are %q", id)
				}
			}
			w.last, w.live[a.Number] = a.Number, a.Operation.ID
		case Complete:
			if _, known := w.live[a.Number]; !known {
				t.Fatalf("operation %d is not running", a.Number)
			}
			delete(w.live, a.Number)
		case Unknown:
			for _, id := range w.live {
				if !w.ready || id == a.Text {
					t.Fatalf("%q is the client's, acknowledged: %v", id, w.ready)
				}
			}
		default:
			t.Fatalf("%q is no action of a socket", a.Kind)
		}
	}
	if len(w.live) > limits.Operations {
		t.Fatalf("%d operations run", len(w.live))
	}
}

func (w *witness) seeMessage(t *testing.T, text string) {
	t.Helper()
	var m struct {
		Type    string          `json:"type"`
		ID      string          `json:"id"`
		Payload json.RawMessage `json:"payload"`
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil || !strings.Contains(serverMessages[w.modern], " "+m.Type+" ") {
		t.Fatalf("no message of a server: %s (%v)", text, err)
	}
	switch m.Type {
	case "connection_ack":
		if !w.asked || w.ready {
			t.Fatal("acknowledged unasked, or twice")
		}
		w.ready = true
	case "next", "data":
		if !w.isLive(m.ID) {
			t.Fatalf("a result of no operation: %s", text)
		}
	case "error":
		if w.modern && (len(m.Payload) == 0 || m.Payload[0] != '[') {
			t.Fatalf("the payload is no list: %s", text)
		}
		w.end(m.ID)
	case "complete":
		if w.modern && !w.isLive(m.ID) {
			t.Fatalf("completes nothing: %s", text)
		}
		w.end(m.ID)
	}
}

func (w *witness) isLive(id string) bool {
	for _, live := range w.live {
		if live == id {
			return true
		}
	}
	return false
}

func (w *witness) end(id string) {
	for number, live := range w.live {
		if live == id {
			delete(w.live, number)
		}
	}
}

func (w *witness) seeTimer(t *testing.T, a *Action) {
	t.Helper()
	if want := map[string]float64{InitTimer: limits.InitTimeout, PingTimer: limits.Ping, PongTimer: limits.Pong}[a.Text]; a.Seconds != 0 && a.Seconds != want {
		t.Fatalf("timer %s runs for %s s", a.Text, strconv.FormatFloat(a.Seconds, 'f', -1, 64))
	}
	if a.Text == InitTimer && a.Seconds != 0 && (w.asked || w.ready) {
		t.Fatal("waits for an introduction that has come")
	}
	if a.Text != InitTimer && a.Seconds != 0 && !w.ready {
		t.Fatalf("timer %s before the acknowledgement", a.Text)
	}
}

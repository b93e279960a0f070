package protocol

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

var limits = Limits{FrameBytes: 1000, IDBytes: 20, Operations: 3, InitTimeout: 10, Ping: 30, Pong: 10}

func open(t testing.TB, subprotocol string) *Socket {
	t.Helper()
	s, err := NewSocket(subprotocol, limits)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run drives a socket: "+" steps are what happens besides frames.
func run(s *Socket, steps ...string) string {
	var out []byte
	for _, step := range steps {
		var actions []Action
		switch {
		case step == "+open":
			actions = s.Open()
		case step == "+ack":
			actions = s.Authenticated(nil)
		case step == "+refuse":
			actions = s.Refused("no")
		case step == "+shutdown":
			actions = s.Shutdown()
		case step == "+failed":
			actions = s.Failed(1, []byte(`[{"message":"bad"}]`))
		case step == "+finished":
			actions = s.Finished(1)
		case step == "+result":
			actions = s.Result(1, []byte(`{"data":1}`))
		case strings.HasPrefix(step, "+expired "):
			actions = s.Expired(step[len("+expired "):])
		case strings.HasPrefix(step, "+binary "):
			actions = s.Frame([]byte(step[len("+binary "):]), true)
		default:
			actions = s.Frame([]byte(step), false)
		}
		out = AppendActions(out[:0], actions)
	}
	return string(out)
}

const (
	initFrame = `{"type":"connection_init"}`
	subscribe = `{"type":"subscribe","id":"a","payload":{"query":"q"}}`
	start     = `{"type":"start","id":"a","payload":{"query":"q"}}`
)

func TestTransportWSRules(t *testing.T) {
	ready := []string{initFrame, "+ack"}
	live := append(slices.Clone(ready), subscribe)
	for _, rule := range []struct {
		name  string
		steps []string
		want  string
	}{
		{"the client has time to introduce itself", []string{"+open"}, `[["timer","init",10]]`},
		{"4408 when it does not", []string{"+open", "+expired init"}, `[["close",4408,"Connection initialisation timeout"]]`},
		{"the parameters are asked about", []string{`{"type":"connection_init","payload":{"k":1}}`}, `[["timer","init",0],["authenticate","{\"k\":1}"]]`},
		{"null parameters are none", []string{`{"type":"connection_init","payload":null}`}, `[["timer","init",0],["authenticate",""]]`},
		{"4400 for parameters that are no object", []string{`{"type":"connection_init","payload":[]}`}, `[["close",4400,"\"payload\" is not an object"]]`},
		{"ack", ready, `[["send","{\"type\":\"connection_ack\"}"],["timer","ping",30]]`},
		{"4403 when refused", []string{initFrame, "+refuse"}, `[["close",4403,"no"]]`},
		{"4429 for a second init before the ack", []string{initFrame, initFrame}, `[["close",4429,"Too many initialisation requests"]]`},
		{"4429 for a second init after the ack", append(slices.Clone(ready), initFrame), `[["close",4429,"Too many initialisation requests"]]`},
		{"4401 for subscribe before init", []string{subscribe}, `[["close",4401,"Unauthorized"]]`},
		{"4401 for subscribe before the ack", []string{initFrame, subscribe}, `[["close",4401,"Unauthorized"]]`},
		{"subscribe", live, `[["subscribe",1,"a","q","","",""]]`},
		{"4409 for an id in use", append(slices.Clone(live), subscribe), `[["close",4409,"Subscriber for a already exists"]]`},
		{"complete ends the operation", append(slices.Clone(live), `{"type":"complete","id":"a"}`), `[["complete",1]]`},
		{"an id is free after complete", append(slices.Clone(live), `{"type":"complete","id":"a"}`, subscribe), `[["subscribe",2,"a","q","","",""]]`},
		{"an id is free after error", append(slices.Clone(live), "+failed", subscribe), `[["subscribe",2,"a","q","","",""]]`},
		{"an unknown complete is told and not answered", append(slices.Clone(ready), `{"type":"complete","id":"b"}`), `[["unknown","b"]]`},
		{"complete before the ack is ignored", []string{`{"type":"complete","id":"b"}`}, `[]`},
		{"an error carries a list", append(slices.Clone(live), "+failed"), `[["send","{\"id\":\"a\",\"type\":\"error\",\"payload\":[{\"message\":\"bad\"}]}"]]`},
		{"nothing follows an error", append(slices.Clone(live), "+failed", "+finished"), `[]`},
		{"finished", append(slices.Clone(live), "+finished"), `[["send","{\"id\":\"a\",\"type\":\"complete\"}"]]`},
		{"a result comes with its complete", append(slices.Clone(live), "+result"), `[["send","{\"id\":\"a\",\"type\":\"next\",\"payload\":{\"data\":1}}"],["send","{\"id\":\"a\",\"type\":\"complete\"}"]]`},
		{"no result after the client's complete", append(slices.Clone(live), `{"type":"complete","id":"a"}`, "+result"), `[]`},
		{"a ping is answered before init", []string{`{"type":"ping","payload":{"a":1}}`}, `[["send","{\"type\":\"pong\",\"payload\":{\"a\":1}}"]]`},
		{"the server pings", append(slices.Clone(ready), "+expired ping"), `[["send","{\"type\":\"ping\"}"],["timer","ping",30],["timer","pong",10]]`},
		{"a pong stops the wait", append(slices.Clone(ready), `{"type":"pong"}`), `[["timer","pong",0]]`},
		{"another ping gives no more time", append(slices.Clone(ready), "+expired ping", "+expired ping"), `[["send","{\"type\":\"ping\"}"],["timer","ping",30]]`},
		{"a pong sent unasked is welcome", append(slices.Clone(ready), `{"type":"pong"}`, "+expired ping"), `[["send","{\"type\":\"ping\"}"],["timer","ping",30],["timer","pong",10]]`},
		{"1001 without a pong", append(slices.Clone(ready), "+expired pong"), `[["close",1001,"No pong received"]]`},
		{"4400 for a binary frame", []string{"+binary " + initFrame}, `[["close",4400,"Only text frames are understood"]]`},
		{"4400 for no JSON", []string{"{"}, `[["close",4400,"The message is not valid JSON"]]`},
		{"4400 for no object", []string{"[]"}, `[["close",4400,"The message is not a JSON object"]]`},
		{"4400 without a type", []string{"{}"}, `[["close",4400,"The message has no \"type\""]]`},
		{"4400 for a server's message", append(slices.Clone(ready), `{"type":"next","id":"a"}`), `[["close",4400,"Clients send no messages of the type next"]]`},
		{"4400 for an empty id", append(slices.Clone(ready), `{"type":"subscribe","id":"","payload":{"query":"q"}}`), `[["close",4400,"The message's \"id\" is empty"]]`},
		{"4400 for a long id", append(slices.Clone(ready), `{"type":"subscribe","id":"123456789012345678901","payload":{"query":"q"}}`), `[["close",4400,"The message's \"id\" is too long"]]`},
		{"4400 for an id that is no string", append(slices.Clone(ready), `{"type":"subscribe","id":1,"payload":{"query":"q"}}`), `[["close",4400,"The message's \"id\" is not a string"]]`},
		{"4400 without a query", append(slices.Clone(ready), `{"type":"subscribe","id":"a","payload":{}}`), `[["close",4400,"\"query\" is not a string"]]`},
		{"4400 for variables that are no object", append(slices.Clone(ready), `{"type":"subscribe","id":"a","payload":{"query":"q","variables":1}}`), `[["close",4400,"\"variables\" is not an object"]]`},
		{"1009 for a big frame", []string{strings.Repeat(" ", 1001)}, `[["close",1009,"The message is too big"]]`},
		{"1001 at shutdown, after complete", append(slices.Clone(live), "+shutdown"), `[["send","{\"id\":\"a\",\"type\":\"complete\"}"],["close",1001,"The server is shutting down"]]`},
		{"nothing after close", append(slices.Clone(live), "+shutdown", subscribe), `[]`},
	} {
		t.Run(rule.name, func(t *testing.T) {
			if got := run(open(t, TransportWS), rule.steps...); got != rule.want {
				t.Errorf("got  %s\nwant %s", got, rule.want)
			}
		})
	}
}

func TestLegacyWSRules(t *testing.T) {
	live := []string{initFrame, "+ack", start}
	for _, rule := range []struct {
		name  string
		steps []string
		want  string
	}{
		{"a start waits for the ack", []string{initFrame, start}, `[]`},
		{"and follows it", []string{initFrame, start, "+ack"}, `[["send","{\"type\":\"connection_ack\"}"],["timer","ping",30],["subscribe",1,"a","q","","",""]]`},
		{"a held start can be stopped", []string{initFrame, start, `{"type":"stop","id":"a"}`, "+ack"}, `[["send","{\"type\":\"connection_ack\"}"],["timer","ping",30]]`},
		{"4401 for a start before init", []string{start}, `[["send","{\"type\":\"connection_error\",\"payload\":{\"message\":\"Unauthorized\"}}"],["close",4401,"Unauthorized"]]`},
		{"an error is sent before the close", []string{initFrame, "+refuse"}, `[["send","{\"type\":\"connection_error\",\"payload\":{\"message\":\"no\"}}"],["close",4403,"no"]]`},
		{"an id in use is taken over", append(slices.Clone(live), start), `[["complete",1],["subscribe",2,"a","q","","",""]]`},
		{"stop is answered", append(slices.Clone(live), `{"type":"stop","id":"a"}`), `[["complete",1],["send","{\"id\":\"a\",\"type\":\"complete\"}"]]`},
		{"an unknown stop is told and not answered", []string{initFrame, "+ack", `{"type":"stop","id":"b"}`}, `[["unknown","b"]]`},
		{"an unknown stop before the ack is ignored", []string{initFrame, `{"type":"stop","id":"b"}`}, `[]`},
		{"an error carries one", append(slices.Clone(live), "+failed"), `[["send","{\"id\":\"a\",\"type\":\"error\",\"payload\":{\"message\":\"bad\"}}"]]`},
		{"results are data", append(slices.Clone(live), "+result"), `[["send","{\"id\":\"a\",\"type\":\"data\",\"payload\":{\"data\":1}}"],["send","{\"id\":\"a\",\"type\":\"complete\"}"]]`},
		{"keep-alives need no answer", append(slices.Clone(live), "+expired ping"), `[["send","{\"type\":\"ka\"}"],["timer","ping",30]]`},
		{"terminate closes", append(slices.Clone(live), `{"type":"connection_terminate"}`), `[["close",1000,""]]`},
	} {
		t.Run(rule.name, func(t *testing.T) {
			if got := run(open(t, LegacyWS), rule.steps...); got != rule.want {
				t.Errorf("got  %s\nwant %s", got, rule.want)
			}
		})
	}
}

func TestTooManyOperationsAreAnError(t *testing.T) {
	s := open(t, TransportWS)
	run(s, initFrame, "+ack")
	for i := range limits.Operations {
		run(s, fmt.Sprintf(`{"type":"subscribe","id":"%d","payload":{"query":"q"}}`, i))
	}
	if got := run(s, subscribe); !strings.Contains(got, "LIMIT_EXCEEDED") || strings.Contains(got, "close") {
		t.Error(got)
	}
}

func TestChoose(t *testing.T) {
	if got := Choose([]string{LegacyWS, "x", TransportWS}); got != TransportWS {
		t.Errorf("got %q", got)
	}
	if got := Choose([]string{"x"}); got != "" {
		t.Errorf("got %q", got)
	}
}

// FuzzSocket: no frames, in whatever order, make it panic, speak after a close, or
// keep more than its limits allow.
func FuzzSocket(f *testing.F) {
	f.Add(initFrame+"\n+ack\n"+subscribe+"\n+failed\n+shutdown", true)
	f.Add(initFrame+"\n"+start+"\n+ack\n+result\n"+start, false)
	f.Fuzz(func(t *testing.T, script string, modern bool) {
		subprotocol := LegacyWS
		if modern {
			subprotocol = TransportWS
		}
		s := open(t, subprotocol)
		over := false
		for step := range strings.SplitSeq(script, "\n") {
			out := run(s, step)
			if over && out != "[]" {
				t.Fatalf("after the close: %s", out)
			}
			over = s.state == closed
			if len(s.active) > limits.Operations || len(s.active) != len(s.ids) || len(s.held) > len(s.active) {
				t.Fatalf("%d active, %d ids, %d held", len(s.active), len(s.ids), len(s.held))
			}
		}
	})
}

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
		case strings.HasPrefix(step, "+refuse "):
			actions = s.Refused(step[len("+refuse "):])
		case step == "+broken":
			actions = s.Broken()
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
		{"4403 with a long reason cut to what a close frame holds", []string{initFrame, "+refuse " + strings.Repeat("é", 80)}, `[["close",4403,"` + strings.Repeat("é", 61) + `"]]`},
		{"1011 when the application fails to decide", []string{initFrame, "+broken"}, `[["close",1011,"Internal error"]]`},
		{"1011 when something breaks later", append(slices.Clone(live), "+broken"), `[["close",1011,"Internal error"]]`},
		{"the time to introduce oneself ends with the init, not with the decision", []string{"+open", initFrame, "+expired init"}, `[]`},
		{"the acknowledgement comes once", append(slices.Clone(ready), "+ack"), `[]`},
		{"who is in is not refused any more", append(slices.Clone(ready), "+refuse"), `[]`},
		{"nobody is let in without asking", []string{"+open", "+ack"}, `[]`},
		{"4429 for a second init before the ack", []string{initFrame, initFrame}, `[["close",4429,"Too many initialisation requests"]]`},
		{"4429 for a second init after the ack", append(slices.Clone(ready), initFrame), `[["close",4429,"Too many initialisation requests"]]`},
		{"4401 for subscribe before init", []string{subscribe}, `[["close",4401,"Unauthorized"]]`},
		{"4401 for subscribe before the ack", []string{initFrame, subscribe}, `[["close",4401,"Unauthorized"]]`},
		{"subscribe", live, `[["subscribe",1,"a","q","","","",""]]`},
		{"4409 for an id in use", append(slices.Clone(live), subscribe), `[["close",4409,"Subscriber for a already exists"]]`},
		{"complete ends the operation", append(slices.Clone(live), `{"type":"complete","id":"a"}`), `[["complete",1]]`},
		{"an id is free after complete", append(slices.Clone(live), `{"type":"complete","id":"a"}`, subscribe), `[["subscribe",2,"a","q","","","",""]]`},
		{"an id is free after error", append(slices.Clone(live), "+failed", subscribe), `[["subscribe",2,"a","q","","","",""]]`},
		{"an unknown complete is told and not answered", append(slices.Clone(ready), `{"type":"complete","id":"b"}`), `[["unknown","b"]]`},
		{"complete before the ack is ignored", []string{`{"type":"complete","id":"b"}`}, `[]`},
		{"an error carries a list", append(slices.Clone(live), "+failed"), `[["send","{\"id\":\"a\",\"type\":\"error\",\"payload\":[{\"message\":\"bad\"}]}"]]`},
		{"nothing follows an error", append(slices.Clone(live), "+failed", "+finished"), `[]`},
		{"finished", append(slices.Clone(live), "+finished"), `[["send","{\"id\":\"a\",\"type\":\"complete\"}"]]`},
		{"a result comes with its complete", append(slices.Clone(live), "+result"), `[["send","{\"id\":\"a\",\"type\":\"next\",\"payload\":{\"data\":1}}"],["send","{\"id\":\"a\",\"type\":\"complete\"}"]]`},
		{"no result after the client's complete", append(slices.Clone(live), `{"type":"complete","id":"a"}`, "+result"), `[]`},
		{"error, complete and result of an unknown operation are nothing", append(slices.Clone(ready), "+failed", "+finished", "+result"), `[]`},
		{"complete twice is told and not answered", append(slices.Clone(live), `{"type":"complete","id":"a"}`, `{"type":"complete","id":"a"}`), `[["unknown","a"]]`},
		{"both sides complete at once: the client's is not answered", append(slices.Clone(live), "+finished", `{"type":"complete","id":"a"}`), `[["unknown","a"]]`},
		{"both sides complete at once: the server's is not sent", append(slices.Clone(live), `{"type":"complete","id":"a"}`, "+finished"), `[]`},
		{"an error after the client's complete is not sent", append(slices.Clone(live), `{"type":"complete","id":"a"}`, "+failed"), `[]`},
		{"an answer to the operation before is not the new one's", append(slices.Clone(live), `{"type":"complete","id":"a"}`, subscribe, "+result"), `[]`},
		{"4409 also while the first one is still being started", append(slices.Clone(live), subscribe), `[["close",4409,"Subscriber for a already exists"]]`},
		{"4409 with a long id", append(slices.Clone(ready), `{"type":"subscribe","id":"12345678901234567890","payload":{"query":"q"}}`, `{"type":"subscribe","id":"12345678901234567890","payload":{"query":"q"}}`), `[["close",4409,"Subscriber for 12345678901234567890 already exists"]]`},
		{"an id is any text", append(slices.Clone(ready), `{"type":"subscribe","id":"\"\u00e9","payload":{"query":"q"}}`, "+finished"), `[["send","{\"id\":\"\\\"é\",\"type\":\"complete\"}"]]`},
		{"null is an absent part of the request", append(slices.Clone(ready), `{"type":"subscribe","id":"a","payload":{"query":"q","operationName":null,"variables":null,"extensions":null}}`), `[["subscribe",1,"a","q","","","",""]]`},
		{"all parts of the request", append(slices.Clone(ready), `{"type":"subscribe","id":"a","payload":{"query":"q","operationName":"n","variables":{"v":1},"extensions":{"e":2}}}`), `[["subscribe",1,"a","q","n","{\"v\":1}","{\"e\":2}",""]]`},
		{"a ping without a payload", append(slices.Clone(ready), `{"type":"ping"}`), `[["send","{\"type\":\"pong\"}"]]`},
		{"a ping with null", append(slices.Clone(ready), `{"type":"ping","payload":null}`), `[["send","{\"type\":\"pong\"}"]]`},
		{"a pong with a payload", append(slices.Clone(ready), `{"type":"pong","payload":{"a":1}}`), `[["timer","pong",0]]`},
		{"4400 for a ping whose payload is no object", append(slices.Clone(ready), `{"type":"ping","payload":1}`), `[["close",4400,"\"payload\" is not an object"]]`},
		{"4400 for a pong whose payload is no object", append(slices.Clone(ready), `{"type":"pong","payload":[]}`), `[["close",4400,"\"payload\" is not an object"]]`},
		{"a ping is answered before init", []string{`{"type":"ping","payload":{"a":1}}`}, `[["send","{\"type\":\"pong\",\"payload\":{\"a\":1}}"]]`},
		{"the server pings", append(slices.Clone(ready), "+expired ping"), `[["send","{\"type\":\"ping\"}"],["timer","ping",30],["timer","pong",10]]`},
		{"a pong stops the wait", append(slices.Clone(ready), `{"type":"pong"}`), `[["timer","pong",0]]`},
		{"another ping gives no more time", append(slices.Clone(ready), "+expired ping", "+expired ping"), `[["send","{\"type\":\"ping\"}"],["timer","ping",30]]`},
		{"a pong sent unasked is welcome", append(slices.Clone(ready), `{"type":"pong"}`, "+expired ping"), `[["send","{\"type\":\"ping\"}"],["timer","ping",30],["timer","pong",10]]`},
		{"a timer that ran out beside the pong is nothing", append(slices.Clone(ready), "+expired ping", `{"type":"pong"}`, "+expired pong"), `[]`},
		{"1001 without a pong", append(slices.Clone(ready), "+expired ping", "+expired pong"), `[["close",1001,"No pong received"]]`},
		{"4400 for a binary frame", []string{"+binary " + initFrame}, `[["close",4400,"Only text frames are understood"]]`},
		{"4400 for no JSON", []string{"{"}, `[["close",4400,"The message is not valid JSON"]]`},
		{"4400 for no object", []string{"[]"}, `[["close",4400,"The message is not a JSON object"]]`},
		{"4400 without a type", []string{"{}"}, `[["close",4400,"The message has no \"type\""]]`},
		{"4400 for a type that is no string", append(slices.Clone(ready), `{"type":1}`), `[["close",4400,"The message has no \"type\""]]`},
		{"4400 for bytes that are no UTF-8", append(slices.Clone(ready), "{\"type\":\"\xff\"}"), `[["close",4400,"The message is not valid JSON"]]`},
		{"4400 for no message at all", append(slices.Clone(ready), ""), `[["close",4400,"The message is not valid JSON"]]`},
		{"4400 for JSON nested too deeply", append(slices.Clone(ready), strings.Repeat("[", 600)+strings.Repeat("]", 300)), `[["close",4400,"The message is not valid JSON"]]`},
		{"4400 for a type of the older protocol", append(slices.Clone(ready), start), `[["close",4400,"Clients send no messages of the type start"]]`},
		{"4400 for a complete without an id", append(slices.Clone(ready), `{"type":"complete"}`), `[["close",4400,"The message's \"id\" is not a string"]]`},
		{"4400 without a payload", append(slices.Clone(ready), `{"type":"subscribe","id":"a"}`), `[["close",4400,"\"payload\" is not an object"]]`},
		{"4400 for an id with a NUL", append(slices.Clone(ready), `{"type":"subscribe","id":"\u0000","payload":{"query":"q"}}`), `[["close",4400,"The message's \"id\" contains a NUL character"]]`},
		{"4400 for an operation name that is no string", append(slices.Clone(ready), `{"type":"subscribe","id":"a","payload":{"query":"q","operationName":1}}`), `[["close",4400,"\"operationName\" is not a string"]]`},
		{"4400 for extensions that are no object", append(slices.Clone(ready), `{"type":"subscribe","id":"a","payload":{"query":"q","extensions":"e"}}`), `[["close",4400,"\"extensions\" is not an object"]]`},
		{"1009 comes before what the frame says", append(slices.Clone(ready), "+binary "+strings.Repeat(" ", 1001)), `[["close",1009,"The message is too big"]]`},
		{"1001 at shutdown before the init", []string{"+open", "+shutdown"}, `[["close",1001,"The server is shutting down"]]`},
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
		{"and follows it", []string{initFrame, start, "+ack"}, `[["send","{\"type\":\"connection_ack\"}"],["send","{\"type\":\"ka\"}"],["timer","ping",30],["subscribe",1,"a","q","","","",""]]`},
		{"a held start can be stopped", []string{initFrame, start, `{"type":"stop","id":"a"}`, "+ack"}, `[["send","{\"type\":\"connection_ack\"}"],["send","{\"type\":\"ka\"}"],["timer","ping",30]]`},
		{"4401 for a start before init", []string{start}, `[["send","{\"type\":\"connection_error\",\"payload\":{\"message\":\"Unauthorized\"}}"],["close",4401,"Unauthorized"]]`},
		{"an error is sent before the close", []string{initFrame, "+refuse"}, `[["send","{\"type\":\"connection_error\",\"payload\":{\"message\":\"no\"}}"],["close",4403,"no"]]`},
		{"an id in use is taken over", append(slices.Clone(live), start), `[["complete",1],["subscribe",2,"a","q","","","",""]]`},
		{"stop is answered", append(slices.Clone(live), `{"type":"stop","id":"a"}`), `[["complete",1],["send","{\"id\":\"a\",\"type\":\"complete\"}"]]`},
		{"an unknown stop before the ack is ignored", []string{initFrame, `{"type":"stop","id":"b"}`}, `[]`},
		{"an error carries one", append(slices.Clone(live), "+failed"), `[["send","{\"id\":\"a\",\"type\":\"error\",\"payload\":{\"message\":\"bad\"}}"]]`},
		{"results are data", append(slices.Clone(live), "+result"), `[["send","{\"id\":\"a\",\"type\":\"data\",\"payload\":{\"data\":1}}"],["send","{\"id\":\"a\",\"type\":\"complete\"}"]]`},
		{"keep-alives need no answer", append(slices.Clone(live), "+expired ping"), `[["send","{\"type\":\"ka\"}"],["timer","ping",30]]`},
		{"nobody waits for an answer to a keep-alive", []string{initFrame, "+ack", "+expired ping", "+expired pong"}, `[]`},
		{"a frame that is no message is reported and ignored", append(slices.Clone(live), "{"), `[["send","{\"type\":\"connection_error\",\"payload\":{\"message\":\"The message is not valid JSON\"}}"]]`},
		{"so is a binary one", append(slices.Clone(live), "+binary {}"), `[["send","{\"type\":\"connection_error\",\"payload\":{\"message\":\"Only text frames are understood\"}}"]]`},
		{"what a start lacks is its operation's error", append(slices.Clone(live), `{"type":"start","id":"b","payload":{}}`), `[["send","{\"id\":\"b\",\"type\":\"error\",\"payload\":{\"message\":\"\\\"query\\\" is not a string\"}}"]]`},
		{"but not that of an operation that runs under its id", append(slices.Clone(live), `{"type":"start","id":"a","payload":{}}`, "+finished"), `[["send","{\"id\":\"a\",\"type\":\"complete\"}"]]`},
		{"a type of the newer protocol is an error", append(slices.Clone(live), `{"type":"ping"}`), `[["send","{\"type\":\"connection_error\",\"payload\":{\"message\":\"Clients send no messages of the type ping\"}}"]]`},
		{"a stop of nothing is told and not answered", append(slices.Clone(live), `{"type":"stop","id":"b"}`), `[["unknown","b"]]`},
		{"a stop without an id is reported", append(slices.Clone(live), `{"type":"stop"}`), `[["send","{\"type\":\"connection_error\",\"payload\":{\"message\":\"The message's \\\"id\\\" is not a string\"}}"]]`},
		{"stop twice is answered once", append(slices.Clone(live), `{"type":"stop","id":"a"}`, `{"type":"stop","id":"a"}`), `[["unknown","a"]]`},
		{"4429 for a second init", append(slices.Clone(live), initFrame), `[["send","{\"type\":\"connection_error\",\"payload\":{\"message\":\"Too many initialisation requests\"}}"],["close",4429,"Too many initialisation requests"]]`},
		{"1011 when the application fails to decide", []string{initFrame, "+broken"}, `[["send","{\"type\":\"connection_error\",\"payload\":{\"message\":\"Internal error\"}}"],["close",1011,"Internal error"]]`},
		{"4408 without an init", []string{"+open", "+expired init"}, `[["close",4408,"Connection initialisation timeout"]]`},
		{"parameters that are no object can be sent again", []string{`{"type":"connection_init","payload":1}`, initFrame}, `[["timer","init",0],["authenticate",""]]`},
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

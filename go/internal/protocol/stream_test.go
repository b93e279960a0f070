package protocol

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

var streamLimits = StreamLimits{
	BodyBytes: 1000, IDBytes: 20, Operations: 2, Reservations: 3, InitTimeout: 10, Ping: 30, Retry: 2,
	Origins: Origins{"https://app.example"}, Plain: true,
}

// visit drives the clients of an application. The "+" steps are what happens besides
// requests, to the client that the request before belonged to. A request is
// "METHOD header:value … body", of which ?… is the URL's query.
type visit struct {
	streams *Streams
	number  uint64 // of the client
	asked   uint64 // requests
}

func visiting(t testing.TB, limits StreamLimits) *visit {
	t.Helper()
	tokens := 0
	streams, err := NewStreams(limits, func() string { tokens++; return fmt.Sprintf("token%d", tokens) })
	if err != nil {
		t.Fatal(err)
	}
	return &visit{streams: streams}
}

func (v *visit) do(steps ...string) string {
	told := ""
	for _, step := range steps {
		if strings.HasPrefix(step, "+") {
			told = v.happen(step)
			continue
		}
		r := parseRequest(step)
		v.asked++
		r.Number = v.asked
		number, actions := v.streams.Request(r)
		if number != 0 {
			v.number = number
		}
		told = describe(nil, actions)
	}
	return told
}

func (v *visit) happen(step string) string {
	s := v.streams.Find(v.number)
	if s == nil {
		return "gone"
	}
	var number uint64
	name, rest, _ := strings.Cut(step[1:], " ")
	_, _ = fmt.Sscan(rest, &number)
	switch name {
	case "in":
		return describe(nil, s.Authenticated())
	case "out":
		return describe(nil, s.Refused("no"))
	case "broken":
		return describe(nil, s.Broken())
	case "started":
		return describe(nil, s.Started(number))
	case "results":
		parts := strings.Split(rest, " ")[1:]
		payloads := make([][]byte, len(parts))
		for i, part := range parts {
			payloads[i] = []byte(part)
		}
		body, actions := s.Results(nil, number, payloads)
		return describe(body, actions)
	case "failed":
		return describe(nil, s.Failed(number, []byte(`[{"message":"bad"}]`)))
	case "finished":
		return describe(nil, s.Finished(number))
	case "expired":
		return describe(nil, s.Expired(rest))
	case "shutdown":
		return describe(nil, s.Shutdown())
	case "lost":
		s.Lost()
		return describe(nil, nil)
	}
	panic("no such step: " + step)
}

func parseRequest(text string) *HTTPRequest {
	text, body, found := strings.Cut(text, "{")
	r := &HTTPRequest{Host: "api.example", ContentType: "application/json"}
	if found {
		r.Body = []byte("{" + body)
	}
	words := strings.Fields(text)
	r.Method = words[0]
	for _, word := range words[1:] {
		if strings.HasPrefix(word, "?") {
			r.Query = word[1:]
			continue
		}
		name, value, _ := strings.Cut(word, ":")
		switch name {
		case "accept":
			r.Accept = value
		case "type":
			r.ContentType = value
		case "origin":
			r.Origin = value
		case "site":
			r.Site = value
		case "token":
			r.Token = value
		case "last":
			r.LastEventID = value
		case "wanted":
			r.Wanted = value
		case "body":
			r.Body = []byte(value)
		case "big":
			r.TooBig = true
		default:
			panic("no such header: " + word)
		}
	}
	return r
}

// describe is short: of headers the Content-Type, and what concerns other sites.
func describe(body []byte, actions []Action) string {
	var told []string
	for i := range actions {
		a := &actions[i]
		kind := ""
		for _, header := range a.Headers {
			switch header.Name {
			case "content-type":
				kind += " " + strings.TrimSuffix(header.Value, "; charset=utf-8")
			case "allow":
				kind += " allow"
			case "access-control-allow-origin", "access-control-allow-headers":
				kind += " " + header.Value
			case "access-control-allow-credentials":
				kind += " credentials"
			}
		}
		switch a.Kind {
		case Respond:
			told = append(told, fmt.Sprintf("respond %d %d%s %s", a.Number, a.Code, kind, a.Text))
		case Begin:
			told = append(told, fmt.Sprintf("begin %d %d%s", a.Number, a.Code, kind))
		default:
			told = append(told, string(AppendActions(nil, []Action{*a})))
		}
	}
	if len(body) > 0 {
		told = append(told, fmt.Sprintf("%q", body))
	}
	return strings.Join(told, "\n")
}

const (
	question  = `{"query":"q"}`
	sse       = "POST accept:text/event-stream " + question
	apollo    = "POST accept:multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json " + question
	plain     = "POST accept:application/json " + question
	jsonError = `{"errors":[{"message":%q,"extensions":{"code":%q}}]}`
)

func refusing(number, status int, code, message string) string {
	return fmt.Sprintf("respond %d %d application/json "+jsonError, number, status, message, code)
}

type rule struct {
	name  string
	steps []string
	want  string
}

func checkRules(t *testing.T, limits StreamLimits, rules []rule) {
	t.Helper()
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			if got := visiting(t, limits).do(rule.steps...); got != rule.want {
				t.Errorf("got\n%s\nwant\n%s", got, rule.want)
			}
		})
	}
}

func TestOneOperationAsAnEventStream(t *testing.T) {
	live := []string{sse, "+in"}
	checkRules(t, streamLimits, []rule{
		{"who it is comes first", []string{sse}, `[["authenticate",""]]`},
		{"a stream that is let in", live, "begin 1 200 text/event-stream\n" +
			`[["send","retry: 2000\n\n"]]` + "\n" + `[["timer","ping",30]]` + "\n" +
			`[["subscribe",1,"1","q","","","{\"since\":null}",""]]`},
		{"refused before any stream", []string{sse, "+out"}, refusing(1, 403, "FORBIDDEN", "no") + "\n" + `[["end"]]`},
		{"the application fails to decide", []string{sse, "+broken"}, refusing(1, 500, "INTERNAL_ERROR", "Internal error") + "\n" + `[["end"]]`},
		{"something breaks later: no last event, so that the client comes back", append(slices.Clone(live), "+broken"), `[["end"]]`},
		{"started is not worth a word", append(slices.Clone(live), "+started 1"), ""},
		{"results", append(slices.Clone(live), `+results 1 {"data":1} {"data":2}`), `"event: next\ndata: {\"data\":1}\n\nevent: next\ndata: {\"data\":2}\n\n"`},
		{"a result's position is its event's id", append(slices.Clone(live), `+results 1 {"data":1,"extensions":{"position":"e:5!4","recovered":false}}`), `"id: e:5!4\nevent: next\ndata: {\"data\":1,\"extensions\":{\"position\":\"e:5!4\",\"recovered\":false}}\n\n"`},
		{"a position that would break the line is none", append(slices.Clone(live), `+results 1 {"extensions":{"position":"a\nid:b"}}`), `"event: next\ndata: {\"extensions\":{\"position\":\"a\\nid:b\"}}\n\n"`},
		{"line breaks between tokens become spaces", append(slices.Clone(live), "+results 1 {\n\"data\":\r1}"), `"event: next\ndata: { \"data\": 1}\n\n"`},
		{"nothing of an unknown operation", append(slices.Clone(live), `+results 2 {"data":1}`, "+failed 2", "+finished 2"), ""},
		{"errors are a result", append(slices.Clone(live), "+failed 1"), `[["send","event: next\ndata: {\"errors\":[{\"message\":\"bad\"}]}\n\nevent: complete\ndata:\n\n"]]` + "\n" + `[["end"]]`},
		{"complete has data, or browsers would not see it", append(slices.Clone(live), "+finished 1"), `[["send","event: complete\ndata:\n\n"]]` + "\n" + `[["end"]]`},
		{"the server says that it is there", append(slices.Clone(live), "+expired ping"), `[["send",":\n\n"]]` + "\n" + `[["timer","ping",30]]`},
		{"shutdown completes", append(slices.Clone(live), "+shutdown"), `[["send","event: complete\ndata:\n\n"]]` + "\n" + `[["end"]]`},
		{"shutdown before it is decided", []string{sse, "+shutdown"}, refusing(1, 503, "GOING_AWAY", "The server is shutting down") + "\n" + `[["end"]]`},
		{"nothing after the end", append(slices.Clone(live), "+finished 1", "+finished 1"), "gone"},
		{"nothing of one that is gone", append(slices.Clone(live), "+lost", "+in"), "gone"},
		{"a browser's", []string{"GET accept:text/event-stream ?query=q&operationName=n&variables=%7B%22v%22%3A1%7D&extensions=%7B%22a%22%3A2%7D", "+in"}, "begin 1 200 text/event-stream\n" +
			`[["send","retry: 2000\n\n"]]` + "\n" + `[["timer","ping",30]]` + "\n" +
			`[["subscribe",1,"1","q","n","{\"v\":1}","{\"a\":2,\"since\":null}","mutation"]]`},
		{"it comes back", []string{"GET accept:text/event-stream last:e:5 ?query=q&extensions=%7B%22since%22%3A%22e:1%22%7D", "+in"}, "begin 1 200 text/event-stream\n" +
			`[["send","retry: 2000\n\n"]]` + "\n" + `[["timer","ping",30]]` + "\n" +
			`[["subscribe",1,"1","q","","","{\"since\":\"e:5\"}","mutation"]]`},
		{"a position in the request", []string{`POST accept:text/event-stream {"query":"q","extensions":{"since":"e:1"}}`, "+in"}, "begin 1 200 text/event-stream\n" +
			`[["send","retry: 2000\n\n"]]` + "\n" + `[["timer","ping",30]]` + "\n" +
			`[["subscribe",1,"1","q","","","{\"since\":\"e:1\"}",""]]`},
		{"pages of other sites that are named may read", []string{"POST accept:text/event-stream origin:https://app.example " + question, "+in", "+finished 1"}, `[["send","event: complete\ndata:\n\n"]]` + "\n" + `[["end"]]`},
	})
}

func TestOneOperationAsMultipart(t *testing.T) {
	live := []string{apollo, "+in"}
	part := func(json string) string {
		return `\r\nContent-Type: application/json\r\n\r\n` + strings.ReplaceAll(json, `"`, `\"`) + `\r\n--graphql`
	}
	checkRules(t, streamLimits, []rule{
		{"a stream that is let in", live, `begin 1 200 multipart/mixed; boundary="graphql"; subscriptionSpec=1.0` + "\n" +
			`[["send","\r\n--graphql"]]` + "\n" + `[["timer","ping",30]]` + "\n" +
			`[["subscribe",1,"1","q","","","",""]]`},
		{"results", append(slices.Clone(live), `+results 1 {"data":1} {"data":2}`), `"` + part(`{"payload":{"data":1}}`) + part(`{"payload":{"data":2}}`) + `"`},
		{"a heartbeat", append(slices.Clone(live), "+expired ping"), `[["send","` + part("{}") + `"]]` + "\n" + `[["timer","ping",30]]`},
		{"what the operation got wrong is a result", append(slices.Clone(live), "+failed 1"), `[["send","` + part(`{"payload":{"errors":[{"message":"bad"}]}}`) + `--\r\n"]]` + "\n" + `[["end"]]`},
		{"what ends it later is no result", append(slices.Clone(live), `+results 1 {"data":1}`, "+failed 1"), `[["send","` + part(`{"payload":null,"errors":[{"message":"bad"}]}`) + `--\r\n"]]` + "\n" + `[["end"]]`},
		{"the end", append(slices.Clone(live), "+finished 1"), `[["send","--\r\n"]]` + "\n" + `[["end"]]`},
		{"refused before any stream", []string{apollo, "+out"}, refusing(1, 403, "FORBIDDEN", "no") + "\n" + `[["end"]]`},
		{"shutdown completes", append(slices.Clone(live), "+shutdown"), `[["send","--\r\n"]]` + "\n" + `[["end"]]`},
	})
}

func TestOneResultAsJSON(t *testing.T) {
	const modern = "POST accept:application/graphql-response+json,application/json;q=0.9 " + question
	checkRules(t, streamLimits, []rule{
		{"no subscriptions", []string{plain, "+in"}, `[["subscribe",1,"1","q","","","","subscription"]]`},
		{"the result", []string{plain, "+in", "+started 1", `+results 1 {"data":1}`}, `respond 1 200 application/json {"data":1}` + "\n" + `[["end"]]`},
		{"one result only", []string{plain, "+in", `+results 1 {"data":1} {"data":2}`, "+finished 1"}, "gone"},
		{"errors", []string{plain, "+in", "+failed 1"}, `respond 1 200 application/json {"errors":[{"message":"bad"}]}` + "\n" + `[["end"]]`},
		{"the newer type", []string{modern, "+in", `+results 1 {"data":1}`}, `respond 1 200 application/graphql-response+json {"data":1}` + "\n" + `[["end"]]`},
		{"errors of the newer type", []string{modern, "+in", "+failed 1"}, `respond 1 400 application/graphql-response+json {"errors":[{"message":"bad"}]}` + "\n" + `[["end"]]`},
		{"ended without a result", []string{plain, "+in", "+finished 1"}, refusing(1, 503, "ENDED", "The operation was ended before it had a result") + "\n" + `[["end"]]`},
		{"shutdown", []string{plain, "+in", "+shutdown"}, refusing(1, 503, "GOING_AWAY", "The server is shutting down") + "\n" + `[["end"]]`},
		{"failure", []string{plain, "+in", "+broken"}, refusing(1, 500, "INTERNAL_ERROR", "Internal error") + "\n" + `[["end"]]`},
		{"refused", []string{plain, "+out"}, refusing(1, 403, "FORBIDDEN", "no") + "\n" + `[["end"]]`},
		{"no keep-alive in a document", []string{plain, "+in", "+expired ping"}, ""},
		{"any type", []string{"POST accept:*/* " + question, "+in", `+results 1 {"data":1}`}, `respond 1 200 application/json {"data":1}` + "\n" + `[["end"]]`},
		{"no Accept", []string{"POST " + question, "+in", `+results 1 {"data":1}`}, `respond 1 200 application/json {"data":1}` + "\n" + `[["end"]]`},
	})
}

func TestRequestsThatAreRefused(t *testing.T) {
	const accept = "accept:text/event-stream "
	checkRules(t, streamLimits, []rule{
		{"a page of another site", []string{"POST " + accept + "origin:https://evil.example " + question}, refusing(1, 403, "FORBIDDEN", "Pages of this origin are not let in")},
		{"its preflight", []string{"OPTIONS origin:https://evil.example"}, refusing(1, 403, "FORBIDDEN", "Pages of this origin are not let in")},
		{"a page without an origin", []string{"POST " + accept + "origin:null " + question}, refusing(1, 403, "FORBIDDEN", "Pages of this origin are not let in")},
		{"what a page of another site embeds", []string{"GET " + accept + "site:cross-site ?query=q"}, refusing(1, 403, "FORBIDDEN", "Pages of this origin are not let in")},
		{"what a page of a sister site embeds", []string{"GET " + accept + "site:same-site ?query=q"}, refusing(1, 403, "FORBIDDEN", "Pages of this origin are not let in")},
		{"a form", []string{"POST " + accept + "type:application/x-www-form-urlencoded body:query=q"}, refusing(1, 415, "UNSUPPORTED_MEDIA_TYPE", "Send application/json, in UTF-8")},
		{"text", []string{"POST " + accept + "type:text/plain " + question}, refusing(1, 415, "UNSUPPORTED_MEDIA_TYPE", "Send application/json, in UTF-8")},
		{"no type", []string{"POST " + accept + "type: " + question}, refusing(1, 415, "UNSUPPORTED_MEDIA_TYPE", "Send application/json, in UTF-8")},
		{"another charset", []string{"POST " + accept + "type:application/json;charset=latin1 " + question}, refusing(1, 415, "UNSUPPORTED_MEDIA_TYPE", "Send application/json, in UTF-8")},
		{"a big body", []string{"POST " + accept + `{"query":"` + strings.Repeat("q", 1000) + `"}`}, refusing(1, 413, "PAYLOAD_TOO_LARGE", "The body is too big")},
		{"a body that was not read on", []string{"POST " + accept + "big:"}, refusing(1, 413, "PAYLOAD_TOO_LARGE", "The body is too big")},
		{"another method", []string{"PATCH " + accept}, strings.Replace(refusing(1, 405, "METHOD_NOT_ALLOWED", "The method PATCH is not served here"), "json ", "json allow ", 1)},
		{"another answer", []string{"POST accept:text/html " + question}, refusing(1, 406, "NOT_ACCEPTABLE", "Accept text/event-stream or multipart/mixed;subscriptionSpec=1.0")},
		{"the parts of another protocol", []string{"POST accept:multipart/mixed;deferSpec=20220824 " + question}, refusing(1, 406, "NOT_ACCEPTABLE", "Accept text/event-stream or multipart/mixed;subscriptionSpec=1.0")},
		{"what is not wanted at all", []string{"POST accept:text/event-stream;q=0 " + question}, refusing(1, 406, "NOT_ACCEPTABLE", "Accept text/event-stream or multipart/mixed;subscriptionSpec=1.0")},
		{"a page opened by hand", []string{"GET accept:text/html ?query=q"}, refusing(1, 406, "NOT_ACCEPTABLE", "GET is answered with text/event-stream: accept it, or use POST")},
		{"GET of parts", []string{"GET accept:multipart/mixed;subscriptionSpec=1.0 ?query=q"}, refusing(1, 406, "NOT_ACCEPTABLE", "GET is answered with text/event-stream: accept it, or use POST")},
		{"no JSON", []string{"POST " + accept + "{"}, refusing(1, 400, "BAD_REQUEST", "The body is not valid JSON")},
		{"no body", []string{"POST " + accept}, refusing(1, 400, "BAD_REQUEST", "The body is not valid JSON")},
		{"a batch", []string{"POST " + accept + "body:[]"}, refusing(1, 400, "BAD_REQUEST", "The body is not a JSON object")},
		{"no query", []string{"POST " + accept + "{}"}, refusing(1, 400, "BAD_REQUEST", `"query" is not a string`)},
		{"variables that are no object", []string{"POST " + accept + `{"query":"q","variables":[]}`}, refusing(1, 400, "BAD_REQUEST", `"variables" is not an object`)},
		{"no query in the URL", []string{"GET " + accept}, refusing(1, 400, "BAD_REQUEST", `The URL has no parameter "query"`)},
		{"bad variables in the URL", []string{"GET " + accept + "?query=q&variables=x"}, refusing(1, 400, "BAD_REQUEST", "The parameter variables is not valid JSON")},
		{"a bad URL", []string{"GET " + accept + "?query=%zz"}, refusing(1, 400, "BAD_REQUEST", "The URL's parameters are not understood")},
		{"a reservation of nobody", []string{"POST token:x " + question}, refusing(1, 404, "NOT_FOUND", "There is no such reservation; make one with PUT")},
		{"a deletion of nothing", []string{"DELETE"}, refusing(1, 400, "BAD_REQUEST", "The request names no reservation")},
		{"a reservation that is no text", []string{"PUT accept:application/json"}, refusing(1, 406, "NOT_ACCEPTABLE", "A reservation is a text: accept text/plain")},
	})
	closed := streamLimits
	closed.Plain = false
	checkRules(t, closed, []rule{
		{"one result where none is served", []string{plain}, refusing(1, 406, "NOT_ACCEPTABLE", "Accept text/event-stream or multipart/mixed;subscriptionSpec=1.0")},
		{"a stream among what is accepted", []string{"POST accept:application/json,text/event-stream;q=0.1 " + question}, `[["authenticate",""]]`},
	})
}

func TestPagesOfSitesThatAreNamed(t *testing.T) {
	const preflight = "OPTIONS origin:https://app.example wanted:content-type,x-y"
	checkRules(t, streamLimits, []rule{
		{"the preflight", []string{preflight}, "respond 1 204 allow https://app.example credentials content-type,x-y "},
		{"the answer", []string{"POST origin:https://app.example " + question, "+in", `+results 1 {"data":1}`}, `respond 1 200 application/json https://app.example credentials {"data":1}` + "\n" + `[["end"]]`},
		{"an error", []string{"PATCH origin:https://app.example"}, strings.Replace(refusing(1, 405, "METHOD_NOT_ALLOWED", "The method PATCH is not served here"), "json ", "json allow https://app.example credentials ", 1)},
		{"one's own host, whatever its scheme", []string{"POST origin:http://API.example " + question}, `[["authenticate",""]]`},
		{"no page", []string{"POST site:none " + question}, `[["authenticate",""]]`},
		{"what the server asks of itself", []string{"OPTIONS"}, "respond 1 204 allow "},
	})
	everybody := streamLimits
	everybody.Origins = Origins{"*"}
	checkRules(t, everybody, []rule{
		{"every site, but not with what the user is signed in to", []string{strings.ReplaceAll(preflight, "app", "any")}, "respond 1 204 allow https://any.example content-type,x-y "},
		{"nor for what it embeds", []string{"GET accept:text/event-stream site:cross-site ?query=q"}, `[["authenticate",""]]`},
	})
}

func TestAReservationCarriesManyOperations(t *testing.T) {
	const (
		put     = "PUT accept:*/*"
		attach  = "GET accept:text/event-stream token:token1"
		order   = `POST token:token1 {"query":"q","extensions":{"operationId":"a"}}`
		another = `POST token:token1 {"query":"q","extensions":{"operationId":"b"}}`
	)
	reserved := []string{put, "+in"}
	live := append(slices.Clone(reserved), attach, order, "+started 1")
	with := func(steps []string, more ...string) []string { return append(slices.Clone(steps), more...) }
	checkRules(t, streamLimits, []rule{
		{"a token", reserved, "respond 1 201 text/plain token1\n" + `[["timer","init",10]]`},
		{"refused", []string{put, "+out"}, refusing(1, 403, "FORBIDDEN", "no") + "\n" + `[["end"]]`},
		{"no use before it is decided", []string{put, attach}, refusing(2, 404, "NOT_FOUND", "There is no such reservation; make one with PUT")},
		{"nobody comes for it", with(reserved, "+expired init", attach), refusing(2, 404, "NOT_FOUND", "There is no such reservation; make one with PUT")},
		{"its stream", with(reserved, attach), `[["timer","init",0]]` + "\nbegin 2 200 text/event-stream\n" + `[["send","retry: 2000\n\n"]]` + "\n" + `[["timer","ping",30]]`},
		{"its stream by a token in the URL", with(reserved, "GET accept:text/event-stream ?token=token1"), `[["timer","init",0]]` + "\nbegin 2 200 text/event-stream\n" + `[["send","retry: 2000\n\n"]]` + "\n" + `[["timer","ping",30]]`},
		{"one stream only", with(reserved, attach, attach), refusing(3, 409, "CONFLICT", "The event stream is open already")},
		{"made once", with(reserved, "PUT token:token1"), refusing(2, 409, "CONFLICT", "This is reserved already")},
		{"it comes for another type", with(reserved, "GET accept:text/html token:token1"), refusing(2, 406, "NOT_ACCEPTABLE", "The event stream is text/event-stream: accept it")},
		{"an operation", with(reserved, order), `[["subscribe",1,"a","q","","","{\"operationId\":\"a\"}",""]]`},
		{"is accepted when it has started", live, "respond 3 202 "},
		{"accepted once", with(live, "+started 1"), ""},
		{"or refused", with(reserved, attach, order, "+failed 1"), `respond 3 400 application/json {"errors":[{"message":"bad"}]}`},
		{"and its id is free", with(reserved, attach, order, "+failed 1", order), `[["subscribe",2,"a","q","","","{\"operationId\":\"a\"}",""]]`},
		{"another type of answer", with(reserved, "POST token:token1 accept:text/html "+question), refusing(2, 406, "NOT_ACCEPTABLE", "Accept application/json; the results come in the event stream")},
		{"no JSON", with(reserved, "POST token:token1 type:text/plain "+question), refusing(2, 415, "UNSUPPORTED_MEDIA_TYPE", "Send application/json, in UTF-8")},
		{"no query", with(reserved, "POST token:token1 {}"), refusing(2, 400, "BAD_REQUEST", `"query" is not a string`)},
		{"no id", with(reserved, "POST token:token1 "+question), refusing(2, 400, "BAD_REQUEST", `"extensions.operationId" is not a string`)},
		{"a long id", with(reserved, `POST token:token1 {"query":"q","extensions":{"operationId":"123456789012345678901"}}`), refusing(2, 400, "BAD_REQUEST", `"extensions.operationId" is too long`)},
		{"an id in use", with(live, order), refusing(4, 409, "CONFLICT", "An operation of this operationId runs already")},
		{"too many", with(live, another, `POST token:token1 {"query":"q","extensions":{"operationId":"c"}}`), refusing(5, 429, "LIMIT_EXCEEDED", "This stream has too many operations; complete some first")},
		{"results say whose they are", with(live, `+results 1 {"data":1,"extensions":{"position":"e:5"}}`), `"event: next\ndata: {\"id\":\"a\",\"payload\":{\"data\":1,\"extensions\":{\"position\":\"e:5\"}}}\n\n"`},
		{"the end, of an operation", with(live, "+finished 1"), `[["send","event: complete\ndata: {\"id\":\"a\"}\n\n"]]`},
		{"errors after the start", with(live, "+failed 1"), `[["send","event: next\ndata: {\"id\":\"a\",\"payload\":{\"errors\":[{\"message\":\"bad\"}]}}\n\nevent: complete\ndata: {\"id\":\"a\"}\n\n"]]`},
		{"what ended before the stream was opened is told then", with(reserved, order, "+started 1", "+finished 1", attach), `[["timer","init",0]]` + "\nbegin 3 200 text/event-stream\n" + `[["send","retry: 2000\n\nevent: complete\ndata: {\"id\":\"a\"}\n\n"]]` + "\n" + `[["timer","ping",30]]`},
		{"and bounded", with(reserved, order, "+started 1", "+finished 1", order, "+started 2", "+finished 2", order), refusing(4, 429, "LIMIT_EXCEEDED", "This stream has too many operations; complete some first")},
		{"no results before the stream was opened", with(reserved, order, "+started 1", `+results 1 {"data":1}`), ""},
		{"an operation is cancelled", with(live, "DELETE token:token1 ?operationId=a"), `[["complete",1]]` + "\n" + `[["send","event: complete\ndata: {\"id\":\"a\"}\n\n"]]` + "\nrespond 4 200 "},
		{"one that has not started", with(reserved, attach, order, "DELETE token:token1 ?operationId=a"), `[["complete",1]]` + "\nrespond 3 204 \nrespond 4 200 "},
		{"one that is not there any more", with(live, "DELETE token:token1 ?operationId=b"), `[["unknown","b"]]` + "\nrespond 4 200 "},
		{"none is named", with(live, "DELETE token:token1"), refusing(4, 400, "BAD_REQUEST", "The parameter operationId is empty")},
		{"shutdown", with(live, "+shutdown"), `[["send","event: complete\ndata: {\"id\":\"a\"}\n\n"]]` + "\n" + `[["end"]]`},
		{"shutdown before an operation has started", with(reserved, attach, order, "+shutdown"), refusing(3, 503, "GOING_AWAY", "The server is shutting down") + "\n" + `[["end"]]`},
		{"a token is worth nothing once its stream is lost", with(live, "+lost", order), refusing(4, 404, "NOT_FOUND", "There is no such reservation; make one with PUT")},
	})
}

func TestReservationsAreBounded(t *testing.T) {
	v := visiting(t, streamLimits)
	for round := range 20 {
		// Neither those that ended, nor those that are open, count.
		v.do("PUT", "+out", "PUT", "+in", "+expired init", "PUT", "+in", fmt.Sprintf("GET accept:text/event-stream token:token%d", 6*round+3))
		opened := v.number
		v.do("PUT", "PUT", "+in", "PUT")
		told := v.do("PUT")
		if want := refusing(int(v.asked), 429, "LIMIT_EXCEEDED", "Too many streams are reserved and not open; try again later"); told != want {
			t.Fatalf("a fourth one: %s", told)
		}
		for number := opened; number <= v.number; number++ {
			v.streams.Find(number).Lost()
		}
	}
}

func TestNobodysTokenOpensAnothersStream(t *testing.T) {
	v := visiting(t, streamLimits)
	v.do("PUT", "+in", "PUT", "+in") // token1, and token2
	if got := v.do("GET accept:text/event-stream token:token2", `POST token:token2 {"query":"q","extensions":{"operationId":"a"}}`); v.number != 2 {
		t.Fatalf("client %d: %s", v.number, got)
	}
	v.do("DELETE token:token1 ?operationId=a")
	v.number = 2
	if got := v.do("+started 1"); got != "respond 4 202 " {
		t.Errorf("the other's deletion ended it: %q", got)
	}
}

func TestEndedClientsAreForgotten(t *testing.T) {
	v := visiting(t, streamLimits)
	for range 100 {
		v.do(sse, "+in", "+finished 1", plain, "+in", "+failed 1", "PUT", "+in", "+expired init", "PUT", "+in", "+lost", apollo, "+out", "PATCH", "POST")
	}
	if len(v.streams.live) != 0 || len(v.streams.tokens) != 0 {
		t.Errorf("%d clients, %d tokens", len(v.streams.live), len(v.streams.tokens))
	}
}

func TestAccepted(t *testing.T) {
	for accept, want := range map[string]format{
		"":                                  plainJSON,
		"*/*":                               plainJSON,
		"application/*":                     plainJSON,
		"application/json":                  plainJSON,
		"text/html, application/json;q=0.9": plainJSON,
		"text/event-stream":                 eventStream,
		"Text/Event-Stream":                 eventStream,
		"text/event-stream, multipart/mixed, application/json":                                                              eventStream,
		"application/json, text/event-stream":                                                                               plainJSON,
		"application/json;q=0.5, text/event-stream;q=0.6":                                                                   eventStream,
		"text/event-stream;q=0, application/json;q=0.1":                                                                     plainJSON,
		`multipart/mixed;boundary="graphql";subscriptionSpec="1.0",application/json`:                                        multipart,
		"multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/graphql-response+json,application/json;q=0.9":    multipart,
		`multipart/mixed;x="a,b";subscriptionSpec=1.0`:                                                                      multipart,
		"multipart/mixed;subscriptionSpec=2.0":                                                                              noFormat,
		"application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed": graphqlJSON,
		"text/html":                 noFormat,
		"text/event-stream;q=2":     noFormat,
		"text/event-stream;q=x":     noFormat,
		"text/event-stream;q=NaN":   noFormat,
		";;,,":                      noFormat,
		`"text/event-stream`:        noFormat,
		"application/json;q=0.0001": plainJSON,
	} {
		if got := accepted(accept, func(format) bool { return true }); got != want {
			t.Errorf("%q: got %d, want %d", accept, got, want)
		}
	}
}

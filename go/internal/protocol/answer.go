package protocol

import "github.com/fraiseql/fraiseql-subscriptions/go/internal/document"

// refusal is an HTTP answer that is an error: a status, a stable code, and a sentence.
type refusal struct {
	status  CloseCode
	code    string
	message string
	headers []Header
}

// methods are those that are answered, as an Allow header lists them.
const methods = "GET, POST, PUT, DELETE, OPTIONS"

func badRequest(problem string) *refusal { return &refusal{400, "BAD_REQUEST", problem, nil} }

func forbidden(reason string) *refusal { return &refusal{403, "FORBIDDEN", reason, nil} }

func notFound() *refusal {
	return &refusal{404, "NOT_FOUND", "There is no such reservation; make one with PUT", nil}
}

func notAcceptable(message string) *refusal { return &refusal{406, "NOT_ACCEPTABLE", message, nil} }

func conflict(message string) *refusal { return &refusal{409, "CONFLICT", message, nil} }

// result is an execution result that holds nothing but errors (a JSON list).
func result(errors []byte) string { return `{"errors":` + string(errors) + `}` }

// problems is a list of one error.
func problems(code, message string) []byte {
	list := document.AppendQuoted([]byte(`[{"message":`), message)
	list = document.AppendQuoted(append(list, `,"extensions":{"code":`...), code)
	return append(list, `}}]`...)
}

// answer is a request's whole answer; kind is the body's Content-Type.
func answer(r *HTTPRequest, origins Origins, status CloseCode, kind, body string, more ...Header) Action {
	headers := []Header{{"cache-control", "no-store"}}
	if kind != "" {
		headers = append(headers, Header{"content-type", kind})
	}
	headers = append(append(headers, more...), origins.sharing(r.Origin, r.Host)...)
	return Action{Kind: Respond, Number: r.Number, Code: status, Headers: headers, Text: body}
}

func (f *refusal) answer(r *HTTPRequest, origins Origins) Action {
	body := result(problems(f.code, f.message))
	return answer(r, origins, f.status, contentTypes[plainJSON], body, f.headers...)
}

// preflight answers what a browser asks before a page of another site may send more than
// a simple request.
func preflight(r *HTTPRequest, origins Origins) Action {
	headers := []Header{{"allow", methods}}
	if sharing := origins.sharing(r.Origin, r.Host); sharing != nil {
		headers = append(append(headers, sharing...), Header{"access-control-allow-methods", methods}, Header{"access-control-max-age", "600"})
		if r.Wanted != "" {
			headers = append(headers, Header{"access-control-allow-headers", r.Wanted})
		}
	}
	return Action{Kind: Respond, Number: r.Number, Code: 204, Headers: headers}
}

package protocol

import (
	"net/url"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
)

// HTTPRequest is what a client asks over HTTP. Number is the driver's, to be named in
// the answer. TooBig says that the body was longer than it may be, and not read on.
type HTTPRequest struct {
	Number      uint64 `json:"number"`
	Method      string `json:"method"`
	Query       string `json:"query"` // of the URL, encoded
	Accept      string `json:"accept"`
	ContentType string `json:"content_type"`
	Origin      string `json:"origin"`
	Host        string `json:"host"`
	Site        string `json:"site"`          // Sec-Fetch-Site
	Token       string `json:"token"`         // X-GraphQL-Event-Stream-Token
	LastEventID string `json:"last_event_id"` // Last-Event-ID
	Wanted      string `json:"wanted"`        // Access-Control-Request-Headers
	TooBig      bool   `json:"too_big"`
	Body        []byte `json:"-"`
}

// parameters are those of the URL.
func (r *HTTPRequest) parameters() (values url.Values, problem string) {
	values, err := url.ParseQuery(r.Query)
	if err != nil {
		return nil, "The URL's parameters are not understood"
	}
	return values, ""
}

// token is the reservation that the request speaks of, "" for none.
func (r *HTTPRequest) token() string {
	if r.Token != "" {
		return r.Token
	}
	values, _ := r.parameters()
	return values.Get("token")
}

// operation is what the request asks to run.
func (r *HTTPRequest) operation() (o Operation, problem string) {
	if r.Method == "GET" {
		return r.fromURL()
	}
	parsed := document.New(len(r.Body))
	if err := parsed.Parse(r.Body); err != nil {
		return o, "The body is not valid JSON"
	}
	if parsed.Root().Kind() != document.Object {
		return o, "The body is not a JSON object"
	}
	return o, o.read(parsed.Root())
}

func (r *HTTPRequest) fromURL() (o Operation, problem string) {
	values, problem := r.parameters()
	if problem != "" {
		return o, problem
	}
	if !values.Has("query") {
		return o, `The URL has no parameter "query"`
	}
	o.Query, o.Name = values.Get("query"), values.Get("operationName")
	for name, text := range map[string]*string{"variables": &o.Variables, "extensions": &o.Extensions} {
		given := values.Get(name)
		if given == "" {
			continue
		}
		parsed := document.New(len(given))
		if err := parsed.Parse([]byte(given)); err != nil {
			return o, "The parameter " + name + " is not valid JSON"
		}
		if *text, problem = objectText(parsed.Root(), "The parameter "+name); problem != "" {
			return o, problem
		}
	}
	return o, ""
}

// givenID is what the client calls the operation: extensions.operationId.
func (o *Operation) givenID(limit int) (string, *refusal) {
	parsed := document.New(len(o.Extensions))
	if parsed.Parse([]byte(o.Extensions)) != nil || parsed.Root().Get("operationId").Kind() != document.String {
		return "", badRequest(`"extensions.operationId" is not a string`)
	}
	id := parsed.Root().Get("operationId").Text()
	if problem := idProblem(id, limit); problem != "" {
		return "", badRequest(`"extensions.operationId" ` + problem)
	}
	return id, nil
}

// resume asks for positions, from lastEventID on if that is not empty.
func (o *Operation) resume(lastEventID string) {
	made := []byte{'{'}
	since := []byte("null")
	parsed := document.New(len(o.Extensions))
	if parsed.Parse([]byte(o.Extensions)) == nil {
		for members := parsed.Root().Members(); members.Next(); {
			if members.Key().EqualText("since") {
				since = members.Value().Raw()
				continue
			}
			made = append(append(made, members.Key().Raw()...), ':')
			made = append(append(made, members.Value().Raw()...), ',')
		}
	}
	if lastEventID != "" {
		since = document.AppendQuoted(nil, lastEventID)
	}
	made = append(append(made, `"since":`...), since...)
	o.Extensions = string(append(made, '}'))
}

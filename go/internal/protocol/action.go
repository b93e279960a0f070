package protocol

import (
	"strconv"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/document"
)

// Kind is what is to be done.
type Kind string

// The kinds, as they cross to Python.
const (
	// Send sends Text as a text frame.
	Send Kind = "send"
	// Close closes the socket with Code and Text. Nothing follows it.
	Close Kind = "close"
	// SetTimer starts the timer called Text anew, for Seconds; 0 stops it.
	SetTimer Kind = "timer"
	// Authenticate decides about the client, whose connection parameters are Text
	// (JSON). The answer is Authenticated or Refused.
	Authenticate Kind = "authenticate"
	// Subscribe starts Operation. The answer is Failed or Finished, or the client's
	// Complete.
	Subscribe Kind = "subscribe"
	// Complete ends operation Number: its client does not want it any more.
	Complete Kind = "complete"
	// Unknown: the client ended an operation, called Text, that it has not. It may have
	// ended meanwhile by itself.
	Unknown Kind = "unknown"
	// Respond answers HTTP request Number with the status Code, Headers and the whole
	// body Text.
	Respond Kind = "respond"
	// Begin answers HTTP request Number with the status Code and Headers; the body is
	// what Send and results give, until End.
	Begin Kind = "begin"
	// End ends a client over HTTP, and the body that was begun. Nothing follows it.
	End Kind = "end"
)

// The timers.
const (
	InitTimer = "init"
	PingTimer = "ping"
	PongTimer = "pong"
)

// Action is one thing to be done. Number names an operation and is never used again in
// its connection, unlike the id that the client gave it; or it is an HTTP request's.
type Action struct {
	Kind      Kind
	Text      string
	Code      CloseCode
	Seconds   float64
	Number    uint64
	Operation Operation
	Headers   []Header
}

// Header is a field of an HTTP response.
type Header struct{ Name, Value string }

// Operation is what a client wants run. Variables and Extensions are JSON objects, or
// empty. Refused is a type of operation that is not served where this one came in: "",
// "mutation" or "subscription".
type Operation struct {
	ID, Query, Name       string
	Variables, Extensions string
	Refused               string
}

// todo is what one call of a machine has to be done, in memory that the next one uses
// again.
type todo struct{ out []Action }

func (t *todo) begin() { clear(t.out); t.out = t.out[:0] }

func (t *todo) add(a Action) { t.out = append(t.out, a) }

func (t *todo) send(text string) { t.add(Action{Kind: Send, Text: text}) }

func (t *todo) timer(name string, seconds float64) {
	t.add(Action{Kind: SetTimer, Text: name, Seconds: seconds})
}

// AppendActions appends actions as JSON: a list of lists that begin with the kind.
func AppendActions(dst []byte, actions []Action) []byte {
	dst = append(dst, '[')
	for i := range actions {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = actions[i].append(dst)
	}
	return append(dst, ']')
}

func (a *Action) append(dst []byte) []byte {
	dst = append(dst, '[')
	dst = document.AppendQuoted(dst, string(a.Kind))
	switch a.Kind {
	case Send:
		dst = appendText(dst, a.Text)
	case Close:
		dst = strconv.AppendInt(append(dst, ','), int64(a.Code), 10)
		dst = appendText(dst, a.Text)
	case SetTimer:
		dst = appendText(dst, a.Text)
		dst = strconv.AppendFloat(append(dst, ','), a.Seconds, 'f', -1, 64)
	case Authenticate, Unknown:
		dst = appendText(dst, a.Text)
	case Complete:
		dst = strconv.AppendUint(append(dst, ','), a.Number, 10)
	case Subscribe:
		dst = strconv.AppendUint(append(dst, ','), a.Number, 10)
		for _, text := range [...]string{a.Operation.ID, a.Operation.Query, a.Operation.Name, a.Operation.Variables, a.Operation.Extensions, a.Operation.Refused} {
			dst = appendText(dst, text)
		}
	case Respond, Begin:
		dst = strconv.AppendUint(append(dst, ','), a.Number, 10)
		dst = strconv.AppendInt(append(dst, ','), int64(a.Code), 10)
		dst = append(dst, ",["...)
		for i, header := range a.Headers {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = document.AppendQuoted(append(dst, '['), header.Name)
			dst = append(appendText(dst, header.Value), ']')
		}
		dst = append(dst, ']')
		if a.Kind == Respond {
			dst = appendText(dst, a.Text)
		}
	}
	return append(dst, ']')
}

func appendText(dst []byte, text string) []byte {
	return document.AppendQuoted(append(dst, ','), text)
}

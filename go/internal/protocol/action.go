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
)

// The timers.
const (
	InitTimer = "init"
	PingTimer = "ping"
	PongTimer = "pong"
)

// Action is one thing to be done. Number names an operation and is never used again in
// its connection, unlike the id that the client gave it.
type Action struct {
	Kind      Kind
	Text      string
	Code      CloseCode
	Seconds   float64
	Number    uint64
	Operation Operation
}

// Operation is what a client wants run. Variables and Extensions are JSON objects, or
// empty.
type Operation struct {
	ID, Query, Name       string
	Variables, Extensions string
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
		for _, text := range [...]string{a.Operation.ID, a.Operation.Query, a.Operation.Name, a.Operation.Variables, a.Operation.Extensions} {
			dst = appendText(dst, text)
		}
	}
	return append(dst, ']')
}

func appendText(dst []byte, text string) []byte {
	return document.AppendQuoted(append(dst, ','), text)
}

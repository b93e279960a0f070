package protocol

import (
	"strings"
	"unicode/utf8"
)

// CloseCode is why a WebSocket was closed.
type CloseCode int

// The codes that a Socket closes with.
const (
	Normal          CloseCode = 1000
	GoingAway       CloseCode = 1001 // the server shuts down, or the client does not answer pings
	TooBig          CloseCode = 1009
	Internal        CloseCode = 1011 // the application's code, or the engine, failed
	BadRequest      CloseCode = 4400
	Unauthorized    CloseCode = 4401 // an operation before the acknowledgement
	Forbidden       CloseCode = 4403
	InitTimeout     CloseCode = 4408
	DuplicateID     CloseCode = 4409
	TooManyRequests CloseCode = 4429 // a second connection_init
)

// maxReason is what a close frame has room for beside its code.
const maxReason = 123

// closeReason cuts text to what fits, between characters.
func closeReason(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= maxReason {
		return text
	}
	end := maxReason
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

package api

import (
	"crypto/rand"
	"encoding/json"
	"strconv"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bridge"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/protocol"
)

// The calls about clients over HTTP hold the GIL from beginning to end, as a socket's do.

// OpenStreams makes room for an application's clients over HTTP, and returns its number.
// limits is JSON.
func OpenStreams(handle int, limits string) (streams int, err error) {
	defer guard(handle, &err)
	e, _, err := open(handle)
	if err != nil {
		return 0, err
	}
	var parsed protocol.StreamLimits
	if err := json.Unmarshal([]byte(limits), &parsed); err != nil {
		return 0, fault.New(fault.InvalidValue, "the limits of streams are not understood: %w", err)
	}
	made, err := protocol.NewStreams(parsed, rand.Text)
	if err != nil {
		return 0, err
	}
	streams = int(e.lastSocket.Add(1))
	e.streams.Store(streams, made)
	return streams, nil
}

// StreamRequest takes a client's request: JSON as of protocol.HTTPRequest, and its body, a
// bytes object. It returns the client's number, a comma, and what is to be done: JSON as of
// protocol.AppendActions.
func StreamRequest(handle, streams int, request string, bodyAddress int) (told string, err error) {
	defer guard(handle, &err)
	found, err := findStreams(handle, streams)
	if err != nil {
		return "", err
	}
	var parsed protocol.HTTPRequest
	if err := json.Unmarshal([]byte(request), &parsed); err != nil {
		return "", fault.New(fault.InvalidValue, "the request is not understood: %w", err)
	}
	if parsed.Body, err = bridge.Bytes(bodyAddress); err != nil {
		return "", err
	}
	number, actions := found.Request(&parsed)
	text := append(strconv.AppendUint(nil, number, 10), ',')
	return string(protocol.AppendActions(text, actions)), nil
}

// StreamTold tells a client over HTTP what happened, and returns what is to be done, ""
// for nothing, also where the client has ended. number is an operation's, text a timer's
// name, a reason or JSON, where there is one.
func StreamTold(handle, streams, client int, what string, number int, text string) (actions string, err error) {
	defer guard(handle, &err)
	s, err := findStream(handle, streams, client)
	if s == nil || err != nil {
		return "", err
	}
	switch what {
	case "authenticated":
		return written(s.Authenticated()), nil
	case "refused":
		return written(s.Refused(text)), nil
	case "broken":
		return written(s.Broken()), nil
	case "started":
		return written(s.Started(uint64(number))), nil
	case "failed":
		return written(s.Failed(uint64(number), []byte(text))), nil
	case "finished":
		return written(s.Finished(uint64(number))), nil
	case "expired":
		return written(s.Expired(text)), nil
	case "shutdown":
		return written(s.Shutdown()), nil
	case "lost":
		s.Lost()
		return "", nil
	}
	return "", fault.New(fault.InvalidValue, "a stream cannot be told %q", what)
}

// StreamResults writes an operation's results for its client: the list at inAddress holds
// messages as bytes objects, whose payloads begin at skip and end before the last byte. A
// bytes object with what is to be written is appended to the list at outAddress, unless it
// is nothing; before that what is returned is to be done.
func StreamResults(handle, streams, client, number, inAddress, skip, outAddress int) (actions string, err error) {
	defer guard(handle, &err)
	s, err := findStream(handle, streams, client)
	if s == nil || err != nil {
		return "", err
	}
	list := bridge.ListAt(inAddress)
	payloads := make([][]byte, list.Len())
	size := 0
	for i := range payloads {
		message, err := list.View(i)
		if err != nil {
			return "", err
		}
		if skip < 0 || skip >= len(message) {
			return "", fault.New(fault.InvalidValue, "a message of %d bytes has no payload at %d", len(message), skip)
		}
		payloads[i] = message[skip : len(message)-1]
		size += len(message) + 64
	}
	body, done := s.Results(make([]byte, 0, size), uint64(number), payloads)
	if len(body) > 0 {
		if err := bridge.ListAt(outAddress).AppendBody(body); err != nil {
			return "", err
		}
	}
	return written(done), nil
}

// CloseStreams forgets an application's clients over HTTP.
func CloseStreams(handle, streams int) (_ int, err error) {
	defer guard(handle, &err)
	e, _, err := open(handle)
	if err != nil {
		return 0, err
	}
	e.streams.Delete(streams)
	return 0, nil
}

func findStreams(handle, streams int) (*protocol.Streams, error) {
	e, _, err := open(handle)
	if err != nil {
		return nil, err
	}
	if found, ok := e.streams.Load(streams); ok {
		return found.(*protocol.Streams), nil
	}
	return nil, fault.New(fault.InvalidValue, "there are no streams %d", streams)
}

// findStream is nil without an error for a client that has ended.
func findStream(handle, streams, client int) (*protocol.Stream, error) {
	found, err := findStreams(handle, streams)
	if err != nil {
		return nil, err
	}
	return found.Find(uint64(client)), nil
}

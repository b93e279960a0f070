package api

import (
	"encoding/json"
	"strings"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bridge"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/executor"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/protocol"
)

// A socket's calls hold the GIL from beginning to end, so that they never overlap.

// ChooseSubprotocol is the one to accept of those a client offers, separated by
// spaces; "" for none.
func ChooseSubprotocol(handle int, offered string) (chosen string, err error) {
	defer guard(handle, &err)
	return protocol.Choose(strings.Fields(offered)), nil
}

// Admits tells whether a page of an origin, "" for none, may use the server that it reaches
// as host. origins are the other sites let in, separated by spaces.
func Admits(handle int, origins, origin, host string) (admitted int, err error) {
	defer guard(handle, &err)
	return truth(protocol.Origins(strings.Fields(origins)).Admit(origin, host, "")), nil
}

// OpenSocket begins a connection's protocol and returns its number. limits is JSON.
func OpenSocket(handle int, subprotocol, limits string) (socket int, err error) {
	defer guard(handle, &err)
	e, _, err := open(handle)
	if err != nil {
		return 0, err
	}
	var parsed protocol.Limits
	if err := json.Unmarshal([]byte(limits), &parsed); err != nil {
		return 0, fault.New(fault.InvalidValue, "the limits of a socket are not understood: %w", err)
	}
	made, err := protocol.NewSocket(subprotocol, parsed)
	if err != nil {
		return 0, err
	}
	socket = int(e.lastSocket.Add(1))
	e.sockets.Store(socket, made)
	return socket, nil
}

// SocketFrame takes a client's frame, a bytes object, and returns what is to be
// done: JSON as of protocol.AppendActions, "" for nothing.
func SocketFrame(handle, socket, frameAddress, binary int) (actions string, err error) {
	defer guard(handle, &err)
	s, err := findSocket(handle, socket)
	if err != nil {
		return "", err
	}
	frame, err := bridge.Bytes(frameAddress)
	if err != nil {
		return "", err
	}
	return written(s.Frame(frame, binary != 0)), nil
}

// SocketTold tells a connection what happened, and returns what is to be done.
// number is an operation's, text a timer's name, a reason or JSON, where there is one.
func SocketTold(handle, socket int, what string, number int, text string) (actions string, err error) {
	defer guard(handle, &err)
	s, err := findSocket(handle, socket)
	if err != nil {
		return "", err
	}
	switch what {
	case "open":
		return written(s.Open()), nil
	case "expired":
		return written(s.Expired(text)), nil
	case "authenticated":
		return written(s.Authenticated([]byte(text))), nil
	case "refused":
		return written(s.Refused(text)), nil
	case "broken":
		return written(s.Broken()), nil
	case "failed":
		return written(s.Failed(uint64(number), []byte(text))), nil
	case "finished":
		return written(s.Finished(uint64(number))), nil
	case "result":
		return written(s.Result(uint64(number), []byte(text))), nil
	case "shutdown":
		return written(s.Shutdown()), nil
	}
	return "", fault.New(fault.InvalidValue, "a socket cannot be told %q", what)
}

// CloseSocket forgets a connection that is gone.
func CloseSocket(handle, socket int) (_ int, err error) {
	defer guard(handle, &err)
	e, _, err := open(handle)
	if err != nil {
		return 0, err
	}
	if found, ok := e.sockets.LoadAndDelete(socket); ok {
		found.(*protocol.Socket).Lost()
	}
	return 0, nil
}

// Inspect is the root field of a client's query and its coerced arguments, as JSON. What
// it raises counts as a refusal.
func Inspect(handle int, connectionID, subscriptionID, query, operationName, variables string) (told string, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return "", err
	}
	found, err := e.Executor.Inspect(t, executor.Registration{
		Connection: connectionID, Subscription: subscriptionID,
		Query: query, Operation: operationName, Variables: variables,
	})
	return string(found), err
}

// Refuse tells and counts that a client's subscription was refused before it could be
// registered. code is an error's.
func Refuse(handle int, connectionID, subscriptionID, code, reason string) (_ int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return 0, err
	}
	e.Executor.Refuse(t, executor.Registration{Connection: connectionID, Subscription: subscriptionID}, fault.New(fault.Code(code), "%s", reason))
	return 0, nil
}

// Named tells that a connection's client has named a subscription by its engine's id:
// that of another connection is a violation. It returns 1 when the connection is cut off.
func Named(handle int, connectionID, id string) (cutOff int, err error) {
	defer guard(handle, &err)
	e, t, err := open(handle)
	if err != nil {
		return 0, err
	}
	return truth(e.Executor.Named(t, connectionID, id)), nil
}

func findSocket(handle, socket int) (*protocol.Socket, error) {
	e, _, err := open(handle)
	if err != nil {
		return nil, err
	}
	if found, ok := e.sockets.Load(socket); ok {
		return found.(*protocol.Socket), nil
	}
	return nil, fault.New(fault.InvalidValue, "there is no socket %d", socket)
}

func written(actions []protocol.Action) string {
	if len(actions) == 0 {
		return ""
	}
	return string(protocol.AppendActions(nil, actions))
}

package executor

import (
	"encoding/json"
	"errors"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/security"
)

// connected is who the client of a transport's connection is, as long as that is there.
// A client registers again and again on one connection: what it is given each time is
// not what it was when it came, but what has become of that. Immutable.
type connected struct {
	context json.RawMessage
	parsed  *security.Context
	refusal error // why it may register nothing; nil: it may
}

// Connect says who a connection's client is (a context's JSON), for transports. Until
// Disconnect whatever is registered on the connection has this context, or what
// UpdateContext and Revoke have made of it since. The error is that of a context that
// cannot be read.
func (x *Executor) Connect(t *bus.Thread, connection string, context json.RawMessage) error {
	if err := x.checkOpen(); err != nil {
		return err
	}
	parsed, err := security.ParseContext(context)
	if err != nil {
		return err
	}
	t.Lock(&x.mu)
	defer x.mu.Unlock()
	x.connected[connection] = &connected{context: context, parsed: parsed}
	return nil
}

// Client is the context of a connection's client as it is now, nil where nobody is
// known. The error is that with which it was turned away.
func (x *Executor) Client(t *bus.Thread, connection string) (json.RawMessage, error) {
	t.Lock(&x.mu)
	defer x.mu.Unlock()
	c := x.connected[connection]
	if c == nil {
		return nil, nil
	}
	return c.context, c.refusal
}

// Disconnect forgets who a connection's client was.
func (x *Executor) Disconnect(t *bus.Thread, connection string) {
	t.Lock(&x.mu)
	defer x.mu.Unlock()
	delete(x.connected, connection)
}

// errReconnected tells that a connection's client has become somebody else in the middle
// of a registration.
var errReconnected = errors.New("the connection's client is somebody else now")

// clientOf gives a registration on a transport's connection the context of its client,
// whatever it came with; nil on any other. It is to be listed for this one alone.
func (x *Executor) clientOf(t *bus.Thread, r *Registration) (*connected, error) {
	t.Lock(&x.mu)
	client := x.connected[r.Connection]
	x.mu.Unlock()
	if client == nil {
		return nil, nil
	}
	r.Options = withContext(r.Options, client.context)
	return client, client.refusal
}

// reconnect gives a connection's client another context, if it is a transport's. Whoever
// was turned away may register again.
func (x *Executor) reconnect(t *bus.Thread, connection string, context json.RawMessage, parsed *security.Context) {
	t.Lock(&x.mu)
	defer x.mu.Unlock()
	if x.connected[connection] != nil {
		x.connected[connection] = &connected{context: context, parsed: parsed}
	}
}

// revokeConnected takes from the clients that fit what Revoke takes from subscriptions.
func (x *Executor) revokeConnected(asked *security.Context, permission string, final Final) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for connection, c := range x.connected {
		switch {
		case !fits(x.policy, c.parsed, asked, permission):
		case permission == "":
			refused := *c
			refused.refusal = fault.New(fault.Code(final.Code), "%s", final.Message)
			x.connected[connection] = &refused
		default:
			less := *c
			less.parsed = c.parsed.Without(permission)
			less.context = withoutPermission(c.parsed, c.context, permission)
			x.connected[connection] = &less
		}
	}
}

// Named counts a violation where the client of a connection has named, by its engine's
// id, a subscription of another connection. True: the connection is cut off.
func (x *Executor) Named(t *bus.Thread, connection, id string) (cutOff bool) {
	t.Lock(&x.mu)
	s, err := x.find(id)
	foreign := err == nil && s.connection != connection
	x.mu.Unlock()
	return foreign && x.Violation(t, connection, ForeignSubscription)
}

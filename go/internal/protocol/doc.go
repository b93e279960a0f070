// Package protocol speaks GraphQL's subscription protocols without doing I/O.
//
// A Socket is one WebSocket connection. It is told what happened (a frame came, a
// timer ran out, the application answered an action) and returns what is to be
// done about it, in order: frames to send, timers to set, actions for the
// application. Whoever drives it owns the socket, the clock and the executor; it
// can be an ASGI server in Python or a server in Go.
//
// Whatever a client sends, a Socket never panics, keeps at most Limits.Operations
// operations and one frame's text for each, and returns nothing once it has closed.
//
// The protocols are the graphql-ws project's graphql-transport-ws
// (github.com/enisdenjo/graphql-ws, PROTOCOL.md) and the older graphql-ws of
// github.com/apollographql/subscriptions-transport-ws.
package protocol

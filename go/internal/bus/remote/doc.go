// Package remote is what buses share whose events are accepted by a server and come
// back through one reader: Redis Streams and PostgreSQL.
//
// A publish is handed to one goroutine, which lets the server accept everything that
// waits in one go. Another goroutine reads what the server accepted, whoever
// published it, in the server's order, and dispatches it: that is the bus's one
// ordered path. So every node sees one order a channel. Events that need no Python
// are dispatched by the reader itself; one that does goes to a thread of the engine,
// and what follows on its channel waits behind it, in a lane.
//
// A publisher waits by ticket until the event has been accepted, and then until the
// reader has dispatched it. It never waits on a thread that dispatches.
package remote

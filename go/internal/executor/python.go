package executor

import "github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"

// Python is the application's side as the executor needs it: the table of
// resolvers, and threads that may call it. The bridge implements it; Go tests
// use resolvers written in Go.
type Python interface {
	// Resolve calls resolvers with data, in order, and hands the result of each to
	// give, in order, when all have been called. It never fails: an error is a
	// result. give must be short and take no lock; a result's value is lent to it
	// for the length of the call. exact asks for a decoder that keeps integers of
	// any size.
	Resolve(t *bus.Thread, data []byte, calls []Call, exact bool, give func(i int, result Result))
	// Cancel ends the tasks of async calls whose answers nobody waits for.
	Cancel(t *bus.Thread, tickets []uint64)
	// Release gives back resolvers: uses[i] registrations of resolvers[i] ended.
	Release(t *bus.Thread, resolvers []int, uses []int)
	// Log writes one record to the application's log. Level is slog's.
	Log(t *bus.Thread, level int, message string)
	// Audit hands over records, a JSON list; lost is how many more there were no room
	// for.
	Audit(t *bus.Thread, lost int, records []byte)
	// Emptied says that what the application's streams have taken of subscriptions, and
	// not given out, is not to be given out.
	Emptied(t *bus.Thread, ids []string)
	// Attach makes the calling goroutine's OS thread one that may call Python,
	// until detach. ok is false when the interpreter is going away.
	Attach() (t *bus.Thread, detach func(), ok bool)
}

// Call is one resolver to be called with an event's data.
type Call struct {
	Resolver  int
	Variables []byte // JSON object, nil unless the resolver takes variables
	Info      []byte // JSON object, nil unless the resolver takes info
	Ticket    uint64 // for the answer of an async resolver, otherwise 0
}

// Kind says what a resolver's value is.
type Kind int

// The kinds, as they cross from Python.
const (
	// KindData is the JSON of the response's data.
	KindData Kind = 0
	// KindResult is the JSON of a whole execution result.
	KindResult Kind = 1
	// KindError is the UTF-8 message of an error.
	KindError Kind = 2
	// KindPending says that Settle will bring the answer.
	KindPending Kind = 3
)

// Result is what a resolver call gave.
type Result struct {
	Kind  Kind
	Value []byte
}

// ResolverFlags say what a resolver takes and how it runs.
type ResolverFlags uint8

// The flags, as they cross from Python.
const (
	TakesVariables ResolverFlags = 1 << iota
	TakesInfo
	Async
	// Projects says that the value is the root field's, to be projected through the
	// selection set.
	Projects
	// Events is for subscriptions without a resolver: what they get is the event
	// itself, from which the application makes the answer.
	Events
)

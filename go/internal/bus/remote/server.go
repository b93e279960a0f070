package remote

import (
	"context"
	"errors"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
)

// Server is the part of a bus that differs from one kind of server to another. Open
// and Read are called by one goroutine, Publish by another, by several if it is an Overlapper, and in its place turns
// if it is a Pipeliner; everything else by any, at the same time. No method is called with the GIL or a lock held, but Follows,
// Reached, After and Covers, which must be short and not wait.
//
// Errors are of three kinds. A *fault.Error is final: the server answered, and will
// answer the same again (wrong password, missing rights, a schema that is not
// installed). ErrDoubtful and ErrBusy, wrapped, are Publish's. Everything else says that the
// server could not be reached or could not do it now, and is tried again.
type Server interface {
	// Name is the kind of bus, as metrics and health name it.
	Name() string
	// Open connects for reading, and is called again after a Read that failed. The
	// first time, it returns the mark from which Read goes on: what is published from
	// now on. Later it goes on where Read left off: no gap, no duplicate.
	Open(ctx context.Context) (Mark, error)
	// Read waits for events, a few seconds at most, and returns the next ones in the
	// bus's order; none is no error. An item that is returned counts as read. The slice is
	// the server's own, and good until Read is called again.
	Read(ctx context.Context) ([]Item, error)
	// Publish lets the server accept requests, in their order, in as few round trips as
	// it can, and sets the outcome of each. It returns when ctx is done.
	Publish(ctx context.Context, requests []*Request)
	// Follow lets Read return what is published, from when Follow has returned and the
	// mark that it returns has been read, on channels that match a pattern. A nil mark
	// says that there is nothing to wait for, and a Recent one is waited for only for a while.
	// Patterns are counted: each Follow has an Unfollow. After an error nothing has changed.
	Follow(ctx context.Context, patterns []channel.Pattern) (Mark, error)
	// Unfollow lets go of patterns. Events that come nevertheless do no harm.
	Unfollow(patterns []channel.Pattern)
	// Follows reports whether Read returns a channel's events.
	Follows(channel string) bool
	// CatchUp returns the mark to be read before History is asked for what came after
	// since: of the newest that the server has, or nil if since was read before. The
	// error ErrUnrecovered says that since is no position of this server's history.
	CatchUp(ctx context.Context, since event.Position) (Mark, error)
	// History returns what was published after since, on channels that match a
	// pattern, and had been read at the mark until, in order. ErrUnrecovered: the server
	// does not keep all of it any more.
	History(ctx context.Context, since event.Position, until Mark, patterns []channel.Pattern) ([]Item, error)
	// Reached is the position of a client that has received everything up to a mark but
	// what is pending: of each channel that has events read before the mark and not yet
	// dispatched, the oldest. That one and what was read after it on its channel has not
	// been received.
	Reached(at Mark, pending []Item) event.Position
	// After is the position of a client at `at` that receives an item next.
	After(at event.Position, item Item) event.Position
	// Covers reports whether everything up to one mark has been read at another.
	Covers(at, one Mark) bool
	// State is what health() and get_metrics() tell of the server, in a map of its own:
	// texts, and int, int64, uint64, float64 or bool, which become metrics. Never a password.
	State() map[string]any
	// Close ends every call that is under way, with an error, and closes the connections; the contexts
	// of each Publish have ended before. Nothing is called afterwards but State.
	Close()
}

// Recogniser is a Server that need not read an event again which this node has published.
type Recogniser interface {
	// Recognise is called once, before Open. own finds events by their ids and writes them to
	// found, at the same places: each while it has not come back, and only once, otherwise nil. What
	// came back may still be another one, of that id or of its hash: the server compares them. own is for any
	// goroutine, and short.
	Recognise(own func(ids [][]byte, found []*event.Event))
}

// Overlapper is a Server that publishes requests while others are still being published.
type Overlapper interface {
	// Publishers is how many calls of Publish there may be at once, on any thread. What is under way
	// at the same time may be accepted in any order: it is of publishers that each wait for the outcome,
	// but for one call, and but for that one none of it is doubtful or has a chosen id. A call that
	// comes after Close fails.
	Publishers() int
}

// Pipeliner is a Server that prepares requests while others are still being published.
type Pipeliner interface {
	// Turn is the next turn to publish. Two may be under way at once: before is the other one, or nil. It is
	// short, and called with a lock held.
	Turn(before Turn) Turn
}

// Turn is a call of Publish behind another one.
type Turn interface {
	// Publish is Server.Publish, to be called once, from any goroutine. Its requests are accepted behind those of the turn
	// before, and not at all, with ErrBusy, if one of those is to be tried again. It waits for that turn to end whatever
	// ctx says.
	Publish(ctx context.Context, requests []*Request)
	// Leave ends the turn. Nothing comes of it if Publish has been called.
	Leave()
}

// Mark is a place in the order in which a server is read. It is the server's own.
type Mark any

// Recent is a mark up to which events had been published when somebody followed channels
// that are read already. Who begins behind it receives none of them.
type Recent struct{ Mark Mark }

// Item is one step of reading: the place after it, and the event if it is one.
type Item struct {
	Event *event.Event // nil: only the place
	Mark  Mark
	// Lost says that the server has lost history: what it had accepted before, and did
	// not give until here, will not come.
	Lost bool
	// Skipped reports whether an event that this node published on a channel, accepted at a
	// position, was gone before it could be read; nil: none was.
	Skipped func(channel string, at event.Position) bool
}

// Request is events to be accepted together or not at all, in order.
type Request struct {
	Events []*event.Event
	// Doubtful says that an earlier attempt may have been accepted: the server must
	// look for the events by their ids, and accept only what it does not have.
	Doubtful bool
	// Follows says of each event whether its channel was followed when this was asked: it comes back.
	Follows []bool
	// Note is the server's own: what it knew at the first attempt.
	Note any
	// Positions, one an event, and Err are the outcome. An event with a chosen id that
	// was accepted before has its old position. Positions are good until Publish is called again; those of a turn
	// as long as it counts as under way.
	Positions []event.Position
	// Repeated, one an event or nil, says which had certainly been accepted before this
	// request, and not by an attempt of it whose answer was lost.
	Repeated []bool
	Err      error
}

// Refusal is the outcome if it is final, otherwise nil.
func (r *Request) Refusal() *fault.Error {
	var final *fault.Error
	errors.As(r.Err, &final)
	return final
}

// IsOpen reports whether the request may be tried again.
func (r *Request) IsOpen() bool { return r.Err != nil && r.Refusal() == nil }

var (
	// ErrDoubtful is the outcome of a request that may have been accepted: the
	// connection was lost before the answer came.
	ErrDoubtful = errors.New("the answer was lost")
	// ErrBusy is the outcome of a request that something else holds up, and that was not
	// accepted: the server is there for others, so it is tried again soon.
	ErrBusy = errors.New("something else holds it up")
	// ErrUnrecovered says that what was asked for is not in the server's history.
	ErrUnrecovered = errors.New("history does not reach back that far")
)

// Package bus is what an event bus must do for the executor, and what it may
// ask of it. A bus has one ordered path into dispatch for every channel, so
// that every node sees one order per channel and a position identifies an event
// for resume.
package bus

import (
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
)

// Bus carries events to the executor's dispatch.
type Bus interface {
	// Name is the kind of bus, as metrics and health name it.
	Name() string
	// PublishWithExecutor is one operation: the bus accepts every event and
	// this node dispatches it, or neither and the caller gets the error. Events
	// keep the order of the slice. With WaitAccepted, on a thread that runs an
	// event loop, and inside a resolver it returns once all are accepted. An
	// event with a chosen id that was accepted before gets the position that it
	// has, and is not dispatched again.
	PublishWithExecutor(t *Thread, events []*event.Event, wait Wait) ([]Receipt, error)
	// Await lets t wait at most timeout for the event behind a receipt's ticket,
	// dispatching it on t where it is its turn. True means that there is nothing left
	// to wait for: dispatched, or what Outcome tells. The tickets of a batch are
	// awaited in its order, each by one thread at a time.
	Await(t *Thread, ticket uint64, timeout time.Duration) bool
	// Outcome tells what became of an event whose receipt has no position: its position
	// once it has been accepted, a zero one before that; the error says that it was not
	// accepted, or that this could not be found out. Asked after an Await that was true,
	// or a Finish, it ends the ticket.
	Outcome(t *Thread, ticket uint64) (event.Position, error)
	// Forsake gives up waiting: the engine dispatches the event by itself. Every
	// ticket is awaited until that is true, or forsaken.
	Forsake(ticket uint64)
	// Follow makes sure that an event whose publishing begins after it has returned,
	// on a channel that matches a pattern, is dispatched here. Each Follow has an
	// Unfollow; after an error there is nothing to let go of. It may wait for a
	// server, as long as a publish may.
	Follow(t *Thread, patterns []channel.Pattern) error
	// Unfollow lets go of patterns. It never waits.
	Unfollow(patterns []channel.Pattern)
	// Replay calls begin, while no event is being accepted, with the retained
	// events after since on channels that match a pattern, in order, and the
	// newest offset. recovered is false when history no longer reaches back to
	// since; then there are no events. begin must be short, and take no lock
	// through t. The error says that the history could not be asked; begin was not
	// called.
	Replay(t *Thread, since event.Position, patterns []channel.Pattern, begin func(events []Replayed, last uint64, recovered bool)) error
	// Cut calls f with the newest offset while no event is being accepted: what f
	// does happens between that event and the next. f must be short, and take no
	// lock through t.
	Cut(t *Thread, f func(last uint64))
	// Settled is true when every accepted event has been dispatched; otherwise f
	// is called, on any thread, once those accepted so far have been. f must not
	// block.
	Settled(t *Thread, f func()) bool
	// Stats are the bus's own counters.
	Stats() Stats
	// State is what health() tells of a server behind the bus, nil when there is none.
	State() map[string]any
	// Close refuses new events. Events already accepted are still dispatched by
	// whoever holds their turn; done reports whether none is left, and nothing that
	// the bus started. Settled tells when.
	Close() (done bool)
}

// Replayed is an event of the history, which may just be being dispatched, so that its reader takes
// it Apart; and the position of a client that has received it and all before it.
type Replayed struct {
	Event *event.Event
	At    event.Position
}

// Wait says how long a publish waits.
type Wait uint8

const (
	// WaitDispatched waits until this node has dispatched the event.
	WaitDispatched Wait = iota
	// WaitAccepted waits until the bus has accepted it.
	WaitAccepted
)

// Receipt is what a publisher gets for an accepted event.
type Receipt struct {
	// Position is zero when it is not known yet: Outcome tells, later.
	Position event.Position
	// Ticket is for Await: the event is still to be accepted, or to be dispatched
	// here, and its publisher waits for that or has a Finish. Otherwise it is 0.
	Ticket uint64
}

// Stats counts what went through a bus since it was opened.
type Stats struct {
	Published  uint64 `json:"published"`
	Dispatched uint64 `json:"dispatched"`
	Pending    int    `json:"pending"`
	Retained   int    `json:"retained"`
}

// Dispatcher is the executor as a bus sees it.
type Dispatcher interface {
	// DispatchEventToSubscriptions decides on t who receives ev, without calling
	// Python; the delivery then answers them.
	DispatchEventToSubscriptions(t *Thread, ev *event.Event) Delivery
	// Lend runs task soon on a thread of the engine's own that may call Python.
	Lend(task func(t *Thread))
}

// Delivery is one event with its audience decided.
type Delivery interface {
	// NeedsPython is true when a resolver must be called to answer it.
	NeedsPython() bool
	// Leave is for a thread with a running event loop, whose other work is not to wait
	// for long. True: it has done on t what needs Python there, and another thread is to
	// do the rest, by Deliver. False: there is little to do, t may Deliver.
	Leave(t *Thread, at event.Position) bool
	// Deliver answers the audience on t. at is the event's position. It never
	// fails: what goes wrong for a subscription is in that subscription's answer.
	Deliver(t *Thread, at event.Position)
}

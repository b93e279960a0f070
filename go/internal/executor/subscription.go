package executor

import (
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/limit"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
)

// Subscription is one client's live subscription. Its queue may be pushed to and
// popped from by any thread; the rest is guarded by Executor.mu or immutable.
type Subscription struct {
	// inbox is the queue that is read: own, until a context that may see less has
	// replaced the one before. Swapped under endings.mu.
	inbox    atomic.Pointer[queue.Queue]
	own      queue.Queue
	link     queue.Link[Subscription] // to its consumer's ready list
	executor *Executor
	// overflowing is set while responses are being lost, so that the log speaks
	// on the transition only.
	overflowing atomic.Bool
	// unrecovered is set until the first message has told that a resume was not exact.
	unrecovered atomic.Bool
	inexact     atomic.Bool // the resume was not exact
	// waits is how many responses wait beyond the queue's bound.
	waits atomic.Int32
	// withdrawn is how many of those were taken out again since it was last read.
	withdrawn atomic.Int32
	// streamed: an event loop's stream reads it, and takes more at once than it has
	// handed on.
	streamed atomic.Bool
	// eager: whoever reads it is done with what a drain hands out as soon as it is handed
	// out, or else holds it.
	eager atomic.Bool
	// texts: what a drain hands out of it becomes str, as long as it is live.
	texts  atomic.Bool
	ending atomic.Pointer[ending] // nil while it is live
	bucket limit.Bucket           // of its rate

	number     uint64
	connection string
	clientID   string

	// Under Executor.mu.
	awaited        bool           // its consumer is about to take it
	first          member         // the membership it was registered with
	current        *member        // where new events reach it; nil once it has ended, read or not
	account        *limit.Account // what the limits count it under
	previous, next *Subscription  // in its connection's list

	// Under pendingAnswers.mu.
	pending []*pendingAnswer
}

// ID is the id by which the application names the subscription, unique in the
// process.
func (s *Subscription) ID() string { return string(s.appendID(make([]byte, 0, 24))) }

func (s *Subscription) appendID(dst []byte) []byte {
	dst = append(dst, "sub-"...)
	dst = strconv.AppendInt(dst, int64(s.executor.number), 10)
	dst = append(dst, '-')
	return strconv.AppendUint(dst, s.number, 10)
}

// Recovered is false when the subscription asked to resume from a position and did
// not get everything since: history no longer reached back to it, or the queue was
// too small.
func (s *Subscription) Recovered() bool { return !s.inexact.Load() }

// spec is what s was registered with. All its memberships share it, but for the
// context.
func (s *Subscription) spec() *spec { return s.first.cohort.spec }

func (s *Subscription) policy() *queuePolicy { return s.spec().queue }

// parseID reads the number from an id of this executor.
func (x *Executor) parseID(id string) (number uint64, err error) {
	rest, isOurs := strings.CutPrefix(id, "sub-")
	executor, digits, found := strings.Cut(rest, "-")
	if isOurs && found && executor == strconv.Itoa(x.number) {
		if number, err = strconv.ParseUint(digits, 10, 64); err == nil {
			return number, nil
		}
	}
	return 0, notFound(id)
}

func notFound(id string) error {
	return fault.New(fault.SubscriptionNotFound, "there is no live subscription %q on this executor; it may have been completed", id)
}

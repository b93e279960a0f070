package executor

import (
	"sync"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
)

// plainSide is the number of the consumer of subscriptions that no event loop
// streams. It exists once its descriptor or drain is first used: an application
// that only calls next_event must not fill a list that nobody reads.
const plainSide = 0

// fairShare is how many responses one subscription hands out before the next
// ready one gets its turn.
const fairShare = 64

// consumer is an event loop, or the plain side: the subscriptions that have
// something to read, and the descriptor that says so.
type consumer struct {
	ready    queue.List[Subscription]
	notifier *queue.Notifier
	quiet    bool // a reported subscription stays quiet until it is found empty

	// mu guards the consuming side; only consumers take it.
	mu      sync.Mutex
	current []*Subscription // taken from ready, not yet drained
	tickets completions
}

// completions are the tickets of publishes that have been dispatched.
type completions struct {
	mu      sync.Mutex
	tickets []uint64
}

package executor

import (
	"sync"
	"sync/atomic"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
)

// EndReason is why a subscription ended, as metrics name it.
type EndReason string

// The reasons.
const (
	EndCompleted        EndReason = "completed"         // by the application
	EndConnectionClosed EndReason = "connection_closed" // by the application
	EndExecutorClosed   EndReason = "executor_closed"
	EndSlowConsumer     EndReason = "slow_consumer" // its queue was full under queue.Disconnect
	EndForbidden        EndReason = "forbidden"     // its new context may not have it
	EndRevoked          EndReason = "revoked"       // its user or tenant was
	EndExpired          EndReason = "expired"       // its context did
	EndInvalidated      EndReason = "invalidated"   // by the application's filter
	EndViolations       EndReason = "violations"    // its connection had too many
	EndLimit            EndReason = "limit"         // its new user has no room for it
	EndBusUnavailable   EndReason = "bus_unavailable"
)

// reasons are what a new executor's metrics show at zero.
var reasons = []string{
	string(EndCompleted), string(EndConnectionClosed), string(EndExecutorClosed), string(EndSlowConsumer),
	string(EndForbidden), string(EndRevoked), string(EndExpired), string(EndInvalidated),
	string(EndViolations), string(EndLimit), string(EndBusUnavailable),
}

// Final is the last message of a subscription that the server ended: an error
// with a code, or, without one, "complete".
type Final struct {
	Message, Code string
}

// ending is how a subscription ended. The first one that is set counts.
type ending struct {
	reason EndReason
	final  *queue.Response // nil where the application ended it
	kind   string          // the final message's type
	spec   *spec           // the subscription's last, once it is unlisted; under Executor.mu
}

func newEnding(final Final, reason EndReason) *ending {
	if final.Code == "" {
		return &ending{reason: reason, final: queue.Ready([]byte{}), kind: "complete"}
	}
	payload := appendQuoted([]byte(`[{"message":`), final.Message)
	payload = appendQuoted(append(payload, `,"extensions":{"code":`...), final.Code)
	return &ending{reason: reason, final: queue.Ready(append(payload, `}}]`...)), kind: "error"}
}

// appendHead begins the final message; its payload and "}" follow.
func (e *ending) appendHead(dst []byte, subscriptionID string) []byte {
	dst = appendQuoted(append(dst, `{"id":`...), subscriptionID)
	dst = append(append(append(dst, `,"type":"`...), e.kind...), '"')
	if e.kind == "complete" {
		return dst
	}
	return append(dst, `,"payload":`...)
}

// endings are subscriptions that the server has ended and that the tables of
// registration still hold: who finds that out may hold no lock, or the GIL.
type endings struct {
	any   atomic.Bool
	mu    sync.Mutex
	ended []*Subscription
}

// End ends a subscription for the server: no event reaches it any more, its client
// may register again under the same id, and its limits are free. What it has queued
// and then the final message are kept until they are read, its connection is closed
// or the application completes it. False: it had ended before.
func (x *Executor) End(t *bus.Thread, s *Subscription, final Final, reason EndReason) bool {
	ended := x.finish(s, newEnding(final, reason))
	x.unlistEnded(t)
	t.Settle()
	return ended
}

// finish is the part of End that needs no thread and no lock of registration:
// unlistEnded does the rest, and is to be called soon.
func (x *Executor) finish(s *Subscription, e *ending) bool {
	if !s.ending.CompareAndSwap(nil, e) {
		return false
	}
	x.ended(e.reason, 1)
	x.endings.mu.Lock()
	s.inbox.Load().Finish(e.final)
	x.endings.ended = append(x.endings.ended, s)
	x.endings.any.Store(true)
	x.endings.mu.Unlock()
	if s.waits.Load() > 0 {
		x.makeRoom(s)
	}
	s.notify()
	return true
}

// ended counts subscriptions that ended.
func (x *Executor) ended(reason EndReason, n int) {
	x.metrics.Ended(string(reason), n)
	switch reason {
	case EndCompleted, EndConnectionClosed, EndExecutorClosed:
		x.metrics.Completed(n)
	default:
		x.metrics.Errored(n)
	}
}

// unlistEnded ends what connections have that were cut off, and takes what finish has
// ended out of the tables. What that releases of
// Python's is owed to t.
func (x *Executor) unlistEnded(t *bus.Thread) {
	x.endTripped(t)
	if !x.endings.any.Load() {
		return
	}
	t.Lock(&x.endings.mu)
	ended := x.endings.ended
	x.endings.ended = nil
	x.endings.any.Store(false)
	x.endings.mu.Unlock()
	t.Lock(&x.mu)
	var uses map[int]int
	for _, s := range ended {
		uses = x.unlist(s, uses)
	}
	x.mu.Unlock()
	if len(uses) > 0 {
		t.Owe(func(t *bus.Thread) { x.release(t, uses) })
	}
}

// isRead reports that the server has ended s and all of it has been read.
func (s *Subscription) isRead() bool {
	e := s.ending.Load()
	return e != nil && e.final != nil && s.inbox.Load().Finished()
}

// forget frees what is left of subscriptions that have been read to their end.
func (x *Executor) forget(t *bus.Thread, read ...*Subscription) {
	if len(read) == 0 {
		return
	}
	x.unlistEnded(t)
	var uses map[int]int // of one whose end another thread is still at
	t.Lock(&x.mu)
	for _, s := range read {
		if x.subscriptions[s.number] == s {
			uses = x.remove(s, uses)
		}
	}
	x.mu.Unlock()
	for _, s := range read {
		s.link.Detach()
	}
	if len(uses) > 0 {
		t.Owe(func(t *bus.Thread) { x.release(t, uses) })
	}
	t.Settle()
}

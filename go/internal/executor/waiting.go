package executor

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
)

// waiting is who waits for room under queue.Block: publishers, each for the
// responses of its own event. Nobody else does: they are queued beyond the bound,
// dispatch goes on, and readers, endings and a timer tell the publisher.
type waiting struct {
	// subscriptions that have this policy; where there are none, publishing costs
	// nothing for it.
	subscriptions atomic.Int64

	// mu is held for moments only, and never across a call into Python.
	mu             sync.Mutex
	bySubscription map[*Subscription][]*waitingResponse // oldest first
	publications   map[uint64]*publication              // by ticket, of those awaited
	byBus          map[uint64]*publication              // the same by busTicket, where the bus tells the outcome
	lastTicket     uint64
}

// roomTickets are where the tickets of publications begin, beyond any of the bus.
const roomTickets = 1 << 62

// waitingResponse is queued beyond the bound.
type waitingResponse struct {
	publication  *publication
	subscription *Subscription
	inbox        *queue.Queue
	place        uint64
	deadline     time.Time
	index        int // in publication.responses
}

// publication is one event whose publisher waits until what it caused fits. nil:
// its publisher does not wait. Guarded by waiting.mu.
type publication struct {
	executor  *Executor
	ticket    uint64
	busTicket uint64 // 0: the bus has none
	delivered bool
	abandoned bool // nobody waits any more
	// remote: a server decides about the event, and busDone says that it is known how.
	remote, busDone bool
	told            bool // that it is settled; a remote event may be dispatched after that
	responses       []*waitingResponse
	timer           *time.Timer // for the earliest deadline
	due             time.Time
	settled         chan struct{}       // closed when it is delivered and all of it fits
	finish          func(ticket uint64) // told of the same
}

// waitsForRoom says whether a publisher may wait: not inside a resolver, on a
// thread of the engine, or on one with a running loop that does not await it, and
// not where acceptance is all it asked for.
func (x *Executor) waitsForRoom(t *bus.Thread, wait bus.Wait) bool {
	return x.waiting.subscriptions.Load() > 0 && wait == bus.WaitDispatched &&
		!t.Nested() && !t.Engine && (!t.Loop || t.Finish != nil)
}

// newPublication makes the publication of one event.
func (x *Executor) newPublication(t *bus.Thread) *publication {
	w := &x.waiting
	t.Lock(&w.mu)
	defer w.mu.Unlock()
	w.lastTicket++
	return &publication{executor: x, ticket: roomTickets + w.lastTicket, remote: x.remote, settled: make(chan struct{})}
}

// issue gives the publisher a ticket once the bus has its event: 0 when there is
// nothing to wait for.
func (p *publication) issue(t *bus.Thread, busTicket uint64, finish func(ticket uint64)) uint64 {
	x := p.executor
	w := &x.waiting
	t.Lock(&w.mu)
	if p.isSettled() || busTicket == 0 && len(p.responses) == 0 {
		w.mu.Unlock()
		return 0
	}
	p.busTicket, p.finish = busTicket, finish
	w.publications[p.ticket] = p
	if p.remote {
		w.byBus[busTicket] = p
	}
	w.mu.Unlock()
	if p.remote && x.bus.Await(t, busTicket, 0) {
		x.busFinished(t, busTicket) // it was told before the ticket was known
	}
	return p.ticket
}

// busFinished is told when the bus has nothing more to say of an event: it was
// dispatched, has no subscribers here, or was not accepted.
func (x *Executor) busFinished(t *bus.Thread, busTicket uint64) {
	w := &x.waiting
	t.Lock(&w.mu)
	p := w.byBus[busTicket]
	var settled []settlement
	if p != nil && !p.busDone {
		p.delivered, p.busDone = true, true
		settled = w.settle(nil, p)
	}
	w.mu.Unlock()
	tell(settled)
}

// isSettled is asked with waiting.mu held.
func (p *publication) isSettled() bool {
	return p.delivered && len(p.responses) == 0 && (p.busDone || !p.remote)
}

// hold lets the publisher wait for a response beyond the bound. False: nobody
// waits.
func (p *publication) hold(m *member, place uint64) bool {
	if p == nil {
		return false
	}
	s := m.subscription
	timeout := s.policy().timeout
	w := &p.executor.waiting
	w.mu.Lock()
	if p.abandoned {
		w.mu.Unlock()
		return false
	}
	one := &waitingResponse{
		publication: p, subscription: s, inbox: m.inbox, place: place,
		deadline: time.Now().Add(timeout), index: len(p.responses),
	}
	p.responses = append(p.responses, one)
	w.bySubscription[s] = append(w.bySubscription[s], one)
	s.waits.Add(1)
	switch {
	case p.timer == nil:
		p.timer, p.due = time.AfterFunc(timeout, p.expire), one.deadline
	case one.deadline.Before(p.due):
		p.timer.Reset(timeout)
		p.due = one.deadline
	}
	w.mu.Unlock()
	p.executor.makeRoom(s) // it may have been read before it was known to wait
	return true
}

// wasDelivered is told when the event has been dispatched.
func (p *publication) wasDelivered() {
	if p == nil {
		return
	}
	w := &p.executor.waiting
	w.mu.Lock()
	p.delivered = true
	settled := w.settle(nil, p)
	w.mu.Unlock()
	tell(settled)
}

// settlement is a publisher that may go on.
type settlement struct {
	publication *publication
	finish      func(ticket uint64)
}

// settle adds p to settled, once, if there is nothing left to wait for. w.mu is held.
func (w *waiting) settle(settled []settlement, p *publication) []settlement {
	if p.told || !p.isSettled() {
		return settled
	}
	p.told = true
	if p.timer != nil {
		p.timer.Stop()
	}
	if !p.remote { // its publisher asks for the outcome
		delete(w.publications, p.ticket)
	}
	return append(settled, settlement{p, p.finish})
}

// forget takes p out of the tables: nobody asks for it any more. w.mu is held.
func (w *waiting) forget(p *publication) {
	delete(w.publications, p.ticket)
	delete(w.byBus, p.busTicket)
}

// tell lets the publishers go on.
func tell(settled []settlement) {
	for _, one := range settled {
		close(one.publication.settled)
		if one.finish != nil {
			one.finish(one.publication.ticket)
		}
	}
}

// makeRoom looks which of the responses that wait in s have come within the bound,
// or have left. None of a subscription that has ended waits.
func (x *Executor) makeRoom(s *Subscription) {
	w := &x.waiting
	w.mu.Lock()
	var settled []settlement
	for len(w.bySubscription[s]) > 0 {
		one := w.bySubscription[s][0]
		if s.ending.Load() == nil && !one.inbox.Fits(&s.policy().Policy, one.place) {
			break // nor do those behind it
		}
		settled = w.drop(settled, one)
	}
	w.mu.Unlock()
	tell(settled)
}

// drop ends the wait for one response. w.mu is held.
func (w *waiting) drop(settled []settlement, one *waitingResponse) []settlement {
	s, p := one.subscription, one.publication
	left := slices.DeleteFunc(w.bySubscription[s], func(other *waitingResponse) bool { return other == one })
	if len(left) == 0 {
		delete(w.bySubscription, s)
	} else {
		w.bySubscription[s] = left
	}
	s.waits.Add(-1)
	last := len(p.responses) - 1
	p.responses[one.index] = p.responses[last]
	p.responses[one.index].index = one.index
	p.responses[last] = nil
	p.responses = p.responses[:last]
	return w.settle(settled, p)
}

// expire drops the responses that have waited for too long.
func (p *publication) expire() {
	x := p.executor
	defer func() {
		if cause := recover(); cause != nil {
			x.LogPanic("a wait for room panicked", cause)
		}
	}()
	w := &x.waiting
	w.mu.Lock()
	now := time.Now()
	var expired []*waitingResponse
	for _, one := range p.responses {
		if !one.deadline.After(now) {
			expired = append(expired, one)
		}
	}
	w.mu.Unlock()
	x.withdraw(expired)
	w.mu.Lock()
	if len(p.responses) > 0 {
		p.due = slices.MinFunc(p.responses, func(a, b *waitingResponse) int { return a.deadline.Compare(b.deadline) }).deadline
		p.timer.Reset(time.Until(p.due))
	} else {
		p.timer = nil // the event is still being dispatched, perhaps: hold makes the next one
	}
	w.mu.Unlock()
}

// withdraw ends waits, and drops each response that still does not fit.
func (x *Executor) withdraw(responses []*waitingResponse) {
	w := &x.waiting
	var settled []settlement
	for _, one := range responses {
		s := one.subscription
		w.mu.Lock()
		waits := slices.Contains(w.bySubscription[s], one)
		if waits {
			settled = w.drop(settled, one)
		}
		w.mu.Unlock()
		if !waits || one.inbox.Fits(&s.policy().Policy, one.place) || !s.withdraw(one.inbox, one.place) {
			continue
		}
		x.count(s, queue.Result{Dropped: 1})
		x.makeRoom(s) // for those behind it there is more now
	}
	tell(settled)
}

// abandon lets the publisher go, and drops what does not fit.
func (p *publication) abandon() {
	w := &p.executor.waiting
	w.mu.Lock()
	p.abandoned, p.finish = true, nil
	w.forget(p)
	responses := slices.Clone(p.responses)
	w.mu.Unlock()
	p.executor.withdraw(responses)
}

// publication is the one with a ticket, nil when there is nothing to wait for.
func (x *Executor) publication(t *bus.Thread, ticket uint64) *publication {
	if ticket < roomTickets {
		return nil
	}
	t.Lock(&x.waiting.mu)
	defer x.waiting.mu.Unlock()
	return x.waiting.publications[ticket]
}

// HasRoom reports that the event behind a ticket waits for no room.
func (x *Executor) HasRoom(t *bus.Thread, ticket uint64) bool {
	p := x.publication(t, ticket)
	if p == nil {
		return true
	}
	t.Lock(&x.waiting.mu)
	defer x.waiting.mu.Unlock()
	return p.isSettled()
}

// AwaitRoom waits at most timeout until all that the event behind a ticket caused
// fits into its queues, or was dropped after the time that their policies give it.
func (x *Executor) AwaitRoom(t *bus.Thread, ticket uint64, timeout time.Duration) bool {
	p := x.publication(t, ticket)
	if p == nil {
		return true
	}
	settled := false
	t.Unlocked(func() {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		select {
		case <-p.settled:
			settled = true
		case <-timer.C:
		}
	})
	return settled
}

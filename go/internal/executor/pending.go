package executor

import (
	"sync"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/event"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
)

// pendingAnswers are the async answers that have not come yet.
type pendingAnswers struct {
	// mu is held for moments only, and never across a call into Python.
	mu         sync.Mutex
	lastTicket uint64
	answers    map[uint64]*pendingAnswer
	emptied    chan struct{} // closed when the last answer has come; made by who waits
}

// answered is closed once no answer is waited for; nil: none is.
func (p *pendingAnswers) answered(t *bus.Thread) <-chan struct{} {
	t.Lock(&p.mu)
	defer p.mu.Unlock()
	if len(p.answers) == 0 {
		return nil
	}
	if p.emptied == nil {
		p.emptied = make(chan struct{})
	}
	return p.emptied
}

// forget ends the wait for an answer. p.mu is held.
func (p *pendingAnswers) forget(pending *pendingAnswer) {
	delete(p.answers, pending.ticket)
	if pending.timer != nil {
		pending.timer.Stop()
	}
	if len(p.answers) == 0 && p.emptied != nil {
		close(p.emptied)
		p.emptied = nil
	}
}

// pendingAnswer is one async call and the places in queues that wait for it.
type pendingAnswer struct {
	ticket uint64
	answer *answer
	at     event.Position
	timer  *time.Timer
	places []place
	live   int // places whose subscription is still there
}

type place struct {
	subscription *Subscription
	inbox        *queue.Queue
	response     *queue.Response
}

// open makes a pending answer.
func (p *pendingAnswers) open(t *bus.Thread, a *answer, at event.Position) *pendingAnswer {
	t.Lock(&p.mu)
	defer p.mu.Unlock()
	p.lastTicket++
	pending := &pendingAnswer{ticket: p.lastTicket, answer: a, at: at}
	p.answers[pending.ticket] = pending
	return pending
}

// add keeps the place of a pending answer in m's inbox.
func (p *pendingAnswers) add(t *bus.Thread, pending *pendingAnswer, m *member, response *queue.Response) {
	t.Lock(&p.mu)
	defer p.mu.Unlock()
	pending.places = append(pending.places, place{m.subscription, m.inbox, response})
	pending.live++
	m.subscription.pending = append(m.subscription.pending, pending)
}

// startTimeout makes the answer an error unless it settles in time. All its
// places are queued by then.
func (x *Executor) startTimeout(t *bus.Thread, pending *pendingAnswer) {
	timeout := x.options.resolverTimeout()
	if timeout <= 0 {
		return
	}
	t.Lock(&x.pending.mu)
	defer x.pending.mu.Unlock()
	pending.timer = time.AfterFunc(timeout, func() { x.expire(pending.ticket) })
}

// take ends the wait for an answer. nil: it was settled, expired or dropped.
func (p *pendingAnswers) take(t *bus.Thread, ticket uint64) *pendingAnswer {
	t.Lock(&p.mu)
	defer p.mu.Unlock()
	pending := p.answers[ticket]
	if pending == nil {
		return nil
	}
	p.forget(pending)
	for _, place := range pending.places {
		place.subscription.forgetPending(pending)
	}
	return pending
}

// drop ends what s waits for and adds the tickets of answers that nobody else
// waits for to cancelled.
func (p *pendingAnswers) drop(t *bus.Thread, s *Subscription, cancelled []uint64) []uint64 {
	t.Lock(&p.mu)
	defer p.mu.Unlock()
	for _, pending := range s.pending {
		if pending.live--; pending.live > 0 {
			continue
		}
		p.forget(pending)
		cancelled = append(cancelled, pending.ticket)
	}
	s.pending = nil
	return cancelled
}

// forgetPending is called under pendingAnswers.mu.
func (s *Subscription) forgetPending(pending *pendingAnswer) {
	for i, one := range s.pending {
		if one == pending {
			last := len(s.pending) - 1
			s.pending[i] = s.pending[last]
			s.pending[last] = nil
			s.pending = s.pending[:last]
			return
		}
	}
}

// Settle brings the answer of an async resolver to its places. False: nobody
// waits for it any more.
func (x *Executor) Settle(t *bus.Thread, ticket uint64, result Result) bool {
	pending := x.pending.take(t, ticket)
	if pending == nil {
		return false
	}
	x.fill(pending, x.payload(pending.answer, result, pending.at))
	x.unlistEnded(t)
	t.Settle()
	return true
}

// fill puts the answer into every place, and wakes those it can be read by.
func (x *Executor) fill(pending *pendingAnswer, payload []byte) {
	response := queue.Ready(payload)
	for _, place := range pending.places {
		x.settlePlace(place.subscription, place.inbox, place.response, response)
	}
}

// settlePlace brings one answer to its place.
func (x *Executor) settlePlace(s *Subscription, inbox *queue.Queue, place, answer *queue.Response) queue.Result {
	result := inbox.Settle(&s.policy().Policy, place, answer)
	x.count(s, result)
	if s.waits.Load() > 0 {
		x.makeRoom(s) // an answer that is dropped leaves room
	}
	s.notify()
	return result
}

// expire puts an error in the place of an answer that did not come in time.
func (x *Executor) expire(ticket uint64) {
	defer func() {
		if cause := recover(); cause != nil {
			x.LogPanic("a resolver's timeout panicked", cause)
		}
	}()
	pending := x.pending.take(&bus.Thread{}, ticket)
	if pending == nil {
		return
	}
	x.metrics.ResolverError()
	x.fill(pending, pending.answer.failure("the resolver did not answer in time", "RESOLVER_TIMEOUT", pending.at))
	x.Lend(func(t *bus.Thread) {
		x.unlistEnded(t)
		x.python.Cancel(t, []uint64{ticket})
		t.Settle()
	})
}

// expirePending cancels every async answer, when the executor closes.
func (x *Executor) expirePending(t *bus.Thread) {
	t.Lock(&x.pending.mu)
	tickets := make([]uint64, 0, len(x.pending.answers))
	for ticket, pending := range x.pending.answers {
		tickets = append(tickets, ticket)
		x.pending.forget(pending)
	}
	x.pending.mu.Unlock()
	if len(tickets) > 0 {
		x.python.Cancel(t, tickets)
	}
}

package executor

import (
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
)

// How the application ends subscriptions.
var (
	completed        = &ending{reason: EndCompleted}
	connectionClosed = &ending{reason: EndConnectionClosed}
	executorClosed   = &ending{reason: EndExecutorClosed}
	// busUnavailable is of a registration whose resume failed.
	busUnavailable = &ending{reason: EndBusUnavailable}
)

// find is the subscription with an id: a live one, or one that the server has
// ended and that has not been read to its end. x.mu is held.
func (x *Executor) find(id string) (*Subscription, error) {
	number, err := x.parseID(id)
	if err != nil {
		return nil, err
	}
	s := x.subscriptions[number]
	if s == nil {
		return nil, notFound(id)
	}
	return s, nil
}

// Find is the subscription with an id, live or not yet read to its end, or
// SubscriptionNotFound.
func (x *Executor) Find(t *bus.Thread, id string) (*Subscription, error) {
	if err := x.checkUsable(); err != nil {
		return nil, err
	}
	t.Lock(&x.mu)
	defer x.mu.Unlock()
	return x.find(id)
}

// CompleteSubscription ends a subscription at once: what is queued is discarded,
// its async answers are cancelled, and nothing of it remains. That goes for one
// that the server has ended and that has not been read to its end, too. False:
// there is no such subscription.
func (x *Executor) CompleteSubscription(t *bus.Thread, id string) bool {
	t.Lock(&x.mu)
	s, err := x.find(id)
	if err != nil {
		x.mu.Unlock()
		return false
	}
	uses := x.remove(s, nil)
	x.mu.Unlock()
	x.discard(t, []*Subscription{s}, uses, completed)
	return true
}

// abort ends a subscription whose registration fails after all. Who registers it
// takes its resolver back.
func (x *Executor) abort(t *bus.Thread, s *Subscription, how *ending) {
	t.Lock(&x.mu)
	if x.subscriptions[s.number] == s {
		x.remove(s, nil)
	}
	x.mu.Unlock()
	x.discard(t, []*Subscription{s}, nil, how)
}

// CloseConnection completes every subscription of a connection, and returns them.
func (x *Executor) CloseConnection(t *bus.Thread, connection string) (ended []*Subscription) {
	t.Lock(&x.mu)
	var uses map[int]int
	for s := x.connections[connection]; s != nil; s = x.connections[connection] {
		uses = x.remove(s, uses)
		ended = append(ended, s)
	}
	x.mu.Unlock()
	x.discard(t, ended, uses, connectionClosed)
	return ended
}

func (x *Executor) completeAll(t *bus.Thread) {
	t.Lock(&x.mu)
	ended := make([]*Subscription, 0, len(x.subscriptions))
	var uses map[int]int
	for _, s := range x.subscriptions {
		uses = x.remove(s, uses)
		ended = append(ended, s)
	}
	x.mu.Unlock()
	x.discard(t, ended, uses, executorClosed)
}

// remove takes s out of every table and adds the resolvers it used to uses. x.mu
// is held.
func (x *Executor) remove(s *Subscription, uses map[int]int) map[int]int {
	uses = x.unlist(s, uses)
	delete(x.subscriptions, s.number)
	if s.next != nil {
		s.next.previous = s.previous
	}
	switch {
	case s.previous != nil:
		s.previous.next = s.next
	case s.next != nil:
		x.connections[s.connection] = s.next
	default:
		delete(x.connections, s.connection)
	}
	s.previous, s.next = nil, nil
	return uses
}

// unlist takes s out of the tables that lead events and registrations to it, once.
// Until it is removed its id and its connection still lead to what it has queued.
// x.mu is held.
func (x *Executor) unlist(s *Subscription, uses map[int]int) map[int]int {
	if s.current == nil {
		return uses
	}
	delete(x.clients, clientKey{s.connection, s.clientID})
	x.limits.book.Release(s.account, x.limits.elapsed())
	x.bus.Unfollow(s.spec().patterns)
	if s.policy().Overflow == queue.Block {
		x.waiting.subscriptions.Add(-1)
	}
	for m := s.current; m != nil; m = m.before {
		x.leave(m)
		if resolver := m.cohort.answer.resolver; resolver != 0 && !m.moved {
			if uses == nil {
				uses = make(map[int]int, 1)
			}
			uses[resolver]++
		}
	}
	if e := s.ending.Load(); e != nil && e.final != nil {
		e.spec = s.current.cohort.spec
	}
	s.current = nil
	return uses
}

// discard frees what subscriptions that the application ended held outside the
// tables.
func (x *Executor) discard(t *bus.Thread, discarded []*Subscription, uses map[int]int, how *ending) {
	var cancelled []uint64
	ended := 0
	for _, s := range discarded {
		if s.ending.CompareAndSwap(nil, how) {
			ended++
		}
		s.inbox.Load().Close()
		cancelled = x.pending.drop(t, s, cancelled)
		if s.waits.Load() > 0 {
			x.makeRoom(s)
		}
		s.link.Detach()
	}
	x.ended(how.reason, ended)
	if len(cancelled) > 0 {
		x.python.Cancel(t, cancelled)
	}
	x.release(t, uses)
}

// release gives resolvers back.
func (x *Executor) release(t *bus.Thread, uses map[int]int) {
	if len(uses) == 0 {
		return
	}
	resolvers, counts := make([]int, 0, len(uses)), make([]int, 0, len(uses))
	for resolver, count := range uses {
		resolvers = append(resolvers, resolver)
		counts = append(counts, count)
	}
	x.python.Release(t, resolvers, counts)
}

// SubscriptionsByChannel are the ids of those that an event on the channel would
// reach, before filters and security.
func (x *Executor) SubscriptionsByChannel(name string) ([]string, error) {
	if err := channel.Validate(name); err != nil {
		return nil, err
	}
	var ids []string
	for _, c := range x.index.AppendMatches(nil, name) {
		c.members.each(func(m *member) {
			if m.until.Load() == 0 {
				ids = append(ids, m.subscription.ID())
			}
		})
	}
	return ids, nil
}

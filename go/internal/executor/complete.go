package executor

import (
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/channel"
)

// find is the live subscription with an id. x.mu is held.
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

// Find is the live subscription with an id, or SubscriptionNotFound.
func (x *Executor) Find(t *bus.Thread, id string) (*Subscription, error) {
	if err := x.checkUsable(); err != nil {
		return nil, err
	}
	t.Lock(&x.mu)
	defer x.mu.Unlock()
	return x.find(id)
}

// CompleteSubscription ends a subscription at once: what is queued is discarded,
// its async answers are cancelled, and nothing of it remains. False: there is no
// such live subscription.
func (x *Executor) CompleteSubscription(t *bus.Thread, id string) bool {
	t.Lock(&x.mu)
	s, err := x.find(id)
	if err != nil {
		x.mu.Unlock()
		return false
	}
	uses := x.remove(s, nil)
	x.mu.Unlock()
	x.discard(t, []*Subscription{s}, uses)
	return true
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
	x.discard(t, ended, uses)
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
	x.discard(t, ended, uses)
}

// remove takes s out of every table and adds the resolvers it used to uses. x.mu
// is held.
func (x *Executor) remove(s *Subscription, uses map[int]int) map[int]int {
	delete(x.subscriptions, s.number)
	delete(x.clients, clientKey{s.connection, s.clientID})
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
	for _, m := range append(s.past, s.current) {
		x.leave(m)
		if resolver := m.cohort.answer.resolver; resolver != 0 {
			if uses == nil {
				uses = make(map[int]int, 1)
			}
			uses[resolver]++
		}
	}
	s.past = nil
	return uses
}

// discard frees what ended subscriptions held outside the tables.
func (x *Executor) discard(t *bus.Thread, ended []*Subscription, uses map[int]int) {
	var cancelled []uint64
	for _, s := range ended {
		s.queue.Close()
		cancelled = x.pending.drop(t, s, cancelled)
		s.link.Detach()
	}
	x.metrics.Completed(len(ended))
	if len(cancelled) > 0 {
		x.python.Cancel(t, cancelled)
	}
	if len(uses) > 0 {
		resolvers, counts := make([]int, 0, len(uses)), make([]int, 0, len(uses))
		for resolver, count := range uses {
			resolvers = append(resolvers, resolver)
			counts = append(counts, count)
		}
		x.python.Release(t, resolvers, counts)
	}
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

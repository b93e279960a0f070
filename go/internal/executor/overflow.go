package executor

import (
	"sync"
	"time"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
)

// wakes are consumers to be told, together, that their subscriptions have something
// to read.
type wakes = queue.Chain[Subscription]

// QueueResponse gives a response to a membership's inbox; its consumer is told
// with the others of wakes. p, unless it is nil, is the publication whose publisher
// waits where the queue's policy wants that. False: the response was dropped, or
// the subscription has ended.
func (x *Executor) QueueResponse(m *member, response *queue.Response, p *publication, wakes *wakes) bool {
	s := m.subscription
	bounds := &s.policy().Policy
	if p == nil || s.withdrawn.Load() >= maxWithdrawn {
		bounds = &s.policy().unwaited
	}
	result := m.inbox.Push(bounds, response)
	if result.Outcome == queue.Waiting && !p.hold(m, result.Place) && s.withdraw(m.inbox, result.Place) {
		result.Outcome = queue.Dropped
	}
	x.count(s, result)
	switch result.Outcome {
	case queue.Accepted, queue.Waiting:
		wakes.Add(&s.link)
		return true
	default:
		return false
	}
}

// maxWithdrawn is how many responses may be withdrawn from a queue before somebody
// reads from it: each leaves an empty cell behind. From there on nobody waits.
const maxWithdrawn = 1024

// withdraw takes out a response that waits beyond the bound. False: it has left.
func (s *Subscription) withdraw(inbox *queue.Queue, place uint64) bool {
	if !inbox.Withdraw(place) {
		return false
	}
	s.withdrawn.Add(1)
	// It may have been a place at the head by now: its reader has found nothing, and waits.
	if inbox.HasReady() {
		s.notify()
	}
	return true
}

// slowConsumer ends subscriptions under queue.Disconnect: a client must not miss
// an event without knowing.
func slowConsumer() *ending {
	return newEnding(Final{
		Message: "the subscription was ended because its responses were not read fast enough",
		Code:    "SLOW_CONSUMER",
	}, EndSlowConsumer)
}

// count records what a queue dropped, and logs when a subscription starts to
// lose responses. Under queue.Disconnect it ends the subscription.
func (x *Executor) count(s *Subscription, result queue.Result) {
	drops := result.Drops()
	policy := s.policy()
	if drops > 0 {
		x.metrics.Dropped(policy.name, drops)
	}
	if policy.Overflow == queue.Disconnect {
		if drops > 0 && x.finish(s, slowConsumer()) {
			x.slow.log(x, s)
		}
		return
	}
	// What a newer response replaces is not lost: that is what Latest is for.
	if drops > 0 && policy.Overflow != queue.Latest && !s.overflowing.Swap(true) {
		x.slow.log(x, s)
	}
}

// slowLogInterval is how often the log tells of slow subscriptions.
const slowLogInterval = 5 * time.Second

// slowLog tells of subscriptions that begin to lose responses: of the first by
// name, of those that follow within an interval by their number.
type slowLog struct {
	interval time.Duration
	mu       sync.Mutex
	timer    *time.Timer // nil: the next one is told by name
	more     int
}

func (l *slowLog) log(x *Executor, s *Subscription) {
	l.mu.Lock()
	first := l.timer == nil
	if first {
		l.timer = time.AfterFunc(l.interval, func() { l.flush(x) })
	} else {
		l.more++
	}
	l.mu.Unlock()
	if first {
		what := "a subscription reads too slowly and loses responses"
		if s.policy().Overflow == queue.Disconnect {
			what = "a subscription read too slowly and was ended"
		}
		x.log.Warn(what, "subscription", s.ID(), "connection", s.connection, "policy", s.policy().name)
	}
}

// flush tells of those that were only counted.
func (l *slowLog) flush(x *Executor) {
	l.mu.Lock()
	more := l.more
	if l.timer != nil {
		l.timer.Stop()
	}
	l.timer, l.more = nil, 0
	l.mu.Unlock()
	if more > 0 {
		x.log.Warn("more subscriptions read too slowly: they lose responses or were ended", "subscriptions", more)
	}
}

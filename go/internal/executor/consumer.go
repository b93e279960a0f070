package executor

import (
	"errors"
	"iter"
	"sync"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/fault"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
)

// plainSide is the number of the consumer of subscriptions that no event loop
// streams. It exists once its descriptor or drain is first used: an application
// that only calls next_event must not fill a list that nobody reads.
const plainSide = 0

// consumer is an event loop, or the plain side: the subscriptions that have
// something to read, and the descriptor that says so.
type consumer struct {
	ready    *queue.List[Subscription]
	notifier *queue.Notifier
	// quiet: a reported subscription stays quiet until NextResponses finds it
	// empty, so that an event loop is handed no more than it has asked for; one that is
	// eager until it has been handed out.
	quiet bool

	// mu makes draining exclusive. Only consumers take it, never a dispatcher.
	mu sync.Mutex
	// handed are the eager ones of a drain: scratch.
	handed []*Subscription

	completed completions
}

func newConsumer(quiet bool) (*consumer, error) {
	notifier, err := queue.NewNotifier()
	if err != nil {
		return nil, fault.New(fault.Engine, "no file descriptor for wake-ups: %w", err)
	}
	return &consumer{ready: queue.NewList[Subscription](notifier), notifier: notifier, quiet: quiet}, nil
}

// OpenConsumer makes a consumer with a descriptor of its own, for an event loop.
func (x *Executor) OpenConsumer(t *bus.Thread) (number int, err error) {
	c, err := newConsumer(true)
	if err != nil {
		return 0, err
	}
	t.Lock(&x.consumersMu)
	defer x.consumersMu.Unlock()
	// Under the lock: closing closes the consumers that it finds there.
	if err := x.checkOpen(); err != nil {
		return 0, errors.Join(err, c.notifier.Close())
	}
	x.lastConsumer++
	x.consumers[x.lastConsumer] = c
	return x.lastConsumer, nil
}

// consumer is the one with a number; the plain side is made when first asked for.
func (x *Executor) consumer(t *bus.Thread, number int) (*consumer, error) {
	t.Lock(&x.consumersMu)
	c := x.consumers[number]
	x.consumersMu.Unlock()
	if c != nil {
		return c, nil
	}
	if number != plainSide {
		return nil, fault.New(fault.InvalidValue, "there is no consumer %d; it may have been closed", number)
	}
	return x.openPlainSide(t)
}

func (x *Executor) openPlainSide(t *bus.Thread) (*consumer, error) {
	c, err := newConsumer(false)
	if err != nil {
		return nil, err
	}
	t.Lock(&x.consumersMu)
	if err := x.checkOpen(); err != nil {
		x.consumersMu.Unlock()
		return nil, errors.Join(err, c.notifier.Close())
	}
	if first := x.consumers[plainSide]; first != nil {
		x.consumersMu.Unlock()
		return first, c.notifier.Close()
	}
	x.consumers[plainSide] = c
	x.consumersMu.Unlock()
	t.Lock(&x.mu)
	x.plain = c // registrations from here on sit down there by themselves
	for _, s := range x.subscriptions {
		if s.link.List() == nil && !s.awaited {
			s.attach(c)
		}
	}
	x.mu.Unlock()
	return c, nil
}

// attach makes c, which may be nil, the consumer of s.
func (s *Subscription) attach(c *consumer) {
	s.streamed.Store(c != nil && c.quiet)
	if c == nil {
		s.link.Detach()
		return
	}
	s.link.Attach(c.ready, s)
	if s.inbox.Load().HasReady() {
		s.notify()
	}
}

// Descriptor is readable while the consumer has something to drain. It belongs to
// the executor: never close it.
func (x *Executor) Descriptor(t *bus.Thread, number int) (int, error) {
	c, err := x.consumer(t, number)
	if err != nil {
		return 0, err
	}
	return c.notifier.FD(), nil
}

// Signal makes a consumer's descriptor readable, if it is open: its reader has something
// that the executor does not know of.
func (x *Executor) Signal(t *bus.Thread, number int) {
	t.Lock(&x.consumersMu)
	c := x.consumers[number]
	x.consumersMu.Unlock()
	if c != nil {
		c.notifier.Signal()
	}
}

// Attach gives the responses of a subscription to a consumer. For an event loop that says
// eager, each drain hands out more of it, until Hold; as text, if it says texts.
func (x *Executor) Attach(t *bus.Thread, id string, number int, eager, texts bool) error {
	t.Lock(&x.consumersMu)
	c := x.consumers[number]
	x.consumersMu.Unlock()
	if c == nil && number != plainSide {
		return fault.New(fault.InvalidValue, "there is no consumer %d; it may have been closed", number)
	}
	t.Lock(&x.mu)
	defer x.mu.Unlock()
	if number == plainSide {
		c = x.plain // it may have been made since, and have passed this one over
	}
	s, err := x.find(id)
	if err != nil {
		return err
	}
	s.awaited = false
	s.eager.Store(eager)
	s.texts.Store(texts)
	s.attach(c)
	return nil
}

// Hold keeps back what is queued for eager subscriptions whose readers have not handed on
// what they were given, until NextResponses finds them empty. Those that have ended
// meanwhile are passed over.
func (x *Executor) Hold(t *bus.Thread, ids iter.Seq[string]) {
	t.Lock(&x.mu)
	defer x.mu.Unlock()
	for id := range ids {
		if s, err := x.find(id); err == nil {
			s.link.Hold()
		}
	}
}

// CloseConsumer closes a consumer's descriptor, which nobody may be watching any
// more. Its subscriptions go back to the plain side.
func (x *Executor) CloseConsumer(t *bus.Thread, number int) {
	t.Lock(&x.consumersMu)
	c := x.consumers[number]
	delete(x.consumers, number)
	x.consumersMu.Unlock()
	if c == nil {
		return
	}
	t.Lock(&x.mu)
	if x.plain == c {
		x.plain = nil
	}
	for _, s := range x.subscriptions {
		if s.link.List() == c.ready {
			s.eager.Store(false)
			s.texts.Store(false)
			s.attach(x.plain)
		}
	}
	x.mu.Unlock()
	if err := c.notifier.Close(); err != nil {
		x.log.Error("closing a consumer's descriptor failed", "error", err)
	}
}

func (x *Executor) closeConsumers(t *bus.Thread) {
	t.Lock(&x.consumersMu)
	numbers := make([]int, 0, len(x.consumers))
	for number := range x.consumers {
		numbers = append(numbers, number)
	}
	x.consumersMu.Unlock()
	for _, number := range numbers {
		x.CloseConsumer(t, number)
	}
}

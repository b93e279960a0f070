package executor

import (
	"errors"
	"sync"
	"sync/atomic"

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
	ready    *queue.List[Subscription]
	notifier *queue.Notifier
	// quiet: a reported subscription stays quiet until NextResponses finds it
	// empty, so that an event loop is handed no more than it has asked for.
	quiet bool

	// mu makes draining exclusive. Only consumers take it, never a dispatcher.
	mu sync.Mutex

	completed completions
}

func newConsumer(quiet bool) (*consumer, error) {
	notifier, err := queue.NewNotifier()
	if err != nil {
		return nil, fault.New(fault.Engine, "no file descriptor for wake-ups: %w", err)
	}
	return &consumer{ready: queue.NewList[Subscription](notifier), notifier: notifier, quiet: quiet}, nil
}

// completions are the tickets of publishes that have been dispatched.
type completions struct {
	mu      sync.Mutex
	tickets []uint64
	any     atomic.Bool
}

// Message is a response as it is handed out: Head, the shared Payload, and "}"
// are the bytes of a graphql-transport-ws "next" message. Name is the
// subscription's id; nil means the one of the message before.
type Message struct {
	Name, Head, Payload []byte
}

// QueueResponse gives a response to a subscription's queue and wakes its
// consumer. False: it was dropped, or the subscription has ended.
func (x *Executor) QueueResponse(s *Subscription, response *queue.Response) bool {
	result := s.queue.Push(s.policy(), response)
	x.count(s, result)
	if result.Outcome != queue.Accepted {
		return false
	}
	s.notify()
	return true
}

// count records what a queue dropped, and logs when a subscription starts to
// lose responses.
func (x *Executor) count(s *Subscription, result queue.Result) {
	drops := result.Drops()
	if drops == 0 {
		return
	}
	policy := overflowNames[s.policy().Overflow]
	x.metrics.Dropped(policy, drops)
	if !s.overflowing.Swap(true) {
		x.log.Warn("a subscription reads too slowly and loses responses",
			"subscription", s.ID(), "connection", s.connection, "policy", policy)
	}
}

// notify puts s on its consumer's ready list.
func (s *Subscription) notify() {
	if list := s.link.Schedule(); list != nil {
		list.Signal()
	}
}

// NextResponse takes the oldest response of s; false when there is none.
func (x *Executor) NextResponse(s *Subscription) (Message, bool) {
	messages := x.NextResponses(s, 1)
	if len(messages) == 0 {
		return Message{}, false
	}
	return messages[0], true
}

// NextResponses takes at most maximum responses of s, oldest first. When there are
// fewer, s is re-armed: the next response makes its consumer readable again.
func (x *Executor) NextResponses(s *Subscription, maximum int) []Message {
	messages := x.take(nil, s, nil, maximum)
	if len(messages) < maximum {
		s.link.Rearm()
		if s.queue.HasReady() {
			s.notify()
		}
	}
	return messages
}

// take appends at most maximum responses of s to messages. name is set on the
// first.
func (x *Executor) take(messages []Message, s *Subscription, name []byte, maximum int) []Message {
	var head []byte
	for range maximum {
		response, ok := s.queue.Pop()
		if !ok {
			s.overflowing.Store(false)
			return messages
		}
		if head == nil {
			head = appendEnvelopeHead(make([]byte, 0, 48+len(s.clientID)), s.clientID)
		}
		payload := response.Payload()
		if s.unrecovered.Load() && s.unrecovered.Swap(false) {
			payload = addExtension(payload, "recovered", []byte("false"))
		}
		messages = append(messages, Message{Name: name, Head: head, Payload: payload})
		name = nil
	}
	return messages
}

// Drain clears the consumer's descriptor and takes at most maximum responses over
// all of its ready subscriptions, fair between them, and the tickets of publishes
// that have been dispatched. While something is left the descriptor is readable.
func (x *Executor) Drain(t *bus.Thread, number, maximum int) (messages []Message, tickets []uint64, err error) {
	c, err := x.consumer(t, number)
	if err != nil {
		return nil, nil, err
	}
	t.Lock(&c.mu)
	defer c.mu.Unlock()
	c.notifier.Clear()
	tickets = c.completed.take(t)
	for len(messages) < maximum {
		var s *Subscription
		if c.quiet {
			s = c.ready.NextQuiet()
		} else {
			s = c.ready.Next()
		}
		if s == nil {
			break
		}
		before := len(messages)
		messages = x.take(messages, s, s.appendID(nil), min(fairShare, maximum-before))
		if c.quiet {
			if len(messages) > before {
				continue // its loop is told, and will look again by itself
			}
			// Its oldest response is a place still being computed, or another
			// reader was faster: the loop is not told, so it must not stay quiet.
			s.link.Rearm()
		}
		if s.queue.HasReady() {
			s.notify()
		}
	}
	if c.ready.HasNext() {
		c.notifier.Signal()
	}
	return messages, tickets, nil
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
		if s.link.List() == nil {
			s.attach(c)
		}
	}
	x.mu.Unlock()
	return c, nil
}

// attach makes c, which may be nil, the consumer of s.
func (s *Subscription) attach(c *consumer) {
	if c == nil {
		s.link.Detach()
		return
	}
	s.link.Attach(c.ready, s)
	if s.queue.HasReady() {
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

// Attach gives the responses of a subscription to a consumer.
func (x *Executor) Attach(t *bus.Thread, id string, number int) error {
	t.Lock(&x.consumersMu)
	c := x.consumers[number]
	x.consumersMu.Unlock()
	if c == nil && number != plainSide {
		return fault.New(fault.InvalidValue, "there is no consumer %d; it may have been closed", number)
	}
	t.Lock(&x.mu)
	defer x.mu.Unlock()
	s, err := x.find(id)
	if err != nil {
		return err
	}
	s.attach(c)
	return nil
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

// Completion is what a publish calls when its event has been dispatched after it
// returned: the consumer's next drain reports the ticket.
func (x *Executor) Completion(number int) func(ticket uint64) {
	return func(ticket uint64) {
		// Runs on any thread, also one that holds the GIL: these locks are held
		// for moments only, by code that needs no GIL to go on.
		x.consumersMu.Lock()
		c := x.consumers[number]
		x.consumersMu.Unlock()
		if c == nil {
			return
		}
		c.completed.mu.Lock()
		c.completed.tickets = append(c.completed.tickets, ticket)
		c.completed.any.Store(true)
		c.completed.mu.Unlock()
		c.notifier.Signal()
	}
}

func (c *completions) take(t *bus.Thread) []uint64 {
	if !c.any.Load() {
		return nil
	}
	t.Lock(&c.mu)
	defer c.mu.Unlock()
	tickets := c.tickets
	c.tickets = nil
	c.any.Store(false)
	return tickets
}

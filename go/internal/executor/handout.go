package executor

import (
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/bus"
	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
)

// fairShare is how many responses one subscription hands out before the next
// ready one gets its turn.
const fairShare = 64

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

package interleave

import (
	"fmt"
	"math"
	"testing"
)

// A subject is a queue under test with what tests know of it.
type subject struct {
	q      Queue
	policy Policy
	places map[int]*Response // by value
	start  model
	drops  int // reported, by all calls
	in     int // responses that were accepted or dropped
	out    int // popped or discarded
}

func newSubject(limit int, overflow Overflow) *subject {
	return &subject{
		policy: Policy{MaxResponses: limit, MaxBytes: math.MaxInt32, Overflow: overflow},
		places: map[int]*Response{},
		start:  model{limit: limit, latest: overflow == Latest},
	}
}

// prepared adds ready responses, or a pending one where the value is negative,
// after as many pushes and pops as shift the place in the first segments.
func (s *subject) prepared(shift int, values ...int) *subject {
	for range shift {
		s.q.Push(&s.policy, Ready([]byte{0}))
		s.q.Pop()
	}
	for _, value := range values {
		e := entry{max(value, -value), value < 0}
		r := ready(e.value)
		if e.pending {
			r = place(e.value)
			s.places[e.value] = r
		}
		s.q.Push(&s.policy, r)
		s.start.queued = append(s.start.queued, e)
	}
	s.in = len(values)
	return s
}

func (s *subject) push(value int) func(*thread) {
	return s.pushing(value, ready)
}

func (s *subject) reserve(value int) func(*thread) {
	return s.pushing(value, place)
}

// A response's key is its value's, so that those of the model are known.
func ready(value int) *Response { return ReadyKeyed([]byte{byte(value)}, key(value)) }
func place(value int) *Response { return PendingKeyed(key(value)) }
func key(value int) string      { return "abc"[value%keys:][:1] }

func (s *subject) pushing(value int, fresh func(value int) *Response) func(*thread) {
	return func(t *thread) {
		t.do(fmt.Sprintf("push %d", value), func() []effect {
			r := fresh(value)
			if r.isPending() {
				s.places[value] = r
			}
			got := s.q.Push(&s.policy, r)
			s.drops += got.Drops()
			if s.policy.Overflow == Latest && got.Dropped == 1 { // its bound is far away in all tests
				s.in++
				return []effect{replaces(value, r.isPending())}
			}
			effects := times(got.Dropped, dropsOldest())
			switch got.Outcome {
			case Accepted:
				s.in++
				return append(effects, appends(value, r.isPending()))
			case Dropped:
				s.in++
				return append(effects, findsFull())
			default:
				return append(effects, findsClosed())
			}
		})
	}
}

func (s *subject) pop(t *thread) {
	t.do("pop", func() []effect {
		r, ok := s.q.Pop()
		if !ok {
			return []effect{findsReady(false)}
		}
		s.took(r)
		return []effect{takes(int(r.Payload()[0]))}
	})
}

// final is the value of the response that a queue is finished with.
const final = 200

func (s *subject) finish(t *thread) {
	t.do("finish", func() []effect {
		if s.q.Finish(ready(final)) {
			return []effect{finishes(final)}
		}
		return []effect{findsClosed()}
	})
}

// took counts what came out, but for the final, which Close does not count either.
func (s *subject) took(r *Response) {
	if r.Payload()[0] != final {
		s.out++
	}
}

func (s *subject) popTwo(t *thread) {
	t.do("pop two", func() (effects []effect) {
		all := s.q.AppendPop(nil, 2)
		for _, r := range all {
			s.took(r)
			effects = append(effects, takes(int(r.Payload()[0])))
		}
		if len(all) < 2 {
			effects = append(effects, findsReady(false))
		}
		return effects
	})
}

func (s *subject) hasReady(t *thread) {
	t.do("has ready", func() []effect { return []effect{findsReady(s.q.HasReady())} })
}

func (s *subject) settle(value int) func(*thread) {
	return func(t *thread) {
		place := s.places[value]
		if place == nil {
			return // it was never pushed
		}
		t.do(fmt.Sprintf("settle %d", value), func() []effect {
			got := s.q.Settle(&s.policy, place, Ready([]byte{byte(value)}))
			s.drops += got.Drops()
			return []effect{answers(value, got.Outcome == Accepted)}
		})
	}
}

func (s *subject) close(t *thread) {
	t.do("close", func() []effect {
		n := s.q.Close()
		s.out += n
		return append(append([]effect{closes()}, times(n, discards())...), findsEmpty())
	})
}

// inTurn is a thread that makes several calls.
func inTurn(calls ...func(*thread)) func(*thread) {
	return func(t *thread) {
		for _, call := range calls {
			call(t)
		}
	}
}

// check looks at a finished run: its history is linearizable together with what
// was left, and nothing is unaccounted for.
func (s *subject) check(t *testing.T, m *machine) {
	t.Helper()
	var ops []*op
	for _, thread := range m.threads {
		ops = append(ops, thread.ops...)
	}
	// The rest is read by one more thread, which begins when all have ended.
	rest := &op{name: "rest", begin: m.clock + 1, end: m.clock + 2}
	left := s.q.Len()
	for taken := 0; ; taken++ {
		r, ok := s.q.Pop()
		if !ok {
			left -= taken // places without an answer
			break
		}
		s.took(r)
		if r.Payload()[0] == final {
			taken--
		}
		rest.effects = append(rest.effects, takes(int(r.Payload()[0])))
	}
	rest.effects = append(rest.effects, findsReady(false))
	ops = append(ops, rest)
	if !linearizable(s.start, ops) {
		t.Fatalf("not linearizable from %v:%s", s.start, history(ops))
	}
	if s.in != s.out+s.drops+left {
		t.Fatalf("%d went in; %d came out + %d dropped + %d left:%s", s.in, s.out, s.drops, left, history(ops))
	}
	if n := s.q.Close(); n != left || s.q.Bytes() != 0 || s.q.large.value != 0 {
		t.Fatalf("closing discarded %d of %d and left %d bytes, %d large ones:%s", n, left, s.q.Bytes(), s.q.large.value, history(ops))
	}
}

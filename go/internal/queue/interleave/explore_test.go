package interleave

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// Two producers and a consumer, or others, with three operations, from states where the paths differ: an
// unused queue, the middle and the end of a segment, one place left, none left.
func TestEveryInterleavingOfThreeOperationsIsLinearizable(t *testing.T) {
	type calls func(s *subject) []func(*thread)
	// Where there are tens of millions of interleavings, all with up to this many
	// preemptions.
	const some = 2
	pushPushPop := func(s *subject) []func(*thread) { return []func(*thread){s.push(1), s.push(2), s.pop} }
	tests := []struct {
		name        string
		start       func() *subject
		calls       calls
		preemptions int
	}{
		{"unused", func() *subject { return newSubject(9, DropOldest) }, pushPushPop, everywhere},
		{"within a segment", func() *subject { return newSubject(9, DropOldest).prepared(1, 8) }, pushPushPop, everywhere},
		{"end of a segment", func() *subject { return newSubject(9, DropOldest).prepared(3, 8) }, pushPushPop, everywhere},
		{"last cell of a segment", func() *subject { return newSubject(9, DropOldest).prepared(3) }, pushPushPop, everywhere},
		{"one left, oldest", func() *subject { return newSubject(2, DropOldest).prepared(1, 8) }, pushPushPop, everywhere},
		{"one left, newest", func() *subject { return newSubject(2, DropNewest).prepared(1, 8) }, pushPushPop, everywhere},
		{"none left, oldest", func() *subject { return newSubject(2, DropOldest).prepared(2, 8, 9) }, pushPushPop, some},
		{"none left, newest", func() *subject { return newSubject(2, DropNewest).prepared(2, 8, 9) }, pushPushPop, some},
		{
			"push, close, pop", func() *subject { return newSubject(2, DropOldest).prepared(1, 8) },
			func(s *subject) []func(*thread) { return []func(*thread){s.push(1), s.close, s.pop} },
			everywhere,
		},
		{
			"push, close, close", func() *subject { return newSubject(2, DropOldest).prepared(3, 8) },
			func(s *subject) []func(*thread) { return []func(*thread){s.push(1), s.close, s.close} },
			some,
		},
		{
			"push, push, close of an unused one", func() *subject { return newSubject(2, DropOldest) },
			func(s *subject) []func(*thread) { return []func(*thread){s.push(1), s.push(2), s.close} },
			some,
		},
		{
			"settle, push, pop", func() *subject { return newSubject(2, DropOldest).prepared(1, -8, 9) },
			func(s *subject) []func(*thread) { return []func(*thread){s.settle(8), s.push(1), s.pop} },
			everywhere,
		},
		{
			"settle, close, pop", func() *subject { return newSubject(2, DropOldest).prepared(1, -8, 9) },
			func(s *subject) []func(*thread) { return []func(*thread){s.settle(8), s.close, s.pop} },
			everywhere,
		},
		{
			"reserve, push, pop two", func() *subject { return newSubject(3, DropOldest).prepared(2, 8) },
			func(s *subject) []func(*thread) { return []func(*thread){s.reserve(1), s.push(2), s.popTwo} },
			everywhere,
		},
		{
			"pop, pop, push", func() *subject { return newSubject(3, DropNewest).prepared(2, 8, 9) },
			func(s *subject) []func(*thread) { return []func(*thread){s.pop, s.pop, s.push(1)} },
			everywhere,
		},
		{
			"push, push, finish", func() *subject { return newSubject(9, DropOldest).prepared(2, 8) },
			func(s *subject) []func(*thread) { return []func(*thread){s.push(1), s.push(2), s.finish} },
			everywhere,
		},
		{
			"push, finish, pop two", func() *subject { return newSubject(9, DropOldest).prepared(3) },
			func(s *subject) []func(*thread) { return []func(*thread){s.push(1), s.finish, s.popTwo} },
			everywhere,
		},
		{
			"settle, finish, pop", func() *subject { return newSubject(9, DropOldest).prepared(1, -8) },
			func(s *subject) []func(*thread) { return []func(*thread){s.settle(8), s.finish, inTurn(s.pop, s.pop)} },
			everywhere,
		},
		{
			"the same key twice, pop", func() *subject { return newSubject(9, Latest).prepared(2, 8) },
			func(s *subject) []func(*thread) { return []func(*thread){s.push(2), s.push(5), s.pop} },
			everywhere,
		},
		{
			"a new key twice, pop", func() *subject { return newSubject(9, Latest).prepared(3, 8) },
			func(s *subject) []func(*thread) { return []func(*thread){s.push(1), s.push(4), s.pop} },
			everywhere,
		},
		{
			"the same key, settle, pop", func() *subject { return newSubject(9, Latest).prepared(1, -8, 9) },
			func(s *subject) []func(*thread) { return []func(*thread){s.push(2), s.settle(8), s.pop} },
			everywhere,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			runs := explore(test.preemptions, func() ([]func(*thread), func(*machine)) {
				s := test.start()
				return test.calls(s), func(m *machine) { s.check(t, m) }
			})
			t.Logf("%d different interleavings", runs)
			if runs < 10 {
				t.Errorf("only %d interleavings: the scheduler does not see the steps", runs)
			}
		})
	}
}

func TestRandomHistoriesAreLinearizable(t *testing.T) {
	histories := 10_000
	if testing.Short() {
		histories = 1000
	}
	for seed := range histories {
		random := rand.New(rand.NewPCG(uint64(seed), 7))
		overflow := Overflow(random.IntN(3))
		limit := 1 + random.IntN(4)
		if overflow == Latest {
			limit = 99
		}
		s := newSubject(limit, overflow).prepared(random.IntN(5))
		value := 0
		bodies := make([]func(*thread), 2+random.IntN(2))
		for i := range bodies {
			var calls []func(*thread)
			for range 1 + random.IntN(5) {
				switch choice := random.IntN(20); {
				case choice < 8:
					value++
					calls = append(calls, s.push(value))
				case choice < 11:
					value++
					calls = append(calls, s.reserve(value), s.settle(value))
				case choice < 16:
					calls = append(calls, s.pop)
				case choice < 18:
					calls = append(calls, s.popTwo)
				case choice < 19:
					calls = append(calls, s.hasReady)
				case i == 0: // one thread, since it is called once
					calls = append(calls, s.finish)
				default:
					calls = append(calls, s.close)
				}
			}
			bodies[i] = inTurn(calls...)
		}
		m := run(func(m *machine) *thread {
			alive := m.alive()
			if len(alive) == 0 {
				return nil
			}
			return alive[random.IntN(len(alive))]
		}, bodies...)
		t.Run(fmt.Sprint(seed), func(t *testing.T) { s.check(t, m) })
	}
}

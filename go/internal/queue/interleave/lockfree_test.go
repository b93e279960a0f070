package interleave

import (
	"fmt"
	"testing"
)

// Two threads are stopped for good, the first after each possible number of its
// steps, the second after each of its own. The others then have to finish, which
// they could not if any step of theirs waited for one of the stopped.
func TestQueueOperationsAreLockFree(t *testing.T) {
	starts := map[string]func(Overflow) *subject{
		"unused":           func(o Overflow) *subject { return newSubject(bound(o, 2), o).prepared(0) },
		"end of a segment": func(o Overflow) *subject { return newSubject(bound(o, 2), o).prepared(3, 8) },
		"full":             func(o Overflow) *subject { return newSubject(bound(o, 2), o).prepared(1, 8, 9) },
		"waiting":          func(o Overflow) *subject { return newSubject(bound(o, 3), o).prepared(2, -8, 9) },
	}
	stopped := map[string]func(s *subject) func(*thread){
		"push":    func(s *subject) func(*thread) { return s.push(1) },
		"reserve": func(s *subject) func(*thread) { return s.reserve(2) },
		"pop":     func(s *subject) func(*thread) { return s.pop },
		"pop two": func(s *subject) func(*thread) { return s.popTwo },
		"settle":  func(s *subject) func(*thread) { return s.settle(8) },
		"finish":  func(s *subject) func(*thread) { return s.finish },
		"close":   func(s *subject) func(*thread) { return s.close },
	}
	for from, start := range starts {
		for first, firstCall := range stopped {
			for second, secondCall := range stopped {
				for _, overflow := range []Overflow{DropOldest, DropNewest, Latest} {
					t.Run(fmt.Sprintf("%s, %s and %s, %d", from, first, second, overflow), func(t *testing.T) {
						build := func() (*subject, []func(*thread)) {
							s := start(overflow)
							others := inTurn(s.push(3), s.settle(8), s.push(4), s.pop, s.hasReady, s.push(5), s.popTwo, s.push(6), s.close, s.pop)
							return s, []func(*thread){firstCall(s), secondCall(s), others, inTurn(s.push(7), s.pop)}
						}
						stopEverywhere(t, build)
					})
				}
			}
		}
	}
}

// bound keeps what Latest replaces apart from what it drops for want of room.
func bound(overflow Overflow, limit int) int {
	if overflow == Latest {
		return 99
	}
	return limit
}

func stopEverywhere(t *testing.T, build func() (*subject, []func(*thread))) {
	stride := 1
	if testing.Short() {
		stride = 3
	}
	for i, ended := 0, false; !ended; i += stride {
		for j, secondEnded := 0, false; !secondEnded; j += stride {
			s, bodies := build()
			turn := 0
			m := run(func(m *machine) *thread {
				first, second := m.threads[0], m.threads[1]
				ended, secondEnded = first.done, second.done
				switch {
				case !first.done && first.steps < i:
					return first
				case !second.done && second.steps < j:
					return second
				}
				turn++ // the others alternate
				for k := range 2 {
					if other := m.threads[2+(turn+k)%2]; !other.done {
						return other
					}
				}
				return nil
			}, bodies...)
			for _, other := range m.threads[2:] {
				if !other.done {
					t.Fatalf("stopped after %d and %d steps: thread %d did not finish", i, j, other.id)
				}
			}
			if head, tail := s.q.head.Load(), s.q.tail.Load(); tail != nil && tail.base < head.base {
				t.Fatalf("stopped after %d and %d steps: the tail pointer keeps a consumed segment", i, j)
			}
			// Going on after all that has happened, they do no harm.
			m.resume(func(m *machine) *thread {
				for _, thread := range m.alive() {
					return thread
				}
				return nil
			})
			s.check(t, m)
		}
	}
}

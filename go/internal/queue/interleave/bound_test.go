package interleave

import "testing"

// Two bounds are not part of the sequential model: bytes, which pushes under way
// may exceed, and what an observer sees.
func TestNoInterleavingExceedsABound(t *testing.T) {
	sized := func(q *Queue, p *Policy, size int) func(*thread) {
		return func(t *thread) {
			t.do("push", func() []effect { q.Push(p, Ready(make([]byte, size))); return nil })
		}
	}
	pop := func(q *Queue) func(*thread) {
		return func(t *thread) { t.do("pop", func() []effect { q.Pop(); return nil }) }
	}
	t.Run("bytes at rest", func(t *testing.T) {
		for _, overflow := range []Overflow{DropOldest, DropNewest} {
			p := &Policy{MaxResponses: 9, MaxBytes: 16, Overflow: overflow}
			explore(2, func() ([]func(*thread), func(*machine)) {
				q := new(Queue)
				q.Push(p, Ready(make([]byte, 5)))
				return []func(*thread){sized(q, p, 10), sized(q, p, 9), sized(q, p, 8)}, func(*machine) {
					if q.Bytes() > p.MaxBytes || q.Len() == 0 {
						t.Fatalf("overflow %d: %d bytes in %d responses", overflow, q.Bytes(), q.Len())
					}
				}
			})
		}
	})
	t.Run("bytes under one producer", func(t *testing.T) {
		p := &Policy{MaxResponses: 9, MaxBytes: 16}
		explore(everywhere, func() ([]func(*thread), func(*machine)) {
			q := new(Queue)
			q.Push(p, Ready(make([]byte, 5)))
			q.Push(p, Ready(make([]byte, 5)))
			seen := int64(0)
			look := func(t *thread) { t.do("look", func() []effect { seen = q.Bytes(); return nil }) }
			return []func(*thread){sized(q, p, 10), look}, func(*machine) {
				if seen > p.MaxBytes {
					t.Fatalf("%d bytes", seen)
				}
			}
		})
	})
	t.Run("length", func(t *testing.T) {
		p := &Policy{MaxResponses: 2, MaxBytes: 100}
		explore(2, func() ([]func(*thread), func(*machine)) {
			q := new(Queue)
			q.Push(p, Ready(nil))
			q.Push(p, Ready(nil))
			seen := 0
			look := func(t *thread) { t.do("look", func() []effect { seen = q.Len(); return nil }) }
			return []func(*thread){inTurn(sized(q, p, 1), sized(q, p, 1)), inTurn(pop(q)), look}, func(*machine) {
				if seen > p.MaxResponses {
					t.Fatalf("%d responses", seen)
				}
			}
		})
	})
}

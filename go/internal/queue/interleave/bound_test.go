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
	t.Run("bytes at rest, with an answer", func(t *testing.T) {
		for _, overflow := range []Overflow{DropOldest, DropNewest, Latest, Disconnect} {
			p := &Policy{MaxResponses: 9, MaxBytes: 16, Overflow: overflow}
			explore(2, func() ([]func(*thread), func(*machine)) {
				q := new(Queue)
				place := Pending()
				q.Push(p, place)
				settle := func(t *thread) {
					t.do("settle", func() []effect { q.Settle(p, place, Ready(make([]byte, 10))); return nil })
				}
				pushKeyed := func(t *thread) {
					t.do("push", func() []effect { q.Push(p, ReadyKeyed(make([]byte, 9), "other")); return nil })
				}
				return []func(*thread){settle, pushKeyed}, func(*machine) {
					if q.Bytes() > p.MaxBytes || q.large.value != 0 {
						t.Fatalf("overflow %d: %d bytes in %d responses", overflow, q.Bytes(), q.Len())
					}
				}
			})
		}
	})
	t.Run("no more is dropped than has to be", func(t *testing.T) {
		p := &Policy{MaxResponses: 9, MaxBytes: 16}
		explore(everywhere, func() ([]func(*thread), func(*machine)) {
			q := new(Queue)
			q.Push(p, Ready(make([]byte, 6)))
			second := Ready(make([]byte, 6))
			q.Push(p, second)
			popped := (*Response)(nil)
			pop := func(t *thread) { t.do("pop", func() []effect { popped, _ = q.Pop(); return nil }) }
			return []func(*thread){sized(q, p, 8), pop}, func(*machine) {
				if next, _ := q.Pop(); popped != second && next != second {
					t.Fatal("the second was dropped, though there was room without the first")
				}
			}
		})
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

package queue_test

import (
	"runtime"
	"sync"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
)

// mutexQueue is the twin that the lock-free queue is measured against: the same
// contract, a ring behind a mutex.
type mutexQueue struct {
	mu     sync.Mutex
	ring   []*queue.Response // guarded by mu, as all below
	head   int
	count  int
	bytes  int64
	closed bool
}

func (q *mutexQueue) Push(p *queue.Policy, r *queue.Response) queue.Result {
	size := int64(len(r.Payload()))
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return queue.Result{Outcome: queue.Closed}
	case p.MaxResponses < 1 || size > p.MaxBytes:
		return queue.Result{Outcome: queue.Dropped}
	}
	dropped := 0
	for q.count == p.MaxResponses || q.bytes+size > p.MaxBytes {
		if p.Overflow == queue.DropNewest {
			return queue.Result{Outcome: queue.Dropped}
		}
		q.takeLocked()
		dropped++
	}
	if q.count == len(q.ring) {
		q.growLocked()
	}
	q.ring[(q.head+q.count)&(len(q.ring)-1)] = r
	q.count++
	q.bytes += size
	return queue.Result{Outcome: queue.Accepted, Dropped: dropped}
}

func (q *mutexQueue) Pop() (*queue.Response, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.count == 0 {
		return nil, false
	}
	return q.takeLocked(), true
}

func (q *mutexQueue) takeLocked() *queue.Response {
	r := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.count--
	q.bytes -= int64(len(r.Payload()))
	return r
}

func (q *mutexQueue) growLocked() {
	grown := make([]*queue.Response, max(4, 2*len(q.ring)))
	for i := range q.count {
		grown[i] = q.ring[(q.head+i)&(len(q.ring)-1)]
	}
	q.ring, q.head = grown, 0
}

type pushPopper interface {
	*queue.Queue | *mutexQueue
	Push(*queue.Policy, *queue.Response) queue.Result
	Pop() (*queue.Response, bool)
}

var benchPolicy = queue.Policy{MaxResponses: 1024, MaxBytes: 16 << 20}

// Each operation is a push and a pop.
func BenchmarkPushPop(b *testing.B) {
	b.Run("twin=mutex", func(b *testing.B) { benchPushPop(b, new(mutexQueue)) })
	b.Run("twin=lockfree", func(b *testing.B) { benchPushPop(b, new(queue.Queue)) })
}

func benchPushPop[Q pushPopper](b *testing.B, q Q) {
	r := queue.Ready(make([]byte, 200))
	b.ReportAllocs()
	for b.Loop() {
		q.Push(&benchPolicy, r)
		q.Pop()
	}
}

// A queue that is pushed to 64 times, then emptied.
func BenchmarkBurst(b *testing.B) {
	b.Run("twin=mutex", func(b *testing.B) { benchBurst(b, new(mutexQueue)) })
	b.Run("twin=lockfree", func(b *testing.B) { benchBurst(b, new(queue.Queue)) })
	b.Run("twin=lockfree-batch", func(b *testing.B) {
		q, r := new(queue.Queue), queue.Ready(make([]byte, 200))
		var out []*queue.Response
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			q.Push(&benchPolicy, r)
			if i%64 == 63 {
				out = q.AppendPop(out[:0], 64)
			}
		}
	})
}

func benchBurst[Q pushPopper](b *testing.B, q Q) {
	r := queue.Ready(make([]byte, 200))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		q.Push(&benchPolicy, r)
		if i%64 == 63 {
			for range 64 {
				q.Pop()
			}
		}
	}
}

// Everybody pushes and pops one queue.
func BenchmarkContended(b *testing.B) {
	b.Run("twin=mutex", func(b *testing.B) { benchContended(b, new(mutexQueue)) })
	b.Run("twin=lockfree", func(b *testing.B) { benchContended(b, new(queue.Queue)) })
}

func benchContended[Q pushPopper](b *testing.B, q Q) {
	r := queue.Ready(make([]byte, 200))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			q.Push(&benchPolicy, r)
			q.Pop()
		}
	})
}

// One producer, one consumer, on two goroutines; the consumer is woken as an
// event loop is, by the ready list, when there is something again. An operation
// is one response handed over.
func BenchmarkTransfer(b *testing.B) {
	b.Run("twin=mutex", func(b *testing.B) { benchTransfer(b, new(mutexQueue)) })
	b.Run("twin=lockfree", func(b *testing.B) { benchTransfer(b, new(queue.Queue)) })
}

func benchTransfer[Q pushPopper](b *testing.B, q Q) {
	r := queue.Ready(make([]byte, 200))
	policy := benchPolicy
	policy.Overflow = queue.DropNewest
	var (
		link  queue.Link[int]
		list  = queue.NewList[int](nil)
		woken = make(chan struct{}, 1)
	)
	link.Attach(list, new(int))
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for range b.N {
			for q.Push(&policy, r).Outcome != queue.Accepted {
				runtime.Gosched()
			}
			if link.Schedule() != nil {
				woken <- struct{}{}
			}
		}
	}()
	for received := 0; received < b.N; {
		<-woken
		list.Next()
		for {
			if _, ok := q.Pop(); !ok {
				break
			}
			received++
		}
	}
}

// The dispatcher's view: one shared response to 10,000 queues, then each popped.
// An operation is one delivery.
func BenchmarkFanOut(b *testing.B) {
	b.Run("twin=mutex", func(b *testing.B) { benchFanOut(b, func() *mutexQueue { return new(mutexQueue) }) })
	b.Run("twin=lockfree", func(b *testing.B) { benchFanOut(b, func() *queue.Queue { return new(queue.Queue) }) })
}

func benchFanOut[Q pushPopper](b *testing.B, fresh func() Q) {
	const width = 10_000
	queues := make([]Q, width)
	for i := range queues {
		queues[i] = fresh()
	}
	r := queue.Ready(make([]byte, 200))
	b.ReportAllocs()
	for b.Loop() {
		for _, q := range queues {
			q.Push(&benchPolicy, r)
		}
		for _, q := range queues {
			q.Pop()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/width, "ns/delivery")
}

// A push into a full queue, which drops the oldest.
func BenchmarkPushFull(b *testing.B) {
	b.Run("twin=mutex", func(b *testing.B) { benchPushFull(b, new(mutexQueue)) })
	b.Run("twin=lockfree", func(b *testing.B) { benchPushFull(b, new(queue.Queue)) })
}

func benchPushFull[Q pushPopper](b *testing.B, q Q) {
	r := queue.Ready(make([]byte, 200))
	b.ReportAllocs()
	for b.Loop() {
		q.Push(&benchPolicy, r)
	}
}

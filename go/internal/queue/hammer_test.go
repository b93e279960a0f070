package queue_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
)

// atSeveralWidths runs a test with one, two and eight goroutines in parallel.
func atSeveralWidths(t *testing.T, run func(t *testing.T)) {
	for _, width := range []int{1, 2, 8} {
		t.Run(fmt.Sprintf("GOMAXPROCS=%d", width), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(width))
			run(t)
		})
	}
}

// stamp makes a payload of size bytes (at least 8) that names its producer and
// its number there.
func stamp(producer, number, size int) []byte {
	payload := make([]byte, size)
	binary.LittleEndian.PutUint32(payload, uint32(producer))
	binary.LittleEndian.PutUint32(payload[4:], uint32(number))
	return payload
}

// A reader checks what one consumer receives.
type reader struct {
	t        *testing.T
	received int
	last     map[uint32]uint32 // by producer
	seen     *[]atomic.Bool    // shared: by producer and number
	each     int               // numbers a producer has
}

func (c *reader) take(r *queue.Response) {
	producer, number := binary.LittleEndian.Uint32(r.Payload()), binary.LittleEndian.Uint32(r.Payload()[4:])
	if last, ok := c.last[producer]; ok && last >= number {
		c.t.Errorf("of producer %d, %d came after %d", producer, number, last)
	}
	c.last[producer] = number
	if (*c.seen)[int(producer)*c.each+int(number)].Swap(true) {
		c.t.Errorf("of producer %d, %d came twice", producer, number)
	}
	c.received++
}

type load struct {
	policy    queue.Policy
	producers int
	consumers int
	each      int  // pushes of a producer
	async     bool // half of the responses are answers that come late
	closers   int  // goroutines that close the queue half-way
}

func TestNothingIsLostDoubledOrReorderedUnderLoad(t *testing.T) {
	roomy := queue.Policy{MaxResponses: 1 << 20, MaxBytes: 1 << 40}
	narrow := queue.Policy{MaxResponses: 7, MaxBytes: 1 << 40}
	newest := queue.Policy{MaxResponses: 7, MaxBytes: 1 << 40, Overflow: queue.DropNewest}
	heavy := queue.Policy{MaxResponses: 1 << 20, MaxBytes: 200}
	heavyNewest := queue.Policy{MaxResponses: 1 << 20, MaxBytes: 200, Overflow: queue.DropNewest}
	tests := []struct {
		name string
		load load
	}{
		{"one to one", load{policy: roomy, producers: 1, consumers: 1}},
		{"many to many", load{policy: roomy, producers: 4, consumers: 4}},
		{"full, oldest", load{policy: narrow, producers: 3, consumers: 2}},
		{"full, newest", load{policy: newest, producers: 3, consumers: 2}},
		{"full of bytes, oldest", load{policy: heavy, producers: 3, consumers: 2}},
		{"full of bytes, newest", load{policy: heavyNewest, producers: 3, consumers: 2}},
		{"late answers", load{policy: roomy, producers: 3, consumers: 2, async: true}},
		{"late answers, full, oldest", load{policy: narrow, producers: 3, consumers: 2, async: true}},
		{"late answers, full, newest", load{policy: newest, producers: 3, consumers: 2, async: true}},
		{"late answers, full of bytes, oldest", load{policy: heavy, producers: 3, consumers: 2, async: true}},
		{"late answers, full of bytes, newest", load{policy: heavyNewest, producers: 3, consumers: 2, async: true}},
		{"closed under way", load{policy: roomy, producers: 3, consumers: 2, closers: 2}},
		{"closed under way, full", load{policy: narrow, producers: 3, consumers: 2, closers: 1, async: true}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			atSeveralWidths(t, func(t *testing.T) {
				test.load.each = 3000
				if testing.Short() {
					test.load.each = 500
				}
				test.load.run(t)
			})
		})
	}
}

type lateAnswer struct{ place, answer *queue.Response }

func (l load) run(t *testing.T) {
	var (
		policy    = l.policy
		q         queue.Queue
		workers   sync.WaitGroup // producers, closers and the goroutine that answers
		readers   sync.WaitGroup
		done      atomic.Bool
		accepted  atomic.Int64 // took a place
		dropped   atomic.Int64
		refused   atomic.Int64 // of dropped: never had a place
		discarded atomic.Int64
		half      = make(chan struct{})
		halfOnce  sync.Once
		seen      = make([]atomic.Bool, l.producers*l.each)
		late      = make(chan lateAnswer, l.producers*l.each)
	)
	var pushing sync.WaitGroup
	for p := range l.producers {
		workers.Add(1)
		pushing.Add(1)
		go func() {
			defer workers.Done()
			defer pushing.Done()
			random := rand.New(rand.NewPCG(uint64(p), 1))
			for n := range l.each {
				if n == l.each/2 {
					halfOnce.Do(func() { close(half) })
				}
				answer := queue.Ready(stamp(p, n, 8+random.IntN(90)))
				r := answer
				if l.async && random.IntN(2) == 0 {
					r = queue.Pending()
				}
				got := q.Push(&policy, r)
				dropped.Add(int64(got.Drops()))
				switch got.Outcome {
				case queue.Accepted:
					accepted.Add(1)
					if r != answer {
						late <- lateAnswer{r, answer}
					}
				case queue.Dropped:
					refused.Add(1)
				}
				if held := q.Len(); held > policy.MaxResponses {
					t.Errorf("%d responses in a queue for %d", held, policy.MaxResponses)
				}
				if held := q.Bytes(); policy.Overflow == queue.DropNewest && !l.async && held > policy.MaxBytes {
					t.Errorf("%d bytes in a queue for %d", held, policy.MaxBytes)
				}
			}
		}()
	}
	workers.Add(1)
	go func() {
		defer workers.Done()
		for l := range late {
			got := q.Settle(&policy, l.place, l.answer)
			dropped.Add(int64(got.Drops()))
		}
	}()
	workers.Add(1)
	go func() {
		defer workers.Done()
		pushing.Wait()
		close(late)
	}()
	for range l.closers {
		workers.Add(1)
		go func() {
			defer workers.Done()
			<-half
			discarded.Add(int64(q.Close()))
		}()
	}
	total := make([]reader, l.consumers)
	for c := range total {
		total[c] = reader{t: t, last: map[uint32]uint32{}, seen: &seen, each: l.each}
		readers.Add(1)
		go func() {
			defer readers.Done()
			random := rand.New(rand.NewPCG(uint64(c), 2))
			var batch []*queue.Response
			for {
				last := done.Load()
				batch = q.AppendPop(batch[:0], 1+random.IntN(20))
				if r, ok := q.Pop(); ok {
					batch = append(batch, r)
				}
				for _, r := range batch {
					total[c].take(r)
				}
				if len(batch) == 0 {
					if last {
						return
					}
					runtime.Gosched()
				}
			}
		}()
	}
	workers.Wait()
	done.Store(true)
	readers.Wait()
	received := int64(0)
	for _, c := range total {
		received += int64(c.received)
	}
	if got, want := accepted.Load()+refused.Load(), received+dropped.Load()+discarded.Load(); got != want {
		t.Errorf("%d pushed (%d refused), but %d received + %d dropped + %d discarded = %d",
			got, refused.Load(), received, dropped.Load(), discarded.Load(), want)
	}
	if q.Len() != 0 || q.Bytes() != 0 {
		t.Errorf("at the end: Len %d, Bytes %d", q.Len(), q.Bytes())
	}
}

func TestBoundsHoldOnceConcurrentPushesHaveReturned(t *testing.T) {
	atSeveralWidths(t, func(t *testing.T) {
		for _, policy := range []queue.Policy{
			{MaxResponses: 5, MaxBytes: 1 << 20},
			{MaxResponses: 50, MaxBytes: 150},
			{MaxResponses: 50, MaxBytes: 150, Overflow: queue.DropNewest},
			{MaxResponses: 50, MaxBytes: 150, Overflow: queue.Latest},
			{MaxResponses: 50, MaxBytes: 150, Overflow: queue.Disconnect},
		} {
			for range 200 {
				var (
					q       queue.Queue
					workers sync.WaitGroup
				)
				for p := range 4 {
					workers.Add(1)
					go func() {
						defer workers.Done()
						for n := range 10 {
							answer := queue.Ready(stamp(p, n, 8+17*n%100))
							if n%3 > 0 {
								q.Push(&policy, answer)
								continue
							}
							place := queue.Pending()
							if q.Push(&policy, place).Outcome == queue.Accepted {
								q.Settle(&policy, place, answer)
							}
						}
					}()
				}
				workers.Wait()
				if held := q.Len(); held == 0 || held > policy.MaxResponses {
					t.Errorf("%d responses in a queue for %d", held, policy.MaxResponses)
				}
				held := q.Bytes()
				if held > policy.MaxBytes {
					t.Errorf("%d bytes in a queue for %d", held, policy.MaxBytes)
				}
				for _, r := range q.AppendPop(nil, 100) {
					held -= int64(len(r.Payload()))
				}
				if held != 0 {
					t.Errorf("Bytes was off by %d", held)
				}
			}
		}
	})
}

package queue

import (
	"runtime"
	"testing"
	"time"
	"unsafe"
)

var generous = Policy{MaxResponses: 1 << 20, MaxBytes: 1 << 40}

func TestAnIdleQueueIsThreeWords(t *testing.T) {
	if size := unsafe.Sizeof(Queue{}); size != 24 {
		t.Errorf("a queue takes %d bytes", size)
	}
	if size := unsafe.Sizeof(Response{}); size != 48 {
		t.Errorf("a response takes %d bytes", size)
	}
}

func TestSegmentsGrowWithABacklogAndAreLeftWhenConsumed(t *testing.T) {
	var q Queue
	r := Ready([]byte("x"))
	for range 1000 { // read at once
		q.Push(&generous, r)
		q.Pop()
	}
	segments := func() (n, largest int) {
		for s := q.head.Load(); s != nil; s = s.next.Load() {
			n, largest = n+1, max(largest, len(s.cells))
		}
		return n, largest
	}
	if n, largest := segments(); n != 1 || largest != steadyCells {
		t.Errorf("a queue that is read holds %d segments of up to %d cells", n, largest)
	}
	for range 1000 {
		q.Push(&generous, r)
	}
	if n, largest := segments(); n > 1000/burstCells+4 || largest != burstCells {
		t.Errorf("a backlog of 1000 takes %d segments of up to %d cells", n, largest)
	}
	for range 1000 {
		q.Pop()
	}
	if n, _ := segments(); n != 1 || q.tail.Load() != q.head.Load() {
		t.Errorf("an emptied queue holds %d segments", n)
	}
	q.Close()
	if q.head.Load() != closedSegment || q.tail.Load() != closedSegment {
		t.Error("a closed queue holds a segment")
	}
}

// As when a producer stops between linking a segment and moving the tail to it.
func TestAConsumerThatLeavesASegmentTakesTheTailAlong(t *testing.T) {
	var q Queue
	for range firstCells {
		q.Push(&generous, Ready(nil))
	}
	next := q.tail.Load().extend(0)
	for range firstCells + 1 {
		q.Pop()
	}
	if q.head.Load() != next || q.tail.Load() != next {
		t.Error("the consumed segment is still reachable")
	}
}

func TestAnAnswerThatDidNotFitIsNotCountedAgain(t *testing.T) {
	policy := Policy{MaxResponses: 3, MaxBytes: 4}
	var q Queue
	refuse := func() {
		t.Helper()
		place := Pending()
		q.Push(&policy, place)
		if got := q.Settle(&policy, place, Ready([]byte("too long"))); got.Outcome != Dropped {
			t.Fatalf("Settle = %+v, want dropped", got)
		}
	}
	refuse()
	for range 2 {
		q.Push(&policy, Ready(nil))
	}
	if got := q.Push(&policy, Ready(nil)); got.Dropped != 0 {
		t.Errorf("the empty place was counted as a drop: %+v", got)
	}
	for q.HasReady() {
		q.Pop()
	}
	refuse()
	if r, ok := q.Pop(); ok {
		t.Errorf("popped %q where an answer was dropped", r.Payload())
	}
	refuse()
	if all := q.AppendPop(nil, 9); len(all) != 0 {
		t.Errorf("popped %d where an answer was dropped", len(all))
	}
	if q.Bytes() != 0 || q.large.Load() != 0 {
		t.Errorf("%d bytes and %d large ones stay counted", q.Bytes(), q.large.Load())
	}
	refuse()
	if n := q.Close(); n != 0 {
		t.Errorf("Close counted %d", n)
	}
}

func TestLargeResponsesAreCountedUntilTheyLeave(t *testing.T) {
	policy := Policy{MaxResponses: 4, MaxBytes: 1 << 20}
	large := func() *Response { return Ready(make([]byte, smallSize+1)) }
	leave := map[string]func(q *Queue, place *Response){
		"popped":   func(q *Queue, _ *Response) { q.Pop(); q.Pop() },
		"together": func(q *Queue, _ *Response) { q.AppendPop(nil, 9) },
		"dropped": func(q *Queue, _ *Response) {
			for range 5 {
				q.Push(&policy, Ready(nil))
			}
		},
		"discarded":         func(q *Queue, _ *Response) { q.Close() },
		"answered too late": func(q *Queue, place *Response) { q.Close(); q.Settle(&policy, place, large()) },
		"pushed too late":   func(q *Queue, _ *Response) { q.Close(); q.Push(&policy, large()) },
	}
	for name, leave := range leave {
		t.Run(name, func(t *testing.T) {
			var q Queue
			place := Pending()
			q.Push(&policy, large())
			q.Push(&policy, large())
			q.Push(&policy, place)
			if got := q.large.Load(); got != 2*(smallSize+1) {
				t.Errorf("%d bytes are counted", got)
			}
			leave(&q, place)
			if got := q.large.Load(); got != 0 {
				t.Errorf("%d bytes stay counted", got)
			}
		})
	}
}

// A response that has left the queue is not kept reachable by it.
func TestWhatHasLeftAQueueIsCollected(t *testing.T) {
	policy := Policy{MaxResponses: 2, MaxBytes: 100}
	tests := map[string]func(q *Queue, r *Response){
		"popped":    func(q *Queue, _ *Response) { q.Pop() },
		"dropped":   func(q *Queue, _ *Response) { q.Push(&policy, Ready(nil)); q.Push(&policy, Ready(nil)) },
		"discarded": func(q *Queue, _ *Response) { q.Close() },
	}
	for name, leave := range tests {
		t.Run(name, func(t *testing.T) {
			var q Queue
			collected := make(chan struct{})
			func() {
				r := Ready(make([]byte, 50))
				runtime.AddCleanup(r, func(struct{}) { close(collected) }, struct{}{})
				q.Push(&policy, r)
				leave(&q, r)
			}()
			deadline := time.After(5 * time.Second)
			for {
				runtime.GC()
				select {
				case <-collected:
					runtime.KeepAlive(&q)
					return
				case <-deadline:
					t.Fatal("still reachable after 5 s")
				default:
					runtime.Gosched()
				}
			}
		})
	}
}

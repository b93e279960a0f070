package queue

import (
	"runtime"
	"testing"
	"time"
	"unsafe"
)

var generous = Policy{MaxResponses: 1 << 20, MaxBytes: 1 << 40}

func TestATallyKeepsItsPartsApart(t *testing.T) {
	tests := []struct {
		bytes int64
		count int
	}{{0, 0}, {1, 0}, {0, 1}, {5, -1}, {-5, 1}, {-5, -1}, {1 << 38, maxCount}, {-1 << 38, -maxCount}}
	for _, total := range []tally{0, 1<<24 - 1, 1<<64 - 1, 1 << 63} { // running totals wrap
		for _, test := range tests {
			difference := total + bytesTally(test.bytes) + tally(test.count) - total
			if difference.bytes() != test.bytes || difference.count() != test.count {
				t.Errorf("%d bytes in %d came back as %d in %d", test.bytes, test.count, difference.bytes(), difference.count())
			}
		}
	}
}

func TestAnIdleQueueIsFourWords(t *testing.T) {
	if size := unsafe.Sizeof(Queue{}); size != 32 {
		t.Errorf("a queue takes %d bytes", size)
	}
	if size := unsafe.Sizeof(Response{}); size != 32 {
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
	if q.queued() != 0 {
		t.Errorf("%d responses and %d bytes stay counted", q.queued().count(), q.queued().bytes())
	}
	refuse()
	if n := q.Close(); n != 0 {
		t.Errorf("Close counted %d", n)
	}
}

func TestALargeBatchReleasesAllItsBytes(t *testing.T) {
	var q Queue
	for range 2*maxLag + 7 {
		q.Push(&generous, Ready([]byte("x")))
	}
	if n := len(q.AppendPop(nil, 1<<20)); n != 2*maxLag+7 || q.queued() != 0 {
		t.Errorf("%d popped, %d and %d bytes stay counted", n, q.queued().count(), q.queued().bytes())
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

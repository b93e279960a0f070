package queue_test

import (
	"runtime"
	"sync"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
)

func TestAFinishedQueueGivesTheRestAndThenTheFinal(t *testing.T) {
	policy := queue.Policy{MaxResponses: 5, MaxBytes: 100}
	for _, queued := range []int{0, 1, 3, 4, 5} {
		var q queue.Queue
		place := queue.Pending()
		want := ""
		for i := range queued {
			if i == 2 {
				q.Push(&policy, place)
			} else {
				q.Push(&policy, text("x"))
			}
			want += "x"
		}
		if !q.Finish(text("!")) || q.Finish(text("?")) {
			t.Errorf("%d queued: not finished just once", queued)
		}
		if got := q.Push(&policy, text("late")); got.Outcome != queue.Closed {
			t.Errorf("%d queued: a push after the end = %+v, want closed", queued, got)
		}
		before := drain(&q)
		if queued > 2 {
			if before != "xx" || q.Finished() || q.HasReady() {
				t.Errorf("%d queued: before the answer came %q", queued, before)
			}
			q.Settle(&policy, place, text("x"))
			before += drain(&q)
		}
		if before != want+"!" || !q.Finished() || q.HasReady() || q.Len() != 0 {
			t.Errorf("%d queued: came %q, want %q; finished %v", queued, before, want+"!", q.Finished())
		}
		if got := q.Close(); got != 0 {
			t.Errorf("%d queued: closing discarded %d", queued, got)
		}
	}
}

func TestAFinalIsOneOfABatchAndIsDiscardedByClose(t *testing.T) {
	policy := queue.Policy{MaxResponses: 5, MaxBytes: 100}
	var q, closed, silent queue.Queue
	for _, one := range []*queue.Queue{&q, &closed, &silent} {
		one.Push(&policy, text("x"))
	}
	q.Finish(text("!"))
	if all := q.AppendPop(nil, 1); len(all) != 1 || q.Finished() {
		t.Errorf("a batch of one has %d", len(all))
	}
	if all := q.AppendPop(nil, 9); len(all) != 1 || string(all[0].Payload()) != "!" {
		t.Errorf("the rest is %v", all)
	}
	closed.Finish(text("!"))
	if got := closed.Close(); got != 1 || closed.HasReady() || !closed.Finished() {
		t.Errorf("closing discarded %d; ready %v", got, closed.HasReady())
	}
	silent.Finish(nil)
	if left := drain(&silent); left != "x" || !silent.Finished() {
		t.Errorf("left %q", left)
	}
}

// What a producer was told is queued comes out before the final, nothing after it.
func TestNothingComesAfterTheFinalUnderLoad(t *testing.T) {
	policy := queue.Policy{MaxResponses: 1 << 20, MaxBytes: 1 << 30}
	atSeveralWidths(t, func(t *testing.T) {
		for range 100 {
			var (
				q        queue.Queue
				workers  sync.WaitGroup
				accepted [3]int
			)
			for p := range accepted {
				workers.Add(1)
				go func() {
					defer workers.Done()
					for q.Push(&policy, text("x")).Outcome == queue.Accepted {
						accepted[p]++
					}
				}()
			}
			for q.Len() < 50 {
				runtime.Gosched()
			}
			q.Finish(text("!"))
			workers.Wait()
			all := q.AppendPop(nil, 1<<20)
			if total := accepted[0] + accepted[1] + accepted[2]; len(all) != total+1 || string(all[total].Payload()) != "!" {
				t.Fatalf("%d accepted, %d came", total, len(all))
			}
		}
	})
}

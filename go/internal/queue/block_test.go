package queue_test

import (
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
)

func TestAWaitingResponseFitsOnceThoseBeforeItHaveLeft(t *testing.T) {
	for name, policy := range map[string]queue.Policy{
		"count": {MaxResponses: 2, MaxBytes: 100, Overflow: queue.Block},
		"bytes": {MaxResponses: 100, MaxBytes: 2, Overflow: queue.Block},
	} {
		t.Run(name, func(t *testing.T) {
			var q queue.Queue
			var waiting []uint64
			for i, letter := range []string{"a", "b", "c", "d"} {
				got := q.Push(&policy, text(letter))
				if want := i >= 2; (got.Outcome == queue.Waiting) != want {
					t.Errorf("push %s = %+v", letter, got)
				}
				if got.Outcome == queue.Waiting {
					waiting = append(waiting, got.Place)
				}
			}
			c, d := waiting[0], waiting[1]
			q.Pop()
			if !q.Fits(&policy, c) || q.Fits(&policy, d) {
				t.Errorf("after one left: c fits %v, d %v", q.Fits(&policy, c), q.Fits(&policy, d))
			}
			if !q.Withdraw(d) || q.Withdraw(d) {
				t.Error("d was not withdrawn just once")
			}
			if left := drain(&q); left != "bc" || q.Bytes() != 0 {
				t.Errorf("left %q and %d bytes, want bc and 0", left, q.Bytes())
			}
			if !q.Fits(&policy, c) || q.Withdraw(c) {
				t.Error("a response that has left is still waited for")
			}
		})
	}
}

func TestAnAnswerComesIntoAWaitingPlace(t *testing.T) {
	policy := queue.Policy{MaxResponses: 1, MaxBytes: 100, Overflow: queue.Block}
	var q queue.Queue
	place := queue.Pending()
	q.Push(&policy, text("a"))
	got := q.Push(&policy, place)
	if got.Outcome != queue.Waiting || q.Fits(&policy, got.Place) {
		t.Fatalf("push = %+v", got)
	}
	q.Settle(&policy, place, text("late"))
	if left := drain(&q); left != "alate" {
		t.Errorf("left %q", left)
	}
	q.Push(&policy, text("a"))
	place = queue.Pending()
	got = q.Push(&policy, place)
	q.Withdraw(got.Place)
	if settled := q.Settle(&policy, place, text("late")); settled.Outcome != queue.Gone {
		t.Errorf("settling a withdrawn place = %+v, want gone", settled)
	}
}

func TestDisconnectQueuesNothingThatDoesNotFit(t *testing.T) {
	policy := queue.Policy{MaxResponses: 1, MaxBytes: 3, Overflow: queue.Disconnect}
	var q queue.Queue
	q.Push(&policy, text("a"))
	if got := q.Push(&policy, text("b")); got != (queue.Result{Outcome: queue.Overflowed}) {
		t.Errorf("push = %+v, want overflowed", got)
	}
	policy.MaxResponses = 2
	place := queue.Pending()
	q.Push(&policy, place)
	if got := q.Settle(&policy, place, text("bbb")); got != (queue.Result{Outcome: queue.Overflowed}) {
		t.Errorf("settle = %+v, want overflowed", got)
	}
	if left := drain(&q); left != "a" {
		t.Errorf("left %q, want a", left)
	}
}

func TestWhatWasWithdrawnTakesNoRoom(t *testing.T) {
	policy := queue.Policy{MaxResponses: 1, MaxBytes: 100, Overflow: queue.Block}
	var q queue.Queue
	q.Push(&policy, text("a"))
	for range 3 {
		q.Withdraw(q.Push(&policy, text("x")).Place)
	}
	if q.Len() != 1 {
		t.Errorf("%d are queued, want 1", q.Len())
	}
	if r, _ := q.Pop(); string(r.Payload()) != "a" || q.Len() != 0 {
		t.Errorf("popped %q, %d left", r.Payload(), q.Len())
	}
	if got := q.Push(&policy, text("b")); got.Outcome != queue.Accepted {
		t.Errorf("push into an empty queue = %+v", got)
	}
	if left := drain(&q); left != "b" {
		t.Errorf("left %q, want b", left)
	}
}

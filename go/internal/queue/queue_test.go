package queue_test

import (
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func text(s string) *queue.Response { return queue.Ready([]byte(s)) }

// drain pops everything that is ready, as one string.
func drain(q *queue.Queue) (all string) {
	for {
		r, ok := q.Pop()
		if !ok {
			return all
		}
		all += string(r.Payload())
	}
}

func TestAPushThatDoesNotFitFollowsThePolicy(t *testing.T) {
	type push struct {
		payload string
		want    queue.Result
	}
	accepted := queue.Result{Outcome: queue.Accepted}
	dropping := func(n int) queue.Result { return queue.Result{Outcome: queue.Accepted, Dropped: n} }
	refused := queue.Result{Outcome: queue.Dropped}
	tests := []struct {
		name   string
		policy queue.Policy
		pushes []push
		left   string
	}{
		{
			"count, oldest",
			queue.Policy{MaxResponses: 2, MaxBytes: 100},
			[]push{{"a", accepted}, {"b", accepted}, {"c", dropping(1)}, {"d", dropping(1)}},
			"cd",
		},
		{
			"count, newest",
			queue.Policy{MaxResponses: 2, MaxBytes: 100, Overflow: queue.DropNewest},
			[]push{{"a", accepted}, {"b", accepted}, {"c", refused}, {"d", refused}},
			"ab",
		},
		{
			"bytes, oldest",
			queue.Policy{MaxResponses: 9, MaxBytes: 4},
			[]push{{"aa", accepted}, {"b", accepted}, {"c", accepted}, {"ddd", dropping(2)}, {"eeee", dropping(2)}},
			"eeee",
		},
		{
			"bytes, newest",
			queue.Policy{MaxResponses: 9, MaxBytes: 4, Overflow: queue.DropNewest},
			[]push{{"aaa", accepted}, {"bb", refused}, {"c", accepted}, {"d", refused}},
			"aaac",
		},
		{
			"longer than the whole queue, oldest",
			queue.Policy{MaxResponses: 9, MaxBytes: 4},
			[]push{{"a", accepted}, {"bbbbb", refused}, {"c", accepted}},
			"ac",
		},
		{
			"longer than the whole queue, newest",
			queue.Policy{MaxResponses: 9, MaxBytes: 4, Overflow: queue.DropNewest},
			[]push{{"bbbbb", refused}, {"c", accepted}},
			"c",
		},
		{
			"one place",
			queue.Policy{MaxResponses: 1, MaxBytes: 4},
			[]push{{"a", accepted}, {"b", dropping(1)}, {"c", dropping(1)}},
			"c",
		},
		{
			"no place",
			queue.Policy{MaxResponses: 0, MaxBytes: 4},
			[]push{{"a", refused}},
			"",
		},
		{
			"empty responses take no bytes",
			queue.Policy{MaxResponses: 2, MaxBytes: 0},
			[]push{{"", accepted}, {"", accepted}, {"", dropping(1)}},
			"",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var q queue.Queue
			for i, push := range test.pushes {
				if got := q.Push(&test.policy, text(push.payload)); got != push.want {
					t.Errorf("push %d (%q) = %+v, want %+v", i, push.payload, got, push.want)
				}
			}
			if want := int64(len(test.left)); q.Bytes() != want {
				t.Errorf("Bytes() = %d, want %d", q.Bytes(), want)
			}
			if left := drain(&q); left != test.left {
				t.Errorf("left %q, want %q", left, test.left)
			}
			if q.Len() != 0 || q.Bytes() != 0 || q.HasReady() {
				t.Errorf("after draining: Len %d, Bytes %d, HasReady %v", q.Len(), q.Bytes(), q.HasReady())
			}
		})
	}
}

func TestAQueueKeepsItsOrderThroughManySegments(t *testing.T) {
	policy := queue.Policy{MaxResponses: 1000, MaxBytes: 1 << 20}
	var q queue.Queue
	next, want := 0, 0
	pop := func() {
		t.Helper()
		r, ok := q.Pop()
		if !ok || string(r.Payload()) != fmt.Sprint(want) {
			t.Fatalf("popped %v, %v; want %d", r, ok, want)
		}
		want++
	}
	for round := range 200 {
		for range round {
			q.Push(&policy, text(fmt.Sprint(next)))
			next++
		}
		if got := q.Len(); got != next-want {
			t.Fatalf("Len() = %d, want %d", got, next-want)
		}
		for range round - round%7 {
			pop()
		}
	}
	for want < next {
		pop()
	}
	if _, ok := q.Pop(); ok || q.Len() != 0 {
		t.Errorf("something is left of an emptied queue: Len %d", q.Len())
	}
}

func TestAppendPopTakesWhatPopWould(t *testing.T) {
	policy := queue.Policy{MaxResponses: 1000, MaxBytes: 1 << 20}
	var q queue.Queue
	if got := q.AppendPop(nil, 5); got != nil {
		t.Errorf("an unused queue gave %v", got)
	}
	for i := range 100 {
		q.Push(&policy, text(fmt.Sprint(i)))
	}
	place := queue.Pending()
	q.Push(&policy, place)
	q.Push(&policy, text("behind"))
	first := q.AppendPop(nil, 30)
	all := q.AppendPop(first, 500)
	if len(first) != 30 || len(all) != 100 {
		t.Fatalf("popped %d, then %d in all; want 30, 100", len(first), len(all))
	}
	for i, r := range all {
		if string(r.Payload()) != fmt.Sprint(i) {
			t.Fatalf("response %d is %s", i, r.Payload())
		}
	}
	if q.Bytes() != int64(len("behind")) || q.Len() != 2 {
		t.Errorf("Bytes %d, Len %d; want 6, 2", q.Bytes(), q.Len())
	}
}

func TestAnAnswerTakesThePlaceItsEventHad(t *testing.T) {
	policy := queue.Policy{MaxResponses: 10, MaxBytes: 100}
	var q queue.Queue
	first, third := queue.Pending(), queue.Pending()
	for _, r := range []*queue.Response{first, text("2"), third, text("4")} {
		q.Push(&policy, r)
	}
	steps := []struct {
		place  *queue.Response
		answer string
		out    string
	}{{third, "3", ""}, {first, "1", "1234"}}
	if q.HasReady() || q.Len() != 4 {
		t.Errorf("HasReady %v, Len %d before any answer; want false, 4", q.HasReady(), q.Len())
	}
	for _, step := range steps {
		if got := q.Settle(&policy, step.place, text(step.answer)); got != (queue.Result{}) {
			t.Errorf("settling %s = %+v, want accepted", step.answer, got)
		}
		if out := drain(&q); out != step.out {
			t.Errorf("after answer %s came %q, want %q", step.answer, out, step.out)
		}
	}
	if got := q.Settle(&policy, first, text("again")); got.Outcome != queue.Gone {
		t.Errorf("settling a place twice = %+v, want gone", got)
	}
}

func TestAnAnswerThatDoesNotFitFollowsThePolicy(t *testing.T) {
	tests := []struct {
		name     string
		overflow queue.Overflow
		before   string // one response per letter, then the place
		after    string
		answer   string
		want     queue.Result
		left     string
	}{
		{"it fits", queue.DropOldest, "a", "b", "cc", queue.Result{}, "accb"},
		{"older ones give way", queue.DropOldest, "ab", "c", "ddd", queue.Result{Dropped: 2}, "dddc"},
		{"in the end itself", queue.DropOldest, "a", "bb", "ccc", queue.Result{Outcome: queue.Gone, Dropped: 2}, "bb"},
		{"longer than the queue", queue.DropOldest, "a", "b", "ccccc", queue.Result{Outcome: queue.Dropped}, "ab"},
		{"the late one gives way", queue.DropNewest, "ab", "c", "dd", queue.Result{Outcome: queue.Dropped}, "abc"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			policy := queue.Policy{MaxResponses: 10, MaxBytes: 4, Overflow: test.overflow}
			var q queue.Queue
			for _, letter := range test.before {
				q.Push(&policy, text(string(letter)))
			}
			place := queue.Pending()
			q.Push(&policy, place)
			for _, letter := range test.after {
				q.Push(&policy, text(string(letter)))
			}
			if got := q.Settle(&policy, place, text(test.answer)); got != test.want {
				t.Errorf("Settle = %+v, want %+v", got, test.want)
			}
			if left := drain(&q); left != test.left {
				t.Errorf("left %q, want %q", left, test.left)
			}
			if q.Len() != 0 || q.Bytes() != 0 {
				t.Errorf("after draining: Len %d, Bytes %d", q.Len(), q.Bytes())
			}
		})
	}
}

func TestADroppedPlaceTakesNoAnswer(t *testing.T) {
	policy := queue.Policy{MaxResponses: 1, MaxBytes: 100}
	var q queue.Queue
	place, refused := queue.Pending(), queue.Pending()
	q.Push(&policy, place)
	if got := q.Push(&policy, text("new")); got.Dropped != 1 {
		t.Errorf("pushing over a pending place = %+v, want 1 dropped", got)
	}
	newest := policy
	newest.Overflow = queue.DropNewest
	if got := q.Push(&newest, refused); got.Outcome != queue.Dropped {
		t.Errorf("pushing a place into a full queue = %+v, want dropped", got)
	}
	for _, p := range []*queue.Response{place, refused} {
		if got := q.Settle(&policy, p, text("late")); got.Outcome != queue.Gone {
			t.Errorf("settling a dropped place = %+v, want gone", got)
		}
	}
	if left := drain(&q); left != "new" || q.Bytes() != 0 {
		t.Errorf("left %q and %d bytes, want new and 0", left, q.Bytes())
	}
}

func TestAClosedQueueHoldsNothingAndTakesNothing(t *testing.T) {
	policy := queue.Policy{MaxResponses: 100, MaxBytes: 10}
	for _, queued := range []int{0, 1, 3, 4, 5, 20, 84} {
		t.Run(fmt.Sprint(queued), func(t *testing.T) {
			var q queue.Queue
			place := queue.Pending()
			for i := range queued {
				if i == 2 {
					q.Push(&policy, place)
				} else {
					q.Push(&policy, text(""))
				}
			}
			if got := q.Close(); got != queued {
				t.Errorf("Close() = %d, want %d", got, queued)
			}
			if got := q.Close(); got != 0 {
				t.Errorf("closing again = %d, want 0", got)
			}
			for _, r := range []*queue.Response{text("x"), text("longer than 10 bytes"), queue.Pending()} {
				if got := q.Push(&policy, r); got != (queue.Result{Outcome: queue.Closed}) {
					t.Errorf("push after close = %+v, want closed", got)
				}
			}
			if got := q.Settle(&policy, place, text("x")); got.Outcome != queue.Gone {
				t.Errorf("settle after close = %+v, want gone", got)
			}
			if r, ok := q.Pop(); ok || q.HasReady() || q.Len() != 0 || q.Bytes() != 0 || len(q.AppendPop(nil, 9)) != 0 {
				t.Errorf("after close: Pop %v, Len %d, Bytes %d", r, q.Len(), q.Bytes())
			}
		})
	}
}

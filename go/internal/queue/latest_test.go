package queue_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/fraiseql/fraiseql-subscriptions/go/internal/queue"
)

func keyed(key, s string) *queue.Response { return queue.ReadyKeyed([]byte(s), key) }

func TestLatestReplacesWhatHasTheSameKeyInItsPlace(t *testing.T) {
	policy := queue.Policy{MaxResponses: 3, MaxBytes: 12, Overflow: queue.Latest}
	accepted, replaced := queue.Result{}, queue.Result{Dropped: 1}
	pushes := []struct {
		response *queue.Response
		want     queue.Result
	}{
		{keyed("a", "a1,"), accepted},
		{keyed("b", "b1,"), accepted},
		{keyed("a", "a2,"), replaced},
		{keyed("c", "c1,"), accepted},
		{keyed("d", "d1,"), replaced},                      // no room: the oldest goes
		{keyed("c", "ccccccc,"), queue.Result{Dropped: 2}}, // and its bytes push out b
		{keyed("x", "longer than 12 bytes"), queue.Result{Outcome: queue.Dropped}},
	}
	var q queue.Queue
	for i, push := range pushes {
		if got := q.Push(&policy, push.response); got != push.want {
			t.Errorf("push %d (%s) = %+v, want %+v", i, push.response.Payload(), got, push.want)
		}
	}
	if left := drain(&q); left != "ccccccc,d1," {
		t.Errorf("left %q", left)
	}
	q.Push(&policy, keyed("c", "c2"))
	if left := drain(&q); left != "c2" || q.Bytes() != 0 {
		t.Errorf("after draining came %q, and %d bytes are left", left, q.Bytes())
	}
}

func TestLatestReplacesAPlaceAndAnAnswerKeepsItsKey(t *testing.T) {
	policy := queue.Policy{MaxResponses: 9, MaxBytes: 100, Overflow: queue.Latest}
	var q queue.Queue
	first, second, third := queue.PendingKeyed("a"), queue.PendingKeyed("b"), queue.PendingKeyed("a")
	for _, place := range []*queue.Response{first, second} {
		q.Push(&policy, place)
	}
	if got := q.Push(&policy, third); got.Dropped != 1 {
		t.Errorf("pushing over a place = %+v, want 1 dropped", got)
	}
	if got := q.Settle(&policy, first, text("a1")); got.Outcome != queue.Gone {
		t.Errorf("settling the replaced place = %+v, want gone", got)
	}
	q.Settle(&policy, second, text("b1"))
	q.Settle(&policy, third, text("a2"))
	if got := q.Push(&policy, keyed("b", "b2")); got.Dropped != 1 {
		t.Errorf("pushing over an answer = %+v, want 1 dropped", got)
	}
	if left := drain(&q); left != "a2b2" {
		t.Errorf("left %q, want a2b2", left)
	}
}

func TestLatestKeepsOneResponseAKeyUnderLoad(t *testing.T) {
	policy := queue.Policy{MaxResponses: 100, MaxBytes: 1 << 20, Overflow: queue.Latest}
	keys := []string{"a", "b", "c", "d"}
	atSeveralWidths(t, func(t *testing.T) {
		var (
			q       queue.Queue
			workers sync.WaitGroup
			mu      sync.Mutex
			dropped int
		)
		const producers, each = 4, 2000
		for p := range producers {
			workers.Add(1)
			go func() {
				defer workers.Done()
				random := rand.New(rand.NewPCG(uint64(p), 3))
				drops := 0
				for range each {
					key := keys[random.IntN(len(keys))]
					drops += q.Push(&policy, keyed(key, key)).Drops()
					if n := q.Len(); n > len(keys) {
						t.Errorf("%d responses for %d keys", n, len(keys))
					}
				}
				mu.Lock()
				dropped += drops
				mu.Unlock()
			}()
		}
		received, done := 0, make(chan struct{})
		go func() {
			defer close(done)
			for range each {
				if _, ok := q.Pop(); ok {
					received++
				}
			}
		}()
		workers.Wait()
		<-done
		left := q.AppendPop(nil, 100)
		var found []string
		for _, r := range left {
			found = append(found, string(r.Payload()))
		}
		slices.Sort(found)
		if len(slices.Compact(found)) != len(left) {
			t.Errorf("some key is there twice: %v", found)
		}
		if received+dropped+len(left) != producers*each {
			t.Errorf("%d received + %d dropped + %d left of %d", received, dropped, len(left), producers*each)
		}
	})
}
